use std::{io, time::Duration};

use oci_client::errors::OciDistributionError;

use crate::{
    sandbox::{Digest, printable},
    telemetry::Chain,
};

/// A guest cannot be taken from a registry, or put there.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// What was written names no artifact.
    #[error("that is no reference to an artifact: {0}; write registry/repository@sha256:…")]
    Reference(String),
    /// A tag may be another guest tomorrow.
    #[error("a tag may stand for another guest tomorrow; today this one is {0}")]
    Tag(String),
    /// The same, and what it stands for cannot be found out.
    #[error("a tag may stand for another guest tomorrow, so the digest has to be named; it cannot be asked for")]
    UnknownTag(#[source] Box<OciError>),
    /// The registry cannot be used as it is configured.
    #[error("{what}")]
    Configuration {
        /// What is wrong.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The registry cannot be asked, or refuses.
    #[error("the registry does not give it: {0}")]
    Registry(String),
    /// It cannot be spoken to.
    #[error("the registry cannot be spoken to")]
    Http(#[source] reqwest::Error),
    /// The registry answers, but not with it.
    #[error("the registry answers {0}")]
    Answer(String),
    /// It took too long.
    #[error("the registry has not given it within {0:?}")]
    Time(Duration),
    /// What came is not what was asked for.
    #[error("the registry gave something else: {got} in the place of {wanted}")]
    Digest {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        got: Digest,
    },
    /// What came is too large.
    #[error("{what} has more than {most} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many it may have.
        most: u64,
    },
    /// It is no guest.
    #[error("the artifact is no guest: {0}")]
    Artifact(String),
}

/// Most characters of what a registry says.
const MOST: usize = 500;

impl From<OciDistributionError> for OciError {
    /// What it says is shown to a person at a terminal, and the registry wrote part of it.
    fn from(error: OciDistributionError) -> Self {
        Self::Registry(printable(Chain(&error).to_string().trim()).chars().take(MOST).collect())
    }
}
