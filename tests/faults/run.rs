//! One run of a case: a site, a load, and the means to break and to count.

use std::{
    fmt::Display,
    future::Future,
    ops::{Range, RangeInclusive},
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use harness::{Fsync, Mosquitto, PATIENCE, Persistence, Place, Plan, Redis, Site, connect_redis, unix_ms, wait_until};

use super::{
    chance::Chance,
    count::{ALERTS, Excused, Found, TELEMETRY, disorder, judge},
    events::{Shape, number_in},
    load::Load,
    table::Row,
};

/// Entries read at once: while Redis reads, it stores nothing.
const PAGE: usize = 1_000;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For `make test`: seconds.
    Short,
    /// For `make soak`: minutes.
    Long,
}

/// What a case is given.
#[derive(Clone, Debug)]
pub struct Bench {
    pub case: &'static str,
    pub form: Form,
    pub seed: u64,
    /// `mqtt.version`.
    pub version: &'static str,
}

/// A case at work.
pub type Running = Pin<Box<dyn Future<Output = Result<Row>>>>;

/// A case.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(Bench) -> Running,
}

/// [`shipped`], and what devices send with QoS 2 comes with it: the two ways to hand over meet in each case, as long as
/// little waits in mosquitto. Of much, it hands over some out of order and twice then.
pub fn strict() -> Plan {
    let subscribe =
        |plan: Plan, (channel, qos)| plan.subscribe(&format!("aurora/sensors/+/{channel}"), qos, "mqtt", "mqtt");
    [("alerts", 2), ("telemetry", 1)].into_iter().fold(shipped(), subscribe)
}

/// A site at which nothing is trimmed, time-outs are short, and the brokers keep what they acknowledge. It knows a repeat
/// by its identity alone: content would hide what identity does not recognise.
pub fn shipped() -> Plan {
    let mut plan = Site::plan()
        .redis(Redis { fsync: Fsync::Always, ..Redis::default() })
        .mosquitto(Mosquitto { persistence: Persistence::AtEnd, ..Mosquitto::default() })
        .tapped()
        .set("guests.route.options.telemetry_stream", TELEMETRY)
        .set("redis.timeout", "1s")
        .set("dedup.window", "0s");
    for section in ["mqtt", "redis", "nats"] {
        plan = plan.set(&format!("{section}.reconnect_max"), "500ms");
    }
    for stream in ALERTS.into_iter().chain([TELEMETRY, "aurora:dead_letter", "aurora:audit"]) {
        plan = plan.set(&format!("redis.streams.{stream}"), 0);
    }
    plan
}

/// A running case.
pub struct Run {
    pub site: Site,
    pub load: Load,
    pub chance: Chance,
    bench: Bench,
    row: Row,
    told: Instant,
}

impl Bench {
    /// Starts the site of `plan`, and then the load.
    pub async fn start(&self, plan: Plan, shape: Shape, rate: f64) -> Result<Run> {
        let Self { case, seed, version, .. } = self;
        println!("{case}: MQTT {version}, AURORA_FAULTS_SEED={seed}");
        let site = plan.set("mqtt.version", *version).start().await?;
        let load = Load::start(site.mqtt.port(), shape, rate);
        let row = Row { case: case.replace('_', " "), ..Row::default() };
        Ok(Run { site, load, chance: Chance::new(*seed), bench: self.clone(), row, told: Instant::now() })
    }

    /// The one or the other number.
    pub fn times(&self, short: usize, long: usize) -> usize {
        if self.form == Form::Short { short } else { long }
    }
}

impl Run {
    /// So many times, as the form wants it; each is counted as a break.
    pub fn breaks(&mut self, short: usize, long: usize) -> usize {
        let times = self.bench.times(short, long);
        self.row.breaks += times as u64;
        times
    }

    /// Waits until some further events were sent: any number of the range, so that what is done next comes at a random
    /// instant of the daemon's work.
    pub async fn after(&mut self, events: Range<usize>) -> Result<()> {
        let events = self.chance.among(events);
        self.load.after(events).await?;
        if self.bench.form == Form::Long && self.told.elapsed() > Duration::from_secs(10) {
            self.told = Instant::now();
            println!("    … {} sent", self.load.sent());
        }
        Ok(())
    }

    /// Something else that must not be, unless `holds`.
    pub fn expect(&mut self, holds: bool, what: impl Display) {
        if !holds {
            self.row.problem(what.to_string());
        }
    }

    /// Something worth saying.
    pub fn remark(&mut self, remark: impl Display) {
        self.row.remarks.push(remark.to_string());
    }

    /// Lets everything settle, and counts.
    pub async fn close(mut self) -> Result<Row> {
        self.settle().await?;
        self.count(&Excused::default()).await
    }

