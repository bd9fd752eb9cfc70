//! A guest judges what other sites send.

use std::{
    process::{Command, Output},
    slice,
};

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, Plan, Site, binary, hostile_guest, stock_guest, variant};
use serde_json::{Value, json};

use super::{
    Other, alert,
    arriving::{acknowledged, table},
    id, south,
};
use aurora::intel::Indicator;

/// The site south with the stock judge.
fn judging() -> Result<Plan> {
    Ok(south().guest("inbound", &stock_guest("inbound-core")?).set("intel.ttl", "30d"))
}

/// An alert of `site` that tells of the address `ip`.
fn told(number: u32, site: &str, severity: &str, ip: &str) -> Value {
    let mut alert = alert(number);
    alert["site"] = site.into();
    alert["severity"] = severity.into();
    alert["iocs"] = json!([{ "type": "ip", "value": ip }]);
    alert
}

/// How many messages are known to have told of `ip`.
async fn count(site: &Site, ip: &str) -> Result<u64> {
    let ip = Indicator::new("ip", ip)?;
    let known = table(site)?.look_up(slice::from_ref(&ip)).await?.pop().flatten();
    Ok(known.map_or(0, |known| known.count))
}

async fn counted(site: &Site, what: &str) -> Result<f64> {
    let series = format!("aurora_federation_in_total{{stream=\"AURORA\",what=\"{what}\"}}");
    site.scrape().await?.get(&series)
}

