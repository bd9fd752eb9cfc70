//! Whether a site runs a guest, by its signatures.

use std::fmt;

use super::{
    key::{KeyError, PublicKey},
    signature::{SignatureError, Signatures, message},
};
use crate::{config::Guests, sandbox::Digest};

/// The keys that a site believes, and whether it insists on them.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    require: bool,
}

/// What a guest's signatures are worth here, if it may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keys that the site trusts have signed it.
    Signed(Vec<String>),
    /// Only keys that it does not know.
    Unknown(Vec<String>),
    /// Nobody.
    Unsigned,
}

/// Why a guest may not run.
#[derive(Debug, thiserror::Error)]
pub enum Distrusted {
    /// Nobody has signed it.
    #[error("it is not signed, and guests.require_signature is set; `aurora guest sign` signs it")]
    Unsigned,
    /// Nobody that the site trusts.
    #[error("it is signed by {0} only, which is none of guests.trusted_keys")]
    Unknown(String),
    /// A trusted key has signed something else.
    #[error("its signature by {0} is of other bytes: it, or its signature, is not what was signed")]
    Wrong(String),
    /// Its signatures cannot be read.
    #[error(transparent)]
    Damaged(#[from] SignatureError),
}

impl Trust {
    /// That of a site's configuration.
    ///
    /// # Errors
    /// A trusted key cannot be read.
    pub fn new(config: &Guests) -> Result<Self, KeyError> {
        let keys = config.trusted_keys.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?;
        Ok(Self { keys, require: config.require_signature })
    }

    /// In these keys, whether or not they are insisted on.
    #[must_use]
    pub fn in_keys(keys: Vec<PublicKey>, require: bool) -> Self {
        Self { keys, require }
    }

    /// Whether the component of this digest may run, with what came with it of signatures. One that is there and wrong
    /// is refused in any case: somebody has changed something.
    ///
    /// # Errors
    /// It may not.
    pub fn judge(&self, digest: &Digest, signature: Option<&[u8]>) -> Result<Verdict, Distrusted> {
        let Some(text) = signature else {
            return if self.require { Err(Distrusted::Unsigned) } else { Ok(Verdict::Unsigned) };
        };
        let (message, signatures) = (message(digest), Signatures::parse(text)?);
        let (mut signed, mut unknown) = (Vec::new(), Vec::new());
        for (id, signature) in signatures.iter() {
            // By its number a key is only found; several may have the same, and one of them must have signed.
            let mut named = self.keys.iter().filter(|key| key.id() == id).peekable();
            let Some(first) = named.peek().map(|key| format!("{} ({id})", key.name())) else {
                unknown.push(id.to_string());
                continue;
            };
            match named.find(|key| key.verifies(message.as_bytes(), signature)) {
                Some(key) => signed.push(format!("{} ({id})", key.name())),
                None => return Err(Distrusted::Wrong(first)),
            }
        }
        match (signed.is_empty(), self.require) {
            (false, _) => Ok(Verdict::Signed(signed)),
            (true, true) => Err(Distrusted::Unknown(unknown.join(", "))),
            (true, false) => Ok(Verdict::Unknown(unknown)),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(by) => write!(f, "signed by {}", by.join(", ")),
            Self::Unknown(by) => write!(f, "signed by {}, which is not trusted here", by.join(", ")),
            Self::Unsigned => f.write_str("not signed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::PrivateKey;

    fn signed(keys: &[&PrivateKey], content: &[u8]) -> String {
        let mut signatures = Signatures::default();
        keys.iter().for_each(|key| signatures.sign(key, &Digest::of(content)));
        signatures.text()
    }

    #[test]
    fn only_what_a_trusted_key_has_signed_runs_where_that_is_required() {
        let (ours, theirs) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let digest = Digest::of(b"guest");
        let trust = |require| Trust::in_keys(vec![ours.public()], require);
        let judge = |require, text: &str| trust(require).judge(&digest, Some(text.as_bytes()));

        let good = signed(&[&theirs, &ours], b"guest");
        assert!(matches!(judge(true, &good), Ok(Verdict::Signed(by)) if by.len() == 1));
        let unknown = signed(&[&theirs], b"guest");
        assert!(matches!(judge(true, &unknown), Err(Distrusted::Unknown(_))));
        assert!(matches!(judge(false, &unknown), Ok(Verdict::Unknown(_))));
        assert!(matches!(trust(true).judge(&digest, None), Err(Distrusted::Unsigned)));
        assert!(matches!(trust(false).judge(&digest, None), Ok(Verdict::Unsigned)));
    }

    #[test]
    fn what_is_there_and_wrong_is_refused_even_if_nothing_is_required() {
        let ours = PrivateKey::generate().unwrap();
        let trust = Trust::in_keys(vec![ours.public()], false);
        let digest = Digest::of(b"guest");
        let other = signed(&[&ours], b"another guest");
        assert!(matches!(trust.judge(&digest, Some(other.as_bytes())), Err(Distrusted::Wrong(_))));
        assert!(matches!(trust.judge(&digest, Some(b"nonsense")), Err(Distrusted::Damaged(_))));
        // Not the signature alone: the text around the digest is signed as well.
        let bare = ours.sign(digest.to_string().as_bytes());
        assert!(!ours.public().verifies(message(&digest).as_bytes(), &bare));
    }
}
