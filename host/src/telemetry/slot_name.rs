use std::{fmt, sync::Arc};

use super::Stage;

/// Name of a guest's place: `normalize` of the stock guest, `normalize/acme` of one that is chosen by a rule. Spelled
/// alike in configuration, logs, labels, audit, readiness and commands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    stage: Stage,
    text: Arc<str>,
}

impl SlotName {
    /// Of what the rule `name` of `stage` chooses.
    #[must_use]
    pub fn of_rule(stage: Stage, name: &str) -> Self {
        Self { stage, text: format!("{stage}/{name}").into() }
    }

    /// Its stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The rule that chooses it; none of the stock one.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.text.split_once('/').map(|(_, rule)| rule)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The place of the stock guest.
impl From<Stage> for SlotName {
    fn from(stage: Stage) -> Self {
        Self { stage, text: stage.as_str().into() }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
