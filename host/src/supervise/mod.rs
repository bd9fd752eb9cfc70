//! Starts everything, watches it, and ends it in flow order: sources stop, what is in flight settles within the grace
//! period, lanes and publishers end, and what was not settled is left to be delivered again.
//!
//! [`run`] and `start`, in this file, tell the order of starting; `Running::end` tells that of ending. How each part is
//! started is in a file of its own:
//!
//! | file | what it starts |
//! |---|---|
//! | `signals` | nothing: who asks for the end, or for the configuration to be read again |
//! | `sockets` | nothing yet: an address in use is known before anything else |
//! | `base` | nothing: what the other parts are made of, and what tells them to end |
//! | `operators` | health, metrics and the page, from where the rest is watched coming up |
//! | `memory`, `guests` | the guests of all stages, and what they remember |
//! | `audit` | nothing: what the audit trail says of the start |
//! | `attest`, `intel` | what looks at events beside the guests |
//! | `spool`, `lanes` | the lanes with their publishers, and where batches wait while Redis is away |
//! | `watch`, `outward` | what looks at Redis, and what goes out from there to viewers and other sites |
//! | `mqtt`, `streams`, `inbound`, `tasks` | the sources; with HTTP ingest they are the last to start and the first to end |
//! | `running` | nothing: it waits for the end, and ends all of it |

mod signals;
mod sockets;
mod base;
mod operators;
mod memory;
mod guests;
mod audit;
mod attest;
mod intel;
mod spool;
mod lanes;
mod watch;
mod outward;
mod mqtt;
mod streams;
mod inbound;
mod tasks;
mod running;

use std::{process::ExitCode, sync::Arc};

use tokio::{signal::unix::Signal, task::JoinSet};

use self::{
    attest::Attesting,
    audit::record_start,
    base::Base,
    guests::Guests,
    intel::{Looking, table},
    lanes::lane_count,
    memory::Memory,
    operators::Operators,
    running::Running,
    signals::Signals,
    sockets::Sockets,
    watch::watch_redis,
};
use crate::{
    admin::{Part, PartState},
    broker::redis_streams::Session,
    config::Config,
    ingest::Ingest,
    lag::{Lag, Seen},
    pipeline::{Beside, Trail},
    sandbox::{LoadError, Sandbox},
    swap::Reload,
};

/// A long-lived task that has ended: its name, and how many deliveries it leaves to be delivered again.
type Ended = (&'static str, usize);

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

async fn start(config: &Config, reload: Reload, hangups: Signal) -> anyhow::Result<Running> {
    // Sockets first: an address in use is known at once, compiling guests takes a moment.
    let sockets = Sockets::bind(config).await?;
    let base = Base::new(config)?;
    let seen = Seen::default();
    let operators = Operators::start(&base, sockets.admin, &seen)?;

    let table = table(&base);
    let memory = Memory::new(&base, table.clone());
    let sandbox = memory.of(Sandbox::new(&config.guests, lane_count(&config.lanes))?);
    let spool = spool::open(&base).await?;
    let inherits = spool.as_ref().is_some_and(|(spool, _)| !spool.is_empty());
    let session = Arc::new(Session::new(&base.target.layout, base.redis_config.durability(), inherits));
    let (audit, trail) = Trail::new(&session, base.target.audit, base.redis_config.reconnect_max);
    let guests = Guests::load(&base, &sandbox, &memory, &audit, reload).await?;
    // Set only here.
    let _ = operators.guests.swap.set(guests.swap.clone());
    base.readiness.set(Part::Guests, PartState::Ready);

    let (mut sources, mut lane_tasks, mut others) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    others.spawn(named("audit", trail.run(base.redis.clone(), Arc::clone(&session))));
    record_start(&audit, config, &guests.stages);
    let (stages, tap, agents) = guests.attend(&base, sandbox, hangups, &mut others);

    let mut attesting = Attesting::of(&base)?;
    if let Some(attesting) = &attesting {
        // Set only here.
        let _ = operators.devices.asking.set(attesting.asking());
    }
    let looking = table.clone().map(Looking::new);
    let beside = Beside {
        tap,
        attestor: attesting.as_ref().map(|attesting| attesting.attestor(&audit)),
        matcher: looking.as_ref().map(|looking| looking.matcher(&config.site.id)),
    };
    if let Some(looking) = looking {
        let (count, sightings) = looking.tasks(&base.stops.redis);
        others.spawn(named("shared indicators", count));
        others.spawn(named("sightings", sightings));
    }

    let lanes = lanes::start(&base, &stages, &beside, &session, spool.as_ref(), &mut lane_tasks)?;
    base.readiness.set(Part::Lanes, PartState::Ready);
    others.spawn(named("redis watch", watch_redis(&base)));
    let lag = Lag::new(base.redis.clone(), &config.lag, base.redis_config, config.raw.as_ref(), &base.metrics, &seen);
    others.spawn(named("lag", lag.run(base.stops.redis.clone())));
    outward::broadcast(&base, sockets.broadcast, &mut others)?;
    if let Some((spool, _)) = spool {
        others.spawn(spool::empty(spool::replay(&base, spool, &session, &audit)));
    }
    outward::relay(&base, &mut others).await?;

    let outgoings = attesting.as_mut().and_then(|attesting| attesting.outgoings.take());
    mqtt::start(&base, &lanes, outgoings, &session, &mut sources)?;
    streams::start(&base, &lanes, &mut sources);
    let inbound = inbound::start(&base, &lanes, &stages, table.as_ref(), &mut sources).await?;
    if let Some(attesting) = attesting {
        sources.spawn(named("challenger", attesting.challenger(&lanes, &base.stops.sources.reading).run()));
    }
    let desk = tasks::start(&base, &agents, &operators.guests, &audit, &mut sources, &mut others)?;
    if let (Some(ingest_config), Some(socket)) = (&config.ingest, sockets.ingest) {
        let ingest = Ingest::new(ingest_config, Arc::clone(&lanes), base.metrics.clone())?.with_tasks(desk);
        sources.spawn(named("ingest", ingest.serve(socket, base.stops.ingest.clone())));
    }
    tracing::info!(site = config.site.id, admin = %config.admin.listen, "aurora runs");
    // The lanes end with their last handle, and the sightings with the last lane: what is not named here goes now.
    let Base { stops, readiness, metrics, .. } = base;
    let Operators { task: admin, liveness, .. } = operators;
    Ok(Running {
        sources,
        lanes: lane_tasks,
        others,
        admin,
        audit: Some(audit),
        stops,
        liveness,
        readiness,
        metrics,
        inbound,
        failure: None,
    })
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
