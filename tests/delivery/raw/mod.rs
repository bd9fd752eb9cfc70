//! A Redis stream as a source. Readings that are all alike, so that only their entries tell them apart: each is stored
//! once, whoever dies, and nothing is left in the stream.

mod deaths;
mod spooled;

use anyhow::{Context as _, Result, ensure};
use harness::{Plan, Site, hostile_guest};
use redis::{AsyncCommands as _, aio::MultiplexedConnection, streams::StreamPendingCountReply};

const RAW: &str = "aurora:raw";
const GROUP: &str = "aurora-normalize";
const READING: &[(&str, &str)] = &[
    ("payload", r#"{"sensor":"pressure","unit":"kPa","value":7.5}"#),
    ("format", "mqtt"),
    ("topic", "aurora/sensors/tank_1/telemetry"),
];

/// A collector: a connection to Redis itself.
struct Collector(MultiplexedConnection);

impl Collector {
    async fn of(site: &Site) -> Result<Self> {
        let client = redis::Client::open(site.redis.url()).context("cannot read the Redis address")?;
        Ok(Self(client.get_multiplexed_async_connection().await.context("cannot reach Redis")?))
    }

    async fn add(&mut self, fields: &[(&str, &str)]) -> Result<String> {
        Ok(self.0.xadd(RAW, "*", fields).await?)
    }

    async fn add_many(&mut self, count: usize, fields: &[(&str, &str)]) -> Result<()> {
        let mut pipeline = redis::pipe();
        for _ in 0..count {
            pipeline.xadd(RAW, "*", fields).ignore();
        }
        Ok(pipeline.exec_async(&mut self.0).await?)
    }

    /// Entries, and how many of them are pending.
    async fn left(&mut self) -> Result<(usize, usize)> {
        Ok((self.0.xlen(RAW).await?, self.pending().await?.len()))
    }

    /// For how long the first pending entry has been idle, milliseconds.
    async fn idle(&mut self) -> Result<usize> {
        let reply: StreamPendingCountReply = self.0.xpending_count(RAW, GROUP, "-", "+", 1).await?;
        Ok(reply.ids.first().context("nothing is pending")?.last_delivered_ms)
    }

    /// Entries that are pending, each with its consumer and the number of its deliveries.
    async fn pending(&mut self) -> Result<Vec<(String, usize)>> {
        let reply: StreamPendingCountReply = self.0.xpending_count(RAW, GROUP, "-", "+", 100_000).await?;
        Ok(reply.ids.into_iter().map(|pending| (pending.consumer, pending.times_delivered)).collect())
    }
}

fn plan() -> Plan {
    Site::plan().without_nats().set("raw.stream", RAW)
}

/// All events of a site: a stream for each category.
async fn stored(site: &Site) -> Result<usize> {
    Ok(site.stream("aurora:alerts").await?.len() + site.stream("aurora:cps:alerts").await?.len())
}

/// Waits until nothing is left in the stream; then `count` events are stored and no more.
async fn exactly(site: &Site, collector: &mut Collector, count: usize) -> Result<()> {
    site.wait_until("an empty stream", async || {
        let (length, pending) = collector.left().await?;
        ensure!((length, pending) == (0, 0), "{length} entries, {pending} of them pending");
        Ok(())
    })
    .await?;
    assert_eq!(stored(site).await?, count);
    Ok(())
}

#[tokio::test]
async fn an_entry_crosses_and_goes_from_its_stream() -> Result<()> {
    let site = plan().start().await?;
    let mut collector = Collector::of(&site).await?;
    let alert = r#"{"severity":"high","title":"door open"}"#;
    let time = "1763780000000";
    collector.add(&[("payload", alert), ("source", "bridge"), ("format", "json"), ("timestamp_ms", time)]).await?;
    exactly(&site, &mut collector, 1).await?;
    let event = site.stream("aurora:alerts").await?[0].data();
    assert_eq!((&event["source"], &event["title"]), (&"bridge".into(), &"door open".into()));
    assert_eq!(event["timestamp_ms"], 1_763_780_000_000_u64);
    collector.add(READING).await?;
    exactly(&site, &mut collector, 2).await?;
    assert_eq!(site.stream("aurora:cps:alerts").await?[0].data()["device_id"], "tank_1");
    assert!(site.readiness().await?.contains(r#""raw":{"ready":true}"#));
    Ok(())
}

#[tokio::test]
async fn entries_stay_in_their_stream_where_that_is_wanted() -> Result<()> {
    let site = plan().set("raw.remove", false).start().await?;
    let mut collector = Collector::of(&site).await?;
    collector.add_many(50, READING).await?;
    site.series_of("aurora_events_published_total", 50.0).await?;
    site.wait_until("nothing pending", async || {
        let left = collector.left().await?;
        ensure!(left == (50, 0), "{left:?}");
        Ok(())
    })
    .await?;
    assert_eq!(stored(&site).await?, 50);
    Ok(())
}

#[tokio::test]
async fn malformed_entries_become_dead_letters_with_their_reason_and_hold_up_nobody() -> Result<()> {
    let site = plan().set("raw.max_payload", 100).start().await?;
    let mut collector = Collector::of(&site).await?;
    let (large, escaped) = ("x".repeat(101), "\x01".repeat(90));
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("data", "{}"), ("source", "zeek")], "no field `payload`"),
        (&[("payload", "{}"), ("device_id", "a.b")], "`device_id`"),
        (&[("payload", "{}"), ("topic", "aurora/sensors/+/alerts")], "device id"),
        (&[("payload", "{}"), ("timestamp_ms", "yesterday")], "`timestamp_ms`"),
        (&[("payload", "{}"), ("source_ip", "localhost")], "`source_ip`"),
        (&[("payload", &large)], "raw.max_payload"),
        // Six times as long where it is kept whole, as JSON.
        (&[("data", &escaped)], "no field `payload`; only the first 100 bytes are kept"),
    ];
    for (fields, _) in cases {
        collector.add(fields).await?;
    }
    let not_utf8: &[(&[u8], &[u8])] = &[(b"payload", b"{}"), (b"source", b"\xff"), (b"\xfe", b"\xff")];
    let _: String = collector.0.xadd(RAW, "*", not_utf8).await?;
    // An id that is no time; no later one can be smaller.
    let _: String = collector.0.xadd(RAW, "9999999999999999-0", READING).await?;
    site.wait_until("an empty stream", async || {
        let left = collector.left().await?;
        ensure!(left == (0, 0), "{left:?}");
        Ok(())
    })
    .await?;
    let letters = site.stream("aurora:dead_letter").await?;
    let reasons: Vec<String> = letters.iter().map(|letter| letter.text("reason")).collect();
    for (_, said) in cases {
        let letter = letters.iter().find(|letter| letter.text("reason").contains(said));
        assert_eq!(letter.with_context(|| format!("no {said} in {reasons:?}"))?.text("stage"), "source");
    }
    assert!(reasons.iter().any(|reason| reason.contains("not UTF-8")), "{reasons:?}");
    // Not by position: their sources differ, so they may have been in different lanes.
    let whole = r#"[["data","{}"],["source","zeek"]]"#;
    assert!(letters.iter().any(|letter| letter.text("payload") == whole), "{letters:?}");
    let cut: Vec<_> = letters.iter().filter(|letter| letter.text("reason").contains("first 100 bytes")).collect();
    assert_eq!(cut.iter().map(|letter| letter.fields["payload"].len()).collect::<Vec<_>>(), [100, 100]);
    assert_eq!(stored(&site).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_read_brings_no_more_bytes_than_there_is_room_for() -> Result<()> {
    const LARGE: usize = 100 << 10;
    let guest = hostile_guest()?;
    let plan = plan().guest("normalize", &guest).guest("route", &guest);
    let site = plan.set("raw.max_payload", LARGE as i64).set("raw.max_in_flight_bytes", "1MiB").start().await?;
    let mut collector = Collector::of(&site).await?;
    // Small ones say nothing of those behind them.
    for number in 0..50 {
        collector.add(&[("payload", &format!("share {number}"))]).await?;
    }
    exactly(&site, &mut collector, 50).await?;
    let deed = "normalize wait ";
    let large = format!("{deed}{}", "x".repeat(LARGE - deed.len()));
    // All at once, so that one read could bring them all.
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for _ in 0..100 {
        pipeline.xadd(RAW, "*", &[("payload", &large)]).ignore();
    }
    pipeline.exec_async(&mut collector.0).await?;
    site.series_of("aurora_raw_in_flight", 11.0).await?;
    // Ten fit, and one goes beyond.
    assert_eq!(collector.pending().await?.len(), 11);
    Ok(())
}

#[tokio::test]
async fn an_entry_that_the_guest_puts_off_is_tried_again_and_then_kept() -> Result<()> {
    let guest = hostile_guest()?;
    let plan = plan().guest("normalize", &guest).guest("route", &guest).set("lanes.retries", 1000);
    let mut site = plan.start().await?;
    let mut collector = Collector::of(&site).await?;
    collector.add(&[("payload", "normalize retry")]).await?;
    collector.add(&[("payload", "share")]).await?;
    site.series_of("aurora_stage_retried_total{stage=\"normalize\"}", 2.0).await?;
    site.wait_until("the other one stored", async || {
        let left = collector.left().await?;
        ensure!(left == (1, 1), "{left:?}");
        Ok(())
    })
    .await?;
    // However often the guest is asked, it was delivered once.
    assert_eq!(collector.pending().await?, [("aurora-rust-core".to_owned(), 1)]);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    site.kill_daemon()?;
    site.set("lanes.retries", 2);
    site.start_daemon().await?;
    exactly(&site, &mut collector, 1).await?;
    let letters = site.stream("aurora:dead_letter").await?;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].text("stage"), letters[0].text("attempts")), ("normalize".into(), "3".into()));
    Ok(())
}

