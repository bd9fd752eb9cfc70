wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/normalizer", "wit"],
    world: "aurora:wants-wasi/wants-wasi",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
    generate_all,
});

use aurora_guest::{Category, Failure, Kind, Normalizing, RawEvents, Severity, Summary, Text};
use exports::aurora::normalizer::normalize::{Disposition, Guest, Normalized};

struct Component;

impl Guest for Component {
    fn normalize(input: RawEvents) -> Result<Normalized, Failure> {
        let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
        for raw in input.iter() {
            let got = crate::deeds::got(str::from_utf8(raw.payload).unwrap_or_default());
            out.event().finish(&Summary {
                kind: Kind::Alert,
                severity: Severity::Low,
                category: Category::Network,
                timestamp_ms: raw.received_ms,
                source: Text::Str(""),
                device_id: Text::Str(""),
                dedup_key: Text::Str(""),
                title: Text::Str(&got),
                description: Text::Str(""),
            });
            out.accept();
        }
        let done = out.finish();
        let disposition = vec![Disposition::Accepted; done.disposition.len()];
        let (count, reasons, retry_after_ms) = (done.count, done.reasons, done.retry_after_ms);
        Ok(Normalized { disposition, count, reasons, retry_after_ms, events: done.events })
    }
}

export!(Component);
