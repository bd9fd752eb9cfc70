//! From the outbox to JetStream. These tests put entries into the outbox themselves, as the publish stage would, so that
//! there are many and nothing but the relay is tried.

mod order;
mod crash;
mod refused;
mod backlog;
mod hosts;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, message::PublishMessage};
use harness::{Message, Site};

const OUTBOX: &str = "aurora:outbox";

/// The number of an entry goes round these.
const SUBJECTS: [&str; 3] = ["aurora.alerts.network", "aurora.alerts.cps", "aurora.intel.ioc.ip"];

/// Puts the entries of `numbers` into the outbox.
async fn fill(site: &Site, numbers: std::ops::Range<u32>) -> Result<()> {
    fill_with(site, numbers, |number| SUBJECTS[number as usize % SUBJECTS.len()], "").await
}

async fn fill_with(
    site: &Site,
    numbers: std::ops::Range<u32>,
    subject: fn(u32) -> &'static str,
    more: &str,
) -> Result<()> {
    let mut connection = redis(site).await?;
    let numbers: Vec<u32> = numbers.collect();
    for page in numbers.chunks(1000) {
        let mut pipeline = redis::pipe();
        // At once, so that a relay that waits for some takes all.
        pipeline.atomic();
        for &number in page {
            let add = pipeline.cmd("XADD").arg(OUTBOX).arg("*").arg("subject").arg(subject(number));
            add.arg("id").arg(format!("id-{number}")).arg("kind").arg("alert");
            add.arg("data").arg(format!(r#"{{"number":{number},"more":"{more}"}}"#)).ignore();
        }
        pipeline.query_async::<()>(&mut connection).await?;
    }
    Ok(())
}

async fn redis(site: &Site) -> Result<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(site.redis.url())?;
    client.get_multiplexed_async_connection().await.context("cannot reach Redis")
}

/// JetStream itself, past any proxy.
async fn nats(site: &Site) -> Result<jetstream::Context> {
    let nats = site.nats.as_ref().context("this site has no NATS")?;
    Ok(jetstream::new(async_nats::connect(nats.url()).await?))
}

/// How many messages the stream has; 0 without one.
async fn held(jetstream: &jetstream::Context) -> u64 {
    let stream = jetstream.get_stream("AURORA").await;
    stream.map_or(0, |stream| stream.cached_info().state.messages)
}

/// Waits until the stream has `count` messages.
async fn arrived(site: &Site, jetstream: &jetstream::Context, count: u64) -> Result<()> {
    site.wait_until(&format!("{count} messages in AURORA"), async || {
        let held = held(jetstream).await;
        ensure!(held >= count, "{held} messages");
        Ok(())
    })
    .await
}

/// Waits until nothing is left in the outbox.
async fn emptied(site: &Site) -> Result<()> {
    site.wait_until("an empty outbox", async || {
        let left = site.stream(OUTBOX).await?.len();
        ensure!(left == 0, "{left} entries");
        Ok(())
    })
    .await
}

/// Waits until JetStream has forgotten the ids of all messages that it has now.
async fn forgotten(site: &Site, jetstream: &jetstream::Context) -> Result<()> {
    let probe = async || {
        let probe = PublishMessage::build().message_id("probe").payload("".into());
        anyhow::Ok(jetstream.send_publish("aurora.soar.probe", probe).await?.await?)
    };
    probe().await?;
    site.wait_until("a forgetful JetStream", async || {
        ensure!(!probe().await?.duplicate, "it remembers");
        Ok(())
    })
    .await
}

fn number(message: &Message) -> u32 {
    let number = message.json()["number"].as_u64().and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("a message without a number: {message:?}"))
}

/// Every number of `0..count` is there once, and each subject in order. Probes do not count.
fn assert_exactly_once_in_order(messages: &[Message], count: u32) {
    let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.subject != "aurora.soar.probe") {
        let number = number(message);
        if !seen.insert(number) {
            twice.push(number);
            continue;
        }
        if let Some(before) = last.insert(&message.subject, number) {
            assert!(before < number, "{}: {number} after {before}", message.subject);
        }
    }
    let missing = (0..count).filter(|number| !seen.contains(number)).count();
    assert!(missing == 0 && twice.is_empty() && seen.len() == count as usize, "{missing} missing, twice: {twice:?}");
}
