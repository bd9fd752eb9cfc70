//! What was pulled, kept in the cache's folder: each manifest and each blob under its digest. Whoever reads one checks it
//! against its name, so nothing else has to vouch for it; what does not fit is pulled again.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::{
    sandbox::{Digest, write_private},
    supply::file_name,
};

/// Where they are.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// In the cache's folder `cache`.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("oci") }
    }

    /// What has this digest.
    #[must_use]
    pub fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let bytes = fs::read(&path).ok()?;
        if Digest::of(&bytes) != *digest {
            tracing::warn!(path = %path.display(), "a part of a pulled guest is damaged, it is pulled again");
            return None;
        }
        Some(bytes)
    }

    /// Keeps `bytes`. What cannot be kept is pulled again when it is wanted again.
    pub fn write(&self, bytes: &[u8]) {
        let path = self.path(&Digest::of(bytes));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        if let Err(error) = made.and_then(|()| write_private(&path, &[bytes])) {
            tracing::warn!(%error, path = %path.display(), "cannot keep a pulled guest, the next start pulls it again");
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(file_name(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_its_name_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, digest) = (Store::new(&folder.path().join("cache")), Digest::of(b"content"));
        assert_eq!(store.read(&digest), None);
        store.write(b"content");
        assert_eq!(store.read(&digest).as_deref(), Some(&b"content"[..]));
        fs::write(store.path(&digest), b"changed").unwrap();
        assert_eq!(store.read(&digest), None);
        store.write(b"content");
        assert!(store.read(&digest).is_some());
    }
}