#[tokio::test]
async fn what_is_turned_away_is_neither_stored_nor_recorded_and_stays_so_when_it_comes_again() -> Result<()> {
    let plan = judging()?.set("guests.inbound.options.believed", vec!["north"]);
    let mut site = plan.set("guests.inbound.options.least", "medium").start().await?;
    let (north, east) = (Other::of(&site, "north").await?, Other::of(&site, "east").await?);
    let [stored, refused, dropped] = [
        told(1, "north", "high", "45.155.205.1"),
        told(2, "east", "high", "45.155.205.2"),
        told(3, "north", "low", "45.155.205.3"),
    ];
    let indicator = json!({
        "type": "ip", "value": "45.155.205.4", "site": "east", "timestamp": chrono::Utc::now().to_rfc3339(),
        "event_id": id(4),
    });
    let send = async || -> Result<()> {
        for (other, subject, message) in [
            (&east, "aurora.alerts.network", &refused),
            (&east, "aurora.intel.ioc.ip", &indicator),
            (&north, "aurora.alerts.network", &dropped),
            (&north, "aurora.alerts.network", &stored),
        ] {
            other.send(subject, message).await?;
        }
        Ok(())
    };
    send().await?;
    assert_eq!(site.stream_of("aurora:alerts", 1).await?[0].data()["id"], id(1));
    acknowledged(&site).await?;
    let letters = site.stream_of("aurora:dead_letter", 2).await?;
    for letter in &letters {
        assert_eq!((letter.text("stage"), letter.text("effect")), ("inbound".into(), "not-published".into()));
        assert_eq!(letter.text("reason"), "refused: east is not among the sites that are believed");
        assert_eq!(letter.text("source"), "aurora:federation:east");
        assert!(letter.text("guest").starts_with("sha256:"), "{}", letter.text("guest"));
    }
    assert_eq!(counted(&site, "dropped").await?, 1.0);
    let known = async |site: &Site| -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for ip in ["45.155.205.1", "45.155.205.2", "45.155.205.3", "45.155.205.4"] {
            counts.push(count(site, ip).await?);
        }
        Ok(counts)
    };
    assert_eq!(known(&site).await?, [1, 0, 0, 0]);
    // By its id: what was stored with what it told, and what was refused as a dead letter.
    let said = explain(&site, &id(1))?;
    assert_eq!((&said["events"][0]["origin"], &said["dead_letters"]), (&"north".into(), &json!([])), "{said:#}");
    let told = &said["indicators"][0];
    assert_eq!((&told["indicator"], &told["site"]), (&"ip:45.155.205.1".into(), &"north".into()), "{said:#}");
    for number in [2, 4] {
        let said = explain(&site, &id(number))?;
        let reason = "refused: east is not among the sites that are believed";
        assert_eq!(said["dead_letters"].as_array().map(Vec::len), Some(1), "{said:#}");
        assert_eq!((&said["dead_letters"][0]["reason"], &said["indicators"]), (&reason.into(), &json!([])), "{said:#}");
    }
    let said = explain(&site, &id(3))?;
    assert_eq!([&said["events"], &said["dead_letters"], &said["indicators"]], [&json!([]); 3], "{said:#}");

    // The same guest lets all of it in from now on, and all of it comes again.
    site.terminate(PATIENCE).await?;
    site.set("guests.inbound.options.believed", vec!["north", "east"]);
    site.set("guests.inbound.options.least", "info");
    site.start_daemon().await?;
    send().await?;
    site.wait_until("all came again", async || {
        let (repeated, dropped) = (counted(&site, "repeated").await?, counted(&site, "dropped").await?);
        ensure!((repeated, dropped) == (1.0, 3.0), "{repeated} repeated, {dropped} dropped");
        Ok(())
    })
    .await?;
    acknowledged(&site).await?;
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1);
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), 2);
    assert_eq!(known(&site).await?, [1, 0, 0, 0]);

    // A person has it judged anew.
    let letter = |topic: &str| letters.iter().find(|letter| letter.text("topic") == topic).context("no letter");
    let (of_alert, of_indicator) = (letter("aurora.alerts.network")?, letter("aurora.intel.ioc.ip")?);
    assert!(replay(&site, &[&of_alert.id])?.status.success());
    assert_eq!(known(&site).await?, [1, 1, 0, 0], "what it tells is recorded with it");
    let shown = replay(&site, &[&of_indicator.id, "--dry-run"])?;
    let line: Value = serde_json::from_slice(&shown.stdout).with_context(|| format!("{shown:?}"))?;
    assert_eq!((&line["outcome"], &line["indicators"][0]), (&"accepted".into(), &"ip:45.155.205.4".into()), "{line}");
    assert_eq!(known(&site).await?, [1, 1, 0, 0], "nothing comes of a look");
    assert!(replay(&site, &[&of_indicator.id])?.status.success());
    assert_eq!(known(&site).await?, [1, 1, 0, 1]);
    let said = explain(&site, &id(4))?;
    let told = &said["indicators"][0];
    assert_eq!((&told["indicator"], &told["site"]), (&"ip:45.155.205.4".into(), &"east".into()), "{said:#}");
    let stored = site.stream_of("aurora:alerts", 2).await?;
    assert_eq!((&stored[1].data()["id"], stored[1].text("origin")), (&id(2).into(), "east".to_owned()));
    assert!(site.stream("aurora:dead_letter").await?.is_empty());

    // Once more there is no such letter, and both messages are known when they come again.
    assert!(!replay(&site, &[&of_alert.id])?.status.success());
    send().await?;
    site.wait_until("all came once more", async || {
        let (repeated, dropped) = (counted(&site, "repeated").await?, counted(&site, "dropped").await?);
        ensure!((repeated, dropped) == (2.0, 6.0), "{repeated} repeated, {dropped} dropped");
        Ok(())
    })
    .await?;
    acknowledged(&site).await?;
    assert_eq!(site.stream("aurora:alerts").await?.len(), 2);
    assert_eq!(known(&site).await?, [1, 1, 0, 1]);
    Ok(())
}

