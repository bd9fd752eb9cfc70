//! The event of the goals: a Suricata alert of 301 bytes, with a number by which it is known again.

/// Topic filter that all events match.
pub const FILTER: &str = "aurora/sensors/+/alerts";

/// Stream that the stock router puts them into.
pub const STREAM: &str = "aurora:alerts";

/// Devices, so that lanes share the work.
const DEVICES: u64 = 100;

/// The first event's number. Twelve digits, as many as the last one's.
const FIRST: u64 = 100_000_000_000;

/// Topic of the event `index`.
pub fn topic(index: u64) -> String {
    format!("aurora/sensors/sensor_{:02}/alerts", index % DEVICES)
}

/// Payload of the event `index`. Every second one is of high severity, so that half of them leave the site; its
/// addresses are private, so that each of these is one message, as with the peers that the goals were taken from.
pub fn alert(index: u64) -> Vec<u8> {
    let severity = if is_shared(index) { 1 } else { 2 };
    let alert = format!(
        r#"{{"timestamp":"2026-03-02T10:15:30.123456+0000","flow_id":{},"event_type":"alert","src_ip":"10.11.12.13","src_port":4967,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","alert":{{"action":"allowed","signature_id":2001219,"signature":"ET SCAN SSH","category":"A Network Trojan","severity":{severity}}}}}"#,
        FIRST + index,
    );
    debug_assert_eq!(alert.len(), 301);
    alert.into_bytes()
}

/// Whether the stock policy shares the event `index`.
pub fn is_shared(index: u64) -> bool {
    index % 2 == 1
}

/// The number of an event out of its normalized form.
pub fn index(data: &[u8]) -> Option<u64> {
    const KEY: &[u8] = br#""flow_id":""#;
    let start = memchr::memmem::find(data, KEY)? + KEY.len();
    let digits = str::from_utf8(data.get(start..start + 12)?).ok()?;
    digits.parse::<u64>().ok()?.checked_sub(FIRST)
}
