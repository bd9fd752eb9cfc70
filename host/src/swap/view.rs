use serde::Serialize;

use super::{
    record::{Installed, Named},
    rehearsal::Report,
    wish::By,
};

/// How a slot is, for a person.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// Its name, as in `normalize/acme`.
    pub slot: String,
    /// What runs.
    pub present: Installed,
    /// Why that one runs, and not what the configuration names, or that it is that.
    pub why: String,
    /// What the configuration names, when it was last taken.
    pub configured: Named,
    /// What ran before, and what a roll-back brings back.
    pub before: Option<Installed>,
    /// Whether it survives a restart.
    pub kept: bool,
    /// Whether it may still be taken back by itself.
    pub on_probation: bool,
    /// Events that the present guest has decided.
    pub events: u64,
    /// Those of them that it was at fault on.
    pub faults: u64,
    /// CPU time for an event, nanoseconds.
    pub ns_an_event: u64,
    /// On whose word a guest is being fitted, if one is.
    pub installing: Option<By>,
    /// What is being rehearsed, or was last.
    pub rehearsal: Option<Report>,
    /// Why what the configuration names was refused, if it was.
    pub refused: Option<String>,
}
