//! What guests have beside themselves, whichever engine they run on.

use std::sync::Arc;

use super::base::Base;
use crate::{
    broker::redis_streams::StateShelf,
    intel::{self, Remembered},
    sandbox::Sandbox,
    state::Shelf,
};

/// What they remember, and what is told of observables.
#[derive(Clone)]
pub(super) struct Memory {
    shelf: Arc<dyn Shelf>,
    table: Option<intel::Table>,
}

impl Memory {
    /// Kept in Redis; with `table`, where there is one.
    pub fn new(base: &Base<'_>, table: Option<intel::Table>) -> Self {
        Self { shelf: Arc::new(StateShelf::new(base.redis.clone(), base.redis_config)), table }
    }

    /// `sandbox` with it.
    pub fn of(&self, sandbox: Sandbox) -> Sandbox {
        let sandbox = sandbox.remembering(Arc::clone(&self.shelf));
        match &self.table {
            Some(table) => sandbox.looking_up(Arc::new(Remembered::new(table.clone()))),
            None => sandbox,
        }
    }
}