    /// Waits until the last events of all devices are in Redis and nothing waits any more, in the outbox neither. What
    /// does not settle is told and then counted.
    pub async fn settle(&mut self) -> Result<()> {
        let began_ms = unix_ms();
        let mut missing = self.load.fence().await?;
        let mut seen: Vec<String> = ALERTS.map(|_| began_ms.to_string()).to_vec();
        // What came faster than it is stored is still to be stored: 2,000 a second at the worst.
        let patience = PATIENCE + Duration::from_millis(self.load.sent() as u64 / 2);
        let settled = wait_until("everything to settle", patience, async || {
            let mut redis = connect_redis(&self.site.redis.url()).await?;
            for (stream, seen) in ALERTS.iter().zip(&mut seen) {
                let mut read = PAGE;
                while read == PAGE {
                    let mut range = redis::cmd("XRANGE");
                    range.arg(stream).arg(&*seen).arg("+").arg("COUNT").arg(PAGE);
                    let reply: redis::streams::StreamRangeReply = range.query_async(&mut redis).await?;
                    read = reply.ids.len();
                    for entry in reply.ids {
                        let number = entry.get::<String>("data").and_then(|data| number_in(&data));
                        missing.retain(|missing| Some(*missing) != number);
                        *seen = format!("({}", entry.id);
                    }
                }
            }
            ensure!(missing.is_empty(), "{} of the last events are not in Redis", missing.len());
            let outbox: u64 = redis::cmd("XLEN").arg("aurora:outbox").query_async(&mut redis).await?;
            ensure!(outbox == 0, "{outbox} in the outbox");
            let in_flight = self.site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
            ensure!(in_flight == 0.0, "{in_flight} in flight");
            anyhow::Ok(())
        });
        if let Err(error) = settled.await {
            self.row.problem(format!("{error:#}"));
        }
        Ok(())
    }

    /// Counts.
    pub async fn count(mut self, excused: &Excused) -> Result<Row> {
        let found = Found::of(&self.site).await?;
        let counted = judge(&self.load.book(), &found, excused, self.site.nats.is_some());
        let Row { case, breaks, problems, remarks, .. } = std::mem::take(&mut self.row);
        let mut row = Row { case, breaks, ..counted };
        row.problems.extend(problems);
        row.remarks.extend(remarks);
        if row.disorder > 0 {
            let handed = self.site.proxy(Place::Mqtt)?.tap().context("no tap")?.handed();
            let numbers = handed.iter().filter_map(|handed| number_in(&String::from_utf8_lossy(&handed.payload)));
            let before = disorder(&self.load.book(), numbers);
            row.remarks.push(format!("the MQTT broker handed over {before} after a later one of their device"));
        }
        if !row.is_clean() {
            let log = self.site.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("the end of the daemon's log:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        Ok(row)
    }

    /// What the MQTT broker did on its own: messages that it acknowledged to us and forgot before the daemon had
    /// acknowledged them to it, and messages that it handed over again as others.
    pub fn excuse_mqtt(&self) -> Result<Excused> {
        let tap = self.site.proxy(Place::Mqtt)?.tap().context("no tap")?;
        let mut excused = Excused::default();
        let book = self.load.book();
        let mut settled = vec![false; book.len()];
        let mut ids: Vec<Vec<u16>> = vec![Vec::new(); book.len()];
        for handed in tap.handed() {
            let Some(index) = number_in(&String::from_utf8_lossy(&handed.payload)).map(|number| number as usize) else {
                continue;
            };
            settled[index] |= handed.settled_ms.is_some();
            // The same id without DUP says that it is a new message.
            if !handed.dup || !ids[index].contains(&handed.id) {
                ids[index].push(handed.id);
            }
        }
        for (number, (settled, ids)) in (0_u32..).zip(settled.into_iter().zip(ids)) {
            if !settled {
                excused.lost.insert(number);
            }
            if ids.len() > 1 {
                excused.repeated.insert(number, ids.len() as u32 - 1);
            }
        }
        Ok(excused)
    }

    /// What Redis had acknowledged in the last `window` before one of its `absences` (from its kill to its restart,
    /// milliseconds since 1970-01-01 UTC), and may have forgotten. What is seen to be settled in an absence was so
    /// before: nothing but what Redis has is acknowledged, and the tap may come to see it later.
    pub fn excuse_redis(&self, absences: &[RangeInclusive<i64>], window: Duration) -> Result<Excused> {
        let tap = self.site.proxy(Place::Mqtt)?.tap().context("no tap")?;
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let mut excused = Excused::default();
        for handed in tap.handed() {
            let Some(settled) = handed.settled_ms else { continue };
            let excuses = |absence: &RangeInclusive<i64>| {
                (absence.start().saturating_sub(window)..=*absence.end()).contains(&settled)
            };
            if absences.iter().any(excuses) {
                excused.lost.extend(number_in(&String::from_utf8_lossy(&handed.payload)));
            }
        }
        Ok(excused)
    }

    /// Kills a broker. Returns when: the last moment at which it was alive for certain.
    pub fn kill(&mut self, place: Place) -> Result<i64> {
        let alive = unix_ms();
        self.site.broker(place)?.kill();
        Ok(alive)
    }

    /// Starts it again.
    pub async fn restart(&mut self, place: Place) -> Result<()> {
        Ok(self.site.broker(place)?.restart().await?)
    }

    /// Events stored since the daemon's start.
    pub async fn published(&self) -> Result<f64> {
        self.site.scrape().await?.get("aurora_events_published_total")
    }

    /// Most memory that the daemon has had since its start, and has now, in MiB.
    pub fn memory(&mut self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.site.daemon()?.pid()))?;
        let of = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok((of("VmHWM:")?, of("VmRSS:")?))
    }
}
