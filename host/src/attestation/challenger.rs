//! The task that asks devices: by the schedule, when somebody wants it, and what comes of those that do not answer.
//!
//! Every host of a site runs one. The schedule, the wishes and what is unanswered are in Redis, so a device is asked once,
//! by whichever host comes first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Config, Health, Heard, Registry, Standing,
    health::milliseconds,
    hex,
    judge::{NOTICES, Notice},
};
use crate::{
    broker::{
        mqtt::Outlet,
        redis_streams::{Devices, DevicesError, Issued, Occasion},
    },
    event::{Context, Delivery, Duty, Identity, Intake, Settle},
    ledger::{Entry, Ledger},
    telemetry::{AttestationMetrics, Chain},
};

/// How often wishes and overdue answers are looked for.
const TICK: Duration = Duration::from_millis(500);

/// Ticks between two looks at the registry, and between two at the heartbeats.
const REGISTRY: u64 = 10;
const HEARTBEATS: u64 = 4;

/// Challenges that are under way at once.
const AT_ONCE: usize = 64;

/// An answer that came in time may still be on its way through us for so long.
const GRACE: Duration = Duration::from_secs(10);

/// Asks devices. [`run`](Self::run) is the task.
pub struct Challenger<I> {
    /// Where challenges go, notices come in again, and what is known is kept.
    reach: Reach,
    registry: Arc<Registry>,
    intake: Arc<I>,
    heard: Heard,
    stop: CancellationToken,
    /// Devices of the schedule, with when each may be due next.
    schedule: BTreeMap<String, i64>,
    /// When each device was last heard of, a moment ago.
    last_heard: HashMap<String, i64>,
    /// Challenges under way; each gives its device, and when the next one is due if it knows.
    under_way: JoinSet<(String, Option<i64>)>,
    /// Devices of `under_way`.
    asked: BTreeSet<String>,
    notices: Notices,
    /// Whether Redis has failed, so that it is said once.
    failing: bool,
}

/// What it takes to ask devices.
pub struct Means {
    /// `[attestation]`.
    pub config: Config,
    /// What the site knows of its devices.
    pub devices: Devices,
    /// Who is enrolled.
    pub registry: Arc<Registry>,
    /// Where challenges go.
    pub outlet: Outlet,
    /// What lanes heard of devices.
    pub heard: Heard,
    /// The counters.
    pub metrics: AttestationMetrics,
}

/// What it takes to ask one.
#[derive(Clone)]
struct Reach {
    config: Arc<Config>,
    devices: Devices,
    outlet: Outlet,
    metrics: AttestationMetrics,
}

/// Notices on their way through the lanes.
#[derive(Default)]
struct Notices {
    ledger: Arc<Ledger>,
    next: u64,
    open: BTreeMap<u64, (String, String)>,
}

