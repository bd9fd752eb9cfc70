//! The MQTT broker, NATS, the network, and two of them at once.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use harness::{Mosquitto, PATIENCE, Persistence, Place, Plan};

use super::{
    events::Shape,
    run::{Bench, Run, strict},
    table::Row,
};

/// A mosquitto that saves whatever changes, as far as it does: it acknowledges first and saves next.
fn saving() -> Plan {
    strict().mosquitto(Mosquitto { persistence: Persistence::EveryChange, ..Mosquitto::default() })
}

/// `kill -9` of mosquitto. What it acknowledged and had not saved is gone, and it may hand over again, under another
/// packet id, what it had not noted as done; both are told apart by what passed on the wire.
pub async fn mqtt_killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(saving(), Shape::Alerts, 500.0).await?;
    for _ in 0..run.breaks(4, 40) {
        run.after(100..500).await?;
        run.kill(Place::Mqtt)?;
        run.restart(Place::Mqtt).await?;
    }
    run.settle().await?;
    let excused = run.excuse_mqtt()?;
    run.count(&excused).await
}

/// An orderly restart of mosquitto: it has saved everything.
pub async fn mqtt_restarted(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(4, 40) {
        run.after(200..1_000).await?;
        run.restart(Place::Mqtt).await?;
    }
    run.close().await
}

/// `kill -9` of nats-server.
pub async fn nats_killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(5, 50) {
        run.after(100..800).await?;
        run.kill(Place::Nats)?;
        run.after(50..800).await?;
        run.restart(Place::Nats).await?;
    }
    run.close().await
}

/// `kill -9` of the daemon and of a broker in the same instant; either one is back first.
async fn both_killed(run: &mut Run, place: Place) -> Result<()> {
    for _ in 0..run.breaks(4, 30) {
        run.after(100..700).await?;
        run.kill(place)?;
        run.site.kill_daemon()?;
        if place != Place::Mqtt {
            run.after(20..200).await?;
        }
        if run.chance.once_in(2) {
            run.site.launch_daemon()?;
            run.restart(place).await?;
        } else {
            run.restart(place).await?;
            run.site.start_daemon().await?;
        }
    }
    run.site.start_daemon().await
}

/// See [`both_killed`]. Here what content tells is left on beside identity, as sites have it.
pub async fn host_and_redis_killed(bench: Bench) -> Result<Row> {
    let plan = strict().set("dedup.window", "5m");
    let mut run = bench.start(plan, Shape::Mixed, 1_000.0).await?;
    both_killed(&mut run, Place::Redis).await?;
    run.close().await
}

/// See [`both_killed`].
pub async fn host_and_nats_killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    both_killed(&mut run, Place::Nats).await?;
    run.close().await
}

/// JetStream has messages of which the daemon never hears. Both are killed, and stay away for longer than JetStream knows
/// ids again: what it has is looked for then, and not sent again.
pub async fn host_and_nats_away(bench: Bench) -> Result<Row> {
    let plan = strict().proxied(Place::Nats).set("nats.duplicate_window", "2s");
    let mut run = bench.start(plan, Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(2, 15) {
        run.after(200..800).await?;
        run.site.proxy(Place::Nats)?.set(|faults| faults.frozen_down = true);
        run.after(50..400).await?;
        run.site.wait_until("a message whose ack is lost", async || is_unacknowledged(&run).await).await?;
        run.kill(Place::Nats)?;
        run.site.kill_daemon()?;
        run.site.proxy(Place::Nats)?.heal();
        // A thousand a second.
        run.after(2_500..4_000).await?;
        if run.chance.once_in(2) {
            run.site.launch_daemon()?;
            run.restart(Place::Nats).await?;
            run.site.daemon()?.ready(PATIENCE).await?;
        } else {
            run.restart(Place::Nats).await?;
            run.site.start_daemon().await?;
        }
        run.site.series_of("aurora_outbox_recognised_total", 1.0).await?;
    }
    run.close().await
}

/// Whether JetStream, asked past the proxy, holds something that is still in the outbox.
async fn is_unacknowledged(run: &Run) -> Result<()> {
    let nats = run.site.nats.as_ref().context("no NATS")?;
    let mut stream = jetstream::new(async_nats::connect(nats.url()).await?).get_stream("AURORA").await?;
    let held = stream.info().await?.state.messages;
    let mut redis = redis::Client::open(run.site.redis.url())?.get_multiplexed_async_connection().await?;
    let outbox: redis::Value = redis::cmd("XINFO").arg("STREAM").arg("aurora:outbox").query_async(&mut redis).await?;
    let outbox: HashMap<String, redis::Value> = redis::from_redis_value(outbox)?;
    let of = |name: &str| -> Result<u64> {
        Ok(redis::from_redis_value(outbox.get(name).with_context(|| format!("no {name}"))?.clone())?)
    };
    let (waiting, ever) = (of("length")?, of("entries-added")?);
    ensure!(held + waiting > ever, "{held} in JetStream and {waiting} in the outbox are all of {ever}");
    Ok(())
}

/// See [`both_killed`]; what mosquitto does on its own is told apart as in [`mqtt_killed`].
pub async fn host_and_mqtt_killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(saving(), Shape::Alerts, 500.0).await?;
    both_killed(&mut run, Place::Mqtt).await?;
    run.settle().await?;
    let excused = run.excuse_mqtt()?;
    run.count(&excused).await
}

/// `kill -9` of Redis and nats-server in the same instant.
pub async fn redis_and_nats_killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(3, 30) {
        run.after(200..900).await?;
        run.kill(Place::Redis)?;
        run.kill(Place::Nats)?;
        run.after(50..500).await?;
        run.restart(Place::Redis).await?;
        run.after(1..100).await?;
        run.restart(Place::Nats).await?;
    }
    run.close().await
}

/// Connections to any of the three cut, or closed one way, in the middle of whatever passes.
pub async fn network_cut(bench: Bench) -> Result<Row> {
    let plan = strict().proxied(Place::Redis).proxied(Place::Nats);
    let mut run = bench.start(plan, Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(20, 200) {
        run.after(20..250).await?;
        let place = [Place::Mqtt, Place::Redis, Place::Nats][run.chance.among(0..3)];
        let proxy = run.site.proxy(place)?;
        if run.chance.once_in(3) { proxy.half_close() } else { proxy.cut() }
    }
    run.close().await
}

/// Each broker in turn comes back at another address.
pub async fn failed_over(bench: Bench) -> Result<Row> {
    let plan = strict().proxied(Place::Redis).proxied(Place::Nats);
    let mut run = bench.start(plan, Shape::Mixed, 1_000.0).await?;
    for step in 0..run.breaks(3, 30) {
        run.after(300..900).await?;
        run.site.fail_over([Place::Redis, Place::Nats, Place::Mqtt][step % 3]).await?;
        run.load.lead_to(run.site.mqtt.port());
    }
    run.close().await
}
