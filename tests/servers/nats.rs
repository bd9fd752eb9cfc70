//! What NATS lets its users do, and what `aurora check --connect` says of it and of streams that are read.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        consumer::{AckPolicy, pull, push},
        stream,
    },
};
use harness::{Nats, Site, binary, unix_ms, workspace};
use serde_json::{Value, json};

use super::{alert, check::check};

/// What the table of `deploy/README.md` allows a site that reads the stream NORTH: to publish to, and to subscribe to.
fn rights() -> Result<[BTreeSet<String>; 2]> {
    let text = std::fs::read_to_string(workspace().join("deploy/README.md"))?;
    let (_, section) = text.split_once("\n## Rights in NATS\n").context("no table of rights in deploy/README.md")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| for")).collect();
    let column = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.split('|').nth(at));
        let subjects = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        subjects
            .map(|subject| {
                subject.replace("<stream>", "NORTH").replace("<site.id>", "test-site").replace("<nats.host>", "here_1")
            })
            .collect()
    };
    let rights: [BTreeSet<String>; 2] = [column(2), column(3)];
    ensure!(rights[0].len() > 10 && !rights[1].is_empty(), "the table cannot be read: {rights:?}");
    Ok(rights)
}

/// A user of nats-server, by its name, that may do this and no more.
fn user<'a>(name: &str, publish: impl Iterator<Item = &'a String>, subscribe: &BTreeSet<String>) -> String {
    let list = |subjects: Vec<&String>| subjects.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ");
    format!(
        "{{ user: {name}, password: secret, permissions: {{ publish: {{ allow: [{}] }}, subscribe: {{ allow: [{}] }} }} }}",
        list(publish.collect()),
        list(subscribe.iter().collect())
    )
}

async fn admin(site: &Site) -> Result<jetstream::Context> {
    let nats = site.nats.as_ref().context("no NATS")?;
    Ok(jetstream::new(async_nats::connect(nats.url()).await?))
}

/// A stream of another site's, as it stands here.
fn north(subjects: &[&str], mirror: Option<&str>) -> stream::Config {
    stream::Config {
        name: "NORTH".to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        mirror: mirror.map(|name| stream::Source { name: name.to_owned(), ..stream::Source::default() }),
        ..stream::Config::default()
    }
}

