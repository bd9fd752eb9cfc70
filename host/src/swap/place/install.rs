//! Guests that go into a slot and out of it.

use tokio::task;

use super::{
    super::{
        Refused,
        fit::Fitted,
        record::{Installed, Named, Record, Rejected},
        wish::{By, Done, Source, Wish},
    },
    Place, same,
};
use crate::{
    pipeline::{Made, ProbationFate, Staged, Terms},
    sandbox::{Digest, Guest},
};

impl<W: Staged> Place<W> {
    pub(super) fn refuse(&mut self, wish: &Wish, refused: &Refused, named: Option<&Named>) {
        let reason = refused.text();
        let (digest, name) = match (&wish.source, named) {
            (Source::Sent { name, wasm, .. }, _) => (Digest::of(wasm).to_string(), name.clone()),
            (Source::Path(path), _) => (String::new(), path.display().to_string()),
            (Source::Oci(reference), _) => (String::new(), reference.clone()),
            (Source::Configured, Some(named)) => (named.digest.clone(), named.path.display().to_string()),
            (Source::Configured, None) => (String::new(), self.latest.place().display().to_string()),
        };
        if matches!(wish.source, Source::Configured) {
            let digest = Some(digest.clone()).filter(|digest| !digest.is_empty());
            self.record.refused = Some(Rejected { digest, reason: reason.clone() });
            self.slot.note(Some(self.note_of(&reason)));
        }
        tracing::error!(slot = %self.slot.name(), guest = name, digest, by = %wish.by, reason, "a guest is refused");
        let origin = String::new();
        let installed = Installed { digest, name, origin, by: wish.by, at: String::new() };
        self.note("refused", &installed, wish.by, reason);
    }

    /// That the configuration's file was refused, for whoever asks whether this host is well.
    pub(super) fn note_of(&self, refused: &str) -> String {
        let Record { configured, present, .. } = &self.record;
        format!("{} is refused, {} goes on: {refused}", configured.path.display(), present.digest)
    }

    /// Puts a guest into its place.
    pub(super) async fn install(&mut self, fitted: Fitted<W>) -> Done {
        let Fitted { guest, wasm, installed, config, tried } = fitted;
        if self.rehearsal.as_ref().is_some_and(|rehearsing| rehearsing.candidate.is_some()) {
            let _ended = self.end_rehearsal().await;
        }
        self.hear_all().await;
        let by = installed.by;
        let older = self.record.before.clone();
        let before = std::mem::replace(&mut self.record.present, installed.clone());
        // The same guest with other settings or limits is no other guest: a roll-back, or its probation, must not bring
        // back what its site has just taken from it.
        let is_other = before.digest != installed.digest;
        if is_other {
            self.record.before = Some(before.clone());
        }
        self.record.refused = None;
        let is_changed = !same(&self.config, &config);
        self.config = config;
        self.is_stale = is_changed || !is_other && self.is_stale;
        self.save(vec![(installed.digest.clone(), wasm)]).await;
        let terms = is_other.then(|| Terms { budget: self.config.probation.clone(), told: self.fates.0.clone() });
        let made = if is_changed { Made::Otherwise } else { Made::Alike };
        let left = self.slot.swap(guest, terms, made);
        if is_other {
            self.leave(&left, &before, older).await;
        }
        if is_changed && self.shared.vault.is_some() {
            // It is made anew of its bytes, by what holds now.
            self.before = None;
        } else if is_other {
            self.before = Some(left);
        }
        let reason = format!("{}, in place of {} {}", installed.origin, before.name, before.digest);
        self.note("installed", &installed, by, reason);
        let unkept = if self.kept { "" } else { "; a restart will not know of it" };
        let probation = if self.slot.is_on_probation() { ", on probation" } else { "" };
        let untried = if tried || !is_other { "" } else { "; no cases lay beside it, so none was run" };
        let done = format!("{installed} runs in place of {before}{probation}{unkept}{untried}");
        self.done(done, &installed.digest)
    }

    /// Takes the guest before.
    pub(super) async fn roll_back(&mut self) -> Result<Done, Refused> {
        self.hear_all().await;
        let installed = self.record.before.clone().ok_or(Refused::NoneBefore)?;
        let guest = match self.before.take() {
            Some(guest) => guest,
            None => task::block_in_place(|| self.load(&installed.digest, &installed.name))?,
        };
        let installed = Installed { by: By::Admin, at: chrono::Utc::now().to_rfc3339(), ..installed };
        let left = std::mem::replace(&mut self.record.present, installed.clone());
        self.record.before = Some(left.clone());
        self.record.refused = None;
        self.save(Vec::new()).await;
        // It has had its probation. Once more is not needed, and would have nobody to fall back to.
        let gone = self.slot.swap(guest, None, Made::Alike);
        self.leave(&gone, &left, Some(installed.clone())).await;
        self.before = Some(gone);
        self.is_stale = false;
        self.note("rolled-back", &installed, By::Admin, format!("in place of {} {}", left.name, left.digest));
        Ok(self.done(format!("{installed} runs again in place of {left}"), &installed.digest))
    }

    /// `left` has gone where `known` was thought to be. Where the slot itself took that one back in the same moment,
    /// what has gone is the one that was `older`, and the one that failed is nothing to roll back to.
    async fn leave(&mut self, left: &Guest<W>, known: &Installed, older: Option<Installed>) {
        if *known.digest != **left.digest_text() {
            self.record.before = older.filter(|older| *older.digest == **left.digest_text());
            self.save(Vec::new()).await;
        }
    }

    /// Hears of what the slot has done by itself, before anything else is done to it.
    pub(super) async fn hear_all(&mut self) {
        while let Ok((digest, fate)) = self.fates.1.try_recv() {
            self.hear(&digest, fate).await;
        }
    }

    /// Hears how the probation of the guest with this digest went.
    pub(super) async fn hear(&mut self, digest: &str, fate: ProbationFate) {
        let about = [Some(&self.record.present), self.record.before.as_ref()];
        let Some(about) = about.into_iter().flatten().find(|known| known.digest == digest).cloned() else { return };
        match fate {
            ProbationFate::Stayed => {
                self.note("stayed", &about, By::Probation, "its probation is over".to_owned());
            }
            ProbationFate::Spared { reason } => {
                tracing::warn!(slot = %self.slot.name(), guest = digest, reason, "a guest fails its probation");
                let reason = format!("{reason}; guests of this slot are not taken back by themselves");
                self.note("failed-probation", &about, By::Probation, reason);
            }
            ProbationFate::Fell { reason } => {
                tracing::error!(slot = %self.slot.name(), guest = digest, reason, "a guest is taken back");
                if self.record.present.digest == digest
                    && let Some(before) = self.record.before.take()
                {
                    let at = chrono::Utc::now().to_rfc3339();
                    self.record.present = Installed { by: By::Probation, at, ..before };
                    self.before = None;
                    self.save(Vec::new()).await;
                    self.renew();
                }
                let reason = format!("{reason}; {} runs again", self.record.present.digest);
                self.note("taken-back", &about, By::Probation, reason);
            }
        }
    }

    /// What was taken back was made when it was new. What the configuration has tightened since holds for it as well.
    fn renew(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let Installed { digest, name, .. } = self.record.present.clone();
        match task::block_in_place(|| self.load(&digest, &name)) {
            Ok(guest) => drop(self.slot.swap(guest, None, Made::Otherwise)),
            Err(refused) => {
                let reason = refused.text();
                tracing::error!(slot = %self.slot.name(), guest = digest, reason, "it runs by its former settings and limits");
            }
        }
    }
}
