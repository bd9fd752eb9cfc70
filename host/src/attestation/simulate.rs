//! A device of our own: what firmware has to do, for trials, demos and tests.

use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::Generate as _,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding},
};
use serde_json::json;

use super::{Form, Key, KeyError, hex, message::message};

/// A device's secret key.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// A new one, from the system's source of chance.
    #[must_use]
    pub fn generate() -> Self {
        Self(SigningKey::generate())
    }

    /// Out of PEM: `PRIVATE KEY` (PKCS 8) or `EC PRIVATE KEY` (SEC 1), as OpenSSL writes them.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        let key = SecretKey::from_pkcs8_pem(pem).or_else(|_| SecretKey::from_sec1_pem(pem).map_err(|_| ()));
        key.map(|key| Self(key.into())).map_err(|()| KeyError::OtherCurve)
    }

    /// As PEM, PKCS 8.
    ///
    /// # Errors
    /// [`KeyError`], which no key of ours gives.
    pub fn pem(&self) -> Result<String, KeyError> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NoKey)?;
        Ok(pem.as_str().to_owned())
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::from(*self.0.verifying_key())
    }

    /// `r` and `s` over `message`, in hexadecimal.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let signature: Signature = self.0.sign(message);
        hex::encode(&signature.to_bytes())
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(secret)")
    }
}

/// What `device` answers to a challenge, compact JSON; with its public key where it is to be enrolled by that.
#[must_use]
pub fn answer(
    signer: &Signer,
    form: Form,
    device: &str,
    firmware: &str,
    boot_count: u64,
    nonce: &str,
    with_key: bool,
) -> String {
    let signed = signer.sign(&message(form, device, firmware, boot_count, nonce));
    let mut answer = json!({
        "device_id": device,
        "firmware_hash": firmware,
        "boot_count": boot_count,
        "nonce": nonce,
        "signature_hex": signed,
    });
    if with_key {
        answer["public_key_hex"] = signer.key().hex().into();
    }
    answer.to_string()
}

/// The other signature of the same message, which anybody can make of one.
#[cfg(test)]
pub(super) fn mirrored(signature: &str) -> String {
    let signature = super::key::signature(signature).expect("a signature");
    let s = -*signature.s();
    let other = Signature::from_scalars(signature.r(), s).expect("a signature");
    hex::encode(&other.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let signer = Signer::generate();
        assert_ne!(signer.key(), Signer::generate().key());
        let read = Signer::read(&signer.pem().expect("PEM")).expect("a key");
        assert_eq!(read.key(), signer.key());
        assert!(Signer::read("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
