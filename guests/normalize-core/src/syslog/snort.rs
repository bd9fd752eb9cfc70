//! Alerts that Snort and Suricata write as one line:
//! `[1:2010935:3] ET SCAN … [Classification: …] [Priority: 2] {TCP} 192.0.2.1:4444 -> 10.0.0.1:1433`.

use super::message::of_network;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// Whether a message is such an alert: generator, signature and revision in brackets, and a priority.
#[must_use]
pub fn fits(message: &str) -> bool {
    message.starts_with('[')
        && signature(message).is_some_and(|(ids, _)| {
            ids.split(':').count() == 3 && ids.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
        })
        && within(message, "[Priority: ").is_some()
}

/// By the rule's priority. The header's is `alert` for every rule, as both write it by default.
pub fn meaning(message: &str, event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let (_, rest) = signature(message).unwrap_or_default();
    let name = rest.split(" [").next().unwrap_or_default().trim();
    words.title.push_str(title::line(if name.is_empty() { message } else { name }));
    words.description.push_str(title::paragraph(message));
    let priority = within(message, "[Priority: ").unwrap_or_default();
    event.plain("severity.source_value", priority);
    of_network(severity::suricata(priority), about.time([]))
}

/// What stands in the first brackets, and what follows them.
fn signature(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix('[')?.split_once(']')
}

fn within<'t>(message: &'t str, opening: &str) -> Option<&'t str> {
    Some(message.split_once(opening)?.1.split_once(']')?.0)
}
