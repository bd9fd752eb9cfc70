use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Whether every long-lived task lives. Cheap to clone.
///
/// Alive until told otherwise, and never alive again after that: a task that ended without being asked to leaves a
/// daemon that looks well and does not work, and only a restart mends it.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<BTreeMap<String, String>>>);

impl Liveness {
    /// The supervisor's word that `task` ended without being asked to. The first reason stands.
    pub fn lose(&self, task: impl Into<String>, reason: impl Into<String>) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.entry(task.into()).or_insert_with(|| reason.into());
    }

    /// The tasks that ended, with the reasons.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_reason() {
        let liveness = Liveness::default();
        liveness.clone().lose("relay", "panicked");
        liveness.lose("relay", "channel closed");
        assert_eq!(liveness.lost(), BTreeMap::from([("relay".to_owned(), "panicked".to_owned())]));
    }
}
