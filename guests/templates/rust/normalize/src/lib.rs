//! {{name}}: raw events of one device in, normalized events out.
//!
//! What stands here is an example to be replaced: lines of `key=value`, as in `cases/`. It knows the SDK's types and no
//! WebAssembly, so it runs under plain `cargo test`; `component.rs` binds it to its world.

use std::net::IpAddr;

use aurora_guest::{
    Category, Failure, Kind, Normalized, Normalizing, ObservableType, RawEvents, Scope, Severity, Summary, Text,
    settings, time::rfc3339_ms,
};

#[cfg(target_family = "wasm")]
mod component;

/// Normalizes a batch: one verdict for each raw event, in order.
///
/// # Errors
/// Only for what concerns the whole batch, such as wrong settings. What is wrong with one event is a verdict on it.
pub fn normalize(input: &RawEvents) -> Result<Normalized, Failure> {
    // From `[guests.normalize.options]` of the site's configuration, or `[options]` of a case.
    let vendor = settings::text("vendor")?.unwrap_or_else(|| "Acme".to_owned());
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    for raw in input.iter() {
        match str::from_utf8(raw.payload) {
            // A reason reaches a person: say what was expected, and where.
            Err(error) => out.reject(format!("expected UTF-8 at byte {}", error.valid_up_to())),
            Ok(line) if line.starts_with('#') => out.drop_event("a comment"),
            Ok(line) => match Parsed::of(line) {
                Ok(parsed) => write(&parsed, &vendor, raw.received_ms, &mut out),
                Err(reason) => out.reject(reason),
            },
        }
    }
    Ok(out.finish())
}

/// `level=… src=… msg=…`; `msg` is the rest of the line.
struct Parsed<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    message: &'a str,
}

impl<'a> Parsed<'a> {
    fn of(line: &'a str) -> Result<Self, String> {
        let Some((head, message)) = line.split_once("msg=") else {
            return Err(format!("expected msg= before the end, at byte {}", line.len()));
        };
        let mut pairs = Vec::new();
        for pair in head.split_ascii_whitespace() {
            let Some(pair) = pair.split_once('=') else {
                return Err(format!("expected key=value, found {pair:?}"));
            };
            // The keys of an event are unique.
            if !pairs.iter().any(|(key, _)| *key == pair.0) {
                pairs.push(pair);
            }
        }
        Ok(Self { pairs, message })
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }
}

fn write(parsed: &Parsed<'_>, vendor: &str, received_ms: i64, out: &mut Normalizing) {
    let mut event = out.event();
    // Fields first, then observables, then techniques, then the rest.
    for (key, value) in &parsed.pairs {
        event.field(key, value);
    }
    if let Some(address) = parsed.value("src").and_then(|value| value.parse::<IpAddr>().ok()) {
        // Only what is `Scope::Public` may ever leave the site.
        event.observable(ObservableType::Ip, Scope::of_address(address), &address.to_string());
    }
    event.finish(&Summary {
        kind: Kind::Alert,
        severity: match parsed.value("level") {
            Some("alarm") => Severity::High,
            Some("warning") => Severity::Medium,
            _ => Severity::Low,
        },
        category: Category::Network,
        // There is no clock: the event's own time, else that of its receipt.
        timestamp_ms: parsed.value("time").and_then(rfc3339_ms).unwrap_or(received_ms),
        source: Text::Str(""),
        device_id: Text::Str(parsed.value("device").unwrap_or_default()),
        dedup_key: Text::Str(""),
        title: Text::Str(parsed.message),
        description: Text::Str(&format!("{vendor} device reports: {}", parsed.message)),
    });
    out.accept();
}
