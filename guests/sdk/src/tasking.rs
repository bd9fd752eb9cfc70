use serde::{Serialize, de::DeserializeOwned};

/// What is to be done. As `aurora:task/run.task`, without needing its bindings.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// Names the task, the same each time that it is tried.
    pub id: String,
    /// Name of the agent that was asked for.
    pub agent: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many there will be at the most.
    pub attempts: u32,
    /// When the task was added, milliseconds since 1970-01-01 UTC.
    pub submitted_ms: i64,
    /// When this attempt begins; the guest's only clock.
    pub now_ms: i64,
    /// What it is about, JSON.
    pub input: Vec<u8>,
}

/// What came of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// JSON.
    pub output: Vec<u8>,
    /// One line for a person; may be empty.
    pub summary: String,
}

/// Why nothing came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskFailure {
    /// It may come of it later.
    Retry {
        /// Shortest wait, milliseconds; 0: as long as the host waits anyway.
        after_ms: u32,
        /// Why.
        reason: String,
    },
    /// Nothing will ever come of this input.
    Permanent(String),
    /// The settings are wrong, whatever the input.
    InvalidSettings(String),
}

impl Task {
    /// The input as a type of one's own.
    ///
    /// # Errors
    /// [`TaskFailure::Permanent`] if it has another form: it will not have a better one next time.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, TaskFailure> {
        serde_json::from_slice(&self.input).map_err(|error| TaskFailure::Permanent(format!("the input: {error}")))
    }

    /// Whether nobody will try again after this.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.attempts
    }
}

impl Outcome {
    /// With `output` as JSON, and one line for a person.
    ///
    /// # Errors
    /// [`TaskFailure::Permanent`] if it has no form in JSON, as a map whose keys are no texts.
    pub fn of(output: &impl Serialize, summary: impl Into<String>) -> Result<Self, TaskFailure> {
        let output =
            serde_json::to_vec(output).map_err(|error| TaskFailure::Permanent(format!("the output: {error}")))?;
        Ok(Self { output, summary: summary.into() })
    }
}

/// Settings are read with the functions of [`crate::settings`], which fail like this.
impl From<crate::Failure> for TaskFailure {
    fn from(failure: crate::Failure) -> Self {
        match failure {
            crate::Failure::InvalidSettings(text) => Self::InvalidSettings(text),
            crate::Failure::Other(reason) => Self::Retry { after_ms: 0, reason },
        }
    }
}
