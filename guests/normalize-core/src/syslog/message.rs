//! Messages whose form is known: what they hold more than text, and what that means.

use aurora_guest::{Category, Kind, Severity};

use super::{Header, cisco, netfilter, ossec, panos, snort};
use crate::{
    draft::{Draft, Meaning, Words},
    kv,
    meaning::About,
};

/// Reads the message that begins at the header's end, whose header fields are written. Nothing if its form is unknown.
pub fn read(
    text: &str,
    header: &Header<'_>,
    event: &mut Draft<'_>,
    about: &About<'_>,
    words: &mut Words,
) -> Option<Meaning> {
    let message = &text[header.message..];
    let stated = header.severity().map_or(Severity::Low, crate::meaning::severity::syslog);
    if let Some(mnemonic) = cisco::find(message) {
        return Some(cisco::meaning(mnemonic, message, event, about, words));
    }
    if snort::fits(message) {
        return Some(snort::meaning(message, event, about, words));
    }
    if ossec::fits(message) {
        return Some(ossec::meaning(message, event, about, words));
    }
    if panos::fits(message) {
        return Some(panos::meaning(message, stated, event, about, words));
    }
    // All other forms are pairs.
    memchr::memchr(b'=', message.as_bytes())?;
    if netfilter::fits(message) {
        kv::within(text, header.message, event);
        return Some(netfilter::meaning(message, stated, event, about, words));
    }
    if kv::is_pairs(message.trim_start()) || kv::has_quoted_pairs(message) {
        kv::within(text, header.message, event);
        let mut meaning = kv::meaning(event, about, Some(stated), words);
        if let Some(appname) = header.appname
            && super::is_identity(appname)
        {
            meaning.category = Category::Identity;
        }
        return Some(meaning);
    }
    None
}

/// The meaning of a network device's message, once its parts are known.
pub fn of_network(severity: Severity, timestamp_ms: i64) -> Meaning {
    Meaning { kind: Kind::Alert, severity, category: Category::Network, timestamp_ms, device: None }
}
