//! Other guests, while events flow.
//!
//! A wish for another guest comes from a changed file, SIGHUP, or the admin API. Each slot has a task, [`place`], that
//! follows one wish after the other; the last one wins. It has the guest fetched, checked, compiled and tried on a thread
//! of its own ([`fit`]), and only then exchanges it in its [`Slot`](crate::pipeline::Slot), where lanes take their guest
//! batch by batch: no batch is cut, no event waits. Whatever goes wrong before that leaves the old guest where it is, and
//! is told in the log, the audit stream, the slot's history and the answer.
//!
//! The slots of agents are among them. There it is the next task that gets another guest, and there are neither rehearsals
//! nor a probation.
//!
//! After the exchange the guest is on probation: the slot itself takes the one before back, between two batches, when
//! there are too many faults or too much time. It knows of both from its breaker's tallies.
//!
//! A guest may first be rehearsed on live events ([`rehearsal`]). What a restart means stands in [`record`].

mod wish;
mod refused;
mod record;
mod history;
mod view;
mod fit;
pub(crate) mod cases;
mod place;
mod rehearsal;
mod watch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use history::Event;
pub use record::{Installed, Named};
pub(crate) use record::{has_run, standing};
pub use refused::Refused;
pub use rehearsal::{Difference, Example, Report, Rule, Side};
pub use view::View;
pub use wish::{By, Done, Plan, Source, Until, Wish};

use place::Place;
use rehearsal::Hall;
use wish::{Answer, Order};

use crate::{
    config::{self, Config, Problems},
    pipeline::{AnySlot, Audit, Stages, Tap},
    sandbox::{Sandbox, Vault},
    tasks::{self, Agents},
    telemetry::SlotName,
};

/// Reads the configuration again.
pub type Reload = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Orders that wait for a slot's task.
const ORDERS: usize = 16;

/// What the slots' tasks share; those of agents have another engine.
#[derive(Clone)]
struct Shared {
    sandbox: Sandbox,
    vault: Option<Vault>,
    audit: Audit,
    hall: Arc<Hall>,
    shelf: Arc<Mutex<()>>,
}

impl Shared {
    /// Held while records and bytes are written, so that nobody clears away what is about to be named.
    fn shelf(&self) -> MutexGuard<'_, ()> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How slots are told. Cheap to clone; it keeps nothing alive.
#[derive(Clone, Debug, Default)]
pub struct Swap {
    places: Arc<[(SlotName, mpsc::Sender<Order>)]>,
}

/// The tasks behind [`Swap`], to be run.
pub struct Places {
    swap: Swap,
    normalize: Vec<Place<crate::sandbox::Normalizer>>,
    route: Vec<Place<crate::sandbox::Router>>,
    federate: Vec<Place<crate::sandbox::Federation>>,
    judge: Vec<Place<crate::sandbox::Inbound>>,
    agents: Vec<Place<crate::sandbox::Agent>>,
    watched: Option<BTreeSet<PathBuf>>,
    fixed: Fixed,
    reload: Reload,
}

/// What no SIGHUP changes.
struct Fixed {
    /// By which rules each stage chooses, whatever their guests are.
    rules: Vec<Vec<config::Rule>>,
    /// Names of the agents.
    agents: Vec<String>,
}

impl Swap {
    /// The tasks for the slots of `stages` and of `agents`, and their handle. Guests that were installed before a restart are
    /// in their places when this returns. Blocks.
    #[must_use]
    pub fn open(
        config: &Config,
        sandbox: &Sandbox,
        stages: &Stages,
        agents: &Agents,
        audit: &Audit,
        tap: &Tap,
        reload: Reload,
    ) -> (Self, Places) {
        let shared = Arc::new(Shared {
            sandbox: sandbox.clone().in_background(),
            vault: sandbox.vault(),
            audit: audit.clone(),
            hall: Arc::new(Hall::new(tap.clone(), stages.clone(), config.lanes.retries)),
            shelf: Arc::default(),
        });
        let (mut names, mut normalize, mut route) = (Vec::new(), Vec::new(), Vec::new());
        let (mut federate, mut judge) = (Vec::new(), Vec::new());
        let watches = config.guests.watch;
        for slot in stages.all() {
            let name = slot.name().clone();
            let Some((_, config)) = config.guests.all().find(|(known, _)| *known == name) else { continue };
            let (orders, followed) = mpsc::channel(ORDERS);
            names.push((name, orders));
            let shared = Arc::clone(&shared);
            match slot {
                AnySlot::Normalize(slot) => {
                    normalize.push(Place::open(slot, config.clone(), followed, watches, shared))
                }
                AnySlot::Route(slot) => route.push(Place::open(slot, config.clone(), followed, watches, shared)),
                AnySlot::Federate(slot) => federate.push(Place::open(slot, config.clone(), followed, watches, shared)),
                AnySlot::Inbound(slot) => judge.push(Place::open(slot, config.clone(), followed, watches, shared)),
            }
        }
        let mut of_agents = Vec::new();
        if let (Some(sandbox), Some(tasks)) = (agents.engine(), &config.tasks) {
            let shared = Arc::new(Shared { sandbox: sandbox.clone().in_background(), ..Shared::clone(&shared) });
            for (agent, slot) in agents.iter() {
                let Some(config) = tasks.agents.get(agent) else { continue };
                let (orders, followed) = mpsc::channel(ORDERS);
                names.push((slot.name().clone(), orders));
                let (slot, shared) = (Arc::clone(slot), Arc::clone(&shared));
                of_agents.push(Place::open(slot, config.guest(), followed, watches, shared));
            }
        }
        let swap = Self { places: names.into() };
        let watched = watches.then(|| folders(config));
        let (agents, fixed) = (of_agents, Fixed::of(config));
        (swap.clone(), Places { swap, normalize, route, federate, judge, agents, watched, fixed, reload })
    }

