//! What a device answers. Hostile until it has been judged.

use serde::Deserialize;

use super::hex;

/// An answer whose form is right. Further fields (board, firmware version) are the normalizer's; nothing signs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub device: String,
    /// 64 hexadecimal digits, as they were sent.
    pub firmware: String,
    pub boot_count: u64,
    pub signature: String,
    /// The key that the device says is its own.
    pub key: Option<String>,
    pub nonce: String,
}

#[derive(Deserialize)]
struct Written {
    device_id: String,
    firmware_hash: String,
    boot_count: u64,
    signature_hex: String,
    public_key_hex: Option<String>,
    nonce: Option<String>,
}

/// Most characters of a text that we put into a reason.
const SHOWN: usize = 120;

impl Response {
    /// Reads `payload`, which came on the topic of `device`, if it came on one.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn read(payload: &[u8], device: Option<&str>) -> Result<Self, String> {
        // A field that is there twice is an error, so nobody signs one and shows the other.
        let written: Written = serde_json::from_slice(payload).map_err(|error| cut(&error.to_string()))?;
        if device.is_some_and(|device| device != written.device_id) {
            return Err("device_id is not that of the topic".to_owned());
        }
        if !crate::event::is_device_id(&written.device_id) {
            return Err("device_id does not match [A-Za-z0-9_-]{1,64}".to_owned());
        }
        if hex::sha256(&written.firmware_hash).is_none() {
            return Err("firmware_hash is not 64 hexadecimal digits".to_owned());
        }
        let Some(nonce) = written.nonce else {
            return Err("nonce is missing: an answer without one may be an old one".to_owned());
        };
        Ok(Self {
            device: written.device_id,
            firmware: written.firmware_hash,
            boot_count: written.boot_count,
            signature: written.signature_hex,
            key: written.public_key_hex.filter(|key| !key.is_empty()),
            nonce,
        })
    }
}

/// `text`, cut to what fits into a reason.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::json!({
            "device_id": "stm32_pac_01", "firmware_hash": "a".repeat(64), "boot_count": u64::MAX,
            "signature_hex": "00", "nonce": "b".repeat(64), "board_family": "stm32",
        });
        change(&mut value);
        value.to_string().into_bytes()
    }

    #[test]
    fn reads_what_a_device_sends() {
        let response = Response::read(&written(|_| {}), Some("stm32_pac_01")).expect("well formed");
        assert_eq!((response.boot_count, response.key), (u64::MAX, None));
    }

    #[test]
    fn says_what_is_malformed() {
        let read = |payload: &[u8]| Response::read(payload, Some("stm32_pac_01")).expect_err("malformed");
        for (change, said) in [
            (("device_id", serde_json::json!("other")), "not that of the topic"),
            (("firmware_hash", serde_json::json!("a".repeat(63))), "firmware_hash is not 64"),
            (("firmware_hash", serde_json::json!("g".repeat(64))), "firmware_hash is not 64"),
            (("boot_count", serde_json::json!(-1)), "invalid value"),
            (("boot_count", serde_json::json!(1.5)), "invalid type"),
            (("boot_count", serde_json::json!("7")), "invalid type"),
            (("signature_hex", serde_json::json!(null)), "invalid type"),
            (("nonce", serde_json::json!(null)), "nonce is missing"),
        ] {
            let said_here = read(&written(|value| value[change.0] = change.1.clone()));
            assert!(said_here.contains(said), "{said_here}");
        }
        let twice = String::from_utf8(written(|_| {})).expect("text").replacen('{', "{\"boot_count\":1,", 1);
        assert!(read(twice.as_bytes()).contains("duplicate field"));
        for broken in [&b"{"[..], b"[]", b"\xff", b"null", &vec![b'['; 100_000]] {
            assert!(!read(broken).is_empty());
        }
        let spaced = written(|value| value["device_id"] = "a b".into());
        assert!(Response::read(&spaced, None).expect_err("no device id").contains("does not match"));
    }
}
