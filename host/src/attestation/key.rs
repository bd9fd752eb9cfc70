//! Public keys and signatures of ECDSA over P-256 with SHA-256.

use std::fmt;

use p256::{
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    pkcs8::DecodePublicKey as _,
};
use sha2::{Digest, Sha256};

use super::hex;

/// A device's public key: a point on P-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(VerifyingKey);

/// A text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A PEM or DER key of another kind, or a damaged one.
    #[error("is no public key of the curve P-256 (also called prime256v1 or secp256r1)")]
    OtherCurve,
    /// Coordinates of a point that is not there.
    #[error("is not a point on the curve P-256")]
    NoPoint,
    /// Neither PEM nor hexadecimal.
    #[error("is neither PEM (BEGIN PUBLIC KEY) nor hexadecimal (04 and both coordinates, or 02 or 03 and one)")]
    NoKey,
    /// It was the secret one.
    #[error("is a private key, which must not leave its device; give the public one")]
    Private,
}

impl Key {
    /// Reads a key: PEM (`BEGIN PUBLIC KEY`), or in hexadecimal SEC 1 (`04` with both coordinates, `02` or `03` with one) or
    /// the DER of the PEM.
    ///
    /// # Errors
    /// [`KeyError`]; a point of another curve is one.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if text.starts_with("-----BEGIN") {
            return VerifyingKey::from_public_key_pem(text).map(Self).map_err(|_| KeyError::OtherCurve);
        }
        let bytes = hex::decode(text).ok_or(KeyError::NoKey)?;
        match bytes.first() {
            Some(2..=4) => VerifyingKey::from_sec1_bytes(&bytes).map(Self).map_err(|_| KeyError::NoPoint),
            Some(0x30) => VerifyingKey::from_public_key_der(&bytes).map(Self).map_err(|_| KeyError::OtherCurve),
            _ => Err(KeyError::NoKey),
        }
    }

    /// Both coordinates behind `04`, in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0.to_sec1_point(false).as_bytes())
    }

    /// SHA-256 of the bytes of [`hex`](Self::hex), for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0.to_sec1_point(false).as_bytes()))
    }

    /// Whether `signature` is of this key and of `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.verify(message, signature).is_ok()
    }
}

impl From<VerifyingKey> for Key {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.hex())
    }
}

/// Reads a signature: `r` and `s` of 32 bytes each, or DER, in hexadecimal. DER is taken in its one strict form, so that a
/// signature has no third spelling.
pub(super) fn signature(text: &str) -> Result<Signature, &'static str> {
    let bytes = hex::decode(text).ok_or("is not hexadecimal")?;
    let read = match bytes.first() {
        // 64 bytes that begin with 0x30 may be either; DER of that length would have its own length in the second.
        Some(0x30) if bytes.len() != 64 || bytes.get(1) == Some(&62) => Signature::from_der(&bytes),
        _ if bytes.len() == 64 => Signature::from_slice(&bytes),
        _ => return Err("has neither 64 bytes (r and s) nor the form of DER"),
    };
    match read {
        Ok(signature) => Ok(signature),
        // As a last resort 64 bytes are what they look like.
        Err(_) if bytes.len() == 64 => {
            Signature::from_slice(&bytes).map_err(|_| "has an r or s that is 0 or not below the order of the curve")
        }
        Err(_) => Err("is not DER of an r and s between 0 and the order of the curve"),
    }
}

