//! From a wish to a guest that could take its place: everything that takes time, on a thread where it may, and nothing
//! that has an effect.

use std::{path::PathBuf, sync::Arc};

use super::{
    Refused, cases,
    record::{self, Installed, Named},
    wish::{Source, Wish},
};
use crate::{
    config,
    sandbox::{Digest, Guest, Kept, Sandbox, Vault, World, settings_of},
    supply::{self, Fetched},
    telemetry::GuestMetrics,
};

/// What fitting needs to know.
pub(super) struct Bench<W: World> {
    pub sandbox: Sandbox,
    pub vault: Option<Vault>,
    pub metrics: GuestMetrics,
    /// The configuration to go by, and whether it is another one than the present guest's.
    pub config: config::Guest,
    pub changed: bool,
    /// What the configuration named when it was last looked at.
    pub configured: Named,
    /// Digest of the configuration's file if it was refused: it is tried again whenever it is touched, for it may be its
    /// cases that are others now.
    pub refused: Option<String>,
    pub present: Arc<Guest<W>>,
    pub installed: Installed,
}

/// A guest that could take its place.
pub(super) struct Fitted<W: World> {
    pub guest: Arc<Guest<W>>,
    pub wasm: Vec<u8>,
    pub installed: Installed,
    pub config: config::Guest,
    /// Whether there were cases of its own, which it has passed.
    pub tried: bool,
}

/// What came of a wish.
pub(super) enum Fit<W: World> {
    /// This one could take the place.
    Ready(Box<Fitted<W>>),
    /// It is what runs already.
    Same,
}

impl<W: World> Bench<W> {
    /// Fetches what is wished for, and tries it. What the configuration names is left in `configured`, if it was looked
    /// at.
    pub(super) fn fit(self, wish: &Wish, configured: &mut Option<Named>) -> Result<Fit<W>, Refused> {
        let supply = self.sandbox.supply();
        let fetched = match &wish.source {
            Source::Configured => {
                let fetched = supply.fetch(&self.config.source())?;
                let named = Named { path: self.config.place(), digest: fetched.digest.to_string() };
                let is_new = named != self.configured || self.refused.as_ref() == Some(&named.digest);
                *configured = Some(named);
                match is_new {
                    true => fetched,
                    // Whatever runs now was chosen after the file, and only its settings may be others.
                    false if self.changed => self.running()?,
                    false => return Ok(Fit::Same),
                }
            }
            Source::Sent { name, wasm, signature } => Fetched {
                name: name.clone(),
                wasm: wasm.clone(),
                digest: Digest::of(wasm),
                signature: signature.clone(),
                origin: format!("sent as {name}"),
                beside: None,
            },
            Source::Path(path) => supply.fetch(&supply::Source::File(path.clone()))?,
            Source::Oci(reference) => supply.fetch(&supply::Source::Oci(reference.clone()))?,
        };
        let digest = fetched.digest;
        if digest.to_string() == self.installed.digest && !self.changed {
            return Ok(Fit::Same);
        }
        let shown = fetched.beside.clone().unwrap_or_else(|| PathBuf::from(&fetched.name));
        let kept = Kept {
            slot: self.metrics.slot().clone(),
            name: fetched.name.clone(),
            settings: settings_of(&self.config, &shown)?,
            wasm: fetched.wasm.clone(),
            signature: fetched.signature,
        };
        let guest = Guest::<W>::load_kept(&self.sandbox, &self.config, kept, &shown, &self.metrics)?;
        let own = || fetched.beside.as_deref().and_then(cases::beside);
        let cases = wish.cases.clone().or_else(own);
        if let Some(folder) = &cases {
            cases::run(&fetched.wasm, folder).map_err(|said| Refused::Cases(cases::on_one_line(&said)))?;
        }
        let installed = Installed {
            digest: digest.to_string(),
            name: fetched.name,
            origin: fetched.origin,
            by: wish.by,
            at: chrono::Utc::now().to_rfc3339(),
        };
        let tried = cases.is_some();
        let fitted = Fitted { guest: Arc::new(guest), wasm: fetched.wasm, installed, config: self.config, tried };
        Ok(Fit::Ready(Box::new(fitted)))
    }

    /// The guest that runs, again.
    fn running(&self) -> Result<Fetched, Refused> {
        let digest = &self.installed.digest;
        let kept = self.vault.as_ref().and_then(|vault| record::bytes(vault, digest));
        let wasm = kept.or_else(|| self.present.copy_wasm()).ok_or_else(|| Refused::NotKept(digest.clone()))?;
        let Installed { name, origin, .. } = self.installed.clone();
        let digest = Digest::of(&wasm);
        let signature = self.sandbox.supply().remembered(&digest);
        Ok(Fetched { name, wasm, digest, signature, origin, beside: None })
    }
}
