//! The bytes that a device signs.

use serde::{Deserialize, Serialize};

/// How the parts of an answer become one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A line each: no two answers have the same message.
    #[default]
    Delimited,
    /// As older firmware does it: one behind the other, so that where one part ends the next one's first digit may belong
    /// to it. Only for devices that cannot do otherwise.
    Legacy,
}

/// The first line of a delimited message. What is signed for something else cannot pass for an answer.
pub const BEGINS: &str = "aurora-attestation-v1";

/// The message that `device` signs: firmware hash and nonce in hexadecimal.
///
/// Delimited, with every line ended by `\n` (0x0a), the last one too, and hexadecimal digits in lower case:
///
/// ```text
/// aurora-attestation-v1
/// stm32_pac_01
/// 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
/// 42
/// 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
/// ```
///
/// None of the parts can hold a line break, so each message has one meaning.
#[must_use]
pub fn message(form: Form, device: &str, firmware: &str, boot_count: u64, nonce: &str) -> Vec<u8> {
    match form {
        Form::Delimited => {
            let (firmware, nonce) = (firmware.to_ascii_lowercase(), nonce.to_ascii_lowercase());
            format!("{BEGINS}\n{device}\n{firmware}\n{boot_count}\n{nonce}\n")
        }
        // As it was sent: nobody knows in which case a device signs its digits.
        Form::Legacy => format!("{device}{firmware}{boot_count}{nonce}"),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::attestation::hex;

    const FIRMWARE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    /// The vector of deploy/README.md, under the key of RFC 6979, A.2.5.
    #[test]
    fn the_documented_vector_is_what_we_make() {
        let readme = include_str!("../../../deploy/README.md");
        let message = message(Form::Delimited, "stm32_pac_01", FIRMWARE, 42, NONCE);
        let secret = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        let key = SigningKey::from_slice(&hex::decode(secret).expect("digits")).expect("a key");
        let signature: Signature = key.sign(&message);
        let facts = [
            secret.to_owned(),
            super::super::Key::from(*key.verifying_key()).hex(),
            FIRMWARE.to_owned(),
            NONCE.to_owned(),
            hex::encode(&message),
            hex::encode(&Sha256::digest(&message)),
            hex::encode(&signature.to_bytes()),
        ];
        // Long digits are broken over lines there.
        let packed: String = readme.split_whitespace().collect();
        for fact in facts {
            assert!(packed.contains(&fact), "deploy/README.md lacks {fact}");
        }
    }

    #[test]
    fn parts_cannot_move_into_each_other_unless_the_legacy_form_lets_them() {
        let of = |form, boot, nonce| message(form, "d", FIRMWARE, boot, nonce);
        assert_eq!(of(Form::Legacy, 42, "abc"), of(Form::Legacy, 4, "2abc"));
        assert_ne!(of(Form::Delimited, 42, "abc"), of(Form::Delimited, 4, "2abc"));
    }

    #[test]
    fn the_case_of_digits_does_not_matter_where_it_is_defined() {
        let upper = FIRMWARE.to_ascii_uppercase();
        assert_eq!(message(Form::Delimited, "d", &upper, 1, NONCE), message(Form::Delimited, "d", FIRMWARE, 1, NONCE));
        assert_ne!(message(Form::Legacy, "d", &upper, 1, NONCE), message(Form::Legacy, "d", FIRMWARE, 1, NONCE));
    }
}