    /// Every slot.
    pub async fn views(&self) -> Result<Vec<View>, Refused> {
        let mut views = Vec::with_capacity(self.places.len());
        for (_, orders) in self.places.iter() {
            views.push(describe(orders).await?);
        }
        Ok(views)
    }

    /// The slot `name`, in its own spelling or as in a URL.
    pub async fn view(&self, name: &str) -> Result<View, Refused> {
        describe(self.place(name)?).await
    }

    /// What befell the slot `name`, newest first.
    pub async fn history(&self, name: &str) -> Result<Vec<Event>, Refused> {
        let (answer, told) = oneshot::channel();
        self.place(name)?.send(Order::History(answer)).await.map_err(|_| Refused::Ending)?;
        told.await.map_err(|_| Refused::Ending)
    }

    /// Installs or rehearses a guest in the slot `name`, and waits for it.
    ///
    /// # Errors
    /// Why not.
    pub async fn install(&self, name: &str, wish: Wish) -> Result<Done, Refused> {
        self.order(name, |answer| Order::Install(wish, Some(answer))).await
    }

    /// Takes the guest before.
    ///
    /// # Errors
    /// Why not.
    pub async fn roll_back(&self, name: &str) -> Result<Done, Refused> {
        self.order(name, Order::RollBack).await
    }

    /// Installs what is, or was, rehearsed.
    ///
    /// # Errors
    /// Why not.
    pub async fn promote(&self, name: &str) -> Result<Done, Refused> {
        self.order(name, Order::Promote).await
    }

    /// Ends a rehearsal.
    ///
    /// # Errors
    /// There is none.
    pub async fn end_rehearsal(&self, name: &str) -> Result<Done, Refused> {
        self.order(name, Order::EndRehearsal).await
    }

    async fn order(&self, name: &str, order: impl FnOnce(Answer) -> Order) -> Result<Done, Refused> {
        let (answer, told) = oneshot::channel();
        self.place(name)?.send(order(answer)).await.map_err(|_| Refused::Ending)?;
        told.await.map_err(|_| Refused::Ending)?
    }

    fn place(&self, name: &str) -> Result<&mpsc::Sender<Order>, Refused> {
        let named = |slot: &SlotName| slot.as_str() == name || record::plain(slot) == name;
        let found = self.places.iter().find(|(slot, _)| named(slot));
        let known = || self.places.iter().map(|(slot, _)| slot.to_string()).collect::<Vec<_>>().join(", ");
        found.map(|(_, orders)| orders).ok_or_else(|| Refused::NoSlot { slot: name.replace(':', "/"), known: known() })
    }

