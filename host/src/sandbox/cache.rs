//! Compiled guests, kept from start to start.
//!
//! Compiled code is as powerful as the host, and wasmtime loads it with one byte flipped without noticing. So each
//! file carries a MAC under a key that lies in the same folder, readable by the daemon alone; a file that fails it is
//! compiled again. The key guards against corruption and against whoever may write files but not read ours, not
//! against the daemon's own user.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::{Engine, component::Component};

use super::{
    compile::{CompileError, compatibility, load},
    digest::Digest,
};

pub(super) struct Cache {
    pub(super) folder: PathBuf,
    key: [u8; 64],
}

/// The cache's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: std::io::Error,
}

pub(super) const MAC: usize = 32;

/// What failed on `path`.
pub(super) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError { path, source }
}

impl Cache {
    pub(super) fn open(folder: &Path) -> Result<Self, CacheError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let path = folder.join("key");
        let mut key = [0; 64];
        match fs::File::open(&path) {
            Ok(mut file) => file.read_exact(&mut key).map_err(failed(&path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::File::open("/dev/urandom")
                    .and_then(|mut random| random.read_exact(&mut key))
                    .map_err(failed(Path::new("/dev/urandom")))?;
                write_private(&path, &[&key]).map_err(failed(&path))?;
            }
            Err(error) => return Err(failed(&path)(error)),
        }
        Ok(Self { folder: folder.to_owned(), key })
    }

    /// The component of this digest, out of the cache or by `compile` and then kept. A cache that cannot be written to
    /// costs only time.
    pub(super) fn component(
        &self,
        engine: &Engine,
        digest: Digest,
        compile: impl FnOnce() -> Result<Vec<u8>, CompileError>,
    ) -> Result<Component, CompileError> {
        let name = format!("{}-{:016x}.cwasm", digest.to_string().replace(':', "-"), compatibility(engine));
        let path = self.folder.join(&name);
        if let Some(component) = self.read(engine, &path, &name) {
            return Ok(component);
        }
        loaded(engine, || {
            let code = compile()?;
            let mac = self.mac(&name, &[&code]).finalize().into_bytes();
            if let Err(error) = write_private(&path, &[&mac, &code]) {
                let path = path.display();
                tracing::warn!(%error, %path, "cannot keep a compiled guest, the next start compiles again");
            }
            Ok(code)
        })
    }

    fn read(&self, engine: &Engine, path: &Path, name: &str) -> Option<Component> {
        let file = fs::read(path).ok()?;
        let (mac, code) = file.split_at_checked(MAC)?;
        if self.mac(name, &[code]).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "a compiled guest fails its MAC, compiling again");
            return None;
        }
        // SAFETY: the MAC says that these are the bytes that our compiler gave us under this name, which holds the
        // guest's digest and the engine's settings; they were read into memory, so nobody can change them.
        #[allow(unsafe_code)]
        let component = unsafe { load(engine, code) };
        component.ok()
    }

    /// Of `parts`, one after the other, under `name`.
    pub(super) fn mac(&self, name: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(name.as_bytes());
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

/// What `compile` makes, loaded.
pub(super) fn loaded(
    engine: &Engine,
    compile: impl FnOnce() -> Result<Vec<u8>, CompileError>,
) -> Result<Component, CompileError> {
    let code = compile()?;
    // SAFETY: our compiler made it just now, in this process or in one that has executed this very program.
    #[allow(unsafe_code)]
    unsafe {
        load(engine, &code)
    }
}

/// Written beside and renamed, so that nobody ever reads half of it.
pub(crate) fn write_private(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    fs::rename(beside, path)
}
