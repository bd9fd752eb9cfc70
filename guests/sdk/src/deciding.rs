use crate::{Tlp, routing::intern};

/// A federation policy's answer. As `aurora:federation/federate.decisions`, without needing its bindings.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// The reasons used.
    pub reasons: Vec<String>,
    /// Index into `reasons`, one for each event.
    pub reason: Vec<u32>,
    /// Whether each event is shared.
    pub share: Vec<bool>,
    /// The subjects used.
    pub subjects: Vec<String>,
    /// The field keys used.
    pub keys: Vec<String>,
    /// Index into `subjects`, one for each shared event.
    pub subject: Vec<u32>,
    /// One for each shared event.
    pub tlp: Vec<Tlp>,
    /// Number of observables of each shared event.
    pub observables: Vec<u32>,
    /// Positions among the event's own observables.
    pub observable: Vec<u32>,
    /// Number of fields to remove of each shared event.
    pub removed: Vec<u32>,
    /// Indexes into `keys`.
    pub remove: Vec<u32>,
}

/// How one event is shared.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// JetStream subject, each token of `[A-Za-z0-9_-]`.
    pub subject: &'a str,
    /// Marking of the copy that leaves.
    pub tlp: Tlp,
    /// Positions of the observables to share.
    pub observables: &'a [u32],
    /// Keys of the fields to remove from the copy that leaves.
    pub remove: &'a [&'a str],
}

/// Writes a federation policy's answer.
#[derive(Debug, Default)]
pub struct Deciding(Decisions);

impl Deciding {
    /// An empty answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next event stays at the site.
    pub fn keep(&mut self, reason: &str) {
        self.verdict(false, reason);
    }

    /// The next event leaves the site.
    pub fn share(&mut self, share: Share<'_>, reason: &str) {
        self.verdict(true, reason);
        let subject = intern(&mut self.0.subjects, share.subject);
        self.0.subject.push(subject);
        self.0.tlp.push(share.tlp);
        self.0.observables.push(share.observables.len() as u32);
        self.0.observable.extend_from_slice(share.observables);
        self.0.removed.push(share.remove.len() as u32);
        for key in share.remove {
            let key = intern(&mut self.0.keys, key);
            self.0.remove.push(key);
        }
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Decisions {
        self.0
    }

    fn verdict(&mut self, share: bool, reason: &str) {
        self.0.share.push(share);
        let reason = intern(&mut self.0.reasons, reason);
        self.0.reason.push(reason);
    }
}
