//! Which guest a short digest means: one of the configured files, or one that the audit trail has seen loaded.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    broker::redis_streams::{Pool, Wanted, search},
    config::Config,
    pipeline::short,
    sandbox::Digest,
};

/// A guest that decided on the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    /// Its place, as in `normalize/acme`.
    pub slot: String,
    /// Its digest, whole if it is known to this site, else the beginning.
    pub digest: String,
    /// Its file's name without the ending; none if nobody knows the digest.
    pub name: Option<String>,
}

/// Finds out names, each once.
pub(super) struct Names {
    redis: Pool,
    audit: String,
    most: usize,
    /// Short digest to whole digest and name.
    known: HashMap<String, Option<(String, String)>>,
}

/// What stands before a digest in the audit trail and in a guest's own text.
const KIND: &str = "sha256:";

impl Names {
    /// With the files that `config` names. One that cannot be read is left to the audit trail.
    pub(super) fn new(config: &Config, redis: &Pool, audit: String, most: usize) -> Self {
        let mut known = HashMap::new();
        for (_, guest) in config.guests.all() {
            let Ok(wasm) = std::fs::read(&guest.path) else { continue };
            let digest = Digest::of(&wasm).to_string();
            let name = guest.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            known.insert(short(&digest).to_owned(), Some((digest, name)));
        }
        Self { redis: redis.clone(), audit, most, known }
    }

    /// What `written`, as in `normalize/acme@0123456789abcdef`, means.
    pub(super) async fn of(&mut self, written: &str) -> Named {
        let (slot, digits) = written.split_once('@').unwrap_or((written, ""));
        if !self.known.contains_key(digits) {
            let found = self.ask(digits).await;
            self.known.insert(digits.to_owned(), found);
        }
        let known = self.known.get(digits).cloned().flatten();
        let (digest, name) = known.map_or_else(|| (digits.to_owned(), None), |(digest, name)| (digest, Some(name)));
        Named { slot: slot.to_owned(), digest, name }
    }

    async fn ask(&self, digits: &str) -> Option<(String, String)> {
        let text = format!("{KIND}{digits}");
        let wanted = Wanted { field: "details", text: &text, since: None, most: self.most, enough: 64 };
        // A name is a courtesy: without the audit trail there is none.
        let looked = search(&self.redis, &self.audit, &wanted).await.ok().filter(|_| !digits.is_empty())?;
        looked.found.into_iter().find_map(|(_, fields)| {
            let details = String::from_utf8(fields.get("details")?.clone()).ok()?;
            is_load(fields.get("action")?).then(|| loaded(&details, &text)).flatten()
        })
    }
}

fn is_load(action: &[u8]) -> bool {
    [&b"guest-load"[..], b"guest-installed", b"guest-rolled-back"].contains(&action)
}

/// Digest and name out of `<slot> <name> <digest> …`.
fn loaded(details: &str, beginning: &str) -> Option<(String, String)> {
    let mut words = details.rsplit(' ').skip_while(|word| !word.starts_with(beginning));
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_daemon_writes_when_it_loads_a_guest() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let found = loaded(&format!("normalize/acme acme-2 {digest}"), "sha256:0123456789abcdef");
        assert_eq!(found, Some((digest.clone(), "acme-2".to_owned())));
        let swapped = format!("route new sha256:ff by the admin API: sent as new, in place of acme-2 {digest}");
        assert_eq!(loaded(&swapped, "sha256:0123456789abcdef"), Some((digest.clone(), "acme-2".to_owned())));
        assert_eq!(loaded("site changed", "sha256:01"), None);
        assert_eq!(short(&digest), "0123456789abcdef");
    }
}