fn says(said: &str, part: &str, word: &str, text: &str) -> bool {
    said.lines().any(|line| line.starts_with(part) && line.contains(word) && line.contains(text))
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_none_of_them_is_too_much() -> Result<()> {
    let [publish, subscribe] = rights()?;
    let mut users = vec!["{ user: admin, password: secret }".to_owned(), user("aurora", publish.iter(), &subscribe)];
    users.push(user("deaf", publish.iter(), &BTreeSet::from(["nothing".to_owned()])));
    for (number, right) in publish.iter().enumerate() {
        users.push(user(&format!("without{number}"), publish.iter().filter(|other| *other != right), &subscribe));
    }
    // Who says no name may do everything.
    let more = format!("no_auth_user: admin\nauthorization {{ users: [\n{}\n] }}", users.join(",\n"));
    let plan = Site::plan().nats(Nats { more, ..Nats::default() });
    let plan = plan.set("federation.in.streams", vec!["NORTH"]).set("federation.in.subjects", vec!["aurora.alerts.>"]);
    // Names of consumers have no dots.
    let plan = plan.set("nats.host", "here.1");
    let mut site = plan.brokers().await?;
    let url = site.nats.as_ref().context("no NATS")?.url();
    let of = |name: &str| url.replace("nats://", &format!("nats://{name}:secret@"));
    let jetstream = admin(&site).await?;
    jetstream.create_stream(north(&[], Some("AURORA"))).await?;

    site.set("nats.url", of("aurora"));
    let (well, said) = check(&site)?;
    ensure!(well && says(&said, "federation.in NORTH", "ok", "will be made"), "{said}");
    // The stream is not there yet, so that the right to make it is needed as well.
    for (number, right) in publish.iter().enumerate() {
        site.set("nats.url", of(&format!("without{number}")));
        let (well, said) = check(&site)?;
        let is_said = said.lines().any(|line| line.contains("may not publish to") && line.contains(right.as_str()));
        ensure!(!well && is_said, "without {right}: {said}");
    }
    site.set("nats.url", of("deaf"));
    let (well, said) = check(&site)?;
    ensure!(!well && said.contains("may subscribe to _INBOX.>"), "{said}");
    let made = jetstream.get_stream("NORTH").await?.cached_info().state.consumer_count;
    ensure!(made == 0 && jetstream.get_stream("AURORA").await.is_err(), "check has made something");

    site.set("nats.url", of("aurora"));
    site.start_daemon().await?;
    site.publish("aurora/sensors/door/alerts", 1, (0..5).map(alert)).await?;
    site.jetstream_of(5).await?;
    let theirs = json!({
        "id": "3d1f0c1e-6f0e-8d0a-9a5b-000000000001", "source": "suricata", "severity": "high", "category": "network",
        "title": "of north", "description": "", "fields": {}, "iocs": [], "mitre_techniques": [],
        "timestamp_ms": unix_ms(), "device_id": null, "site": "north", "tlp": "AMBER",
    });
    let mut headers = HeaderMap::new();
    headers.insert("Aurora-Site", "north");
    let sent = jetstream.publish_with_headers("aurora.alerts.network", headers, theirs.to_string().into()).await?;
    sent.await?;
    let theirs = site.stream_of("aurora:alerts", 1).await?;
    assert_eq!(theirs[0].text("origin"), "north");
    // All of them are acknowledged, our own that come back as well.
    site.wait_until("nothing in hand", async || {
        let info = jetstream.get_stream("NORTH").await?.consumer_info("site-test-site").await?;
        ensure!(info.num_pending == 0 && info.num_ack_pending == 0 && info.delivered.stream_sequence >= 6, "{info:?}");
        Ok(())
    })
    .await?;
    // Looks into the stream.
    let id = site.stream_of("aurora:cps:alerts", 5).await?[0].data()["id"].as_str().context("no id")?.to_owned();
    site.series_of("aurora_events_federated_total", 5.0).await?;
    let config = site.folder().join("aurora.toml");
    let run =
        std::process::Command::new(binary()?).args(["explain", "--json", "--config"]).arg(config).arg(id).output()?;
    let explained: Value = serde_json::from_slice(&run.stdout).context("explain says no JSON")?;
    assert_eq!(explained["events"][0]["jetstream"]["state"], "stored", "{explained:#}");
    let (well, said) = check(&site)?;
    ensure!(well && says(&said, "federation.in NORTH", "ok", "0 messages wait, 0 in hand"), "{said}");

    let log = site.nats.as_ref().context("no NATS")?.log();
    let denied: Vec<_> = log.lines().filter(|line| line.contains("Violation") && line.contains("\"aurora\"")).collect();
    ensure!(denied.is_empty() && log.contains("Violation"), "{denied:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_from_which_nothing_could_come_fails() -> Result<()> {
    let site = Site::plan().set("federation.in.streams", vec!["NORTH"]).brokers().await?;
    let (well, said) = check(&site)?;
    ensure!(!well && says(&said, "federation.in NORTH", "FAILED", "there is no stream NORTH"), "{said}");
    let jetstream = admin(&site).await?;
    let queue = stream::Config { retention: stream::RetentionPolicy::WorkQueue, ..north(&["aurora.alerts.>"], None) };
    for (config, text) in [(north(&["site.>"], None), "takes none of federation.in.subjects"), (queue, "workqueue")] {
        jetstream.create_stream(config).await?;
        let (well, said) = check(&site)?;
        jetstream.delete_stream("NORTH").await?;
        ensure!(!well && says(&said, "federation.in NORTH", "FAILED", text), "{text}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_durable_consumer_that_is_another_ones_fails_and_one_that_differs_is_told_of() -> Result<()> {
    let site = Site::plan().set("federation.in.streams", vec!["NORTH"]).brokers().await?;
    let jetstream = admin(&site).await?;
    let stream = jetstream.create_stream(north(&["aurora.alerts.>"], None)).await?;
    let name = || Some("site-test-site".to_owned());
    let sound = pull::Config { durable_name: name(), ack_policy: AckPolicy::Explicit, ..pull::Config::default() };
    let push =
        push::Config { durable_name: name(), deliver_subject: "elsewhere".to_owned(), ..push::Config::default() };
    stream.create_consumer(push).await?;
    let (well, said) = check(&site)?;
    ensure!(!well && says(&said, "federation.in NORTH", "FAILED", "pushes its messages"), "{said}");
    let ack_wait = Duration::from_secs(7);
    for (found, is_well, text) in [
        (pull::Config { ack_policy: AckPolicy::None, ..sound.clone() }, false, "does not wait for each message"),
        (pull::Config { max_deliver: 3, ..sound.clone() }, true, "3 times at the most"),
        (pull::Config { ack_wait, ..sound }, true, "ack_wait is 7s, wanted is 30s"),
    ] {
        stream.delete_consumer("site-test-site").await?;
        stream.create_consumer(found).await?;
        let (well, said) = check(&site)?;
        ensure!(well == is_well && says(&said, "federation.in NORTH", "", text), "{text}: {said}");
    }
    // And it was only looked at.
    let info = stream.consumer_info("site-test-site").await?;
    assert_eq!(info.config.ack_wait, ack_wait);
    Ok(())
}
