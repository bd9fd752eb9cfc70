//! What the demo shows, as lines of text. Pure: given the same tally it always says the same.

use std::{collections::BTreeMap, time::Duration};

use super::{
    samples::{SAMPLES, Sample},
    tally::{Outcome, Row, Tally},
};

/// The sample that is shown from end to end: it has a severity of its own, an observable worth sharing and a private
/// address that is not.
const SHOWN: &str = "CEF";

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Set off.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Set back.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// As bad as it is.
    pub(super) fn severity(self, severity: &str, text: &str) -> String {
        match severity {
            "critical" => self.with("1;31", text),
            "high" => self.with("31", text),
            "medium" => self.with("33", text),
            "dead letter" => self.with("35", text),
            _ => self.with("36", text),
        }
    }
}

/// Heading and one line for each sample: how many went in, what the first one became, where it went.
#[must_use]
pub fn samples(tally: &Tally, paint: Paint) -> Vec<String> {
    let heading =
        format!("  {:<16} {:>6}  {:<11}  {:<30}  {}", "message", "sent", "became", "title", "stored in → shared as");
    std::iter::once(paint.bold(&heading))
        .chain(SAMPLES.iter().zip(&tally.rows).map(|(sample, row)| sample_line(sample, row, paint)))
        .collect()
}

/// The line of one sample.
#[must_use]
pub fn sample_line(sample: &Sample, row: &Row, paint: Paint) -> String {
    let start = format!("  {:<16} {:>6}", sample.name, row.played);
    match &row.outcome {
        None => format!("{start}  {}", paint.dim("…")),
        Some(Outcome::Event { severity, title, .. }) => {
            let streams: Vec<&str> = row.entries.iter().map(|(stream, _)| stream.as_str()).collect();
            let subjects: Vec<&str> = row.subjects.iter().map(|subject| short(subject)).collect();
            let shared = if subjects.is_empty() { String::new() } else { format!(" → {}", subjects.join(", ")) };
            let severity = paint.severity(severity, &format!("{severity:<11}"));
            format!("{start}  {severity}  {:<30}  {}{shared}", cut(title, 30), streams.join(", "))
        }
        Some(Outcome::DeadLetter { stage, reason }) => {
            format!("{start}  {}  {stage}: {}", paint.severity("dead letter", "dead letter"), cut(reason, 80))
        }
    }
}

/// Subjects of observables are told by their end: each stands in full in the list of subjects.
fn short(subject: &str) -> &str {
    subject.strip_prefix("aurora.intel.").unwrap_or(subject)
}

/// Redis and JetStream, with their counts.
#[must_use]
pub fn places(tally: &Tally, paint: Paint) -> Vec<String> {
    let mut lines = wrapped("  Redis streams      ", &tally.streams, paint);
    lines.extend(wrapped("  JetStream subjects ", &tally.subjects, paint));
    lines
}

/// `name count` pairs after a label, over as many lines as they need.
fn wrapped(label: &str, counts: &BTreeMap<String, u64>, paint: Paint) -> Vec<String> {
    const WIDTH: usize = 100;
    if counts.is_empty() {
        return vec![format!("{}{}", paint.bold(label), paint.dim("nothing yet"))];
    }
    let indent = label.chars().count();
    let mut lines = vec![paint.bold(label)];
    let mut column = indent;
    for (name, count) in counts {
        let pair = format!("{name} {count}   ");
        if column + pair.len() > WIDTH && column > indent {
            lines.push(" ".repeat(indent));
            column = indent;
        }
        column += pair.len();
        if let Some(line) = lines.last_mut() {
            line.push_str(&pair);
        }
    }
    lines
}

/// How long a message takes.
#[must_use]
pub fn latency(tally: &Tally, paint: Paint) -> String {
    let label = paint.bold("  latency            ");
    match (tally.latency(50), tally.latency(99)) {
        (Some(p50), Some(p99)) => {
            format!("{label}p50 {}, p99 {}, from MQTT publish until a Redis consumer has it", time(p50), time(p99))
        }
        _ => format!("{label}{}", paint.dim("nothing yet")),
    }
}

fn time(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// One event from the bytes of its source to the places where it is now.
#[must_use]
pub fn end_to_end(tally: &Tally, paint: Paint) -> Vec<String> {
    let found = SAMPLES.iter().zip(&tally.rows).find(|(sample, _)| sample.name == SHOWN);
    let Some((sample, row)) = found else { return Vec::new() };
    let Some(Outcome::Event { severity, title, data }) = &row.outcome else { return Vec::new() };
    let event: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    let label = |text: &str| paint.bold(&format!("  {text:<11}"));
    let next = " ".repeat(13);

    let mut lines =
        vec![paint.bold("One event, end to end"), format!("{}{} (QoS {})", label("MQTT"), sample.topic, sample.qos)];
    lines.extend(broken(&row.payload, 85).into_iter().map(|line| format!("{next}{}", paint.dim(&line))));
    let category = event["category"].as_str().unwrap_or_default();
    lines.push(format!(
        "{}{} · {category} · \"{title}\" · {} fields",
        label("normalize"),
        paint.severity(severity, severity),
        event["fields"].as_object().map_or(0, serde_json::Map::len)
    ));
    let observables = event["iocs"].as_array().map(Vec::as_slice).unwrap_or_default();
    for observable in observables {
        let text = |key: &str| observable[key].as_str().unwrap_or_default().to_owned();
        lines.push(format!("{next}{} {}", text("type"), text("value")));
    }
    for (stream, id) in &row.entries {
        lines.push(format!("{}{stream} {id}", label("Redis")));
    }
    if row.subjects.is_empty() {
        lines.push(format!("{}kept at the site", label("JetStream")));
    }
    for subject in &row.subjects {
        lines.push(format!("{}{subject}", label("JetStream")));
    }
    lines
}

/// The first `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn broken(text: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(width).map(|line| line.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_are_cut_by_characters() {
        assert_eq!(cut("Türschloß", 9), "Türschloß");
        assert_eq!(cut("Türschloß offen", 9), "Türschlo…");
    }

    #[test]
    fn counts_go_over_several_lines_and_none_is_lost() {
        let counts: BTreeMap<String, u64> = (0..12).map(|i| (format!("aurora.intel.ioc.number-{i}"), i)).collect();
        let lines = wrapped("label ", &counts, Paint(false));
        assert!(lines.len() > 2 && lines.iter().all(|line| line.trim_end().len() <= 100), "{lines:#?}");
        assert!(counts.keys().all(|name| lines.iter().any(|line| line.contains(name.as_str()))));
    }

    #[test]
    fn a_dead_letter_says_where_and_why() {
        let outcome = Outcome::DeadLetter { stage: "normalize".to_owned(), reason: "not JSON".to_owned() };
        let row = Row { played: 3, outcome: Some(outcome), ..Row::default() };
        let line = sample_line(&SAMPLES[11], &row, Paint(false));
        assert!(line.contains("dead letter  normalize: not JSON"), "{line}");
    }
}
