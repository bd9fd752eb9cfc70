//! The stock normalizer.

use aurora_guest::{Category, Failure, Kind, Normalized, Normalizing, RawEvents, Severity, Summary, Text};

#[cfg(target_family = "wasm")]
mod component;

pub mod observables;

/// The site's settings.
#[derive(Clone, Debug, Default)]
pub struct Options {}

impl Options {
    /// Reads them from `[guests.normalize.options]`.
    ///
    /// # Errors
    /// [`Failure::InvalidSettings`] names the option.
    pub fn from_settings() -> Result<Self, Failure> {
        Ok(Self {})
    }
}

/// Normalizes a batch.
#[must_use]
pub fn normalize(input: &RawEvents, _options: &Options) -> Normalized {
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    for raw in input.iter() {
        let Ok(text) = str::from_utf8(raw.payload) else {
            out.reject("not UTF-8");
            continue;
        };
        let mut event = out.event();
        event.field("message", text);
        event.finish(&Summary {
            kind: Kind::Alert,
            severity: Severity::Medium,
            category: Category::Network,
            timestamp_ms: raw.received_ms,
            source: Text::Str(""),
            device_id: Text::Str(""),
            dedup_key: Text::Str(""),
            title: Text::Field(0),
            description: Text::Str(""),
        });
        out.accept();
    }
    out.finish()
}