/// Whether `s` lies in the lower half.
pub(super) fn is_low(signature: &Signature) -> bool {
    signature.normalize_s() == *signature
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifies(key: &str, message: &[u8], text: &str) -> bool {
        let key = Key::read(key).expect("a public key");
        signature(text).is_ok_and(|signature| key.verifies(message, &signature))
    }

    /// RFC 6979, A.2.5: key, and its signatures with SHA-256.
    #[test]
    fn takes_the_signatures_of_rfc_6979() {
        let key = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                   7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
        let sample = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                      f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
        let test = "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
                    019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083";
        assert!(verifies(key, b"sample", sample) && verifies(key, b"test", test));
        assert!(!verifies(key, b"test", sample) && !verifies(key, b"sample", test));
    }

    /// NIST CAVP, 186-4 ECDSA test vectors, SigGen, P-256 with SHA-256, the first.
    #[test]
    fn takes_a_signature_of_the_cavp() {
        let message = "5905238877c77421f73e43ee3da6f2d9e2ccad5fc942dcec0cbd25482935faaf416983fe165b1a045ee2bcd2e6dca3bd\
                       f46c4310a7461f9a37960ca672d3feb5473e253605fb1ddfd28065b53cb5858a8ad28175bf9bd386a5e471ea7a65c17c\
                       c934a9d791e91491eb3754d03799790fe2d308d16146d5c9b0d0debd97d79ce8";
        let key = "041ccbe91c075fc7f4f033bfa248db8fccd3565de94bbfb12f3c59ff46c271bf83\
                   ce4014c68811f9a21a1fdb2c0e6113e06db7ca93b7404e78dc7ccd5ca89a4ca9";
        let signed = "f3ac8061b514795b8843e3d6629527ed2afd6b1f6a555a7acabb5e6f79c8c2ac\
                      8bf77819ca05a6b2786c76262bf7371cef97b218e96f175a3ccdda2acc058903";
        let message = hex::decode(message).expect("digits");
        assert!(verifies(key, &message, signed));
        assert!(!verifies(key, &message[1..], signed));
    }

    /// Project Wycheproof, ecdsa_secp256r1_sha256 and its p1363 sibling: message 313233343030.
    const KEY: &str = "042927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838\
                       c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e";
    const MESSAGE: &[u8] = b"123400";

    #[test]
    fn takes_both_s_of_wycheproof_and_can_tell_them_apart() {
        // p1363 tcId 1 and DER tcId 5: the lower s. DER tcId 7: the upper one.
        let low = "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18\
                   4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76";
        let low_der = "304402202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18\
                       02204cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76";
        let high_der = "304502202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18\
                        022100b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db";
        for (text, lower) in [(low, true), (low_der, true), (high_der, false)] {
            assert!(verifies(KEY, MESSAGE, text), "{text}");
            assert_eq!(signature(text).map(|signature| is_low(&signature)), Ok(lower), "{text}");
        }
    }

    #[test]
    fn refuses_what_wycheproof_says_is_invalid() {
        const R: &str = "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18";
        const S: &str = "b329f479a2bbd0a5c384ee1493b1f5186a87139cac5df4087c134b49156847db";
        const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        const P: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
        const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
        const ONE: &str = "0000000000000000000000000000000000000000000000000000000000000001";
        let refused = [
            // p1363 tcId 2, 4, 5, 7: r + n, n - r, r + 2**256, s + n.
            format!("012ba3a8bd6b94d5ed80a6d9d1190a436ebccc0833490686deac8635bcb9bf536900{S}"),
            format!("d45c5740946b2a147f59262ee6f5bc90bd01ed280528b62b3aed5fc93f06f739{S}"),
            format!("01{R}00{S}"),
            format!("01b329f478a2bbd0a6c384ee1493b1f518276e0e4a5375928d6fcd160c11cb6d2c00{S}"),
            // p1363 tcId 11, 12, 13, 16, 18, 19, 20, 23, 25: r and s of 0, 1, n and p.
            format!("{NONE}{NONE}"),
            format!("{NONE}{ONE}"),
            format!("{NONE}{N}"),
            format!("{NONE}{P}"),
            format!("{ONE}{NONE}"),
            format!("{ONE}{ONE}"),
            format!("{ONE}{N}"),
            format!("{ONE}{P}"),
            format!("{N}{NONE}"),
            // DER tcId 6, 8, 9, 10, 11, 12: no leading zero, BER lengths, wrong lengths.
            format!("30440220{R}0220{S}"),
            format!("3081450220{R}022100{S}"),
            format!("308200450220{R}022100{S}"),
            format!("30460220{R}022100{S}"),
            format!("30440220{R}022100{S}"),
            format!("308501000000450220{R}022100{S}"),
        ];
        for text in &refused {
            assert!(!verifies(KEY, MESSAGE, text), "{text}");
        }
        // What they were made from.
        assert!(verifies(KEY, MESSAGE, &format!("{R}{S}")));
    }

    #[test]
    fn a_key_has_one_meaning_in_each_of_its_forms() {
        // The keys of Wycheproof's first group, as it gives it.
        let sec1 = "0404aaec73635726f213fb8a9e64da3b8632e41495a944d0045b522eba7240fad5\
                    87d9315798aaa3a5ba01775787ced05eaaf7b4e09fc81d6d1aa546e8365d525d";
        let der = format!("3059301306072a8648ce3d020106082a8648ce3d030107034200{sec1}");
        let pem = "-----BEGIN PUBLIC KEY-----\n\
                   MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBKrsc2NXJvIT+4qeZNo7hjLkFJWp\n\
                   RNAEW1IuunJA+tWH2TFXmKqjpboBd1eHztBeqve04J/IHW0apUboNl1SXQ==\n\
                   -----END PUBLIC KEY-----\n";
        let compressed = format!("03{}", &sec1[2..66]);
        let key = Key::read(sec1).expect("a key");
        assert_eq!(key.hex(), sec1);
        assert_eq!(key.fingerprint().len(), 64);
        for form in [&der, pem, &compressed, &sec1.to_uppercase()] {
            assert_eq!(Key::read(form), Ok(key), "{form}");
        }
    }

    #[test]
    fn keys_of_other_curves_and_no_points_are_refused() {
        // The base points of secp256k1 and of P-256 (SEC 2, 2.4.1 and 2.4.2), the second with one bit turned.
        let k1 = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                  483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
        let r1 = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                  4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        assert!(Key::read(r1).is_ok());
        assert_eq!(Key::read(k1), Err(KeyError::NoPoint));
        assert_eq!(Key::read(&r1.replace("51f5", "51f4")), Err(KeyError::NoPoint));
        // The same points with the object ids of secp256k1 and of P-384 before them.
        let der = |oid: &str, key: &str| format!("30563010 06072a8648ce3d0201 {oid} 034200{key}").replace(' ', "");
        assert_eq!(Key::read(&der("06052b8104000a", k1)), Err(KeyError::OtherCurve));
        assert_eq!(Key::read(&der("06052b81040022", r1)), Err(KeyError::OtherCurve));
        for (text, error) in [
            ("", KeyError::NoKey),
            ("00", KeyError::NoKey),
            ("04", KeyError::NoPoint),
            ("0400", KeyError::NoPoint),
            (&r1[..128], KeyError::NoPoint),
            (&r1[2..], KeyError::NoKey),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", KeyError::OtherCurve),
            ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", KeyError::Private),
        ] {
            assert_eq!(Key::read(text), Err(error), "{text}");
        }
    }
}
