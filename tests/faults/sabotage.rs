//! A count that cannot fail proves nothing: here it is given something to find.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use harness::{Entry, Place, Site, wait_until};
use tokio::net::TcpSocket;

use super::{
    chance::Chance,
    count::{ALERTS, Excused, TELEMETRY},
    events::Shape,
    run::{Bench, Form, Run, strict},
};

/// Keys under which Redis has which packets it has stored.
const MARKS: &str = "aurora:state:packets:*";

async fn redis(site: &Site, command: &[&str]) -> Result<()> {
    let mut connection = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
    let mut made = redis::cmd(command[0]);
    made.arg(&command[1..]);
    Ok(made.query_async::<redis::Value>(&mut connection).await.map(drop)?)
}

async fn settled(shape: Shape) -> Result<Run> {
    let bench = Bench { case: "sabotage", form: Form::Short, seed: Chance::seed(), version: "5" };
    let mut run = bench.start(strict(), shape, 2_000.0).await?;
    run.after(500..600).await?;
    run.settle().await?;
    Ok(run)
}

async fn alerts(run: &Run) -> Result<Vec<Entry>> {
    run.site.stream(ALERTS[0]).await
}

#[tokio::test]
async fn the_count_notices_entries_that_are_deleted() -> Result<()> {
    let run = settled(Shape::Mixed).await?;
    let alerts = alerts(&run).await?;
    let reading = run.site.stream(TELEMETRY).await?.pop().context("no reading")?;
    redis(&run.site, &["XDEL", ALERTS[0], &alerts[7].id, &alerts[99].id]).await?;
    redis(&run.site, &["XDEL", TELEMETRY, &reading.id]).await?;
    let row = run.count(&Excused::default()).await?;
    ensure!((row.lost, row.twice, row.disorder) == (3, 0, 0), "{row}");
    Ok(())
}

#[tokio::test]
async fn the_count_notices_entries_that_are_added() -> Result<()> {
    let run = settled(Shape::Mixed).await?;
    let data = alerts(&run).await?[7].text("data");
    let reading = run.site.stream(TELEMETRY).await?[7].text("data");
    redis(&run.site, &["XADD", ALERTS[0], "*", "data", &data]).await?;
    redis(&run.site, &["XADD", TELEMETRY, "*", "data", &reading]).await?;
    let row = run.count(&Excused::default()).await?;
    ensure!((row.lost, row.twice, row.disorder) == (0, 2, 0), "{row}");
    Ok(())
}

#[tokio::test]
async fn a_reading_that_is_lost_does_not_make_up_for_one_that_is_doubled() -> Result<()> {
    let run = settled(Shape::Mixed).await?;
    // One device's are numbered, the other one's are all the same.
    let readings = run.site.stream(TELEMETRY).await?;
    for device in ["device_4", "device_5"] {
        let mut of_it = readings.iter().filter(|reading| reading.data()["device_id"] == device);
        let (lost, doubled) = of_it.next().zip(of_it.next()).context("no two readings")?;
        redis(&run.site, &["XDEL", TELEMETRY, &lost.id]).await?;
        redis(&run.site, &["XADD", TELEMETRY, "*", "data", &doubled.text("data")]).await?;
    }
    let row = run.count(&Excused::default()).await?;
    ensure!((row.lost, row.twice, row.disorder) == (2, 2, 0), "{row}");
    Ok(())
}

#[tokio::test]
async fn the_count_notices_redeliveries_that_nobody_recognises() -> Result<()> {
    let mut run = settled(Shape::Alerts).await?;
    // The acknowledgements do not arrive, and Redis forgets which packets it has stored.
    let before = run.published().await?;
    run.site.proxy(Place::Mqtt)?.set(|faults| faults.frozen_up = true);
    run.load.pace(2_000.0);
    run.site.series_of("aurora_events_published_total", before + 200.0).await?;
    run.site.kill_daemon()?;
    // With what waits on it.
    run.site.proxy(Place::Mqtt)?.cut();
    redis(&run.site, &["EVAL", "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))", "0", MARKS]).await?;
    run.site.proxy(Place::Mqtt)?.heal();
    run.site.start_daemon().await?;
    run.settle().await?;
    let row = run.count(&Excused::default()).await?;
    ensure!(row.lost == 0 && row.twice >= 100, "{row}");
    Ok(())
}

#[tokio::test]
async fn the_count_notices_an_entry_that_stands_in_the_wrong_place() -> Result<()> {
    let run = settled(Shape::Mixed).await?;
    let moved = alerts(&run).await?.swap_remove(7);
    redis(&run.site, &["XDEL", ALERTS[0], &moved.id]).await?;
    redis(&run.site, &["XADD", ALERTS[0], "*", "data", &moved.text("data")]).await?;
    let row = run.count(&Excused::default()).await?;
    ensure!((row.lost, row.twice, row.disorder) == (0, 0, 1), "{row}");
    Ok(())
}

#[tokio::test]
async fn the_count_notices_what_is_wrong_in_jetstream() -> Result<()> {
    let run = settled(Shape::Mixed).await?;
    let nats = run.site.nats.as_ref().context("no NATS")?;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
    let stream = jetstream.get_stream("AURORA").await?;
    let copied = stream.get_raw_message(20).await?;
    stream.delete_message(10).await?;
    jetstream.publish(copied.subject, copied.payload).await?.await?;
    let row = run.count(&Excused::default()).await?;
    ensure!((row.lost, row.twice, row.disorder) == (1, 1, 0), "{row}");
    Ok(())
}

#[tokio::test]
async fn a_load_without_a_broker_leaves_everything_in_doubt_and_says_so() -> Result<()> {
    let mut run = settled(Shape::Mixed).await?;
    let before = run.load.sent();
    run.load.pace(5_000.0);
    run.load.after(200).await?;
    run.site.mqtt.pause()?;
    // Those that it was sent before it stood still may have been acknowledged.
    let stopped = run.load.sent();
    let waiting = wait_until("some to be outstanding", harness::PATIENCE, async || {
        let book = run.load.book();
        let doubt = book[stopped..].iter().rev().take_while(|event| event.acked_ms.is_none()).count();
        ensure!(doubt > 20, "{doubt}");
        Ok(())
    });
    waiting.await?;
    // Held, and nobody listens: a port that is merely free may be the next test's broker.
    let nobody = TcpSocket::new_v4()?;
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    run.load.lead_to(nobody.local_addr()?.port());
    run.site.mqtt.kill();
    run.load.rest().await?;
    let book = run.load.book();
    ensure!(book[..before].iter().all(|event| event.acked_ms.is_some()), "what was acknowledged is in doubt");
    ensure!(book.last().is_some_and(|event| event.acked_ms.is_none()), "acknowledged by nobody");
    Ok(())
}