impl<I: Intake> Challenger<I> {
    /// Asks by these `means`, until `stop`. Who does not answer is reported to `intake`, as an event like any other.
    #[must_use]
    pub fn new(means: Means, intake: Arc<I>, stop: CancellationToken) -> Self {
        let Means { config, devices, registry, outlet, heard, metrics } = means;
        Self {
            reach: Reach { config: Arc::new(config), devices, outlet, metrics },
            registry,
            intake,
            heard,
            stop,
            schedule: BTreeMap::new(),
            last_heard: HashMap::new(),
            under_way: JoinSet::new(),
            asked: BTreeSet::new(),
            notices: Notices::default(),
            failing: false,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let done = tokio::select! {
                done = self.look(tick) => done,
                () = stop.cancelled() => break,
            };
            match done {
                Ok(()) => self.failing = false,
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    tracing::warn!(error = %Chain(&error), "cannot ask devices now");
                }
                Err(_) => {}
            }
        }
        // What lanes heard last is of use to the next start, and to nobody else.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.write_heartbeats()).await;
    }

    async fn look(&mut self, tick: u64) -> Result<(), DevicesError> {
        self.collect();
        self.settle_notices().await?;
        if tick.is_multiple_of(HEARTBEATS) {
            self.write_heartbeats().await?;
        }
        if tick.is_multiple_of(REGISTRY) {
            self.read_registry().await?;
        }
        let now = now();
        for device in self.reach.devices.wanted().await? {
            self.serve_wish(device).await?;
        }
        let due: Vec<String> =
            self.schedule.iter().filter(|(_, at)| **at <= now).map(|(device, _)| device.clone()).collect();
        for device in due {
            // Who has gone silent is asked when it is back: the broker would keep a challenge for it that has expired.
            let health = Health::of(self.last_heard.get(&device).copied(), now, &self.reach.config);
            if matches!(health, Health::Online | Health::Unknown) && !self.ask(device.clone(), Occasion::Due) {
                break;
            }
        }
        self.miss_answers(now).await
    }

    /// Enters what became of challenges.
    fn collect(&mut self) {
        while let Some(done) = self.under_way.try_join_next() {
            // A challenge that panicked keeps its device out of the schedule until the registry is read again.
            let Ok((device, due)) = done else { continue };
            self.asked.remove(&device);
            let again = now() + milliseconds(self.reach.config.answer_within);
            if let Some(at) = self.schedule.get_mut(&device) {
                *at = due.unwrap_or(again);
            }
        }
    }

    /// Begins to ask a device, unless too many are asked at once.
    fn ask(&mut self, device: String, occasion: Occasion) -> bool {
        if self.under_way.len() >= AT_ONCE {
            return false;
        }
        if self.asked.insert(device.clone()) {
            let reach = self.reach.clone();
            self.under_way.spawn(async move {
                let due = reach.challenge(&device, occasion).await;
                (device, due)
            });
        }
        true
    }

    async fn serve_wish(&mut self, device: String) -> Result<(), DevicesError> {
        let known = self.reach.devices.look(&[&device]).await?;
        let record = known.first().and_then(|known| known.record.as_deref());
        match self.registry.standing(&device, record) {
            Standing::Enrolled { .. } | Standing::Awaiting(_) => _ = self.ask(device, Occasion::Wanted),
            standing => {
                tracing::warn!(device, ?standing, "a challenge was asked for, and the device is not enrolled");
                self.reach.devices.want_no_more(&device).await?;
            }
        }
        Ok(())
    }

    /// Who is to be asked by the schedule, and when each was heard of.
    async fn read_registry(&mut self) -> Result<(), DevicesError> {
        let registry = Arc::clone(&self.registry);
        match tokio::task::spawn_blocking(move || registry.refresh()).await {
            Ok(Ok(true)) => tracing::info!(devices = self.registry.listed().len(), "read the file of devices again"),
            Ok(Err(error)) => {
                tracing::error!(error = %Chain(&error), "cannot read the file of devices, those of before hold");
            }
            Ok(Ok(false)) | Err(_) => {}
        }
        self.last_heard = self.reach.devices.heard().await?;
        let records = self.reach.devices.records().await?;
        let listed = self.registry.listed();
        let (now, mut enrolled) = (now(), BTreeSet::new());
        for device in listed.keys().chain(records.keys()) {
            match self.registry.standing(device, records.get(device).map(String::as_str)) {
                Standing::Enrolled { .. } => _ = enrolled.insert(device.clone()),
                Standing::Awaiting(gate) if gate.until_ms > now => _ = enrolled.insert(device.clone()),
                Standing::Unreadable(what) => tracing::error!(device, what, "the record of a device cannot be read"),
                _ => {}
            }
        }
        self.reach.metrics.enrolled.set(i64::try_from(enrolled.len()).unwrap_or(i64::MAX));
        if self.reach.config.interval.is_zero() {
            return Ok(());
        }
        self.schedule.retain(|device, _| enrolled.contains(device));
        for device in enrolled {
            // Due now for all we know; Redis knows better.
            self.schedule.entry(device).or_insert(now);
        }
        Ok(())
    }

    async fn write_heartbeats(&mut self) -> Result<(), DevicesError> {
        let (beats, now) = (self.heard.take(), now());
        self.last_heard.extend(beats.iter().cloned());
        let (devices, config) = (&self.reach.devices, &self.reach.config);
        if let Err(error) = devices.hear(&beats, now).await {
            self.heard.note(beats.iter().map(|(device, at)| (device.as_str(), *at)));
            return Err(error);
        }
        let since = [now - milliseconds(config.online), now - milliseconds(config.stale), 0];
        if let [online, stale, all] = devices.heard_since(&since.map(|at| at + 1)).await?[..] {
            self.reach.metrics.show_health([online, stale - online, all - stale]);
        }
        Ok(())
    }

    /// What of the challenges that expired nobody answered.
    async fn miss_answers(&mut self, now: i64) -> Result<(), DevicesError> {
        let config = Arc::clone(&self.reach.config);
        let grace = milliseconds(GRACE.min(config.answer_within));
        for (device, nonce) in self.reach.devices.overdue(now - grace).await? {
            if self.notices.is_open(&device, &nonce) {
                continue;
            }
            let health = Health::of(self.last_heard.get(&device).copied(), now, &config);
            if config.unanswered_fails && health == Health::Online {
                let (lane, notice) = self.notices.make(&device, nonce, now, &*self.intake);
                // A lane that is full takes it at the next tick, for it is overdue still.
                let _ = self.intake.try_send(lane, vec![notice]);
            } else {
                tracing::info!(device, health = health.as_str(), "a challenge was not answered");
                self.reach.forget(&device, &nonce).await?;
            }
        }
        Ok(())
    }

    /// Notices that are stored are no longer overdue; those that were given up are.
    async fn settle_notices(&mut self) -> Result<(), DevicesError> {
        for (device, nonce) in self.notices.settled() {
            self.reach.forget(&device, &nonce).await?;
        }
        Ok(())
    }
}

