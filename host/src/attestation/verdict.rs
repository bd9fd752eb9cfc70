//! What may come out of an answer, and why.

use serde::{Deserialize, Serialize};

/// A verdict in one word, as consumers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything holds.
    Valid,
    /// Something does not.
    Failed,
    /// The form is right, and nothing that proves who it was: an answer that enrolled its own key, or that nobody has
    /// judged.
    StructuralPass,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Failed, Self::StructuralPass];

    /// As in results and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Failed => "failed",
            Self::StructuralPass => "structural_pass",
        }
    }
}

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is no answer.
    Malformed,
    /// Nobody has enrolled the device.
    NotEnrolled,
    /// The device is revoked.
    Revoked,
    /// We have sent it no such nonce.
    UnknownNonce,
    /// The nonce is too old.
    Expired,
    /// The nonce was used before, by another answer, or by one that failed.
    Replayed,
    /// The signature is not of the device's key and these values.
    Signature,
    /// It runs another firmware than it may.
    Firmware,
    /// It was started less often than before.
    BootCount,
    /// It did not answer, although it is there.
    Unanswered,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::NotEnrolled,
        Self::Revoked,
        Self::UnknownNonce,
        Self::Expired,
        Self::Replayed,
        Self::Signature,
        Self::Firmware,
        Self::BootCount,
        Self::Unanswered,
    ];

    /// As in events and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotEnrolled => "not_enrolled",
            Self::Revoked => "revoked",
            Self::UnknownNonce => "unknown_nonce",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::Signature => "signature",
            Self::Firmware => "firmware",
            Self::BootCount => "boot_count",
            Self::Unanswered => "unanswered",
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub status: Status,
    /// What does not hold.
    pub cause: Option<Cause>,
    /// In a sentence.
    pub reason: String,
    /// The nonce that it is about, where it names one.
    pub nonce: Option<String>,
}

impl Verdict {
    pub(super) fn failed(cause: Cause, reason: impl Into<String>, nonce: Option<&str>) -> Self {
        let nonce = nonce.map(str::to_owned);
        Self { status: Status::Failed, cause: Some(cause), reason: reason.into(), nonce }
    }
}

/// The last verdict on a device, as it is kept for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// In one word.
    pub status: Status,
    /// What does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// In a sentence.
    pub reason: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

impl Last {
    pub(super) fn of(verdict: &Verdict, at_ms: i64) -> Self {
        let Verdict { status, cause, reason, nonce } = verdict.clone();
        Self { status, cause, reason, at_ms, nonce }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spelled_alike_everywhere() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_string(&status).ok(), Some(format!("\"{}\"", status.as_str())));
        }
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_string(&cause).ok(), Some(format!("\"{}\"", cause.as_str())));
        }
    }
}
