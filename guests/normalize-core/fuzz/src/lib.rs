//! What every fuzz target of the stock normalizer checks: whatever the bytes are, it answers, once for each raw event,
//! with columns that fit together.
//!
//! ```text
//! cargo install cargo-fuzz
//! cd guests/normalize-core && cargo +nightly fuzz run cef cases/cef -- -max_total_time=60
//! ```

use aurora_guest::{Context, RawEvents};

/// Normalizes `payload` as two events declared to be `format`, whole and its first half.
pub fn normalize(format: &str, payload: &[u8]) {
    let context = Context {
        source: "fuzz".to_owned(),
        format: format.to_owned(),
        topic: Some("aurora/sensors/fuzz/alerts".to_owned()),
        device_id: Some("fuzz".to_owned()),
        channel: Some("alerts".to_owned()),
        source_ip: None,
    };
    let half = &payload[..payload.len() / 2];
    let raw = RawEvents::of(context, 1_772_445_600_000, [payload, half]);
    let done = normalize_core::normalize(&raw, &normalize_core::Options::default());
    assert_eq!(done.disposition.len(), 2);
    assert_eq!(done.count.iter().sum::<u32>() as usize, done.events.kind.len());
    assert_eq!(done.events.ends.last().copied().unwrap_or_default() as usize, done.events.text.len());
    let text = std::str::from_utf8(&done.events.text).expect("text is UTF-8");
    assert!(done.events.ends.iter().all(|&end| text.is_char_boundary(end as usize)));
}