#[tokio::test]
async fn a_replay_is_judged_again_and_what_is_refused_again_stays_and_tells_nothing() -> Result<()> {
    let site = judging()?.set("guests.inbound.options.believed", vec!["north"]).start().await?;
    let east = Other::of(&site, "east").await?;
    east.send("aurora.alerts.network", &told(1, "east", "high", "45.155.205.1")).await?;
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    let again = replay(&site, &[&letter.id])?;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("inbound: refused: east is not among"), "{again:?}");
    assert_eq!(count(&site, "45.155.205.1").await?, 0);
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), 1);
    // Another judge, as the site is about to have it.
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("other.wasm");
    variant(&stock_guest("inbound-core")?, "other", &other)?;
    let with = format!("inbound={}", other.display());
    let again = replay(&site, &[&letter.id, "--with", &with])?;
    assert_eq!(again.status.code(), Some(1), "its options are the site's: {again:?}");
    assert!(site.stream("aurora:alerts").await?.is_empty());
    Ok(())
}

/// What is known of the event `id`, and of messages with its id.
fn explain(site: &Site, id: &str) -> Result<Value> {
    let config = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(["explain", id, "--json", "--config"]).arg(config).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

fn replay(site: &Site, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command.args(["dead-letter", "replay"]).args(arguments).arg("--config").arg(site.folder().join("aurora.toml"));
    command.output().context("cannot run aurora")
}

#[tokio::test]
async fn another_severity_is_stored_with_who_gave_it_and_the_marking_as_it_came() -> Result<()> {
    let site = judging()?.set("guests.inbound.options.raise", vec!["north"]).start().await?;
    let north = Other::of(&site, "north").await?;
    let mut message = told(1, "north", "high", "45.155.205.1");
    message["tlp"] = "AMBER+STRICT".into();
    north.send("aurora.alerts.network", &message).await?;
    let entry = site.stream_of("aurora:alerts", 1).await?.remove(0);
    assert_eq!(entry.text("severity"), "critical");
    let data = entry.data();
    assert_eq!((&data["severity"], &data["tlp"]), (&"critical".into(), &"AMBER+STRICT".into()));
    let provenance: Value = serde_json::from_str(&entry.text("provenance")).context("no provenance")?;
    let guests = provenance["guests"].as_array().context("no guests")?;
    assert!(guests.len() == 1 && guests[0].as_str().is_some_and(|guest| guest.starts_with("inbound@")), "{provenance}");
    let why = provenance["route"].as_str().unwrap_or_default();
    assert!(why.contains("critical instead of high") && why.contains("raised, for it is of north"), "{why}");
    acknowledged(&site).await
}

#[tokio::test]
async fn whatever_the_guest_does_nothing_comes_in_unjudged_and_the_others_are_not_held_up() -> Result<()> {
    let deeds = [
        "spin",
        "trap",
        "panic",
        "hoard",
        "recurse",
        "failure",
        "huge",
        "short-column",
        "out-of-range",
        "severity-too-many",
        "severity-too-few",
    ];
    let plan = south().guest("inbound", &hostile_guest()?);
    // What the hostile guest imports.
    let site = plan.set("guests.inbound.grants", vec!["log"]).start().await?;
    let north = Other::of(&site, "north").await?;
    // What it has done well before keeps its breaker closed.
    for number in 0..40 {
        north.send("aurora.alerts.network", &alert(number)).await?;
    }
    site.stream_of("aurora:alerts", 40).await?;
    for (number, deed) in (100..).zip(deeds) {
        let mut message = alert(number);
        message["title"] = format!("inbound {deed}").into();
        north.send("aurora.alerts.network", &message).await?;
        north.send("aurora.alerts.network", &alert(number + 100)).await?;
    }
    let letters = site.stream_of("aurora:dead_letter", deeds.len()).await?;
    for letter in &letters {
        assert_eq!((letter.text("stage"), letter.text("effect")), ("inbound".into(), "not-published".into()));
        assert!(!letter.text("reason").is_empty());
    }
    let stored = site.stream_of("aurora:alerts", 40 + deeds.len()).await?;
    acknowledged(&site).await?;
    assert!(stored.iter().all(|entry| entry.data()["title"].as_str().is_some_and(|title| title.starts_with("alert "))));
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), deeds.len());
    Ok(())
}
