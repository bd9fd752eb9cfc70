//! From the publish to an entry that a consumer sees: what an analyst would wait for.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use redis::Value;

use crate::{process, publisher::Publisher, sample, site::Site};

/// Events a second, half of what the daemon must carry with JetStream beside it on such a machine.
const RATE: u64 = 5000;

/// How long JetStream may take for what is left when the last event is in Redis.
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub most: f64,
    /// CPU of the daemon meanwhile, microseconds an event.
    pub cpu_us: f64,
}

/// How the table names it.
pub fn name(shares: bool) -> &'static str {
    if shares { "latency, 5,000/s, QoS 1, half to JetStream too" } else { "latency, 5,000/s, QoS 1, to Redis" }
}

/// Publishes one event each 200 µs for `seconds`, without waiting for anything, and has a blocked XREAD look for them.
pub async fn run(shares: bool, seconds: u64, settings: &[String]) -> Result<Latencies> {
    let site = Site::start(1, shares, settings).await?;
    let daemon = site.ready().await?;
    let events = RATE * seconds;
    // Nanoseconds since `epoch` at which each event was published.
    let published: Arc<[AtomicU64]> = (0..events).map(|_| AtomicU64::new(0)).collect();
    let (epoch, cpu) = (Instant::now(), process::cpu(daemon.pid())?);
    let (redis, times) = (site.redis()?, Arc::clone(&published));
    let consuming = thread::spawn(move || consume(redis, &times, epoch));
    let publisher = Publisher::connect(site.mqtt.port())?;
    let publishing = thread::spawn(move || publish(publisher, &published, epoch));
    while !consuming.is_finished() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut latencies = consuming.join().map_err(|_| anyhow::anyhow!("the consumer broke down"))??;
    publishing.join().map_err(|_| anyhow::anyhow!("the publisher broke down"))??;
    if let Some(jetstream) = site.jetstream().await? {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = crate::site::messages(&jetstream).await;
            if sent >= events / 2 {
                break;
            }
            ensure!(Instant::now() < deadline, "only {sent} of {} sent after {PATIENCE:?}", events / 2);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let cpu_us = (process::cpu(daemon.pid())? - cpu) / events as f64 * 1e6;
    site.end(daemon).await?;
    site.count(events).await?;
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1e6;
    Ok(Latencies { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0), cpu_us })
}

/// On time whatever comes back; a late one is sent at once and does not delay those behind it.
fn publish(mut publisher: Publisher, published: &[AtomicU64], epoch: Instant) -> Result<()> {
    let mut acknowledgements = publisher.acknowledgements()?;
    let expected = 4 * published.len();
    let reading = thread::spawn(move || {
        let (mut bytes, mut buffer) = (0, [0; 4096]);
        while bytes < expected {
            match acknowledgements.read(&mut buffer) {
                Ok(read) if read > 0 => bytes += read,
                _ => return false,
            }
        }
        true
    });
    let begun = Instant::now();
    for (index, time) in published.iter().enumerate() {
        let due = Duration::from_nanos(1_000_000_000 / RATE * index as u64);
        if let Some(early) = due.checked_sub(begun.elapsed()) {
            thread::sleep(early);
        }
        time.store(epoch.elapsed().as_nanos() as u64, Ordering::Release);
        publisher.publish_one(index as u64)?;
    }
    ensure!(reading.join().unwrap_or(false), "mosquitto did not acknowledge everything");
    Ok(())
}

/// Reads the stream from its beginning until all are there; nanoseconds from publish to sight.
fn consume(mut redis: redis::Connection, published: &[AtomicU64], epoch: Instant) -> Result<Vec<u64>> {
    redis.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut latencies = Vec::with_capacity(published.len());
    let mut last = "0".to_owned();
    while latencies.len() < published.len() {
        let reply: Value = redis::cmd("XREAD")
            .arg("COUNT")
            .arg(1000)
            .arg("BLOCK")
            .arg(10_000)
            .arg("STREAMS")
            .arg(sample::STREAM)
            .arg(&last)
            .query(&mut redis)?;
        let now = epoch.elapsed().as_nanos() as u64;
        let entries = entries(&reply).with_context(|| format!("nothing came after entry {last}"))?;
        for entry in entries {
            let Value::Array(entry) = entry else { continue };
            let [Value::BulkString(id), Value::Array(fields)] = &entry[..] else { continue };
            last = String::from_utf8_lossy(id).into_owned();
            let Some(Value::BulkString(data)) = fields.get(1) else { continue };
            let index = sample::index(data).with_context(|| format!("entry {last} is none of ours"))?;
            let time = published.get(index as usize).context("an event that was never sent")?;
            latencies.push(now.saturating_sub(time.load(Ordering::Acquire)));
        }
    }
    Ok(latencies)
}

/// The entries of the one stream in an answer to XREAD.
fn entries(reply: &Value) -> Option<&Vec<Value>> {
    let Value::Array(streams) = reply else { return None };
    let Value::Array(stream) = streams.first()? else { return None };
    let Value::Array(entries) = stream.get(1)? else { return None };
    Some(entries)
}
