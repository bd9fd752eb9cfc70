//! The folders of `cases/`, natively; `aurora guest test guests/normalize-logins` runs them on the component.

use aurora_guest::testing::{Case, Cases, normalized_json, without_state};
use normalize_logins::normalize;

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).normalize(normalize);
}

#[test]
fn without_its_memory_it_decides_on_the_event_alone() {
    let input = b"sshd[9]: Failed password for root from 203.0.113.7 port 4242 ssh2\n".repeat(9);
    let batch = Case::default().raw_events(&input);
    let outcomes = without_state(|| normalize(&batch).map(|answer| normalized_json(batch, answer))).unwrap();
    for outcome in outcomes.as_array().unwrap() {
        let event = &outcome["events"][0]["event"];
        assert_eq!((event["severity"].as_str(), event["fields"]["failed"].as_str()), (Some("low"), Some("unknown")));
    }
}
