//! Packets that the Linux kernel logs (iptables, nftables, ufw): `[prefix] IN=eth0 OUT= MAC=… SRC=… DST=…`.

use std::fmt::Write as _;

use aurora_guest::Severity;

use super::message::of_network;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, title},
};

/// Whether a message is a logged packet.
#[must_use]
pub fn fits(message: &str) -> bool {
    let head = &message[..message.floor_char_boundary(256)];
    head.contains("IN=") && head.contains(" OUT=") && message.contains(" SRC=")
}

/// What the packet means: a rule that says in its prefix that it drops is at least `low`.
pub fn meaning(
    message: &str,
    stated: Severity,
    event: &mut Draft<'_>,
    about: &About<'_>,
    words: &mut Words,
) -> Meaning {
    event.keep_severity("severity");
    // `[12345.678901] [UFW BLOCK] IN=…`
    let prefix = message.split("IN=").next().unwrap_or_default().trim();
    let prefix = match prefix.split_once("] ") {
        Some((clock, rest)) if clock.trim_start_matches(['[', ' ']).starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => prefix,
    };
    let blocks = ["BLOCK", "DROP", "REJECT", "DENY", "DENIED"];
    let blocked = blocks.iter().any(|word| prefix.to_ascii_uppercase().contains(word));
    let prefix = prefix.trim_matches(['[', ']', ' ', ':']);
    let _ = write!(words.title, "{} ", if prefix.is_empty() { "Packet" } else { title::line(prefix) });
    let from = event.get("SRC").map(|ip| (ip, event.get("SPT")));
    let to = event.get("DST").map(|ip| (ip, event.get("DPT")));
    title::endpoints(&mut words.title, from, to);
    words.description.push_str(title::paragraph(message));
    of_network(if blocked { stated.max(Severity::Low) } else { stated }, about.time([]))
}
