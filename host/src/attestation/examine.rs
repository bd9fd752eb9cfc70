//! An answer against all that is known: no input, no output, no clock but the one that it is given.

use super::{
    Cause, Form, hex,
    key::{self, Key},
    message::message,
    record::Awaiting,
    registry::{Listed, Standing},
    response::{Response, cut},
};
use crate::broker::redis_streams::{Challenge, Known};

/// What the site wants, where a device has no wishes of its own.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub form: Form,
    /// In lower case.
    pub firmware: Vec<String>,
    pub require_low_s: bool,
}

/// What comes of it before the nonce is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Examined {
    /// It fails, and uses up nothing.
    Failed(Cause, String),
    /// The signature holds: the nonce decides, for `fault` if there is one, and `renewed` becomes the device's record.
    Claim { fault: &'static str, renewed: Option<String> },
}

/// Code of a firmware that is not expected.
pub(super) const FIRMWARE: &str = "firmware";

/// Examines `response`, whose bytes have the digest `digest`. Times are milliseconds since 1970-01-01 UTC.
pub(super) fn examine(
    response: &Response,
    digest: &str,
    standing: &Standing,
    known: &Known,
    rules: &Rules,
    received_ms: i64,
) -> Examined {
    let failed = |cause, reason: &str| Examined::Failed(cause, reason.to_owned());
    match standing {
        Standing::Unknown => return failed(Cause::NotEnrolled, "nobody has enrolled this device"),
        Standing::Unreadable(what) => {
            return Examined::Failed(Cause::NotEnrolled, format!("its record cannot be read: {}", cut(what)));
        }
        Standing::Revoked => return failed(Cause::Revoked, "the device is revoked"),
        Standing::Awaiting(gate) if gate.until_ms < received_ms => {
            return failed(Cause::NotEnrolled, "nobody has enrolled this device; its gate has closed");
        }
        Standing::Awaiting(_) | Standing::Enrolled { .. } => {}
    }
    // Cheap things first: whoever floods us must not make us verify.
    match known.challenges.iter().find(|challenge| challenge.nonce == response.nonce) {
        None => return failed(Cause::UnknownNonce, "the nonce is none of those that this device was sent last"),
        Some(Challenge { used: Some(used), .. }) if used.response == digest => {
            // The same bytes: whether it is the same delivery, the step in Redis knows, and what came of them then.
            return Examined::Claim { fault: "", renewed: None };
        }
        Some(Challenge { used: Some(_), .. }) => {
            return failed(Cause::Replayed, "the nonce was used before, by another delivery");
        }
        Some(challenge) if challenge.expires < received_ms => {
            return Examined::Failed(Cause::Expired, expired(challenge.expires, received_ms));
        }
        Some(_) => {}
    }
    match standing {
        Standing::Enrolled { device, .. } => by_key(response, device, rules),
        Standing::Awaiting(gate) => by_gate(response, gate, rules, received_ms),
        _ => failed(Cause::NotEnrolled, "nobody has enrolled this device"),
    }
}

pub(super) fn expired(expires: i64, received_ms: i64) -> String {
    format!("the answer came {} s after its nonce had expired", (received_ms - expires).max(0) / 1000)
}

fn by_key(response: &Response, device: &Listed, rules: &Rules) -> Examined {
    let form = device.form.unwrap_or(rules.form);
    if let Err(reason) = verified(response, &device.key, form, rules) {
        let sent = response.key.as_deref().map(Key::read);
        let reason = match sent {
            Some(Ok(sent)) if sent != device.key => format!("{reason}; the key that it sent is not the enrolled one"),
            _ => reason,
        };
        return Examined::Failed(Cause::Signature, reason);
    }
    Examined::Claim { fault: fault(response, &device.firmware, rules), renewed: None }
}

fn by_gate(response: &Response, gate: &Awaiting, rules: &Rules, now_ms: i64) -> Examined {
    let refuse = |reason: &str| Examined::Failed(Cause::NotEnrolled, reason.to_owned());
    let key = match response.key.as_deref().map(Key::read) {
        None => return refuse("the gate is open, and the answer has no public_key_hex to enrol"),
        Some(Err(error)) => return refuse(&format!("the gate is open, and the answer's public_key_hex {error}")),
        Some(Ok(key)) => key,
    };
    if gate.fingerprint.as_ref().is_some_and(|expected| *expected != key.fingerprint()) {
        return refuse("the gate is open for another key");
    }
    if let Err(reason) = verified(response, &key, gate.message.unwrap_or(rules.form), rules) {
        return Examined::Failed(Cause::Signature, reason);
    }
    let fault = fault(response, &gate.firmware, rules);
    Examined::Claim { fault, renewed: Some(gate.closed_by(&key, now_ms).json()) }
}

/// Fingerprint of the key that signed `response`, of a device that stands like this, if its signature holds.
pub(super) fn signer(response: &Response, standing: &Standing) -> String {
    let key = match standing {
        Standing::Enrolled { device, .. } => Some(device.key),
        _ => response.key.as_deref().and_then(|key| Key::read(key).ok()),
    };
    key.map(|key| key.fingerprint()).unwrap_or_default()
}