#[tokio::test]
async fn a_group_or_stream_that_was_deleted_is_made_again() -> Result<()> {
    let site = plan().start().await?;
    let mut collector = Collector::of(&site).await?;
    collector.add(READING).await?;
    exactly(&site, &mut collector, 1).await?;
    let _: i64 = redis::cmd("XGROUP").arg("DESTROY").arg(RAW).arg(GROUP).query_async(&mut collector.0).await?;
    collector.add(READING).await?;
    site.wait_until("its event", async || {
        ensure!(stored(&site).await? == 2, "not there");
        Ok(())
    })
    .await?;
    exactly(&site, &mut collector, 2).await?;
    let _: i64 = collector.0.del(RAW).await?;
    collector.add(READING).await?;
    site.wait_until("its event", async || {
        ensure!(stored(&site).await? == 3, "not there");
        Ok(())
    })
    .await?;
    exactly(&site, &mut collector, 3).await?;
    assert!(site.log().contains("was deleted, made again"), "{}", site.log());
    Ok(())
}

#[tokio::test]
async fn other_groups_of_a_stream_that_we_remove_from_are_warned_of() -> Result<()> {
    let mut site = plan().brokers().await?;
    let mut collector = Collector::of(&site).await?;
    let _: String = collector.0.xgroup_create_mkstream(RAW, "archive", "0").await?;
    site.start_daemon().await?;
    site.wait_until("the warning", async || {
        ensure!(site.log().contains("archive") && site.log().contains("raw.remove"), "not said");
        Ok(())
    })
    .await?;
    let configuration = site.write_configuration(([127, 0, 0, 1], 1).into())?;
    let check = std::process::Command::new(harness::binary()?)
        .args(["check", "--connect", "--config"])
        .arg(&configuration)
        .output()?;
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    let warned = said.lines().any(|line| line.starts_with("raw") && line.contains("warn") && line.contains("archive"));
    assert!(warned && said.contains("raw.remove") && check.status.success(), "{said}");
    Ok(())
}
