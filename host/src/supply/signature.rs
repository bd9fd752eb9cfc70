//! Signatures of a guest, as they lie beside it in `<guest>.wasm.sig`:
//!
//! ```json
//! {"signatures": [{"key": "0123456789abcdef", "signature": "<Ed25519, base64>"}]}
//! ```
//!
//! What is signed is the text of [`message`], so that OpenSSL can make and check one as well.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::key::{KeyId, PrivateKey};
use crate::sandbox::Digest;

/// Most bytes of all signatures of a guest.
pub(super) const MOST: u64 = 64 << 10;

/// What is signed for the component of this digest: two lines, each with its end, `aurora guest v1` and
/// `sha256:<64 hexadecimal digits>`. The first keeps a signature that was made for something else from being one of a
/// guest.
#[must_use]
pub fn message(digest: &Digest) -> String {
    format!("aurora guest v1\n{digest}\n")
}

/// All signatures of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    all: Vec<(KeyId, [u8; 64])>,
}

/// The file of signatures is damaged.
#[derive(Debug, thiserror::Error)]
#[error("its file of signatures is damaged: {0}")]
pub struct SignatureError(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signatures: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    signature: String,
}

impl Signatures {
    /// Reads them.
    ///
    /// # Errors
    /// They are not what [`text`](Self::text) writes.
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        if text.len() as u64 > MOST {
            return Err(SignatureError(format!("it has more than {MOST} bytes")));
        }
        let file: File = serde_json::from_slice(text).map_err(|error| SignatureError(error.to_string()))?;
        let entry = |Entry { key, signature }: Entry| {
            let id = KeyId::parse(&key).ok_or("a key is not 16 hexadecimal digits")?;
            let bytes = STANDARD.decode(signature).map_err(|_| "a signature is not base64")?;
            Ok((id, bytes.try_into().map_err(|_| "a signature does not have 64 bytes")?))
        };
        let all: Result<Vec<_>, &str> = file.signatures.into_iter().map(entry).collect();
        match all {
            Ok(all) if all.is_empty() => Err(SignatureError("it holds none".to_owned())),
            Ok(all) => Ok(Self { all }),
            Err(why) => Err(SignatureError(why.to_owned())),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let entry = |(id, bytes): &(KeyId, [u8; 64])| Entry { key: id.to_string(), signature: STANDARD.encode(bytes) };
        let file = File { signatures: self.all.iter().map(entry).collect() };
        // Text in lists always has a form.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// Adds that of `key` over the component of this digest, in place of one that it made before.
    pub fn sign(&mut self, key: &PrivateKey, digest: &Digest) {
        let id = key.public().id().clone();
        self.all.retain(|(known, _)| *known != id);
        self.all.push((id, key.sign(message(digest).as_bytes())));
    }

    /// Key and signature of each.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyId, &[u8; 64])> {
        self.all.iter().map(|(id, bytes)| (id, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_key_signs_once() {
        let (one, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let mut signatures = Signatures::default();
        for (key, content) in [(&one, "a"), (&other, "a"), (&one, "b")] {
            signatures.sign(key, &Digest::of(content.as_bytes()));
        }
        assert_eq!(signatures.iter().count(), 2);
        assert_eq!(Signatures::parse(signatures.text().as_bytes()).unwrap(), signatures);
    }

    #[test]
    fn anything_else_is_refused() {
        let id = "0123456789abcdef";
        let short = STANDARD.encode([0; 63]);
        for text in [
            String::new(),
            "{}".to_owned(),
            r#"{"signatures": []}"#.to_owned(),
            format!(r#"{{"signatures": [{{"key": "{id}", "signature": "{short}"}}]}}"#),
            format!(r#"{{"signatures": [{{"key": "{id}", "signature": "%"}}]}}"#),
            format!(r#"{{"signatures": [{{"key": "0123", "signature": "{}"}}]}}"#, STANDARD.encode([0; 64])),
            format!(r#"{{"signatures": [{{"key": "{id}", "signature": "", "more": 1}}]}}"#),
            " ".repeat(1 << 20),
        ] {
            assert!(Signatures::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
