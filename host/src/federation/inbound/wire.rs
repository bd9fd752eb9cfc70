//! Messages as sites write them. Fields that are not named here are tolerated: a later version may have more.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An event: an alert, or an entry of a stream that was offered.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub id: String,
    #[serde(default)]
    pub source: String,
    pub severity: String,
    pub category: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    #[serde(default)]
    pub iocs: Vec<Listed>,
    /// Those of `iocs` that the event has and its site does not tell of.
    #[serde(default)]
    pub iocs_seen: Vec<Listed>,
    #[serde(default)]
    pub mitre_techniques: Vec<String>,
    pub timestamp_ms: i64,
    #[serde(default)]
    pub device_id: Option<String>,
    #[serde(default)]
    pub site: Option<String>,
    #[serde(default)]
    pub tlp: Option<String>,
}

/// An observable of an event.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Listed {
    /// As we write it.
    Typed {
        #[serde(rename = "type")]
        kind: String,
        value: String,
    },
    /// As the original wrote it: of what type it is nobody can say.
    #[expect(dead_code, reason = "it is read to be passed over")]
    Bare(String),
}

/// The result of an attestation.
#[derive(Debug, Deserialize)]
pub(super) struct Attestation {
    pub device_id: Option<String>,
    pub status: String,
    #[serde(default)]
    pub valid: Option<bool>,
    #[serde(default)]
    pub reason: String,
    pub timestamp: String,
    #[serde(default)]
    pub site: Option<String>,
    #[serde(default)]
    pub event_id: Option<String>,
    #[serde(default)]
    pub tlp: Option<String>,
}

/// An indicator, or that one was seen.
#[derive(Debug, Deserialize)]
pub(super) struct Indicator {
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
    pub timestamp: String,
    #[serde(default)]
    pub site: Option<String>,
    #[serde(default)]
    pub event_id: Option<String>,
    #[serde(default)]
    pub tlp: Option<String>,
}
