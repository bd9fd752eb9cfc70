//! Ed25519 keys in files: PKCS#8 and SPKI in PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`
//! write them.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes,
        spki::{DecodePublicKey as _, EncodePublicKey as _, der::pem::LineEnding},
    },
};
use sha2::{Digest as _, Sha256};

/// Which key: the first 16 hexadecimal digits of the SHA-256 of its SPKI in DER, `openssl pkey -pubin -in FILE -outform
/// DER | sha256sum`. It only says where to look; what is believed is the key itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Of this text, if it could be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 16 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("cannot read the key {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its file cannot be written.
    #[error("cannot write the key {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds no such key.
    #[error("{} holds no {what}", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Others could have changed or read it.
    #[error("{} may be {whom} (its mode is {mode:o}); {remedy}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What they may do.
        whom: &'static str,
        /// The mode that it has.
        mode: u32,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// A key that signs.
pub struct PrivateKey {
    key: SigningKey,
}

/// A key that signatures are checked with.
#[derive(Clone, Debug)]
pub struct PublicKey {
    name: String,
    id: KeyId,
    key: VerifyingKey,
}

/// Most bytes of a key's file.
const MOST: u64 = 16 << 10;

const PRIVATE: &str = "unencrypted Ed25519 private key (PKCS#8, PEM); `aurora guest keygen` makes one";
const PUBLIC: &str = "Ed25519 public key (SPKI, PEM); `openssl pkey -in KEY -pubout` writes it";

/// The text of a key's file, and its mode.
fn read(path: &Path) -> Result<(String, u32), KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok((text, mode))
}

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The one in the file at `path`, which nobody but its owner may read.
    ///
    /// # Errors
    /// There is none, or others may read or change it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let (text, mode) = read(path)?;
        let other = |_| KeyError::Other { path: path.to_owned(), what: PRIVATE };
        let key = SigningKey::from_pkcs8_pem(&text).map_err(other)?;
        if mode & 0o077 != 0 {
            let (whom, remedy) = ("read or changed by others", "make it yours alone: chmod 600");
            return Err(KeyError::Open { path: path.to_owned(), whom, mode, remedy });
        }
        Ok(Self { key })
    }

    /// Writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// There is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        // Without the public half, which OpenSSL does not read there.
        let pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let other = |_| KeyError::Other { path: path.to_owned(), what: PRIVATE };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(other)?;
        write_new(path, pem.as_bytes(), 0o600)
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Its other half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::of(String::new(), self.key.verifying_key())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(private key)")
    }
}

impl PublicKey {
    fn of(name: String, key: VerifyingKey) -> Self {
        // It has a form in DER: a point of 32 bytes always does.
        let der = key.to_public_key_der().map(|der| der.to_vec()).unwrap_or_default();
        let id: String = Sha256::digest(der).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name, id: KeyId(id), key }
    }

    /// The one in the file at `path`, which not everybody may change. Its name is the file's without the ending.
    ///
    /// # Errors
    /// There is none, or anybody could have put his own there.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let (text, mode) = read(path)?;
        if mode & 0o002 != 0 {
            let (whom, remedy) = ("changed by anybody", "take that right away: chmod o-w");
            return Err(KeyError::Open { path: path.to_owned(), whom, mode, remedy });
        }
        let other = || KeyError::Other { path: path.to_owned(), what: PUBLIC };
        let key = VerifyingKey::from_public_key_pem(&text).map_err(|_| other())?;
        // A point of small order makes signatures that fit any message.
        if key.is_weak() {
            return Err(other());
        }
        Ok(Self::of(path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), key))
    }

    /// Writes it to a new file.
    ///
    /// # Errors
    /// There is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let other = |_| KeyError::Other { path: path.to_owned(), what: PUBLIC };
        let pem = self.key.to_public_key_pem(LineEnding::LF).map_err(other)?;
        write_new(path, pem.as_bytes(), 0o644)
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Its file's name without the ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it made `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyError> {
    let failed = |source| KeyError::Write { path: path.to_owned(), source };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    fn pair() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("site.key"), folder.path().join("site.pub"));
        let key = PrivateKey::generate().unwrap();
        key.write(&private).unwrap();
        key.public().write(&public).unwrap();
        (folder, private, public)
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_is_overwritten() {
        let (_folder, private, public) = pair();
        let (signs, checks) = (PrivateKey::read(&private).unwrap(), PublicKey::read(&public).unwrap());
        assert_eq!((checks.name(), checks.id()), ("site", signs.public().id()));
        assert!(checks.verifies(b"message", &signs.sign(b"message")));
        assert!(!checks.verifies(b"another", &signs.sign(b"message")));
        assert!(matches!(signs.write(&private), Err(KeyError::Write { .. })));
    }

    #[test]
    fn a_key_that_others_may_touch_is_refused() {
        let (_folder, private, public) = pair();
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(PrivateKey::read(&private), Err(KeyError::Open { .. })), "{mode:o}");
        }
        fs::set_permissions(&public, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(PublicKey::read(&public).is_ok());
        fs::set_permissions(&public, fs::Permissions::from_mode(0o646)).unwrap();
        assert!(matches!(PublicKey::read(&public), Err(KeyError::Open { .. })));
    }

    #[test]
    fn a_file_that_holds_something_else_is_named() {
        let (folder, private, public) = pair();
        assert!(matches!(PublicKey::read(&private), Err(KeyError::Other { .. })));
        fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(PrivateKey::read(&public), Err(KeyError::Other { .. })));
        assert!(matches!(PublicKey::read(&folder.path().join("none")), Err(KeyError::Read { .. })));
        // The neutral element: whoever may choose it signs everything with zeros.
        let mut der = vec![0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0, 1];
        der.resize(44, 0);
        let weak = folder.path().join("weak.pub");
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        fs::write(&weak, format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")).unwrap();
        assert!(matches!(PublicKey::read(&weak), Err(KeyError::Other { .. })));
    }

    #[test]
    fn openssl_reads_ours_and_we_read_its() {
        let (folder, private, public) = pair();
        let openssl = |arguments: &[&str]| {
            let done = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        let ours = openssl(&["pkey", "-in", "site.key", "-pubout"]);
        assert_eq!(ours, fs::read(&public).unwrap());
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", "its.key"]);
        openssl(&["pkey", "-in", "its.key", "-pubout", "-out", "its.pub"]);
        fs::set_permissions(folder.path().join("its.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let signs = PrivateKey::read(&folder.path().join("its.key")).unwrap();
        assert_eq!(PublicKey::read(&folder.path().join("its.pub")).unwrap().id(), signs.public().id());
        fs::write(folder.path().join("message"), "message").unwrap();
        fs::write(folder.path().join("signature"), PrivateKey::read(&private).unwrap().sign(b"message")).unwrap();
        let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "site.pub", "-sigfile", "signature", "-in"];
        openssl(&[&verify[..], &["message"]].concat());
    }
}
