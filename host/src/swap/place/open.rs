//! What is known of a slot at the start, and what of it is kept.

use std::sync::Arc;

use tokio::{sync::mpsc, task};

use super::{
    super::{
        Refused, Shared,
        history::History,
        record::{self, Installed, Named, Record},
        watch::Stamp,
        wish::{By, Order},
    },
    Place,
};
use crate::{
    config,
    pipeline::{Slot, Staged},
    sandbox::{Digest, Guest, Kept, World, settings_of},
    telemetry::SlotName,
};

impl<W: Staged> Place<W> {
    /// What is known of `slot` at the start. Blocks.
    pub(in crate::swap) fn open(
        slot: Arc<Slot<W>>,
        config: config::Guest,
        orders: mpsc::Receiver<Order>,
        watches: bool,
        shared: Arc<Shared>,
    ) -> Self {
        let name = slot.name().clone();
        let history =
            shared.vault.as_ref().and_then(|vault| vault.place(&format!("{}.history", record::plain(&name))).ok());
        let guest = slot.present();
        let mut place = Self {
            // So that the first look sees what changed since the file was loaded.
            stamp: Stamp::default(),
            watches,
            overtaken: None,
            record: first(&config, &guest),
            slot,
            shared,
            orders,
            latest: config.clone(),
            config,
            before: None,
            is_stale: false,
            history: History::open(history),
            fitting: None,
            next: None,
            rehearsal: None,
            fates: mpsc::channel(4),
            kept: false,
        };
        place.remember(&name, &guest);
        place
    }

    /// Goes on with the record of the run before. Whether it holds was decided when the guest was loaded.
    fn remember(&mut self, name: &SlotName, guest: &Guest<W>) {
        let Some(vault) = self.shared.vault.clone() else { return };
        let file = self.shared.sandbox.supply().fetch(&self.config.source()).ok();
        let named = file.as_ref().map(|file| file.digest.to_string());
        let known = Record::read(&vault, name);
        match known.clone() {
            // With the times and reasons that are known of it.
            Some(known) if known.present.digest == *guest.digest_text().as_ref() => {
                if known.holds(&self.config.place(), named.as_deref()) {
                    self.record = known;
                } else {
                    self.record.before = known.before;
                }
            }
            // What ran before the restart is what a roll-back brings back.
            Some(known) => self.record.before = Some(known.present),
            None => {}
        }
        if let Some(refused) = &self.record.refused {
            self.slot.note(Some(self.note_of(&refused.reason)));
        } else if self.record.present.by == By::Probation {
            let Installed { digest, at, .. } = &self.record.present;
            self.slot.note(Some(format!("a guest was taken back at {at}, {digest} runs in its place")));
        }
        if known.as_ref() == Some(&self.record) {
            self.kept = true;
            return;
        }
        let present = self.record.present.digest.clone();
        let contents = file.filter(|_| named.as_ref() == Some(&present)).map(|file| file.wasm);
        let contents = contents.or_else(|| self.slot.present().copy_wasm());
        let contents = contents.as_deref().map(|wasm| (present.as_str(), wasm));
        self.kept = self.keep(contents.as_slice());
    }

    /// A guest whose bytes some record names.
    pub(super) fn load(&self, digest: &str, name: &str) -> Result<Arc<Guest<W>>, Refused> {
        let wasm = self.shared.vault.as_ref().and_then(|vault| record::bytes(vault, digest));
        let wasm = wasm.ok_or_else(|| Refused::NotKept(digest.to_owned()))?;
        let metrics = self.slot.metrics();
        let (place, sandbox) = (self.config.place(), &self.shared.sandbox);
        let (settings, signature) =
            (settings_of(&self.config, &place)?, sandbox.supply().remembered(&Digest::of(&wasm)));
        let kept = Kept { slot: metrics.slot().clone(), name: name.to_owned(), settings, wasm, signature };
        Ok(Arc::new(Guest::load_kept(sandbox, &self.config, kept, &place, metrics)?))
    }

    /// Keeps the record, and bytes of its guests. Blocks.
    pub(super) fn keep(&self, contents: &[(&str, &[u8])]) -> bool {
        let Some(vault) = &self.shared.vault else { return false };
        match self.record.keep(vault, self.slot.name(), contents) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(slot = %self.slot.name(), error, "which guest runs cannot be kept; a restart will not know");
                false
            }
        }
    }

    /// Keeps the record, and these bytes, and clears away what no record names.
    pub(super) async fn save(&mut self, mut contents: Vec<(String, Vec<u8>)>) {
        let Some(vault) = self.shared.vault.clone() else { return };
        if let Some(wasm) = self.slot.present().copy_wasm() {
            contents.push((self.slot.present().digest_text().to_string(), wasm));
        }
        let (record, slot, shared) = (self.record.clone(), self.slot.name().clone(), Arc::clone(&self.shared));
        let saved = task::spawn_blocking(move || {
            let _shelf = shared.shelf();
            let contents: Vec<_> = contents.iter().map(|(digest, wasm)| (digest.as_str(), wasm.as_slice())).collect();
            let kept = record.keep(&vault, &slot, &contents);
            record::tidy(&vault);
            kept
        });
        let saved = saved.await.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(error) = &saved {
            tracing::warn!(slot = %self.slot.name(), error, "which guest runs cannot be kept; a restart will not know");
        }
        self.kept = saved.is_ok();
    }
}

/// What is known of a slot of which nothing is known.
fn first<W: World>(config: &config::Guest, guest: &Guest<W>) -> Record {
    let digest = guest.digest_text().to_string();
    let present = Installed {
        digest: digest.clone(),
        name: guest.name().to_owned(),
        origin: config.place().display().to_string(),
        by: By::Start,
        at: chrono::Utc::now().to_rfc3339(),
    };
    Record { configured: Named { path: config.place(), digest }, present, before: None, refused: None }
}
