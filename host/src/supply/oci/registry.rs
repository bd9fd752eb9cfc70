//! Pulling, pushing, and what of it needs no network.

use std::{future::Future, io, thread, time::Duration};

use super::{
    OciError, Reference, Store,
    artifact::{Parts, artifact},
    client::Talk,
};
use crate::{config, sandbox::Digest};

/// The registries that a site uses.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    config: config::Registry,
}

/// A guest out of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What it is called.
    pub name: String,
    /// The component.
    pub wasm: Vec<u8>,
    /// Its file of signatures.
    pub signature: Option<Vec<u8>>,
}

impl Registry {
    /// As they are configured.
    #[must_use]
    pub fn new(config: &config::Registry) -> Self {
        Self { config: config.clone() }
    }

    /// What `reference` names, out of `store` if it is there. A tag is refused, with what it stands for.
    ///
    /// # Errors
    /// It cannot be had, or is no guest.
    pub fn fetch(&self, reference: &str, store: Option<&Store>) -> Result<Pulled, OciError> {
        let reference = Reference::parse(reference)?;
        let Some(digest) = reference.digest() else {
            return Err(match self.find(&reference) {
                Ok(found) => OciError::Tag(found.to_string()),
                Err(error) => OciError::UnknownTag(Box::new(error)),
            });
        };
        if let Some(pulled) = store.and_then(|store| kept(store, &digest, &reference)) {
            return Ok(pulled);
        }
        self.within(pull(&reference, &self.config, store))
    }

    /// The same place by the digest that its tag stands for now.
    ///
    /// # Errors
    /// The registry does not say.
    pub fn find(&self, reference: &Reference) -> Result<Reference, OciError> {
        let manifest = self.within(async { Talk::with(reference, &self.config)?.manifest().await })?;
        Ok(reference.at(Digest::of(&manifest)))
    }

    /// Puts a guest into a registry, and says what it is called there by its digest.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push(&self, reference: &Reference, wasm: &[u8], signature: Option<&[u8]>) -> Result<Reference, OciError> {
        let (config, manifest) = artifact(wasm, signature, &chrono::Utc::now().to_rfc3339());
        let blobs: Vec<&[u8]> = [Some(wasm), signature, Some(&*config)].into_iter().flatten().collect();
        let pushed = self.within(async { Talk::with(reference, &self.config)?.push(&blobs, &manifest).await })?;
        Ok(reference.at(pushed))
    }

    /// Runs to its end, on a thread of its own: whoever loads a guest may be within a runtime or not. The time is for all
    /// of it, so a registry that sends a byte now and then does not hold up a start for ever.
    fn within<T: Send>(&self, work: impl Future<Output = Result<T, OciError>> + Send) -> Result<T, OciError> {
        let time: Duration = self.config.timeout;
        let failed = |source| OciError::Configuration { what: "cannot talk to a registry".to_owned(), source };
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let done = runtime.block_on(async { tokio::time::timeout(time, work).await });
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            done.unwrap_or(Err(OciError::Time(time)))
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("registry".to_owned()).spawn_scoped(scope, run).map_err(failed)?;
            thread.join().unwrap_or_else(|_| Err(failed(io::Error::other("the host failed over it"))))
        })
    }
}

async fn pull(reference: &Reference, config: &config::Registry, store: Option<&Store>) -> Result<Pulled, OciError> {
    let talk = Talk::with(reference, config)?;
    let manifest = talk.manifest().await?;
    let parts = Parts::of(&manifest)?;
    let wasm = talk.blob("the component", &parts.wasm).await?;
    let signature = match &parts.signature {
        Some(part) => Some(talk.blob("its file of signatures", part).await?),
        None => None,
    };
    if let Some(store) = store {
        store.write(&wasm);
        signature.iter().for_each(|text| store.write(text));
        // Last: what is named by a manifest that is there is there as well.
        store.write(&manifest);
    }
    Ok(Pulled { name: reference.name().to_owned(), wasm, signature })
}

/// What was pulled before, if all of it is there and sound.
fn kept(store: &Store, digest: &Digest, reference: &Reference) -> Option<Pulled> {
    let parts = Parts::of(&store.read(digest)?).ok()?;
    let wasm = store.read(&parts.wasm.digest)?;
    let signature = match &parts.signature {
        Some(part) => Some(store.read(&part.digest)?),
        None => None,
    };
    Some(Pulled { name: reference.name().to_owned(), wasm, signature })
}
