//! `aurora explain`, over what a real daemon has written.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aurora::sandbox::Digest;
use harness::{Site, binary};
use serde_json::Value;

use super::alert;

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// What the command says, and whether it found anything.
fn explain(site: &Site, arguments: &[&str]) -> Result<(bool, String)> {
    let config = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).arg("explain").arg("--config").arg(config).args(arguments).output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), said))
}

fn as_json(site: &Site, subject: &str) -> Result<Value> {
    let (found, said) = explain(site, &[subject, "--json"])?;
    ensure!(found, "{said}");
    serde_json::from_str(&said).context("no JSON")
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string().replace("sha256:", "")
}

#[tokio::test]
async fn tells_the_whole_way_of_an_event_by_its_id_and_by_its_bytes() -> Result<()> {
    let site = Site::plan().start().await?;
    let (first, raw) = (alert("high", 1), sha256(alert("high", 1).as_bytes()));
    site.publish(DOOR, 1, [first.clone(), alert("high", 2), first.clone(), first]).await?;
    let entries = site.stream_of("aurora:cps:alerts", 2).await?;
    site.series_of("aurora_stage_dropped_total{stage=\"dedup\"}", 2.0).await?;
    site.series_of("aurora_events_federated_total", 2.0).await?;
    let id = entries[0].data()["id"].as_str().context("no id")?.to_owned();

    let said = as_json(&site, &id)?;
    let event = &said["events"][0];
    assert_eq!((event["id"].as_str(), event["raw"].as_str()), (Some(&*id), Some(&*raw)), "{said:#}");
    assert_eq!((event["topic"].as_str(), event["device_id"].as_str()), (Some(DOOR), Some("door_1")));
    let guests: Vec<_> =
        (0..3).map(|i| (event["guests"][i]["slot"].as_str(), event["guests"][i]["name"].as_str())).collect();
    let stock = ["normalize", "route", "federate"].map(|stage| (Some(stage), format!("{stage}-core")));
    assert!(
        guests.iter().zip(&stock).all(|(found, wanted)| found.0 == wanted.0 && found.1 == Some(&wanted.1)),
        "{guests:?}"
    );
    assert_eq!(event["guests"][0]["digest"].as_str().map(str::len), Some("sha256:".len() + 64));
    assert_eq!(
        (&event["streams"][0]["stream"], &event["streams"][0]["entry"]),
        (&"aurora:cps:alerts".into(), &entries[0].id.clone().into())
    );
    assert!(event["route_reason"].is_string() && event["share"]["reason"].is_string(), "{said:#}");
    assert_eq!(event["suppressed"], 2);
    assert_eq!(event["outbox"].as_array().map(Vec::len), Some(0));
    assert_eq!((&event["jetstream"]["state"], &event["jetstream"]["stream"]), (&"stored".into(), &"AURORA".into()));
    assert!(event["jetstream"]["sequence"].as_u64().is_some_and(|sequence| sequence > 0));

    assert_eq!(as_json(&site, &raw)?["events"][0]["id"].as_str(), Some(&*id), "not found by its bytes");
    let (found, text) = explain(&site, &[&id])?;
    assert!(found && text.contains("acknowledged") && text.contains("2 of equal content"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_and_the_bytes_of_one_lead_to_each_other() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let broken = b"{\"severity\":";
    site.publish(DOOR, 1, [broken]).await?;
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    for subject in [letter.id.clone(), sha256(broken)] {
        let said = as_json(&site, &subject)?;
        assert_eq!(said["dead_letters"][0]["id"], letter.id, "{subject}: {said:#}");
        assert_eq!(said["events"].as_array().map(Vec::len), Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn what_waits_for_other_sites_is_shown_in_the_outbox() -> Result<()> {
    let mut site = Site::plan().start().await?;
    site.nats.as_mut().context("no NATS")?.kill();
    site.publish(DOOR, 1, [alert("high", 1)]).await?;
    let entry = site.stream_of("aurora:cps:alerts", 1).await?.remove(0);
    let id = entry.data()["id"].as_str().context("no id")?.to_owned();
    let said = as_json(&site, &id)?;
    let event = &said["events"][0];
    assert_eq!(event["outbox"][0]["id"].as_str(), Some(&*id), "{said:#}");
    assert_eq!(event["jetstream"]["state"], "unknown", "{said:#}");
    Ok(())
}

#[tokio::test]
async fn every_message_of_an_alert_is_named_with_its_acknowledgement() -> Result<()> {
    let site = Site::plan().set("federation.sets", vec!["aurora", "AURORA"]).start().await?;
    let hash = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    site.publish(DOOR, 1, [format!(r#"{{"severity":"high","title":"Known file","sha256":"{hash}"}}"#)]).await?;
    let entry = site.stream_of("aurora:cps:alerts", 1).await?.remove(0);
    site.series_of("aurora_stage_out_total{stage=\"relay\"}", 4.0).await?;
    let id = entry.data()["id"].as_str().context("no id")?.to_owned();
    let said = as_json(&site, &id)?;
    let messages = said["events"][0]["messages"].as_array().context("no messages")?;
    let of = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        (text("id").replace(&id, ""), text("subject"))
    };
    let expected = [
        ("", "aurora.alerts.cps"),
        (":AURORA", "AURORA.alerts"),
        (":ioc:0", "aurora.intel.ioc.hash_sha256"),
        (":ioc:0:AURORA", "AURORA.ioc_sharing"),
    ];
    let expected = expected.map(|(id, subject)| (id.to_owned(), subject.to_owned()));
    assert_eq!(messages.iter().map(of).collect::<Vec<_>>(), expected, "{said:#}");
    for message in messages {
        assert_eq!((&message["jetstream"]["state"], &message["waits"]), (&"stored".into(), &false.into()), "{said:#}");
    }
    let (_, text) = explain(&site, &[&id])?;
    for (_, subject) in &expected {
        ensure!(text.contains(subject), "{subject} is not in {text}");
    }
    Ok(())
}

#[tokio::test]
async fn says_where_it_looked_for_what_is_nowhere() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    site.publish(DOOR, 1, [alert("high", 1)]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    let (found, said) = explain(&site, &["3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e"])?;
    assert!(!found && said.contains("no trace of event 3d1f0c1e"), "{said}");
    assert!(said.contains("aurora:cps:alerts: 1 entries, back to 2"), "{said}");
    assert!(said.contains("aurora:dead_letter: 0 entries") && said.contains("aurora:outbox: 0 entries"), "{said}");
    Ok(())
}
