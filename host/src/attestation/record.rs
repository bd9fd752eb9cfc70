//! What Redis keeps of a device that a command or a first answer enrolled.

use serde::{Deserialize, Serialize};

use super::{Form, Key};

/// A record of the registry in Redis, JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub enum Record {
    /// Its key is known.
    Enrolled(Enrolled),
    /// The gate is open: the key of its next answer becomes its key.
    Awaiting(Awaiting),
    /// Nothing that it says is valid, until a file has another key for it.
    Revoked(Revoked),
}

/// A device whose key is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// See [`Key::hex`].
    pub key: String,
    /// SHA-256 of each firmware that it may run, in hexadecimal; none: those of `attestation.firmware`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firmware: Vec<String>,
    /// The form of its messages; none: that of `attestation.message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Form>,
    /// Since when, milliseconds since 1970-01-01 UTC.
    pub since_ms: i64,
    /// Whether the key came with an answer, through an open gate, and not from a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_answer: bool,
}

/// An open gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// Until when, milliseconds since 1970-01-01 UTC.
    pub until_ms: i64,
    /// [`Key::fingerprint`] of the only key that may come in; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// As in [`Enrolled::firmware`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firmware: Vec<String>,
    /// As in [`Enrolled::message`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Form>,
}

/// A device that is not believed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Since when, milliseconds since 1970-01-01 UTC.
    pub since_ms: i64,
    /// [`Key::fingerprint`] of each key that was revoked: another one that a file names is believed. None, as for a device
    /// that had no key yet: no key is, until the device is enrolled by command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl Revoked {
    /// Whether nothing is valid that `key` signs, which a file names.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.keys.is_empty() || self.keys.contains(&key.fingerprint())
    }
}

impl Record {
    /// As it is written.
    #[must_use]
    pub fn json(&self) -> String {
        // Texts and numbers: nothing here can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Out of what is written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl Awaiting {
    /// What it becomes with `key`.
    pub(super) fn closed_by(&self, key: &Key, now_ms: i64) -> Record {
        Record::Enrolled(Enrolled {
            key: key.hex(),
            firmware: self.firmware.clone(),
            message: self.message,
            since_ms: now_ms,
            by_answer: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let enrolled = Enrolled { key: "04".into(), firmware: vec![], message: None, since_ms: 1, by_answer: false };
        let awaiting =
            Awaiting { until_ms: 5, fingerprint: None, firmware: vec!["a".into()], message: Some(Form::Legacy) };
        let revoked = |keys| Record::Revoked(Revoked { since_ms: 7, keys });
        for record in [
            Record::Enrolled(enrolled),
            Record::Awaiting(awaiting),
            revoked(vec!["a".into(), "b".into()]),
            revoked(vec![]),
        ] {
            assert_eq!(Record::read(&record.json()), Ok(record));
        }
        assert_eq!(Record::read(r#"{"state":"revoked","since_ms":7}"#), Ok(revoked(vec![])));
        assert!(Record::read(r#"{"state":"trusted"}"#).is_err());
    }
}
