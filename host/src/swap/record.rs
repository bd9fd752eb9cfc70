//! What of a slot survives a restart.
//!
//! # Which guest runs after a restart
//!
//! The one that ran before it, unless the configuration says something new. A guest that was installed over the admin
//! API, promoted, or rolled back to was somebody's decision about what this site runs now; a crash or an update of the
//! host is no reason to undo it, least of all to bring back a guest that was just rolled back from. On the other hand a
//! changed file is a decision as well, and the later one: whoever deploys by files must not find that his file is
//! ignored. So the record has what the configuration named when it was last looked at, path and digest, and holds only
//! as long as both are the same. `aurora guest list` says which of the two runs, and why.
//!
//! A file that was refused, or one that is gone, decides nothing: what runs beside it runs again. So whoever starts the
//! daemon asks the record before the file ([`standing`]); a broken file does not even have to load.
//!
//! Record and bytes lie under the cache's MAC. Settings and limits are not kept: they are the configuration's at the
//! time of the start.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Refused, wish::By};
use crate::{
    config,
    sandbox::{Digest, Kept, Sandbox, Vault, settings_of},
    telemetry::{Chain, SlotName},
};

/// A guest that was put into a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Digest of its bytes.
    pub digest: String,
    /// What it is called.
    pub name: String,
    /// Where it came from.
    pub origin: String,
    /// On whose word.
    pub by: By,
    /// When, RFC 3339.
    pub at: String,
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.digest)
    }
}

/// What the configuration named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The file.
    pub path: PathBuf,
    /// Digest of what was there.
    pub digest: String,
}

/// All that is kept of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the configuration named at the time.
    pub configured: Named,
    /// What runs.
    pub present: Installed,
    /// What ran before it.
    pub before: Option<Installed>,
    /// Whether what the configuration names was refused, and nobody has chosen a guest since.
    pub refused: Option<Rejected>,
}

/// A file of the configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Digest of what was there; none if it could not be read.
    pub digest: Option<String>,
    /// Why.
    pub reason: String,
}

impl Record {
    /// The record of `slot`, if there is one.
    pub(super) fn read(vault: &Vault, slot: &SlotName) -> Option<Self> {
        serde_json::from_slice(&vault.read(&file(slot))?).ok()
    }

    /// Keeps it, with the bytes of its guests as far as they are given.
    pub(super) fn keep(&self, vault: &Vault, slot: &SlotName, contents: &[(&str, &[u8])]) -> Result<(), String> {
        let kept = || {
            for (digest, wasm) in contents {
                let name = content(digest);
                // Read, and not only looked for: what is damaged is written anew.
                if vault.read(&name).is_none() {
                    vault.write(&name, wasm)?;
                }
            }
            // Last, so that a record never names bytes that are not there.
            vault.write(&file(slot), &serde_json::to_vec(self).unwrap_or_default())
        };
        kept().map_err(|error| Chain(&error).to_string())
    }

    fn digests(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.present).chain(&self.before).map(|installed| installed.digest.as_str())
    }

    /// Whether it says what to run where the configuration names `path`, whose bytes have `digest`, if they can be read.
    pub(super) fn holds(&self, path: &Path, digest: Option<&str>) -> bool {
        self.configured.path == path && digest.is_none_or(|digest| self.configured.digest == digest)
    }
}

/// Whether something is known of `slot` in the folder `cache`. What that is worth, only who can check its MAC knows.
pub(crate) fn has_run(cache: &Path, slot: &SlotName) -> bool {
    Vault::folder(cache).join(file(slot)).is_file()
}

/// The guest that was installed in `slot`, if it goes before the file that `config` names: it ran before a restart, and
/// the file is as it was then. Its digest, and what it is made of, or why that is not there. Blocks.
pub(crate) fn standing(
    sandbox: &Sandbox,
    config: &config::Guest,
    slot: &SlotName,
) -> Option<(String, Result<Kept, Refused>)> {
    let vault = sandbox.vault()?;
    let record = Record::read(&vault, slot)?;
    let (place, supply) = (config.place(), sandbox.supply());
    let file = supply.fetch(&config.source()).ok().map(|fetched| fetched.digest.to_string());
    let Installed { digest, name, .. } = record.present.clone();
    if !record.holds(&place, file.as_deref()) || file.as_ref() == Some(&digest) {
        return None;
    }
    let kept = || {
        let wasm = bytes(&vault, &digest).ok_or_else(|| Refused::NotKept(digest.clone()))?;
        let (settings, signature) = (settings_of(config, &place)?, supply.remembered(&Digest::of(&wasm)));
        Ok(Kept { slot: slot.clone(), name, settings, wasm, signature })
    };
    let kept = kept();
    Some((digest, kept))
}

/// The bytes of a guest that some record names.
pub(super) fn bytes(vault: &Vault, digest: &str) -> Option<Vec<u8>> {
    vault.read(&content(digest))
}

/// Removes the bytes that no record names any more.
pub(super) fn tidy(vault: &Vault) {
    let names = vault.names();
    let records = names.iter().filter(|name| name.ends_with(RECORD));
    let records: Vec<Record> = records.filter_map(|name| serde_json::from_slice(&vault.read(name)?).ok()).collect();
    let wanted: Vec<String> = records.iter().flat_map(Record::digests).map(content).collect();
    for name in names.iter().filter(|name| name.ends_with(CONTENT) && !wanted.contains(name)) {
        vault.remove(name);
    }
}

const RECORD: &str = ".record";
const CONTENT: &str = ".wasm";

fn file(slot: &SlotName) -> String {
    format!("{}{RECORD}", plain(slot))
}

fn content(digest: &str) -> String {
    format!("{}{CONTENT}", digest.replace(':', "-"))
}

/// A slot's name as a file's, and in a URL. No stage and no rule has a colon in its name.
pub(super) fn plain(slot: &SlotName) -> String {
    slot.as_str().replace('/', ":")
}
