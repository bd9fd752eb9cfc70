//! What a broker refuses: it is kept with its bytes, and holds up nothing else.

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, stream::Config};
use harness::Site;

use super::alert;

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// A command to the site's Redis.
pub(super) async fn redis(site: &Site, command: &[&str]) -> Result<redis::Value> {
    let mut connection = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
    let mut made = redis::cmd(command[0]);
    made.arg(&command[1..]);
    Ok(made.query_async(&mut connection).await?)
}

#[tokio::test]
async fn an_event_that_redis_refuses_is_a_dead_letter_with_its_raw_bytes() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    redis(&site, &["SET", "aurora:cps:alerts", "no stream"]).await?;
    let raw = alert("high", 7);
    site.publish(DOOR, 2, [raw.clone()]).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!(letters[0].text("payload"), raw);
    assert_eq!(letters[0].text("stage"), "publish");
    assert_eq!(letters[0].text("source"), "mqtt");
    assert_eq!(letters[0].text("topic"), DOOR);
    assert!(letters[0].text("reason").contains("WRONGTYPE"), "{:?}", letters[0]);
    Ok(())
}

/// Leaves a stream without an id for its next entry, and without an entry that would tell of it.
pub(super) async fn use_up(site: &Site, stream: &str) -> Result<()> {
    const LAST: &str = "18446744073709551615-18446744073709551615";
    redis(site, &["XADD", stream, LAST, "a", "b"]).await?;
    redis(site, &["XDEL", stream, LAST]).await?;
    Ok(())
}

#[tokio::test]
async fn an_event_for_a_stream_whose_ids_are_used_up_is_a_dead_letter_and_later_ones_are_not_counted_towards_it()
-> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    use_up(&site, "aurora:cps:alerts").await?;
    let raw = alert("high", 7);
    site.publish(DOOR, 2, [raw.clone()]).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!((letters[0].text("stage"), letters[0].text("payload")), ("publish".into(), raw.clone()));
    assert!(letters[0].text("reason").contains("exhausted"), "{:?}", letters[0]);
    redis(&site, &["DEL", "aurora:cps:alerts"]).await?;
    site.publish(DOOR, 2, [raw]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_redis_refuses_waits_until_it_can_be_stored() -> Result<()> {
    for cause in ["WRONGTYPE", "exhausted"] {
        let site = Site::plan().without_nats().start().await?;
        match cause {
            "WRONGTYPE" => drop(redis(&site, &["SET", "aurora:dead_letter", "no stream"]).await?),
            _ => use_up(&site, "aurora:dead_letter").await?,
        }
        let mut publisher = site.publisher("device");
        publisher.publish(DOOR, 1, "RAWBYTES{{{").await?;
        site.series_of("aurora_stage_dead_lettered_total{stage=\"normalize\"}", 1.0).await?;
        site.wait_until("the daemon says that it is not ready", async || {
            let body = site.readiness().await.map_err(|error| error.to_string())?;
            if body.contains(cause) { Ok(()) } else { Err(body) }
        })
        .await?;
        is_not_ready_for_all_that_redis_answers(&site).await?;
        assert_eq!(site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?, 1.0, "acknowledged");
        redis(&site, &["DEL", "aurora:dead_letter"]).await?;
        let letters = site.stream_of("aurora:dead_letter", 1).await?;
        assert_eq!(letters[0].text("payload"), "RAWBYTES{{{");
        assert_eq!(letters[0].text("stage"), "normalize");
    }
    Ok(())
}

/// Waits until the daemon says that Redis is not ready, and then that it has asked Redis some more times and has got
/// answers, and has never said otherwise.
async fn is_not_ready_for_all_that_redis_answers(site: &Site) -> Result<()> {
    let is_ready = async || anyhow::Ok(site.readiness().await?.contains(r#""redis":{"ready":true"#));
    site.wait_until("the daemon says that it is not ready", async || {
        ensure!(!is_ready().await?, "ready");
        Ok(())
    })
    .await?;
    // After each answered ping the length of the stream of dead letters is asked for, and by nobody else.
    let asked = async || -> Result<u32> {
        let mut connection = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await?;
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_xlen:calls=")?.split(',').next());
        Ok(calls.map_or(Ok(0), str::parse)?)
    };
    let (before, mut ready) = (asked().await?, false);
    site.wait_until("Redis to be asked again", async || {
        ready |= is_ready().await?;
        let asked = asked().await? - before;
        ensure!(ready || asked >= 3, "{asked} times");
        Ok(())
    })
    .await?;
    ensure!(!ready, "it was ready in between");
    Ok(())
}

#[tokio::test]
async fn a_redis_that_answers_and_stores_nothing_does_not_look_ready() -> Result<()> {
    for spool in [false, true] {
        let plan = Site::plan().without_nats();
        let plan = if spool { plan.set("spool.path", "spool").set("spool.after", "10ms") } else { plan };
        let site = plan.start().await?;
        redis(&site, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await?;
        let mut publisher = site.publisher("device");
        publisher.publish(DOOR, 1, alert("high", 7)).await?;
        if spool {
            site.series_of("aurora_spool_records", 1.0).await?;
        }
        is_not_ready_for_all_that_redis_answers(&site).await.with_context(|| format!("with a spool: {spool}"))?;
        redis(&site, &["CONFIG", "SET", "min-replicas-to-write", "0"]).await?;
        site.stream_of("aurora:cps:alerts", 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_subject_that_the_stream_does_not_take_holds_up_nothing() -> Result<()> {
    let mut site = Site::plan().brokers().await?;
    let nats = site.nats.as_ref().context("no NATS")?;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
    let subjects = vec!["aurora.alerts.>".to_owned()];
    jetstream.create_stream(Config { name: "AURORA".to_owned(), subjects, ..Config::default() }).await?;
    site.start_daemon().await?;
    let with_ioc = r#"{"severity":"high","title":"t","message":"seen 45.155.205.233"}"#;
    site.publish(DOOR, 1, [with_ioc.as_bytes()]).await?;
    site.publish(DOOR, 1, (0..3).map(|number| alert("high", number))).await?;
    assert_eq!(site.jetstream_of(4).await?.len(), 4);
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!((letters[0].text("stage"), letters[0].text("topic")), ("relay".into(), "aurora.intel.ioc.ip".into()));
    Ok(())
}

#[tokio::test]
async fn a_quiet_daemon_notices_that_redis_went_and_came() -> Result<()> {
    let mut site = Site::plan().without_nats().start().await?;
    let connected = "aurora_broker_connected{broker=\"redis\"}";
    site.redis.stop().await?;
    site.wait_until("that Redis is missed", async || {
        match site.scrape().await.and_then(|scrape| scrape.get(connected)) {
            Ok(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    site.redis.restart().await?;
    site.series_of(connected, 1.0).await?;
    Ok(())
}
