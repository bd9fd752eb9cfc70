//! From MQTT to Redis Streams and JetStream, over real brokers and the built daemon.

mod crossing;
mod outside;
mod bad_input;
mod order;
mod outage;
mod ending;
mod refusal;

/// A JSON alert with a number in its title.
fn alert(severity: &str, number: u32) -> String {
    format!(r#"{{"severity":"{severity}","title":"alert {number}","number":{number}}}"#)
}

/// The numbers of `entries`, in order.
fn numbers(entries: &[harness::Entry]) -> Vec<u32> {
    entries.iter().map(number).collect()
}

fn number(entry: &harness::Entry) -> u32 {
    let data = entry.data();
    let number = data["fields"]["number"].as_str().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("an entry without a number: {data}"))
}

/// Every number of `0..count` is there, and none twice.
fn assert_exactly_once(entries: &[harness::Entry], count: u32) {
    let mut seen = numbers(entries);
    seen.sort_unstable();
    let missing: Vec<u32> = (0..count).filter(|number| seen.binary_search(number).is_err()).collect();
    let twice: Vec<u32> = seen.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    let first = |numbers: &[u32]| numbers.iter().take(10).copied().collect::<Vec<_>>();
    assert!(
        missing.is_empty() && twice.is_empty(),
        "of {count}: {} missing {:?}, {} twice {:?}",
        missing.len(),
        first(&missing),
        twice.len(),
        first(&twice)
    );
}
