use std::collections::BTreeSet;

use anyhow::Result;
use harness::{Message, Site};

const DOOR: &str = "aurora/sensors/door_1/alerts";
const HASH: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";

fn alert() -> String {
    format!(r#"{{"severity":"high","title":"Known file","sha256":"{HASH}"}}"#)
}

fn subjects(messages: &[Message]) -> BTreeSet<&str> {
    messages.iter().map(|message| message.subject.as_str()).collect()
}

#[tokio::test]
async fn both_sets_carry_the_same_alert_and_the_same_observable_in_one_stream() -> Result<()> {
    let site = Site::plan().set("federation.sets", vec!["aurora", "AURORA"]).start().await?;
    site.publish(DOOR, 1, [alert()]).await?;
    let messages = site.jetstream_of(4).await?;
    let expected = ["AURORA.alerts", "AURORA.ioc_sharing", "aurora.alerts.cps", "aurora.intel.ioc.hash_sha256"];
    assert_eq!((messages.len(), subjects(&messages)), (4, BTreeSet::from(expected)));
    let on = |subject: &str| messages.iter().find(|message| message.subject == subject).map(Message::json);
    assert_eq!(on("AURORA.alerts"), on("aurora.alerts.cps"));
    assert_eq!(on("AURORA.ioc_sharing"), on("aurora.intel.ioc.hash_sha256"));
    let ids: BTreeSet<_> = messages.iter().filter_map(|message| message.id.as_deref()).collect();
    assert_eq!(ids.len(), 4, "JetStream would take two with one id for one: {ids:?}");
    site.series_of("aurora_stage_out_total{stage=\"relay\"}", 4.0).await?;
    let scrape = site.scrape().await?;
    for series in [
        "aurora_events_federated_total",
        "aurora_federation_out_total{what=\"alert\"}",
        "aurora_federation_out_total{what=\"indicator\"}",
    ] {
        assert_eq!(scrape.get(series)?, 1.0, "a copy is no second event: {series}");
    }
    Ok(())
}

#[tokio::test]
async fn the_second_set_may_stand_alone() -> Result<()> {
    let site = Site::plan().set("federation.sets", vec!["AURORA"]).start().await?;
    site.publish(DOOR, 1, [alert()]).await?;
    let messages = site.jetstream_of(2).await?;
    assert_eq!(subjects(&messages), BTreeSet::from(["AURORA.alerts", "AURORA.ioc_sharing"]));
    let entry = site.stream_of("aurora:cps:alerts", 1).await?.remove(0);
    assert!(entry.text("provenance").contains(r#""subject":"AURORA.alerts""#), "{}", entry.text("provenance"));
    site.series_of("aurora_events_federated_total", 1.0).await?;
    Ok(())
}
