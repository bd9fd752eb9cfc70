//! Guests that have proved themselves, kept in the cache's folder slot by slot, so that a start with a new and bad
//! file can fall back to yesterday's. A guest is its bytes and its settings: a bad setting spoils a good component.
//!
//! Two are kept, for the newest good one is most often the one that runs, and cannot stand in for itself. Each file
//! carries a MAC under the cache's key: whoever could put a file of his own there would choose the guest that runs.

use std::{fs, path::Path};

use hmac::Mac as _;
use tokio::{sync::mpsc, task};
use tokio_util::sync::CancellationToken;

use super::{
    Digest, Sandbox,
    cache::{Cache, CacheError, MAC, failed, write_private},
    import::Settings,
};
use crate::telemetry::{Chain, SlotName};

/// A guest as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The place that it served.
    pub slot: SlotName,
    /// Its file's name without the ending.
    pub name: String,
    /// Its settings, key to JSON text.
    pub settings: Settings,
    /// The component.
    pub wasm: Vec<u8>,
    /// Its file of signatures: whether it may run is asked anew with each start. Not kept with it, but by its digest.
    pub signature: Option<Vec<u8>>,
}

/// What stands before the component.
#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    name: String,
    settings: Settings,
}

/// Bytes of the header's length.
const LENGTH: usize = 4;

impl Cache {
    /// Keeps `kept` as the newest of its slot; what was the newest is then the one before.
    pub(super) fn keep_good(&self, kept: &Kept) -> Result<(), CacheError> {
        let [newest, before] = paths(&self.folder, &kept.slot);
        if let Some(known) = self.read_good(&newest, &kept.slot) {
            if (&known.name, &known.settings, &known.wasm) == (&kept.name, &kept.settings, &kept.wasm) {
                return Ok(());
            }
            fs::rename(&newest, &before).map_err(failed(&newest))?;
        }
        let header = Header { name: kept.name.clone(), settings: kept.settings.clone() };
        let header = serde_json::to_vec(&header).map_err(|error| failed(&newest)(error.into()))?;
        let length = (header.len() as u32).to_le_bytes();
        let parts = [&length[..], &header, &kept.wasm];
        let mac = self.mac(&label(&kept.slot), &parts).finalize().into_bytes();
        write_private(&newest, &[&mac, parts[0], parts[1], parts[2]]).map_err(failed(&newest))
    }

    /// The good ones of `slot`, newest first.
    pub(super) fn good(&self, slot: &SlotName) -> Vec<Kept> {
        paths(&self.folder, slot).iter().filter_map(|path| self.read_good(path, slot)).collect()
    }

    fn read_good(&self, path: &Path, slot: &SlotName) -> Option<Kept> {
        let file = fs::read(path).ok()?;
        let (mac, content) = file.split_at_checked(MAC)?;
        if self.mac(&label(slot), &[content]).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "a guest that was kept fails its MAC and is not used");
            return None;
        }
        let (length, content) = content.split_first_chunk::<LENGTH>()?;
        let (header, wasm) = content.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let Header { name, settings } = serde_json::from_slice(header).ok()?;
        Some(Kept { slot: slot.clone(), name, settings, wasm: wasm.to_vec(), signature: None })
    }
}

impl Sandbox {
    /// The guests of `slot` that have proved themselves, newest first. None without a cache.
    #[must_use]
    pub fn good(&self, slot: &SlotName) -> Vec<Kept> {
        let signed = |kept: Kept| Kept { signature: self.supply.remembered(&Digest::of(&kept.wasm)), ..kept };
        self.cache.iter().flat_map(|cache| cache.good(slot)).map(signed).collect()
    }

    /// Keeps guests as they prove themselves, until `stop`. Lanes do not write files themselves.
    pub async fn keep_good(self, mut proven: mpsc::Receiver<Kept>, stop: CancellationToken) {
        let Some(cache) = self.cache else { return stop.cancelled().await };
        while let Some(Some(kept)) = stop.run_until_cancelled(proven.recv()).await {
            let (cache, guest, digest) = (cache.clone(), kept.slot.clone(), Digest::of(&kept.wasm));
            match task::spawn_blocking(move || cache.keep_good(&kept)).await {
                Ok(Ok(())) => tracing::info!(%guest, %digest, "the guest has proved itself and is kept"),
                Ok(Err(error)) => {
                    tracing::warn!(%guest, %digest, error = %Chain(&error), "cannot keep a guest that proved itself");
                }
                Err(error) => tracing::error!(%guest, %error, "keeping a guest failed"),
            }
        }
        stop.cancelled().await;
    }
}

/// The newest good one, and the one before.
fn paths(folder: &Path, slot: &SlotName) -> [std::path::PathBuf; 2] {
    // A rule's name has no dot, so no two slots have the same file.
    let file = slot.as_str().replace('/', ".");
    [folder.join(format!("{file}.good")), folder.join(format!("{file}.good-before"))]
}

/// What the MAC is bound to beside the content: a good router is no normalizer.
fn label(slot: &SlotName) -> String {
    format!("good {slot}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Stage;

    fn kept(wasm: &[u8], setting: &str) -> Kept {
        let settings = Settings::from([("stream".to_owned(), setting.to_owned())]);
        let (name, wasm) = ("route-core".to_owned(), wasm.to_vec());
        Kept { slot: Stage::Route.into(), name, settings, wasm, signature: None }
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("a cache");
        (folder, cache)
    }

    #[test]
    fn the_newest_and_the_one_before_come_back_as_they_were() {
        let (folder, cache) = cache();
        for guest in [kept(b"one", "1"), kept(b"two", "1"), kept(b"two", "2"), kept(b"two", "2")] {
            cache.keep_good(&guest).expect("kept");
        }
        let again = Cache::open(folder.path()).expect("the same cache");
        assert!(again.good(&Stage::Route.into()) == [kept(b"two", "2"), kept(b"two", "1")]);
        assert!(again.good(&SlotName::of_rule(Stage::Route, "acme")).is_empty());
    }

    #[test]
    fn a_changed_file_and_one_of_another_slot_are_not_used() {
        let (folder, cache) = cache();
        cache.keep_good(&kept(b"one", "1")).expect("kept");
        let (slot, stranger) = (SlotName::from(Stage::Route), SlotName::of_rule(Stage::Route, "acme"));
        let [path, _] = paths(folder.path(), &slot);
        let file = fs::read(&path).expect("the file");
        let [other, _] = paths(folder.path(), &stranger);
        fs::write(other, &file).expect("written");
        assert!(cache.good(&stranger).is_empty());
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).expect("written");
            assert!(cache.good(&slot).is_empty(), "byte {at} can be changed");
        }
        fs::write(&path, &file[..MAC - 1]).expect("written");
        assert!(cache.good(&slot).is_empty());
    }
}
