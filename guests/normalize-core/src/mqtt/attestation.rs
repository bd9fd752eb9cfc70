use std::fmt::Write as _;

use aurora_guest::Severity;

use crate::draft::{Draft, Words};

/// Checks the form of an attestation response. A guest holds no keys, so the best outcome here is `structural_pass`,
/// and `valid` stays false until the host has verified the signature.
pub fn check(event: &mut Draft<'_>, topic_device: Option<&str>, name: &str, words: &mut Words) -> Severity {
    let wrong = fault(event, topic_device);
    let (status, reason, severity) = match wrong {
        None => ("structural_pass", "signature not verified at this stage", Severity::Info),
        Some(reason) => ("failed", reason, Severity::Critical),
    };
    event.plain("attestation.status", status);
    event.plain("attestation.valid", "false");
    event.plain("attestation.reason", reason);
    let _ = match wrong {
        None => write!(words.title, "{name} attestation response is well formed"),
        Some(_) => write!(words.title, "{name} attestation failed"),
    };
    words.description.push_str(reason);
    severity
}

fn fault(event: &Draft<'_>, topic_device: Option<&str>) -> Option<&'static str> {
    let hex =
        |text: &str| !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    match (event.get("device_id"), topic_device) {
        (None, _) => return Some("device_id is missing"),
        (Some(device), Some(topic)) if device != topic => return Some("device_id is not that of the topic"),
        _ => {}
    }
    match event.get("firmware_hash") {
        None => return Some("firmware_hash is missing"),
        Some(hash) if hash.len() != 64 || !hex(hash) => return Some("firmware_hash is not 64 hexadecimal digits"),
        Some(_) => {}
    }
    match event.get("boot_count") {
        None => return Some("boot_count is missing"),
        Some(count) if count.parse::<u64>().is_err() || count.starts_with('+') => {
            return Some("boot_count is not an unsigned 64-bit number");
        }
        Some(_) => {}
    }
    match event.get("signature_hex") {
        None => return Some("signature_hex is missing"),
        Some(signature) if !hex(signature) => return Some("signature_hex is not hexadecimal"),
        Some(_) => {}
    }
    match event.get("public_key_hex") {
        Some(key) if !hex(key) => Some("public_key_hex is not hexadecimal"),
        _ => None,
    }
}
