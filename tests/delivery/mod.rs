//! From MQTT to Redis Streams and JetStream, over real brokers and the built daemon.

mod crossing;
mod http;
mod raw;
mod outside;
mod bad_input;
mod order;
mod outage;
mod ending;
mod refusal;
mod refused;
mod repeats;
mod spool;
mod dedup;
mod step;
mod relay;
mod dispositions;
mod dead_letters;
mod explain;
mod replays;

use std::collections::BTreeSet;

/// A JSON alert with a number in its title.
fn alert(severity: &str, number: u32) -> String {
    format!(r#"{{"severity":"{severity}","title":"alert {number}","number":{number}}}"#)
}

/// The number of an entry.
fn number(entry: &harness::Entry) -> u32 {
    let data = entry.data();
    let number = data["fields"]["number"].as_str().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("an entry without a number: {data}"))
}

/// Every number of `0..count` is there.
fn assert_none_lost(entries: &[harness::Entry], count: u32) {
    let seen: BTreeSet<u32> = entries.iter().map(number).collect();
    let missing: Vec<u32> = (0..count).filter(|number| !seen.contains(number)).collect();
    let some: Vec<_> = missing.iter().take(10).collect();
    assert!(missing.is_empty(), "{} of {count} are missing: {some:?} …", missing.len());
}

/// Every number of `0..count` is there, and none twice.
pub(crate) fn assert_exactly_once(entries: &[harness::Entry], count: u32) {
    assert_none_lost(entries, count);
    let mut seen = BTreeSet::new();
    let twice: Vec<u32> = entries.iter().map(number).filter(|&number| !seen.insert(number)).collect();
    let some: Vec<_> = twice.iter().take(10).collect();
    assert!(twice.is_empty(), "{} of {count} are there twice: {some:?} …", twice.len());
}
