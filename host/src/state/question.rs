/// Why nothing of a question was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The table cannot be reached.
    Unavailable,
    /// There is no room for it.
    OverQuota,
    /// The question is wrong.
    Invalid(String),
}

impl Refusal {
    /// As in metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::OverQuota => "over-quota",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// An addition to a counter, as a guest asks for it.
#[derive(Clone, Debug)]
pub struct Increment {
    /// Which counter.
    pub key: String,
    /// How much.
    pub by: i64,
    /// Until when, if it is not there yet, seconds.
    pub ttl: u32,
    /// On whose account.
    pub event: Option<u32>,
}
