//! From a verdict to events: the result of an answer, and the alert of one that failed.

use sha2::{Digest, Sha256};

use super::{Status, Verdict, hex, response::cut};
use crate::{
    event::Delivery,
    sandbox::{Category, Kind, Severity, events::Draft},
};

/// What begins the keys of fields that are the verdict's. No guest's fields are kept that begin so.
const PREFIX: &str = "attestation.";

/// Set on a result that has an alert of its own beside it, so that a router does not make one of the result.
const ALERT: &str = "attestation.alert";

/// Puts `verdict` into the attestation events among `drafts`, all of one delivery, and adds an alert where it failed.
pub(super) fn rewrite(drafts: &mut Vec<Draft>, verdict: &Verdict, delivery: &Delivery) {
    let Some(first) = drafts.iter().position(|draft| draft.kind == Kind::Attestation) else { return };
    let device = device_of(&drafts[first], delivery);
    for draft in drafts.iter_mut().filter(|draft| draft.kind == Kind::Attestation) {
        enter(draft, verdict, &device);
    }
    if verdict.status == Status::Failed {
        let alert = alert(&drafts[first], verdict, &device, &delivery.payload);
        drafts.push(alert);
    }
}

fn device_of(draft: &Draft, delivery: &Delivery) -> String {
    let named = Some(draft.device_id.as_str()).filter(|device| !device.is_empty());
    named.or(delivery.context.device_id.as_deref()).unwrap_or("a device").to_owned()
}

fn enter(draft: &mut Draft, verdict: &Verdict, device: &str) {
    draft.fields.retain(|(key, _)| !key.starts_with(PREFIX));
    let field = |key: &str, value: &str| (format!("{PREFIX}{key}"), value.to_owned());
    draft.fields.push(field("status", verdict.status.as_str()));
    draft.fields.push(field("valid", if verdict.status == Status::Valid { "true" } else { "false" }));
    draft.fields.push(field("reason", &verdict.reason));
    if let Some(cause) = verdict.cause {
        draft.fields.push(field("cause", cause.as_str()));
        draft.fields.push((ALERT.to_owned(), "raised".to_owned()));
    }
    draft.severity = if verdict.status == Status::Failed { Severity::Critical } else { Severity::Info };
    draft.category = Category::Cps;
    draft.title = match verdict.status {
        Status::Valid => format!("{device} attested"),
        Status::StructuralPass => format!("{device} enrolled by its answer"),
        Status::Failed => format!("{device} attestation failed"),
    };
    draft.description.clone_from(&verdict.reason);
}

/// What a person has to look at.
fn alert(result: &Draft, verdict: &Verdict, device: &str, payload: &[u8]) -> Draft {
    let cause = verdict.cause.map_or("", |cause| cause.as_str());
    let kept =
        ["attestation.status", "attestation.reason", "attestation.cause", "firmware_hash", "boot_count", "nonce"];
    let fields = result.fields.iter().filter(|(key, _)| kept.contains(&key.as_str())).cloned().collect();
    let digest = hex::encode(&Sha256::digest(payload));
    Draft {
        kind: Kind::Alert,
        severity: Severity::Critical,
        category: Category::Cps,
        timestamp_ms: result.timestamp_ms,
        fields,
        observables: Vec::new(),
        techniques: Vec::new(),
        source: result.source.clone(),
        device_id: result.device_id.clone(),
        // The same answer again and again, or through two hosts, is one alert within the window.
        dedup_key: format!("attestation {device} {cause} {}", &digest[..32]),
        title: format!("{device} failed attestation: {}", cut(&verdict.reason)),
        description: verdict.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{
        attestation::Cause,
        event::{Context, Duty, Identity},
    };

    fn delivery() -> Delivery {
        Delivery {
            context: Arc::new(Context { device_id: Some("dev".into()), ..Context::default() }),
            received_ms: 0,
            payload: Bytes::from_static(b"{}"),
            identity: Identity::Once(1),
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        }
    }

    fn draft() -> Draft {
        Draft {
            kind: Kind::Attestation,
            severity: Severity::Info,
            category: Category::Network,
            timestamp_ms: 7,
            fields: vec![
                ("attestation.valid".into(), "true".into()),
                ("attestation.forged".into(), "x".into()),
                ("boot_count".into(), "3".into()),
            ],
            observables: Vec::new(),
            techniques: Vec::new(),
            source: String::new(),
            device_id: String::new(),
            dedup_key: String::new(),
            title: String::new(),
            description: String::new(),
        }
    }

    fn field<'a>(draft: &'a Draft, key: &str) -> Option<&'a str> {
        draft.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_guest_cannot_say_that_an_answer_is_valid() {
        let mut drafts = vec![draft()];
        rewrite(&mut drafts, &Verdict::failed(Cause::Replayed, "used", Some("n")), &delivery());
        let [result, alert] = &drafts[..] else { panic!("{drafts:?}") };
        assert_eq!((field(result, "attestation.valid"), field(result, "attestation.forged")), (Some("false"), None));
        assert_eq!(field(result, "attestation.status"), Some("failed"));
        assert_eq!((result.severity, result.category), (Severity::Critical, Category::Cps));
        assert_eq!((alert.kind, alert.severity, alert.category), (Kind::Alert, Severity::Critical, Category::Cps));
        assert_eq!((field(alert, "attestation.cause"), field(alert, "boot_count")), (Some("replayed"), Some("3")));
        assert!(alert.title.contains("dev failed attestation: used"), "{}", alert.title);
    }

    #[test]
    fn what_holds_raises_no_alert() {
        let mut drafts = vec![draft()];
        let verdict = Verdict { status: Status::Valid, cause: None, reason: "holds".into(), nonce: None };
        rewrite(&mut drafts, &verdict, &delivery());
        assert_eq!(drafts.len(), 1);
        assert_eq!((field(&drafts[0], "attestation.valid"), drafts[0].severity), (Some("true"), Severity::Info));
    }
}
