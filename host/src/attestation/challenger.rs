//! The task that asks devices: by the schedule, when somebody wants it, and what comes of those that do not answer, or are
//! not heard any more.
//!
//! Every host of a site runs one. The schedule, the wishes, what is unanswered and who is silent are in Redis, so a device
//! is asked once, by whichever host comes first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use prometheus::IntGauge;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Config, Health, Heard, Registry, Standing,
    health::milliseconds,
    notice::{Notice, Notices},
    reach::Reach,
    silence::{self, Ear},
};
use crate::{
    broker::{
        mqtt::Outlet,
        redis_streams::{Devices, DevicesError, Occasion, Turn},
    },
    event::Intake,
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
    /// Devices of the file, and those with a record, however they stand; none until they were read.
    known: Option<Arc<BTreeSet<String>>>,
    /// Those of `known` that are revoked.
    revoked: Vec<String>,
    /// When each of `known` was last heard of, a moment ago.
    last_heard: HashMap<String, i64>,
    /// Devices whose key is known, with since when that is so as far as anybody saw.
    enrolled: BTreeMap<String, i64>,
    ear: Ear,
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
    /// 1 while there is a session over which they are heard.
    pub connected: IntGauge,
    /// The counters.
    pub metrics: AttestationMetrics,
}

impl<I: Intake> Challenger<I> {
    /// Asks by these `means`, until `stop`. Who does not answer is reported to `intake`, as an event like any other.
    #[must_use]
    pub fn new(means: Means, intake: Arc<I>, stop: CancellationToken) -> Self {
        let Means { config, devices, registry, outlet, heard, connected, metrics } = means;
        Self {
            reach: Reach { config: Arc::new(config), devices, outlet, metrics, unreadable: Arc::default() },
            registry,
            intake,
            heard,
            stop,
            schedule: BTreeMap::new(),
            known: None,
            revoked: Vec::new(),
            last_heard: HashMap::new(),
            enrolled: BTreeMap::new(),
            ear: Ear::new(connected),
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
        self.ear.listen(now());
        self.settle_notices().await?;
        if tick.is_multiple_of(HEARTBEATS) {
            self.write_heartbeats().await?;
        }
        if tick.is_multiple_of(REGISTRY) {
            self.read_registry().await?;
            self.tell_silence().await?;
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
        let standing = known.first().map(|known| self.registry.standing_of(&device, known));
        match standing.unwrap_or(Standing::Unknown) {
            Standing::Enrolled { .. } | Standing::Awaiting(_) => _ = self.ask(device, Occasion::Wanted),
            Standing::Unreadable(what) => {
                self.reach.warn(&device, &what);
                self.reach.devices.want_no_more(&device).await?;
            }
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
        let records = self.reach.devices.records().await?;
        let all: BTreeSet<String> = self.registry.listed().keys().chain(records.keys()).cloned().collect();
        // By themselves: what was heard of others is anybody's invention.
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        self.last_heard = self.reach.devices.heard_of(&names).await?.into_iter().collect();
        self.revoked.clear();
        let (now, mut enrolled, mut known) = (now(), BTreeSet::new(), BTreeSet::new());
        for device in &all {
            match self.registry.standing(device, records.get(device).map(String::as_str)) {
                Standing::Enrolled { .. } => {
                    known.insert(device.clone());
                    enrolled.insert(device.clone());
                }
                Standing::Awaiting(gate) if gate.until_ms > now => _ = enrolled.insert(device.clone()),
                Standing::Revoked => self.revoked.push(device.clone()),
                Standing::Unreadable(what) => self.reach.warn(device, &what),
                _ => {}
            }
        }
        self.reach.metrics.enrolled.set(i64::try_from(enrolled.len()).unwrap_or(i64::MAX));
        let all = Arc::new(all);
        self.heard.expect(Arc::clone(&all));
        self.known = Some(all);
        self.watch(&known, now).await?;
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

    /// From now on `known` are the devices whose key is known.
    async fn watch(&mut self, known: &BTreeSet<String>, now: i64) -> Result<(), DevicesError> {
        let devices = &self.reach.devices;
        let gone: Vec<String> = self.enrolled.keys().filter(|device| !known.contains(*device)).cloned().collect();
        devices.unwatch(&gone).await?;
        self.enrolled.retain(|device, _| known.contains(device));
        let new: Vec<&str> =
            known.iter().filter(|device| !self.enrolled.contains_key(*device)).map(String::as_str).collect();
        let since = devices.watch(&new, now).await?;
        self.enrolled.extend(new.into_iter().map(str::to_owned).zip(since));
        Ok(())
    }

    /// Which devices have fallen silent since the last time, and which are back.
    async fn tell_silence(&mut self) -> Result<(), DevicesError> {
        let (config, now) = (Arc::clone(&self.reach.config), now());
        if !config.offline_alerts || !self.ear.can_tell(now, &config) {
            return Ok(());
        }
        let devices = &self.reach.devices;
        let silent = devices.silent().await?;
        for (device, &enrolled_ms) in &self.enrolled {
            let heard_ms = self.last_heard.get(device).copied();
            let turn = silence::turn(heard_ms, enrolled_ms, silent.contains_key(device), now, &config);
            let Some(turn) = turn else { continue };
            if !devices.may_tell(device, turn, silence::latest(now, &config)).await? {
                continue;
            }
            let device_id = device.clone();
            let notice = match turn {
                Turn::Silent => Notice::Silent { device_id, heard_ms, enrolled_ms },
                Turn::Back => {
                    let before = silent.get(device).copied().filter(|at| *at > 0);
                    Notice::Back { device_id, heard_ms: before }
                }
            };
            tracing::info!(device, ?turn, "a device has gone silent, or is back");
            let (lane, delivery) = self.notices.make(notice, now, &*self.intake);
            // What a full lane does not take may be told again after a while, by whoever comes first.
            let _ = self.intake.try_send(lane, vec![delivery]);
        }
        Ok(())
    }

    async fn write_heartbeats(&mut self) -> Result<(), DevicesError> {
        let (beats, now) = (self.heard.take(), now());
        if let Some(known) = &self.known {
            self.last_heard.extend(beats.iter().filter(|(device, _)| known.contains(device)).cloned());
        }
        let (devices, config) = (&self.reach.devices, &self.reach.config);
        if let Err(error) = devices.hear(&beats, now).await {
            self.heard.note(beats.iter().map(|(device, at)| (device.as_str(), *at)));
            return Err(error);
        }
        let since = [now - milliseconds(config.online), now - milliseconds(config.stale), 0].map(|at| at + 1);
        let counts = devices.heard_since(&since).await?;
        let [online, stale, all] = counts[..] else { return Ok(()) };
        // Nobody waits for one that was taken away.
        let names: Vec<&str> = self.revoked.iter().map(String::as_str).collect();
        let mut shown = [online, stale - online, all - stale];
        for (_, at) in devices.heard_of(&names).await? {
            let health = Health::of(Some(at), now, config);
            if let Some(place) = Health::ALL.iter().position(|of| *of == health) {
                shown[place] -= 1;
            }
        }
        self.reach.metrics.show_health(shown.map(|count| count.max(0)));
        // The next look shows the rest.
        let Some(known) = &self.known else { return Ok(()) };
        let excess = |ours: usize| usize::try_from(all).unwrap_or_default().saturating_sub(ours + config.strangers);
        if excess(self.last_heard.len()) == 0 {
            return Ok(());
        }
        // What other hosts have heard of ours since the last look is not to be taken for strangers.
        let ours: Vec<&str> = known.iter().map(String::as_str).collect();
        let excess = excess(devices.heard_of(&ours).await?.len());
        self.reach.metrics.forgotten.inc_by(devices.forget_strangers(known, excess).await?);
        Ok(())
    }

    /// What of the challenges that expired nobody answered.
    async fn miss_answers(&mut self, now: i64) -> Result<(), DevicesError> {
        let config = Arc::clone(&self.reach.config);
        let grace = milliseconds(GRACE.min(config.answer_within));
        for (device, nonce) in self.reach.devices.overdue(now - grace).await? {
            if self.notices.is_open(&device, &nonce) {
                // On its way for long, as it is while Redis stores nothing: it stays with us.
                let _ = self.reach.devices.may_miss(&device, &nonce).await?;
                continue;
            }
            let heard = match self.last_heard.get(&device) {
                Some(at) => Some(*at),
                None => self.reach.devices.heard_of(&[&device]).await?.pop().map(|(_, at)| at),
            };
            let health = Health::of(heard, now, &config);
            // Who is to be there and was never heard of is no better than one who is there and keeps silent.
            let is_missed = match health {
                Health::Online => true,
                Health::Unknown => self.enrolled.contains_key(&device),
                Health::Stale | Health::Offline => false,
            };
            if config.unanswered_fails && is_missed {
                if !self.reach.devices.may_miss(&device, &nonce).await? {
                    continue;
                }
                let was_heard = health == Health::Online;
                let notice = Notice::Unanswered { device_id: device, nonce, was_heard };
                let (lane, notice) = self.notices.make(notice, now, &*self.intake);
                // What a full lane does not take is told after a while, by whoever comes first.
                let _ = self.intake.try_send(lane, vec![notice]);
            } else {
                tracing::info!(device, health = health.as_str(), "a challenge was not answered");
                self.reach.forget(&device, &nonce).await?;
            }
        }
        Ok(())
    }

    /// Notices that are stored are no longer overdue, and told; those that were given up are not.
    async fn settle_notices(&mut self) -> Result<(), DevicesError> {
        let devices = &self.reach.devices;
        for notice in self.notices.settled() {
            match notice {
                Notice::Unanswered { device_id, nonce, .. } => self.reach.forget(&device_id, &nonce).await?,
                Notice::Silent { device_id, heard_ms, .. } => devices.told(&device_id, Turn::Silent, heard_ms).await?,
                Notice::Back { device_id, heard_ms } => devices.told(&device_id, Turn::Back, heard_ms).await?,
            }
        }
        Ok(())
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
