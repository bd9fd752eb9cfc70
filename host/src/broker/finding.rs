//! What a look at a broker brings to light, for `aurora check --connect`.

/// A broker that was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Who answered, and as what.
    pub said: String,
    /// What stands against it.
    pub findings: Vec<Finding>,
}

/// Something that the operator should know, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What it is, what follows, and the remedy.
    pub text: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It does not work, or breaks a promise while all is well.
    Problem,
    /// It breaks a promise when something else goes wrong.
    Warning,
    /// It could not be judged from here.
    Note,
}

impl Finding {
    /// It does not work.
    #[must_use]
    pub fn problem(text: impl Into<String>) -> Self {
        Self { weight: Weight::Problem, text: text.into() }
    }

    /// It breaks a promise when something else goes wrong.
    #[must_use]
    pub fn warning(text: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, text: text.into() }
    }

    /// It could not be judged.
    #[must_use]
    pub fn note(text: impl Into<String>) -> Self {
        Self { weight: Weight::Note, text: text.into() }
    }
}

impl From<String> for Probed {
    fn from(said: String) -> Self {
        Self { said, findings: Vec::new() }
    }
}