impl Reach {
    /// Asks a device. When the next challenge is due, if that is known.
    async fn challenge(&self, device: &str, occasion: Occasion) -> Option<i64> {
        let Self { config, devices, outlet, metrics } = self;
        let mut chance = [0; 32];
        if let Err(error) = getrandom::fill(&mut chance) {
            // Better no challenge than one that somebody could foresee.
            tracing::error!(%error, "the system gives no random bytes, so no device is asked");
            return None;
        }
        let nonce = hex::encode(&chance);
        let issued = devices.issue(device, &nonce, config.answer_within, config.interval, occasion).await;
        let (at, expires) = match issued {
            Ok(Issued::Now { at, expires }) => (at, expires),
            Ok(Issued::Later(due)) => return Some(due).filter(|due| *due > 0),
            Err(error) => {
                tracing::debug!(device, error = %Chain(&error), "cannot note a challenge, so it is not sent");
                return None;
            }
        };
        let due = Some(at + milliseconds(config.interval));
        let payload = json!({ "device_id": device, "nonce": nonce, "issued_ms": at, "expires_ms": expires });
        let published = outlet.publish(config.topic(device), payload.to_string(), config.answer_within).await;
        if let Err(error) = published {
            metrics.unsent.inc();
            tracing::warn!(device, error = %error, "a challenge could not be sent");
            return due;
        }
        metrics.sent.inc();
        // Only what was sent can lack an answer.
        if let Err(error) = devices.sent(device, &nonce, expires).await {
            tracing::debug!(device, error = %Chain(&error), "a missing answer to this challenge will not be noticed");
        }
        due
    }

    async fn forget(&self, device: &str, nonce: &str) -> Result<(), DevicesError> {
        if self.devices.forget(device, nonce).await? {
            self.metrics.unanswered.inc();
        }
        Ok(())
    }
}

impl Notices {
    fn is_open(&self, device: &str, nonce: &str) -> bool {
        self.open.values().any(|(of, about)| of == device && about == nonce)
    }

    /// A delivery that says that `device` did not answer to `nonce`, and its lane.
    fn make(&mut self, device: &str, nonce: String, now: i64, intake: &impl Intake) -> (usize, Delivery) {
        let context = Context {
            source: NOTICES.to_owned(),
            format: "mqtt".to_owned(),
            // As the answer would have come: guests know it by that.
            topic: Some(format!("aurora/attestation/{device}/response")),
            device_id: Some(device.to_owned()),
            channel: Some("response".to_owned()),
            source_ip: None,
        };
        let notice = Notice { device_id: device.to_owned(), nonce };
        let payload = serde_json::to_vec(&notice).unwrap_or_default();
        let Notice { device_id, nonce } = notice;
        self.next += 1;
        self.open.insert(self.next, (device_id, nonce));
        let settle: Arc<dyn Settle> = self.ledger.clone();
        let delivery = Delivery {
            received_ms: now,
            payload: Bytes::from(payload),
            identity: Identity::Once(self.next),
            attempts: 0,
            unfit: None,
            duty: Duty::new(settle, self.next),
            context: Arc::new(context),
        };
        (intake.lane_of(&delivery.context), delivery)
    }

    fn settled(&mut self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        self.ledger.take(&mut entries);
        let of = |entry| match entry {
            Entry::Settled(ticket) => self.open.remove(&ticket),
            Entry::Abandoned(ticket) => {
                self.open.remove(&ticket);
                None
            }
        };
        entries.into_iter().filter_map(of).collect()
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