/// The firmware that a device with these of its `own` may run; none: any.
fn expected<'a>(own: &'a [String], rules: &'a Rules) -> &'a [String] {
    if own.is_empty() { &rules.firmware } else { own }
}

/// Whether there is a firmware to compare that of a device with which stands like this.
pub(super) fn expects_firmware(standing: &Standing, rules: &Rules) -> bool {
    matches!(standing, Standing::Enrolled { device, .. } if !expected(&device.firmware, rules).is_empty())
}

fn fault(response: &Response, own: &[String], rules: &Rules) -> &'static str {
    let expected = expected(own, rules);
    let runs = hex::sha256(&response.firmware).unwrap_or_default();
    if expected.is_empty() || expected.contains(&runs) { "" } else { FIRMWARE }
}

fn verified(response: &Response, key: &Key, form: Form, rules: &Rules) -> Result<(), String> {
    let signature = key::signature(&response.signature).map_err(|what| format!("signature_hex {what}"))?;
    if rules.require_low_s && !key::is_low(&signature) {
        return Err("the signature's s is in the upper half, which attestation.require_low_s refuses".to_owned());
    }
    let Response { device, firmware, boot_count, nonce, .. } = response;
    match key.verifies(&message(form, device, firmware, *boot_count, nonce), &signature) {
        true => Ok(()),
        false => Err("the signature is not of the device's key over these values".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        attestation::{Signer, answer, registry::Registry},
        broker::redis_streams::Used,
    };

    const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const NOW: i64 = 1_000_000;

    struct Bench {
        signer: Signer,
        standing: Standing,
        known: Known,
        rules: Rules,
    }

    impl Bench {
        fn new() -> Self {
            let signer = Signer::generate();
            let device = Listed { key: signer.key(), firmware: Vec::new(), form: None, revoked: false };
            let challenge = Challenge { nonce: NONCE.into(), issued: NOW - 10, expires: NOW + 10, used: None };
            Self {
                signer,
                standing: Standing::Enrolled { device, by_file: true },
                known: Known { challenges: vec![challenge], ..Known::default() },
                rules: Rules { form: Form::Delimited, firmware: Vec::new(), require_low_s: false },
            }
        }

        fn answer(&self) -> Response {
            self.signed(Form::Delimited, 42)
        }

        fn signed(&self, form: Form, boot: u64) -> Response {
            let payload = answer(&self.signer, form, "dev", &"ab".repeat(32), boot, NONCE, false);
            Response::read(payload.as_bytes(), Some("dev")).expect("an answer")
        }

        fn examine(&self, response: &Response) -> Examined {
            examine(response, "digest", &self.standing, &self.known, &self.rules, NOW)
        }

        fn cause(&self, response: &Response) -> Cause {
            match self.examine(response) {
                Examined::Failed(cause, _) => cause,
                Examined::Claim { .. } => panic!("it holds"),
            }
        }
    }

    const HOLDS: Examined = Examined::Claim { fault: "", renewed: None };

    #[test]
    fn an_answer_that_changes_in_any_part_fails_by_its_signature() {
        let bench = Bench::new();
        let good = bench.answer();
        assert_eq!(bench.examine(&good), HOLDS);
        let changes: [fn(&mut Response); 4] = [
            |response| response.device = "dew".into(),
            |response| response.firmware = "ac".repeat(32),
            |response| response.boot_count += 1,
            |response| response.signature.replace_range(4..6, "00"),
        ];
        for change in changes {
            let mut forged = good.clone();
            change(&mut forged);
            if forged != good {
                assert_eq!(bench.cause(&forged), Cause::Signature, "{forged:?}");
            }
        }
        let stranger = Signer::generate();
        let payload = answer(&stranger, Form::Delimited, "dev", &"ab".repeat(32), 42, NONCE, true);
        let forged = Response::read(payload.as_bytes(), None).expect("an answer");
        let Examined::Failed(Cause::Signature, reason) = bench.examine(&forged) else { panic!("it holds") };
        assert!(reason.contains("not the enrolled one"), "{reason}");
    }

    #[test]
    fn both_s_are_taken_unless_the_lower_one_is_required() {
        let mut bench = Bench::new();
        let one = bench.answer();
        let other = Response { signature: crate::attestation::simulate::mirrored(&one.signature), ..one.clone() };
        assert_ne!(one.signature, other.signature);
        assert_eq!((bench.examine(&one), bench.examine(&other)), (HOLDS, HOLDS));
        bench.rules.require_low_s = true;
        let taken = [&one, &other].into_iter().filter(|response| bench.examine(response) == HOLDS).count();
        assert_eq!(taken, 1);
    }

    #[test]
    fn a_nonce_must_be_ours_and_new_and_unused() {
        let mut bench = Bench::new();
        let response = bench.answer();
        let late = |expires| Challenge { nonce: NONCE.into(), issued: 0, expires, used: None };
        bench.known.challenges = vec![late(NOW - 1)];
        assert_eq!(bench.cause(&response), Cause::Expired);
        let used = |response: &str| Some(Used { response: response.into(), code: "valid".into() });
        bench.known.challenges = vec![Challenge { used: used("other"), ..late(NOW) }];
        assert_eq!(bench.cause(&response), Cause::Replayed);
        // The same bytes are for the step in Redis to tell: a redelivery, a repetition or a replay.
        bench.known.challenges = vec![Challenge { used: used("digest"), ..late(NOW - 1) }];
        assert_eq!(bench.examine(&response), HOLDS);
        bench.known.challenges.clear();
        assert_eq!(bench.cause(&response), Cause::UnknownNonce);
    }

    #[test]
    fn only_enrolled_devices_are_believed() {
        let mut bench = Bench::new();
        let response = bench.answer();
        for (standing, cause) in [
            (Standing::Unknown, Cause::NotEnrolled),
            (Standing::Revoked, Cause::Revoked),
            (Standing::Unreadable("x".into()), Cause::NotEnrolled),
        ] {
            bench.standing = standing;
            assert_eq!(bench.cause(&response), cause);
        }
    }

    #[test]
    fn a_key_comes_in_through_an_open_gate_alone() {
        let mut bench = Bench::new();
        let gate = Awaiting { until_ms: NOW, fingerprint: None, firmware: Vec::new(), message: None };
        bench.standing = Standing::Awaiting(gate.clone());
        assert_eq!(bench.cause(&bench.answer()), Cause::NotEnrolled, "it sends no key");
        let payload = answer(&bench.signer, Form::Delimited, "dev", &"ab".repeat(32), 42, NONCE, true);
        let response = Response::read(payload.as_bytes(), None).expect("an answer");
        let Examined::Claim { fault: "", renewed: Some(record) } = bench.examine(&response) else {
            panic!("{:?}", bench.examine(&response));
        };
        let standing = Registry::default().standing("dev", Some(&record));
        assert!(matches!(&standing, Standing::Enrolled { device, .. } if device.key == bench.signer.key()));
        // Its boot count is of the same key before and after it.
        for standing in [&bench.standing, &standing] {
            assert_eq!(signer(&response, standing), bench.signer.key().fingerprint());
        }
        // Signed by another key than it shows.
        let mut forged = response.clone();
        forged.key = Some(Signer::generate().key().hex());
        assert_eq!(bench.cause(&forged), Cause::Signature);
        forged.key = Some("04".into());
        assert_eq!(bench.cause(&forged), Cause::NotEnrolled);
        bench.standing = Standing::Awaiting(Awaiting { fingerprint: Some("00".into()), ..gate.clone() });
        assert_eq!(bench.cause(&response), Cause::NotEnrolled);
        bench.standing = Standing::Awaiting(Awaiting { until_ms: NOW - 1, ..gate });
        assert_eq!(bench.cause(&response), Cause::NotEnrolled);
    }

    #[test]
    fn firmware_must_be_expected_by_the_device_else_by_the_site() {
        let mut bench = Bench::new();
        let (runs, other) = ("ab".repeat(32), "cd".repeat(32));
        let response = bench.answer();
        let own = |firmware: &[&String]| Listed {
            key: bench.signer.key(),
            firmware: firmware.iter().map(|hash| (*hash).clone()).collect(),
            form: None,
            revoked: false,
        };
        let cases = [
            (own(&[]), vec![], ""),
            (own(&[]), vec![other.clone()], FIRMWARE),
            (own(&[&other]), vec![runs.clone()], FIRMWARE),
            (own(&[&other, &runs]), vec![], ""),
        ];
        for (device, firmware, fault) in cases {
            let compares = !(device.firmware.is_empty() && firmware.is_empty());
            bench.standing = Standing::Enrolled { device, by_file: true };
            bench.rules.firmware = firmware;
            assert_eq!(bench.examine(&response), Examined::Claim { fault, renewed: None });
            assert_eq!(expects_firmware(&bench.standing, &bench.rules), compares);
        }
    }

    #[test]
    fn the_legacy_form_is_taken_where_it_is_set_and_nowhere_else() {
        let mut bench = Bench::new();
        let legacy = bench.signed(Form::Legacy, 42);
        assert_eq!(bench.cause(&legacy), Cause::Signature);
        if let Standing::Enrolled { device, .. } = &mut bench.standing {
            device.form = Some(Form::Legacy);
        }
        assert_eq!(bench.examine(&legacy), HOLDS);
        assert_eq!(bench.cause(&bench.answer()), Cause::Signature, "and then the other one is not");
        // What the legacy form cannot tell apart, the exact nonce still does.
        let moved = Response { boot_count: 4, nonce: format!("2{NONCE}"), ..legacy };
        assert_eq!(bench.cause(&moved), Cause::UnknownNonce);
    }
}
