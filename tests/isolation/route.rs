use anyhow::Result;

use super::among_others;

#[test]
fn whatever_the_router_does_the_event_goes_to_the_default_stream() -> Result<()> {
    let deeds = [
        "spin",
        "trap",
        "panic",
        "hoard",
        "recurse",
        "failure",
        "huge",
        "unknown",
        "short-column",
        "out-of-range",
        "reason-out-of-range",
        "miscount",
    ];
    for deed in deeds {
        let culprit = among_others(&format!("route {deed}"))?;
        assert_eq!(culprit.outcome(), "accepted", "{deed}: {culprit:?}");
        assert_eq!(culprit.streams(0), ["aurora:alerts"], "{deed}");
    }
    Ok(())
}

#[test]
fn an_event_without_a_stream_is_published_nowhere() -> Result<()> {
    let nowhere = among_others("route nowhere")?;
    assert!(nowhere.streams(0).is_empty(), "{nowhere:?}");
    Ok(())
}

#[test]
fn an_event_stands_once_in_a_stream_that_is_named_twice() -> Result<()> {
    let twice = among_others("route twice")?;
    assert_eq!(twice.streams(0), ["aurora:alerts"]);
    Ok(())
}
