//! Alerts that Wazuh and OSSEC send as syslog:
//! `Alert Level: 5; Rule: 1002 - description; Location: host->/var/log/x; …; the line itself`.

use super::message::of_network;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};
use aurora_guest::Category;

/// Whether a message is such an alert.
#[must_use]
pub fn fits(message: &str) -> bool {
    message.starts_with("Alert Level: ") && message.contains("; Rule: ")
}

/// Reads the alert's parts under `ossec.`, and says what they mean.
pub fn meaning(message: &str, event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let (mut level, mut description) = ("", message);
    for part in message.split("; ") {
        let Some((name, value)) = part.split_once(": ") else { continue };
        let value = value.trim().trim_end_matches([';', ',']);
        match name {
            "Alert Level" => {
                level = value;
                event.plain("ossec.level", value);
            }
            "Rule" => {
                let (id, text) = value.split_once(" - ").unwrap_or((value, ""));
                description = text;
                event.plain("ossec.rule", id);
                event.plain("ossec.description", text);
            }
            "Location" => event.plain("ossec.location", value),
            "classification" => event.plain("ossec.classification", value),
            "user" => event.plain("ossec.user", value),
            "srcip" => event.plain("ossec.srcip", value),
            // The line that raised the alert comes last, and may hold anything.
            _ => break,
        }
    }
    event.keep_severity("ossec.level");
    words.title.push_str(title::line(if description.is_empty() { message } else { description }));
    words.description.push_str(title::paragraph(message));
    Meaning { category: Category::Endpoint, ..of_network(severity::wazuh(level), about.time([])) }
}