    /// Tells every slot. One that is too busy to hear hears it again.
    fn tell_all(&self, order: impl Fn() -> Order) {
        for (_, orders) in self.places.iter() {
            let _ = orders.try_send(order());
        }
    }
}

async fn describe(orders: &mpsc::Sender<Order>) -> Result<View, Refused> {
    let (answer, told) = oneshot::channel();
    orders.send(Order::Describe(answer)).await.map_err(|_| Refused::Ending)?;
    told.await.map_err(|_| Refused::Ending)
}

impl Places {
    /// Runs until `stop`; each of `hangups` has the configuration read again. An end before that is a failure.
    pub async fn run(self, hangups: Signal, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let Self { swap, normalize, route, federate, judge, agents, watched, fixed, reload } = self;
        normalize.into_iter().for_each(|place| drop(tasks.spawn(place.run(stop.clone()))));
        route.into_iter().for_each(|place| drop(tasks.spawn(place.run(stop.clone()))));
        federate.into_iter().for_each(|place| drop(tasks.spawn(place.run(stop.clone()))));
        judge.into_iter().for_each(|place| drop(tasks.spawn(place.run(stop.clone()))));
        agents.into_iter().for_each(|place| drop(tasks.spawn(place.run(stop.clone()))));
        let (folders, wanted) = mpsc::channel(1);
        let folders = watched.map(|watched| {
            tasks.spawn(watch::watch(swap.clone(), wanted, stop.clone()));
            let _ = folders.try_send(watched);
            folders
        });
        tasks.spawn(reloads(swap, folders, (fixed, reload), hangups, stop.clone()));
        // The first that ends ends all: a slot that nobody tends must not go unnoticed.
        if let Some(Err(error)) = tasks.join_next().await {
            tracing::error!(%error, "a slot's task broke down");
        }
        if stop.is_cancelled() {
            while tasks.join_next().await.is_some() {}
        }
    }
}

/// Reads the configuration again at each SIGHUP, and tells the slots.
async fn reloads(
    swap: Swap,
    watched: Option<mpsc::Sender<BTreeSet<PathBuf>>>,
    (fixed, reload): (Fixed, Reload),
    mut hangups: Signal,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(hangups.recv()).await.flatten().is_some() {
        let reload = Arc::clone(&reload);
        let config = match tokio::task::spawn_blocking(move || reload()).await {
            Ok(Ok(config)) => config,
            Ok(Err(problems)) => {
                tracing::error!(%problems, "SIGHUP: the configuration cannot be used, nothing is changed");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "SIGHUP: reading the configuration failed");
                continue;
            }
        };
        tracing::info!("SIGHUP: the guests of the configuration are read again");
        for (name, guest) in guests(&config) {
            // None where the rule or the agent is new, or this daemon does without the stage.
            if let Some((_, orders)) = swap.places.iter().find(|(known, _)| *known == name) {
                let _ = orders.send(Order::Configure(Box::new(guest))).await;
            }
        }
        let wanted = Fixed::of(&config);
        if wanted.rules != fixed.rules {
            tracing::warn!("SIGHUP: rules were added, removed or changed; lanes go by the old ones until a restart");
        }
        if wanted.agents != fixed.agents {
            tracing::warn!("SIGHUP: agents were added or removed; tasks are for the old ones until a restart");
        }
        if let Some(watched) = &watched {
            let _ = watched.send(folders(&config)).await;
        }
    }
}

impl Fixed {
    fn of(config: &Config) -> Self {
        let choice = |rule: &config::Rule| config::Rule { guest: config::Guest::default(), ..rule.clone() };
        let rules = config.guests.stages().iter().map(|(_, guest)| guest.rules.iter().map(choice).collect()).collect();
        let agents = config.tasks.iter().flat_map(|tasks| tasks.agents.keys().cloned()).collect();
        Self { rules, agents }
    }
}

/// Every guest with its place, those that are agents included.
fn guests(config: &Config) -> Vec<(SlotName, config::Guest)> {
    let agents = config.tasks.iter().flat_map(|tasks| &tasks.agents);
    let agents = agents.map(|(name, agent)| (tasks::place(name), agent.guest()));
    config.guests.all().map(|(name, guest)| (name, guest.clone())).chain(agents).collect()
}

/// The folders of all guests.
fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let guests = guests(config);
    guests.iter().filter(|(_, guest)| guest.oci.is_none()).map(|(_, guest)| parent(&guest.path)).collect()
}
