//! Cost of extraction: nanoseconds a text for what fields usually hold, and throughput on texts made to be slow.

use std::hint::black_box;
use std::time::{Duration, Instant};

use normalize_core::observables::{AllowList, Extractor, Found};

const FIELDS: &[(&str, &str)] = &[
    ("number", "1575955624"),
    ("word", "allowed"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ("timestamp", "2026-11-22T10:11:12.123456+0000"),
    ("sentence", "Session opened for the user and closed again after a while without any error"),
    ("version", "10.0.19041.1"),
    ("ipv4", "45.33.32.156"),
    ("ipv6", "2606:4700:4700::1111"),
    ("domain", "cdn.windowsearchcache.com"),
    ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
    ("url", "http://evil.com/a/b.php?x=1&y=2"),
    ("defanged url", "hxxps://evil[.]com/a/b[.]php"),
    ("email", "bob.smith@evil.com"),
    ("path", "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"),
    ("file name", "setup.py"),
    ("signature", "ET EXPLOIT Apache log4j RCE Attempt (http ldap) (CVE-2021-44228)"),
    (
        "json of 300 bytes",
        concat!(
            r#"{"timestamp":"2026-11-22T10:11:12.123456+0000","flow_id":1805461738637437,"event_type":"alert","src_ip":"45.33.32.156","#,
            r#""src_port":49812,"dest_ip":"10.1.2.3","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2013028,"#,
            r#""signature":"ET POLICY curl User-Agent Outbound","severity":2}}"#
        ),
    ),
];

const ADVERSE: &[&str] = &[
    ".",
    "[.]",
    "a[.]",
    "a [.] ",
    "a.",
    "a@",
    "a @ ",
    "deadbeef",
    ":",
    "a:",
    "http://",
    "http://a.com",
    "C:\\a",
    "\\",
    "\\\\a\\b ",
    "HKLM\\a ",
    "/etc/",
    "(",
    "%",
    "http%3A%2F%2F",
    "\"C:\\a ",
    "Mozilla/5 (",
    "1.1.",
    "http://a:",
    "あ。",
    "http://a.com/?u=",
    "markers[dot]b(at)",
];

fn main() {
    let allow = AllowList::default();
    let mut extractor = Extractor::new(&allow);
    let mut found = Vec::new();
    for (name, text) in FIELDS {
        let each = time(|| {
            extractor.clear();
            found.clear();
            extractor.free_text(black_box(text), &mut found);
            black_box(&found);
        });
        println!("{name:<20} {:>4} bytes {:>8.1} ns", text.len(), each.as_nanos() as f64 / ROUNDS as f64);
    }
    for piece in ADVERSE {
        let text = piece.repeat((1 << 20) / piece.len());
        let (took, count) = adverse(&mut extractor, &text, &mut found);
        println!("1 MiB of {piece:<18?} {:>8.1} MB/s, {count} found", text.len() as f64 / took.as_secs_f64() / 1e6);
    }
}

const ROUNDS: u32 = 100_000;

fn time(mut once: impl FnMut()) -> Duration {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| once());
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn adverse(extractor: &mut Extractor<'_>, text: &str, found: &mut Vec<Found>) -> (Duration, usize) {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        extractor.clear();
        found.clear();
        let start = Instant::now();
        extractor.free_text(text, found);
        best = best.min(start.elapsed());
    }
    (best, found.len())
}
