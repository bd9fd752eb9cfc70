//! From a verdict to events: the result of an answer, and the alert of one that failed.

use sha2::{Digest, Sha256};

use super::{Status, Verdict, hex, repeats::time, response::cut};
use crate::{
    broker::redis_streams::Repetition,
    event::Delivery,
    sandbox::{Category, Kind, Severity, events::Draft},
};

/// What begins the keys of fields that are the verdict's. No guest's fields are kept that begin so.
const PREFIX: &str = "attestation.";

/// Set on a result that has an alert of its own beside it, so that a router does not make one of the result.
const ALERT: &str = "attestation.alert";

/// How many failures like this one were not told, and since when.
const MORE: &str = "attestation.more";
const SINCE: &str = "attestation.since";

/// Puts `verdict` into the attestation events among `drafts`, all of one delivery, and adds an alert where it failed. What
/// was like it `before` and was not told goes with both.
pub(super) fn rewrite(drafts: &mut Vec<Draft>, verdict: &Verdict, before: Option<&Repetition>, delivery: &Delivery) {
    let Some(first) = drafts.iter().position(|draft| draft.kind == Kind::Attestation) else { return };
    let device = device_of(&drafts[first], delivery);
    for draft in drafts.iter_mut().filter(|draft| draft.kind == Kind::Attestation) {
        enter(draft, verdict, &device);
        if let Some(before) = before.filter(|before| before.more > 0) {
            draft.fields.push((MORE.to_owned(), before.more.to_string()));
            draft.fields.push((SINCE.to_owned(), time(before.since_ms)));
        }
    }
    if verdict.status == Status::Failed {
        let alert = alert(&drafts[first], verdict, before, &device, &delivery.payload);
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
fn alert(result: &Draft, verdict: &Verdict, before: Option<&Repetition>, device: &str, payload: &[u8]) -> Draft {
    let cause = verdict.cause.map_or("", |cause| cause.as_str());
    let own = ["attestation.status", "attestation.reason", "attestation.cause", MORE, SINCE];
    let is_kept = |key: &str| own.contains(&key) || ["firmware_hash", "boot_count", "nonce"].contains(&key);
    let fields = result.fields.iter().filter(|(key, _)| is_kept(key)).cloned().collect();
    let digest = hex::encode(&Sha256::digest(payload));
    // The one that speaks for a window is no repetition of the one that spoke for the window before.
    let window = before.map(|before| format!(" {}", before.opened_ms)).unwrap_or_default();
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
        dedup_key: format!("attestation {device} {cause} {}{window}", &digest[..32]),
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
        rewrite(&mut drafts, &Verdict::failed(Cause::Replayed, "used", Some("n")), None, &delivery());
        let [result, alert] = &drafts[..] else { panic!("{drafts:?}") };
        assert_eq!((field(result, "attestation.valid"), field(result, "attestation.forged")), (Some("false"), None));
        assert_eq!(field(result, "attestation.status"), Some("failed"));
        assert_eq!((result.severity, result.category), (Severity::Critical, Category::Cps));
        assert_eq!((alert.kind, alert.severity, alert.category), (Kind::Alert, Severity::Critical, Category::Cps));
        assert_eq!((field(alert, "attestation.cause"), field(alert, "boot_count")), (Some("replayed"), Some("3")));
        assert!(alert.title.contains("dev failed attestation: used"), "{}", alert.title);
    }

    #[test]
    fn the_alert_of_the_next_window_is_no_repetition_and_says_how_many_there_were() {
        let alert = |opened_ms, more| {
            let before = Repetition { is_told: true, opened_ms, more, since_ms: 0, is_shared: false };
            let mut drafts = vec![draft()];
            let verdict = Verdict::failed(Cause::Replayed, "used", None);
            rewrite(&mut drafts, &verdict, Some(&before), &delivery());
            let shown = drafts.iter().map(|draft| field(draft, MORE).map(str::to_owned)).collect::<Vec<_>>();
            (drafts.pop().expect("an alert").dedup_key, shown)
        };
        let ((first, unsaid), (again, _), (next, said)) = (alert(5, 0), alert(5, 0), alert(6, 12));
        assert_eq!(first, again, "delivered again it is the same alert");
        assert_ne!(first, next);
        assert_eq!((unsaid, said), (vec![None, None], vec![Some("12".to_owned()), Some("12".to_owned())]));
    }

    #[test]
    fn what_holds_raises_no_alert() {
        let mut drafts = vec![draft()];
        let verdict = Verdict { status: Status::Valid, cause: None, reason: "holds".into(), nonce: None };
        rewrite(&mut drafts, &verdict, None, &delivery());
        assert_eq!(drafts.len(), 1);
        assert_eq!((field(&drafts[0], "attestation.valid"), drafts[0].severity), (Some("true"), Severity::Info));
    }
}
