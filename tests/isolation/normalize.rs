use anyhow::Result;

use super::{among_others, hostile};

/// Deeds, and a word of the reason that a person should read.
const DEEDS: [(&str, &str); 21] = [
    ("spin", "no answer within"),
    ("trap", "trap"),
    ("panic", "trap"),
    ("hoard", "memory"),
    ("recurse", "trap"),
    ("flood-forever", "no answer within"),
    ("failure", "told to"),
    ("settings", "told to"),
    ("huge", "output"),
    ("short-column", "severity"),
    ("long-column", "timestamp"),
    ("no-verdict", "disposition"),
    ("miscount", ""),
    ("none-accepted", ""),
    ("counts-overflow", "ends"),
    ("ends-back", "ends at byte"),
    ("ends-beyond", "ends at byte"),
    ("not-utf8", "UTF-8"),
    ("cut-utf8", "letter"),
    ("lost-observables", "observable"),
    ("reject", "told to"),
];

#[test]
fn each_deed_costs_its_own_event_and_no_other() -> Result<()> {
    for (deed, word) in DEEDS {
        let culprit = among_others(&format!("normalize {deed}"))?;
        assert_eq!(culprit.outcome(), "rejected", "{deed}: {culprit:?}");
        assert!(culprit.reason().contains(word), "{deed}: `{word}` is not in `{}`", culprit.reason());
        assert!(!culprit.reason().is_empty(), "{deed} has no reason");
    }
    Ok(())
}

#[test]
fn several_culprits_of_one_batch_are_all_found() -> Result<()> {
    let lines = ["normalize trap", "plain", "normalize ends-back", "normalize spin", "plain", "normalize hoard"];
    let outcomes: Vec<_> = hostile(&lines)?.lines.iter().map(|line| line.outcome().to_owned()).collect();
    assert_eq!(outcomes, ["rejected", "accepted", "rejected", "rejected", "accepted", "rejected"]);
    Ok(())
}

#[test]
fn a_drop_is_a_drop_with_its_reason() -> Result<()> {
    let dropped = among_others("normalize drop")?;
    assert_eq!((dropped.outcome(), dropped.reason()), ("dropped", "told to"));
    Ok(())
}

#[test]
fn one_raw_event_may_give_several() -> Result<()> {
    let many = among_others("normalize many")?;
    assert_eq!((many.outcome(), many.count()), ("accepted", 3));
    let ids: std::collections::HashSet<_> = (0..3).map(|index| many.event(index)["id"].to_string()).collect();
    assert_eq!(ids.len(), 3, "events of one raw event share an id");
    Ok(())
}

#[test]
fn nothing_is_left_of_a_batch_in_the_next() -> Result<()> {
    // More than one batch, each with a culprit: a poisoned instance would take the later ones along.
    let lines: Vec<&str> = (0..2000).map(|number| if number % 400 == 7 { "normalize trap" } else { "plain" }).collect();
    let piped = hostile(&lines)?.lines;
    let rejected = piped.iter().filter(|line| line.outcome() == "rejected").count();
    assert_eq!((piped.len(), rejected), (2000, 5));
    Ok(())
}
