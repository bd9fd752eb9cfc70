use anyhow::Result;

use super::{among_others, hostile};

#[test]
fn whatever_the_policy_does_the_event_stays() -> Result<()> {
    let deeds = [
        "spin",
        "trap",
        "panic",
        "hoard",
        "recurse",
        "failure",
        "huge",
        "wildcard",
        "outside",
        "spaces",
        "short-column",
        "out-of-range",
        "observable-out-of-range",
        "key-out-of-range",
    ];
    for deed in deeds {
        let culprit = among_others(&format!("federate {deed}"))?;
        assert_eq!(culprit.outcome(), "accepted", "{deed}: {culprit:?}");
        assert!(culprit.share(0).is_null(), "{deed} left the site: {culprit:?}");
        assert!(!culprit.keep_reason(0).is_empty(), "{deed} is kept without a reason");
    }
    Ok(())
}

#[test]
fn a_private_address_never_leaves() -> Result<()> {
    let shared = among_others("federate reserved")?.share(0).to_string();
    assert!(shared.contains("bad.evil-site.net") && !shared.contains("10.1.2.3"), "{shared}");
    Ok(())
}

#[test]
fn the_observables_that_the_policy_chose_and_no_others_are_shared() -> Result<()> {
    let piped = hostile(&["share this"])?;
    let observables = &piped.lines[0].share(0)["observables"];
    assert_eq!(*observables, serde_json::json!([{"type": "domain", "value": "bad.evil-site.net"}]));
    Ok(())
}
