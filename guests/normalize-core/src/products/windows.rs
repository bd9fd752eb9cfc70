//! Events of the Windows event log, from whatever turned them into fields: our own reading of its XML, winlogbeat,
//! NXLog, the OTRF data sets, Velociraptor, evtx dumps.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use super::windows_events;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// Where a shape keeps the event's header and the event's own data.
struct Shape {
    id: &'static str,
    header: &'static str,
    data: &'static str,
}

const SHAPES: [Shape; 7] = [
    Shape { id: "EventID", header: "", data: "" },
    Shape { id: "winlog.event_id", header: "winlog.", data: "winlog.event_data." },
    Shape { id: "Event.System.EventID", header: "Event.System.", data: "Event.EventData." },
    Shape { id: "Event.System.EventID.#text", header: "Event.System.", data: "Event.EventData." },
    Shape { id: "System.EventID", header: "System.", data: "EventData." },
    Shape { id: "System.EventID.Value", header: "System.", data: "EventData." },
    Shape { id: "event_id", header: "", data: "event_data." },
];

/// Whether this is a Windows event.
pub fn fits(event: &Draft<'_>) -> bool {
    shape(event).is_some_and(|shape| {
        event.get(shape.id).is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
            && (channel(event, shape).is_some() || provider(event, shape).is_some())
    })
}

fn shape(event: &Draft<'_>) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| event.get(shape.id).is_some())
}

fn channel<'e>(event: &'e Draft<'_>, shape: &Shape) -> Option<&'e str> {
    ["Channel", "channel", "log_name"].iter().find_map(|key| event.under(shape.header, key))
}

fn provider<'e>(event: &'e Draft<'_>, shape: &Shape) -> Option<&'e str> {
    ["SourceName", "provider_name", "Provider.Name", "Provider.#attributes.Name", "source_name", "Provider"]
        .iter()
        .find_map(|key| event.under(shape.header, key))
}

/// What the event means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let shape = shape(event).unwrap_or(&SHAPES[0]);
    let id = event.get(shape.id).and_then(|id| id.parse().ok()).unwrap_or(0_u32);
    let provider = provider(event, shape).unwrap_or_default();
    let sysmon = provider.contains("Sysmon") || channel(event, shape).is_some_and(|channel| channel.contains("Sysmon"));
    let known = windows_events::known(id, sysmon, provider);

    let name = known.map(|known| known.name);
    let message = event.first(&["Message", "message", "winlog.message"]);
    match (name, message) {
        (Some(name), _) => words.title.push_str(name),
        (None, Some(message)) => words.title.push_str(title::line(message).trim_end_matches([':', '.'])),
        (None, None) => {
            let _ = write!(words.title, "{provider} event {id}");
        }
    }
    let subject = known.and_then(|known| known.subjects.iter().find_map(|key| event.under(shape.data, key)));
    if let Some(subject) = subject.filter(|subject| *subject != "-") {
        let _ = write!(words.title, ": {}", title::line(subject));
    }
    match message {
        Some(message) => words.description.push_str(title::paragraph(message)),
        None => {
            let computer =
                ["Computer", "Hostname", "computer_name"].iter().find_map(|key| event.under(shape.header, key));
            let _ = write!(words.description, "{provider} event {id} on {}", computer.unwrap_or("an unnamed computer"));
        }
    }
    // What collectors add last: NXLog's `EventTime` is local time without its zone, so even `@timestamp`, which a
    // shipper sets when it reads the event, is nearer.
    let times = [
        "TimeCreated.SystemTime",
        "Event.System.TimeCreated.SystemTime",
        "System.TimeCreated.SystemTime",
        "Event.System.TimeCreated.#attributes.SystemTime",
        "TimeCreated",
        "UtcTime",
        "winlog.event_data.UtcTime",
        "@timestamp",
        "EventTime",
        "TimeGenerated",
        "EventReceivedTime",
        "timestamp",
    ];
    let timestamp_ms = about.time(times.into_iter().map(|key| event.get(key)));
    let (stated, key) = stated(event, shape);
    let severity = known.and_then(|known| known.at_least).map_or(stated, |least| least.max(stated));
    event.keep_severity(key);
    let category = known.map_or(Category::Endpoint, |known| known.category);
    Meaning { kind: Kind::Alert, severity, category, timestamp_ms, device: None }
}

/// What the event says of its severity itself, and the field that says it.
fn stated(event: &Draft<'_>, shape: &Shape) -> (Severity, &'static str) {
    for key in ["Level", "winlog.level", "Event.System.Level", "System.Level", "log.level", "level"] {
        if let Some(level) = event.get(key) {
            return (severity::windows(level), key);
        }
    }
    // NXLog counts from debug, 1, to critical, 5.
    if shape.header.is_empty()
        && let Some(value) = event.get("SeverityValue")
    {
        let severity = match value {
            "3" => Severity::Medium,
            "4" => Severity::High,
            "5" => Severity::Critical,
            _ => Severity::Info,
        };
        return (severity, "SeverityValue");
    }
    match event.get("Severity") {
        Some(word) => (severity::by_word(word).unwrap_or(Severity::Info), "Severity"),
        None => (Severity::Info, ""),
    }
}
