//! Records of AWS CloudTrail.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, title},
};

/// Whether this is a CloudTrail record.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("eventSource").is_some_and(|source| source.contains('.')) && event.get("eventName").is_some()
}

/// What the record means. CloudTrail has no severity: a call that went well is `info`, one that was refused `low`, a
/// failed console login or use of the root account `medium`.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let service = event.get("eventSource").unwrap_or_default();
    let name = event.get("eventName").unwrap_or_default();
    let who = event.first(&[
        "userIdentity.userName",
        "userIdentity.arn",
        "userIdentity.principalId",
        "userIdentity.invokedBy",
        "userIdentity.type",
    ]);
    let service = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let _ = write!(words.title, "{} {}", title::line(service), title::line(name));
    if let Some(who) = who {
        let _ = write!(words.title, " by {}", title::line(who));
    }
    let error = event.first(&["errorCode", "errorMessage"]);
    if let Some(error) = error {
        let _ = write!(words.title, ": {}", title::line(error));
    }
    if let Some(address) = event.get("sourceIPAddress") {
        let _ = write!(words.description, "from {address} ");
    }
    if let Some(region) = event.get("awsRegion") {
        let _ = write!(words.description, "in {region}");
    }
    let root = event.get("userIdentity.type") == Some("Root");
    let login_failed = event.get("responseElements.ConsoleLogin") == Some("Failure");
    let severity = match error {
        _ if root || login_failed => Severity::Medium,
        Some(_) => Severity::Low,
        None => Severity::Info,
    };
    let timestamp_ms = about.time([event.get("eventTime")]);
    Meaning { kind: Kind::Alert, severity, category: Category::Cloud, timestamp_ms, device: None }
}
