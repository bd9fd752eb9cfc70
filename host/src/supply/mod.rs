//! Where guests come from, and whom they are believed.
//!
//! A guest is a file of this machine, or lies in an OCI registry, named there by its digest ([`oci`]). Beside a file, and
//! in the registry's artifact, may be its [`Signatures`]. [`Trust`] is what the site makes of those: whoever loads a
//! guest asks it, and there is only one way to load one, so no guest runs that it refuses.
//!
//! A signature is over the digest of the component and nothing else, so it is worth the same beside a file, in a
//! registry, and in what a daemon has kept.

mod key;
mod signature;
mod trust;
mod oci;

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

pub use key::{KeyError, KeyId, PrivateKey, PublicKey};
pub use oci::{OciError, Pulled, Reference, Registry, Store};
pub use signature::{SignatureError, Signatures, message};
pub use trust::{Distrusted, Trust, Verdict};

use crate::{
    config::Guests,
    sandbox::{Digest, write_private},
};

/// Most bytes of a guest. The largest that are known carry an interpreter of 40 MB.
pub const MOST: u64 = 128 << 20;

/// Where a guest lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// In a registry, as `registry/repository@sha256:…`.
    Oci(String),
}

/// A component, with what is needed to judge it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What it is called.
    pub name: String,
    /// The component.
    pub wasm: Vec<u8>,
    /// Which it is.
    pub digest: Digest,
    /// What came with it of signatures, as it was written.
    pub signature: Option<Vec<u8>>,
    /// Where it came from, for a person.
    pub origin: String,
    /// The file, where it is one: its cases may lie beside it.
    pub beside: Option<PathBuf>,
}

/// A guest cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than any guest.
    #[error("{} has more than {MOST} bytes, which no guest has", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// The registry does not have it, or cannot be asked.
    #[error("cannot take {reference} from its registry")]
    Oci {
        /// What was asked for.
        reference: String,
        /// Why.
        #[source]
        source: OciError,
    },
}

/// Where a site's guests come from. Nothing here is in a hurry: it blocks.
#[derive(Debug)]
pub struct Supply {
    trust: Trust,
    registry: Registry,
    store: Option<Store>,
    signatures: Option<PathBuf>,
}

impl Supply {
    /// That of a site's configuration.
    ///
    /// # Errors
    /// A trusted key cannot be read.
    pub fn new(config: &Guests) -> Result<Self, KeyError> {
        Ok(Self {
            trust: Trust::new(config)?,
            registry: Registry::new(&config.registry),
            store: config.cache.as_deref().map(Store::new),
            signatures: config.cache.as_deref().map(|cache| cache.join("signatures")),
        })
    }

    /// Whom the site believes.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The component at `source`, with its signatures, neither judged nor compiled. What was pulled before needs no
    /// network.
    ///
    /// # Errors
    /// It is not there, or too large.
    pub fn fetch(&self, source: &Source) -> Result<Fetched, FetchError> {
        match source {
            Source::File(path) => of_file(path),
            Source::Oci(reference) => {
                let failed = |source| FetchError::Oci { reference: reference.clone(), source };
                let Pulled { name, wasm, signature } =
                    self.registry.fetch(reference, self.store.as_ref()).map_err(failed)?;
                let (digest, origin) = (Digest::of(&wasm), format!("oci:{reference}"));
                Ok(Fetched { name, wasm, digest, signature, origin, beside: None })
            }
        }
    }
}

impl Supply {
    /// Keeps the signatures of the component of this digest, for when it runs again without its file: as the last good
    /// guest, or after it was sent. They need nobody to vouch for them.
    pub fn remember(&self, digest: &Digest, text: &[u8]) {
        let Some(folder) = &self.signatures else { return };
        if self.remembered(digest).as_deref() == Some(text) {
            return;
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        if let Err(error) = made.and_then(|()| write_private(&folder.join(file_name(digest)), &[text])) {
            tracing::warn!(%error, folder = %folder.display(), "cannot keep the signatures of a guest");
        }
    }

    /// What was kept of them.
    #[must_use]
    pub fn remembered(&self, digest: &Digest) -> Option<Vec<u8>> {
        read(&self.signatures.as_ref()?.join(file_name(digest)), signature::MOST).ok()
    }
}

/// A digest as a file's name.
fn file_name(digest: &Digest) -> String {
    digest.to_string().replace(':', "-")
}

/// Where the signatures of the component at `path` lie.
#[must_use]
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// A file of this machine, with the signatures beside it.
fn of_file(path: &Path) -> Result<Fetched, FetchError> {
    let failed = |source| FetchError::Read { path: path.to_owned(), source };
    let wasm = read(path, MOST).map_err(failed)?;
    if wasm.len() as u64 > MOST {
        return Err(FetchError::TooLarge { path: path.to_owned() });
    }
    let beside = signature_path(path);
    let signature = match read(&beside, signature::MOST) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(FetchError::Read { path: beside, source }),
    };
    Ok(Fetched {
        name: path.file_stem().map_or_else(|| "guest".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        digest: Digest::of(&wasm),
        wasm,
        signature,
        origin: path.display().to_string(),
        beside: Some(path.to_owned()),
    })
}

/// Reads a file, and at most a byte more than it may have.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
