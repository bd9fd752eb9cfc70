//! Small files that the host must be able to believe after a restart: which guest was installed, and its bytes. In the
//! cache's folder under the cache's MAC, for whoever could put a file of his own there would choose the guest that runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::Mac as _;

use super::{
    Sandbox,
    cache::{Cache, CacheError, MAC, failed, write_private},
};

/// Where they are. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    cache: Arc<Cache>,
}

/// Below the cache's folder.
const FOLDER: &str = "installed";

impl Sandbox {
    /// Where files are kept that survive a restart; none without a cache.
    #[must_use]
    pub fn vault(&self) -> Option<Vault> {
        self.cache.clone().map(|cache| Vault { cache })
    }
}

impl Vault {
    /// Where it is in the folder `cache`.
    #[must_use]
    pub fn folder(cache: &Path) -> PathBuf {
        cache.join(FOLDER)
    }

    /// The file `name`, in a folder that exists.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn place(&self, name: &str) -> Result<PathBuf, CacheError> {
        let folder = Self::folder(&self.cache.folder);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        Ok(folder.join(name))
    }

    /// Keeps `content` as `name`, synced.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), CacheError> {
        let path = self.place(name)?;
        let mac = self.cache.mac(&label(name), &[content]).finalize().into_bytes();
        write_private(&path, &[&mac, content]).map_err(failed(&path))
    }

    /// What is kept as `name`, if it is what was written.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = Self::folder(&self.cache.folder).join(name);
        let mut file = fs::read(&path).ok()?;
        let (mac, content) = file.split_at_checked(MAC)?;
        if self.cache.mac(&label(name), &[content]).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "a file of installed guests fails its MAC and is not used");
            return None;
        }
        file.drain(..MAC);
        Some(file)
    }

    /// Whether there is anything as `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        Self::folder(&self.cache.folder).join(name).is_file()
    }

    /// What there is.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(Self::folder(&self.cache.folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes `name`. One that cannot be removed costs disk space only.
    pub fn remove(&self, name: &str) {
        let path = Self::folder(&self.cache.folder).join(name);
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(%error, path = %path.display(), "cannot remove a file of installed guests");
        }
    }
}

/// What the MAC is bound to beside the content: one slot's record is not another's.
fn label(name: &str) -> String {
    format!("installed {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_kept_and_nothing_that_was_changed_or_renamed() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault { cache: Arc::new(Cache::open(folder.path()).expect("a cache")) };
        vault.write("a.json", b"content").expect("written");
        assert_eq!(vault.read("a.json").as_deref(), Some(&b"content"[..]));
        let [from, to] = ["a.json", "b.json"].map(|name| vault.place(name).expect("a place"));
        fs::copy(&from, &to).expect("copied");
        assert_eq!(vault.read("b.json"), None, "a file was taken for another one");
        let mut file = fs::read(&from).expect("the file");
        *file.last_mut().expect("bytes") ^= 1;
        fs::write(&from, file).expect("written");
        assert_eq!(vault.read("a.json"), None);
        assert_eq!(vault.read("c.json"), None);
    }
}
