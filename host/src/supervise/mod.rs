//! Starts everything, watches it, and ends it in flow order: sources stop, what is in flight settles within the grace
//! period, lanes and publishers end, and what was not settled is left to be delivered again.

mod attest;
mod intel;
mod signals;
mod spool;
mod tasks;
mod watch;

use std::{convert::Infallible, future::pending, num::NonZero, process::ExitCode, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use prometheus::IntGauge;
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::intel::{Looking, table};
use attest::Attesting;
use signals::Signals;
use watch::watch_redis;

use crate::{
    admin::{self, Liveness, Part, PartState, Readiness},
    broadcast::Broadcast,
    broker::{
        jetstream::{self, Dial},
        mqtt,
        redis_streams::{Letters, Pool, Session, StateShelf},
    },
    config::{self, Config},
    console::{self, About},
    event::Stop,
    federation::{Offer, inbound::Source as Inbound},
    ingest::Ingest,
    lag::{Lag, Seen},
    listen,
    pipeline::{Audit, Beside, Lanes, Publisher, Relay, Stages, Started, Tap, Target, Trail, Unspool, Witness},
    raw,
    sandbox::{LoadError, Sandbox},
    state::Shelf,
    swap::{Reload, Swap},
    tasks::{Desk, Roster},
    telemetry::{Broker, Metrics},
};

/// Time for what follows the drain: the last audit entry, the last acks of JetStream.
const FAREWELL: Duration = Duration::from_secs(2);

/// A long-lived task that has ended: its name, and how many deliveries it leaves to be delivered again.
type Ended = (&'static str, usize);

/// The daemon's tasks.
struct Running {
    /// Sources.
    sources: JoinSet<Ended>,
    /// Lanes with their publishers.
    lanes: JoinSet<Ended>,
    /// The audit trail and the relay.
    others: JoinSet<Ended>,
    audit: Option<Audit>,
    /// Of the sources that hold a connection.
    stop: Stop,
    ingest_stop: CancellationToken,
    give_up: CancellationToken,
    relay_stop: CancellationToken,
    replay_stop: CancellationToken,
    redis_stop: CancellationToken,
    good_stop: CancellationToken,
    swap_stop: CancellationToken,
    admin_stop: CancellationToken,
    admin: tokio::task::JoinHandle<()>,
    liveness: Liveness,
    readiness: Readiness,
    metrics: Metrics,
    /// Messages of other sites in flight, by stream.
    inbound: Vec<IntGauge>,
    /// Why it ends, if not because it was told to.
    failure: Option<String>,
}

/// Runs the daemon until it is told to end or a task of it fails. `reload` reads the configuration again, for SIGHUP.
///
/// # Errors
/// If something cannot be started. A broker that is away is no such error: it is waited for.
pub async fn run(config: Config, reload: Reload) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let hangups = signals.hangups()?;
    let mut running = tokio::select! {
        running = start(&config, reload, hangups) => running?,
        name = signals.next() => {
            tracing::info!(signal = name, "asked to end while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "asked to end"),
        (task, reason) = running.loss() => {
            tracing::error!(task, reason, "a task has failed, ending");
            running.failure = Some(format!("{task}: {reason}"));
            running.liveness.lose(task, reason);
        }
    }
    let grace = config.shutdown.grace;
    tokio::select! {
        code = running.end(grace) => Ok(code),
        name = signals.next() => {
            tracing::warn!(signal = name, "asked again, ending at once; what is in flight will be delivered again");
            Ok(ExitCode::from(130))
        }
    }
}

/// How many lanes there are.
#[must_use]
pub fn lane_count(config: &config::Lanes) -> usize {
    match config.count {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    }
}

async fn start(config: &Config, reload: Reload, hangups: Signal) -> anyhow::Result<Running> {
    let redis_config = config.redis.as_ref().context("no [redis] is configured")?;
    let metrics = Metrics::new();
    let lanes = lane_count(&config.lanes);
    // Sockets first: an address in use is known at once, compiling guests takes a moment.
    let broadcast_socket = match &config.broadcast {
        Some(broadcast) => Some(listen::bind("broadcast.listen", broadcast.listen).await?),
        None => None,
    };
    let admin_socket = listen::bind("admin.listen", config.admin.listen).await?;
    let ingest_socket = match &config.ingest {
        Some(ingest) => Some(listen::bind("ingest.listen", ingest.listen).await?),
        None => None,
    };
    let readiness = Readiness::new(parts(config));
    readiness.register(&metrics.registry).context("cannot show the readiness")?;
    let liveness = Liveness::default();
    let admin_stop = CancellationToken::new();
    let token = config.admin.token().map_err(anyhow::Error::msg)?.map(Arc::new);
    let guests = admin::guests::Handle { swap: Arc::default(), agents: Arc::default(), token: token.clone() };
    let devices = admin::devices::Handle { asking: Arc::default(), token };
    // Nothing is connected yet.
    let redis = Pool::new(redis_config)?;
    let (target, seen) = (Target::new(config), Seen::default());
    let console = About::new(config, &redis).map(|about| {
        let letters = Letters::new(&redis, &target.layout, target.dead_letter);
        console::Handle::new(about, (&liveness, &readiness), &metrics, &seen, (&guests, &devices), letters)
    });
    let handle = admin::Handle {
        liveness: liveness.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        guests: guests.clone(),
        devices: devices.clone(),
        console,
    };
    let admin = tokio::spawn(admin::serve(admin_socket, handle, admin_stop.clone()));

    let shelf: Arc<dyn Shelf> = Arc::new(StateShelf::new(redis.clone(), redis_config));
    let table = config.intel.as_ref().map(|_| table(config, &redis, redis_config, &metrics));
    let memory = tasks::Memory { shelf, table: table.clone() };
    let sandbox = memory.of(Sandbox::new(&config.guests, lanes)?);
    let spool = match &config.spool {
        Some(spool_config) => Some((spool::open(spool_config, &metrics).await?, spool_config.after)),
        None => None,
    };
    let inherits = spool.as_ref().is_some_and(|(spool, _)| !spool.is_empty());
    let session = Arc::new(Session::new(&target.layout, redis_config.durability(), inherits));
    let (audit, trail) = Trail::new(&session, target.audit, redis_config.reconnect_max);
    let (proven, good) = mpsc::channel(config.guests.all().count());
    let witness = Witness { audit: audit.clone(), readiness: readiness.clone(), proven };
    let load = {
        let (config, sandbox, metrics) = (config.clone(), sandbox.clone(), metrics.clone());
        let witness = witness.clone();
        move || Stages::load(&config, &sandbox, &metrics, Some(&witness))
    };
    let mut stages = tokio::task::spawn_blocking(load).await.context("loading the guests failed")?.map_err(all)?;
    if config.nats.is_none() {
        stages.federate = None;
    }
    let tasking = match &config.tasks {
        Some(tasks_config) => {
            let means = tasks::means(tasks_config, config, redis_config, &redis, &metrics);
            let agents = tasks::agents(&means, config, &memory, &metrics, &witness).await?;
            Some((means, agents))
        }
        None => None,
    };
    let tap = Tap::default();
    let open = {
        let (config, sandbox, stages) = (config.clone(), sandbox.clone(), stages.clone());
        let (audit, tap) = (audit.clone(), tap.clone());
        let agents = tasking.as_ref().map(|(_, agents)| agents.clone()).unwrap_or_default();
        move || Swap::open(&config, &sandbox, &stages, &agents, &audit, &tap, reload)
    };
    let (swap, places) = tokio::task::spawn_blocking(open).await.context("preparing the slots failed")?;
    // Set only here.
    let _ = guests.swap.set(swap);
    readiness.set(Part::Guests, PartState::Ready);

    let mut others = JoinSet::new();
    let good_stop = CancellationToken::new();
    others.spawn(named("good guests", sandbox.keep_good(good, good_stop.clone())));
    others.spawn(named("audit", trail.run(redis.clone(), Arc::clone(&session))));
    record_start(&audit, config, &stages);
    let swap_stop = CancellationToken::new();
    others.spawn(named("guests' places", places.run(hangups, swap_stop.clone())));
    let mut attesting = match &config.attestation {
        Some(attestation) => Some(Attesting::new(attestation, &redis, redis_config, &metrics)?),
        None => None,
    };
    if let Some(attesting) = &attesting {
        // Set only here.
        let _ = devices.asking.set(attesting.asking());
    }
    let redis_stop = CancellationToken::new();
    let looking = table.clone().map(Looking::new);
    let beside = Beside {
        tap,
        attestor: attesting.as_ref().map(|attesting| attesting.attestor(&audit)),
        matcher: looking.as_ref().map(|looking| looking.matcher(&config.site.id)),
    };
    if let Some(looking) = looking {
        let (count, sightings) = looking.tasks(&redis_stop);
        others.spawn(named("shared indicators", count));
        others.spawn(named("sightings", sightings));
    }

    let give_up = CancellationToken::new();
    let shared = Arc::new(target);
    let (lanes, started) = Lanes::start(lanes, &config.lanes, &stages, &beside, &shared, &session, &metrics)
        .context("cannot start the lanes' threads")?;
    let lanes = Arc::new(lanes);
    let mut lane_tasks = JoinSet::new();
    for Started { decided, ended } in started {
        let publisher = Publisher {
            decided,
            session: Arc::clone(&session),
            redis: redis.clone(),
            spool: spool.clone(),
            target: Arc::clone(&shared),
            reconnect_max: redis_config.reconnect_max,
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            give_up: give_up.clone(),
        };
        lane_tasks.spawn(async move {
            if let Err(error) = publisher.run().await {
                tracing::error!(error = %error, "superseded");
                return ("publisher, superseded by another daemon", 0);
            }
            // An error means that the lane's thread panicked; its deliveries were abandoned by that.
            (if ended.await.is_ok() { "lane" } else { "lane, by a panic" }, 0)
        });
    }
    readiness.set(Part::Lanes, PartState::Ready);
    let letters = Letters::new(&redis, &shared.layout, shared.dead_letter);
    others.spawn(named(
        "redis watch",
        watch_redis(redis.clone(), letters, readiness.clone(), metrics.clone(), redis_stop.clone()),
    ));

    let lag = Lag::new(redis.clone(), &config.lag, redis_config, config.raw.as_ref(), &metrics, &seen);
    others.spawn(named("lag", lag.run(redis_stop.clone())));

    if let (Some(broadcast), Some(socket)) = (&config.broadcast, broadcast_socket) {
        // As in the group of the raw stream: unique at this Redis, and the same after a restart.
        let consumer = raw::Config::default().consumer(config);
        let broadcast = Broadcast::new(broadcast, &redis, redis_config, &consumer, &readiness, &metrics);
        let broadcast = broadcast.map_err(anyhow::Error::msg)?;
        others.spawn(named("broadcast", broadcast.run(socket, redis_stop.clone())));
    }

    let replay_stop = CancellationToken::new();
    if let Some((spool, _)) = spool {
        let replay = Unspool {
            spool,
            redis: redis.clone(),
            session: Arc::clone(&session),
            dead_letter: shared.dead_letter,
            reconnect_max: redis_config.reconnect_max,
            readiness: readiness.clone(),
            audit: audit.clone(),
            metrics: metrics.clone(),
            stop: replay_stop.clone(),
        };
        others.spawn(spool::empty(replay));
    }

    let relay_stop = CancellationToken::new();
    if let Some(nats_config) = &config.nats {
        let dial = Dial::new(nats_config).await?;
        let relay = relay(nats_config, &redis, redis_config.timeout, &shared, &readiness, &metrics, &relay_stop);
        others.spawn(named("relay", relay.run(dial)));
    }

    let mut sources = JoinSet::new();
    let stop = Stop::default();
    if let Some(mqtt_config) = &config.mqtt {
        let (quiet, asked) = mpsc::channel(1);
        let source = mqtt::Session::new(
            mqtt_config.clone(),
            Arc::clone(&lanes),
            &metrics,
            readiness.clone(),
            stop.clone(),
            Some(quiet),
            attesting.as_mut().and_then(|attesting| attesting.outgoings.take()),
        )?;
        let note = note_acknowledged(asked, redis.clone(), Arc::clone(&session));
        sources.spawn(async move {
            tokio::select! {
                left = source.run() => ("mqtt", left),
                never = note => match never {},
            }
        });
    }
    let reach = || raw::Reach {
        redis: redis.clone(),
        timeout: redis_config.timeout,
        reconnect_max: redis_config.reconnect_max,
    };
    if let (Some(raw_config), Some(raw)) = (&config.raw, &shared.raw) {
        let source = raw::Source::new(
            raw::Sort::Raw,
            raw_config.clone(),
            shared.layout.key(raw.stream).to_owned(),
            raw_config.consumer(config),
            reach(),
            Arc::clone(&lanes),
            metrics.clone(),
            readiness.clone(),
            stop.clone(),
        );
        sources.spawn(async move { ("raw", source.run().await) });
    }
    for (offer, from) in &shared.offers {
        let stream_config = config.federation.streams.of(shared.layout.name(from.stream));
        let source = raw::Source::new(
            raw::Sort::Offer(*offer),
            stream_config.clone(),
            shared.layout.key(from.stream).to_owned(),
            stream_config.consumer(config),
            reach(),
            Arc::clone(&lanes),
            metrics.clone(),
            readiness.clone(),
            stop.clone(),
        );
        let name = offer.source();
        sources.spawn(async move { (name, source.run().await) });
    }
    let mut inbound = Vec::new();
    if let (Some(inbound_config), Some(nats_config)) = (&config.federation.inbound, &config.nats) {
        for stream in inbound_config.streams(nats_config) {
            inbound.push(metrics.inbound(stream).in_flight);
            let source = Inbound::new(
                inbound_config,
                nats_config,
                stream,
                &config.site.id,
                stages.inbound.as_ref().clone(),
                table.clone(),
                Arc::clone(&lanes),
                metrics.clone(),
                readiness.clone(),
                stop.clone(),
            );
            let dial = Dial::new(nats_config).await?;
            sources.spawn(async move { ("federation in", source.run(dial).await) });
        }
    }
    if let Some(attesting) = attesting {
        sources.spawn(named("challenger", attesting.challenger(&lanes, &stop.reading).run()));
    }
    let mut desk = None;
    if let Some((means, agents)) = tasking {
        let worker = tasks::worker(&means, &agents, &readiness, &stop)?;
        for (_, slot) in agents.iter() {
            let guest = slot.present();
            audit.record("guest-load", format!("{} {} {}", slot.name(), guest.name(), guest.digest_text()));
        }
        // Set only here.
        let _ = guests.agents.set(Roster::new(&means, &agents, &readiness));
        if let Some(worker) = worker {
            sources.spawn(async move { ("tasks", worker.run().await) });
        }
        // Results are for whoever asks: where nobody can, they are left to other readers of their group.
        if config.ingest.is_some() && means.config.api {
            let (one, correlator) = Desk::new(&means, &readiness);
            others.spawn(named("task results", correlator.run(redis_stop.clone())));
            desk = Some(one);
        }
    }
    let ingest_stop = CancellationToken::new();
    if let (Some(ingest_config), Some(socket)) = (&config.ingest, ingest_socket) {
        let ingest = Ingest::new(ingest_config, Arc::clone(&lanes), metrics.clone())?.with_tasks(desk);
        sources.spawn(named("ingest", ingest.serve(socket, ingest_stop.clone())));
    }
    tracing::info!(site = config.site.id, admin = %config.admin.listen, "aurora runs");
    Ok(Running {
        sources,
        lanes: lane_tasks,
        others,
        audit: Some(audit),
        stop,
        ingest_stop,
        give_up,
        relay_stop,
        replay_stop,
        redis_stop,
        good_stop,
        swap_stop,
        admin_stop,
        admin,
        liveness,
        readiness,
        metrics,
        inbound,
        failure: None,
    })
}

/// The parts that have to be in order for the daemon to be ready.
fn parts(config: &Config) -> Vec<Part> {
    let mqtt = config.mqtt.is_some().then_some(Part::Mqtt);
    let raw = config.raw.is_some().then_some(Part::Raw);
    let nats = config.nats.is_some().then_some(Part::Nats);
    [Part::Guests, Part::Lanes, Part::Redis].into_iter().chain(mqtt).chain(raw).chain(nats).collect()
}

fn relay(
    config: &jetstream::Config,
    redis: &Pool,
    timeout: Duration,
    target: &Arc<Target>,
    readiness: &Readiness,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Relay {
    Relay {
        redis: redis.clone(),
        config: config.clone(),
        timeout,
        target: Arc::clone(target),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    }
}

fn record_start(audit: &Audit, config: &Config, stages: &Stages) {
    audit.record("start", format!("aurora {} at site {}", env!("CARGO_PKG_VERSION"), config.site.id));
    audit.record("config", config.to_string());
    for slot in stages.all() {
        let (name, digest) = slot.present();
        audit.record("guest-load", format!("{} {name} {digest}", slot.name()));
    }
}

impl Running {
    /// Waits for a task to end that should not: which, and how.
    async fn loss(&mut self) -> (String, String) {
        let ended = tokio::select! {
            Some(ended) = self.sources.join_next() => ended,
            Some(ended) = self.lanes.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
        };
        match ended {
            Ok((name, _)) => (name.to_owned(), "ended".to_owned()),
            Err(error) => ("a task".to_owned(), error.to_string()),
        }
    }

    async fn end(mut self, grace: Duration) -> ExitCode {
        let deadline = Instant::now() + grace;
        self.readiness.drain();
        // A guest that would be installed now would only delay the end.
        self.swap_stop.cancel();
        self.stop.reading.cancel();
        self.ingest_stop.cancel();
        let offers = Offer::ALL.map(|offer| self.metrics.offered_entries(offer.as_str()).in_flight);
        let of_sources: Vec<_> = [
            self.metrics.broker(Broker::Mqtt).in_flight.clone(),
            self.metrics.raw_in_flight.clone(),
            self.metrics.tasks.in_flight.clone(),
        ]
        .into_iter()
        .chain(offers)
        .chain(self.inbound.iter().cloned())
        .collect();
        let settled = async {
            while of_sources.iter().any(|in_flight| in_flight.get() > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What happens in time is seen below, by what is left.
        let _ = timeout_at(deadline, settled).await;
        self.stop.connection.cancel();
        let mut left = 0;
        let sources = async {
            while let Some(ended) = self.sources.join_next().await {
                left += ended.map_or(0, |(_, left)| left);
            }
        };
        let ended = timeout_at(deadline + FAREWELL, sources).await;
        if ended.is_err() {
            // A source that still waits for events is dropped with them; its clients hear nothing and send again.
            self.sources.abort_all();
            tracing::warn!("a source did not end in time");
        }
        // The sources held the lanes' queues; without them the lanes finish and end.
        if timeout_at(deadline, drain(&mut self.lanes)).await.is_err() {
            self.give_up.cancel();
            // A lane that is in the middle of a call ends by that call's deadline; nobody waits for it any more.
            let _ = timeout_at(Instant::now() + FAREWELL, drain(&mut self.lanes)).await;
        }
        if let Some(audit) = self.audit.take() {
            let how = self.failure.as_deref().unwrap_or("asked to end");
            audit.record("stop", format!("{how}; {left} deliveries left for redelivery"));
        }
        self.relay_stop.cancel();
        self.replay_stop.cancel();
        self.redis_stop.cancel();
        self.good_stop.cancel();
        if timeout_at(Instant::now() + FAREWELL, drain(&mut self.others)).await.is_err() {
            tracing::warn!("the last audit entries could not be stored");
        }
        self.admin_stop.cancel();
        let _ = timeout_at(Instant::now() + FAREWELL, self.admin).await;
        tracing::info!(left_for_redelivery = left, "ended");
        if self.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

async fn drain(tasks: &mut JoinSet<Ended>) {
    while tasks.join_next().await.is_some() {}
}

/// Has Redis note that all is acknowledged, whenever the MQTT session is at rest. Without an answer where it cannot: then
/// marks go on to tell what they told.
async fn note_acknowledged(
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    redis: Pool,
    session: Arc<Session>,
) -> Infallible {
    while let Some(noted) = asked.recv().await {
        match session.all_acknowledged(&redis).await {
            Ok(()) => drop(noted.send(())),
            Err(error) => tracing::debug!(%error, "cannot note that all is acknowledged"),
        }
    }
    pending().await
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> Ended {
    task.await;
    (name, 0)
}

/// One error that names all of several.
pub(crate) fn all(errors: Vec<LoadError>) -> anyhow::Error {
    let lines: Vec<_> = errors.iter().map(|error| crate::telemetry::Chain(error).to_string()).collect();
    anyhow::anyhow!(lines.join("\n        "))
}
