//! A guest that is itself at fault: how long it is borne with, who decides in its place, and how it comes back. Here
//! without brokers, batch by batch; `live` has the same in the daemon.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aurora::{
    admin::Readiness,
    broker::redis_streams::{self, Pool, Session},
    config::{Config, Grant},
    pipeline::{Decided, DecidedEvent, Decider, Made, Outcome, Stages, Target, Trail, Witness},
    sandbox::{Guest, Kept, Sandbox},
    telemetry::{Metrics, Stage},
};
use cpu_time::ThreadTime;
use harness::{Broker, PATIENCE, Redis, Setup, hostile_guest, read_stream, stock_guest, wait_until};
use tokio::{sync::mpsc, time::timeout};

use super::deliveries;

/// A lane and all that it needs.
pub(super) struct Bench {
    pub config: Config,
    pub sandbox: Sandbox,
    pub stages: Stages,
    decider: Decider,
    pub metrics: Metrics,
    readiness: Readiness,
    proven: mpsc::Receiver<Kept>,
    session: Arc<Session>,
    /// Takes audit entries, as long as it is there.
    trail: Trail,
    sent: u64,
}

impl Bench {
    /// With the hostile guest in all stages.
    pub fn new(change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config::default();
        for guest in [&mut config.guests.normalize, &mut config.guests.route, &mut config.guests.federate] {
            guest.path = hostile_guest()?;
            guest.grants = [Grant::Log].into_iter().collect();
            guest.breaker.wait = Duration::from_millis(10);
        }
        change(&mut config);
        let (metrics, readiness) = (Metrics::new(), Readiness::new([]));
        let target = Target::new(&config);
        let session = Session::new(&target.layout, redis_streams::Config::default().durability(), false);
        let (audit, trail) = Trail::new(&session, target.audit, Duration::from_secs(1));
        let (keep, proven) = mpsc::channel(3);
        let witness = Witness { audit, readiness: readiness.clone(), proven: keep };
        let sandbox = Sandbox::new(&config.guests, 2)?.compiling_here();
        let stages = match Stages::load(&config, &sandbox, &metrics, Some(&witness)) {
            Ok(stages) => stages,
            Err(errors) => anyhow::bail!("{errors:?}"),
        };
        let decider = Decider::new(&stages, 3, metrics.clone());
        Ok(Self {
            config,
            sandbox,
            stages,
            decider,
            metrics,
            readiness,
            proven,
            session: Arc::new(session),
            trail,
            sent: 0,
        })
    }

    pub fn decide<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Decided {
        self.decider.decide(deliveries(lines, &mut self.sent))
    }

    /// 0 closed, 1 open, 2 half-open.
    pub fn state(&self, stage: Stage) -> i64 {
        self.metrics.guest(stage).breaker_state.get()
    }

    /// What was told, in order: the actions and their details. Ends the bench, for the trail ends with those who tell.
    async fn audited(self) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir()?;
        let redis = Broker::start(Setup::Redis(Redis::default()), folder.path()).await?;
        let pool = Pool::new(&redis_streams::Config { url: redis.url(), ..redis_streams::Config::default() })?;
        let Self { stages, decider, session, trail, .. } = self;
        drop((stages, decider));
        timeout(PATIENCE, trail.run(pool, session)).await.context("somebody may still tell")?;
        let entries = read_stream(&redis.url(), "aurora:audit").await?;
        Ok(entries.iter().map(|entry| (entry.text("action"), entry.text("details"))).collect())
    }

    pub fn degraded(&self, stage: &str) -> String {
        self.readiness.report().degraded.get(stage).cloned().unwrap_or_default()
    }

    /// Puts the hostile guest in the place of the stock router that it was begun with.
    pub fn swap_router(&self) -> Result<Arc<str>> {
        let config = aurora::config::Guest { path: hostile_guest()?, ..self.config.guests.route.clone() };
        let guest = Guest::load(&self.sandbox, &config, &self.metrics.guest(Stage::Route))?;
        let before = self.stages.route.stock().swap(Arc::new(guest), None, Made::Alike);
        Ok(Arc::clone(before.digest_text()))
    }

    /// With a stock router that has proved itself and was replaced by the hostile one. Its digest comes along.
    fn with_a_good_router() -> Result<(Self, Arc<str>)> {
        let mut bench = Self::new(|config| {
            config.guests.route.path = stock_guest("route-core").expect("the stock guests are built");
            config.guests.route.breaker.proven = 2;
            config.guests.route.breaker.wait = Duration::from_secs(60);
        })?;
        (0..2).for_each(|_| drop(bench.decide(["plain"; 8])));
        let good = bench.swap_router()?;
        Ok((bench, good))
    }
}

/// All events, in the order of their deliveries.
pub(super) fn events(decided: &Decided) -> impl Iterator<Item = DecidedEvent<'_>> {
    (0..decided.deliveries.len()).flat_map(|index| decided.events_of(index, decided.fingerprint(index)))
}

/// Who routed each event; empty for the host.
fn routers(decided: &Decided) -> Vec<String> {
    events(decided).map(|event| event.routed_by.map_or_else(String::new, |maker| maker.digest.to_string())).collect()
}

/// Titles in order; the hostile normalizer makes the line the title.
pub(super) fn titles(decided: &Decided) -> Vec<String> {
    events(decided).map(|event| event.event.title().to_owned()).collect()
}

#[test]
fn a_normalizer_that_fails_on_everything_costs_one_search_and_keeps_every_raw_event() -> Result<()> {
    // Unbounded, 4,096 events that spin would take 205 s: 8,191 calls of at least a quarter of the deadline.
    for deed in ["normalize trap", "normalize spin"] {
        let mut bench = Bench::new(|config| config.guests.normalize.breaker.wait = Duration::from_secs(60))?;
        let begun = ThreadTime::now();
        let decided = bench.decide(vec![deed; 4096]);
        let first = begun.elapsed();
        let faults = decided.dead_letters.iter().filter(|letter| !letter.reason.contains("breaker open")).count();
        let begun = ThreadTime::now();
        let after = bench.decide(vec![deed; 4096]);
        println!("{deed}: {first:?} with {faults} events blamed, then {:?} a batch", begun.elapsed());
        // The deadline, ten more of it, and some for traps on a slow machine.
        assert!(first < Duration::from_secs(3), "{deed}: {first:?}");
        assert_eq!(bench.state(Stage::Normalize), 1, "{deed}");
        assert_eq!(bench.metrics.guest(Stage::Normalize).breaker_opened.get(), 1);
        for decided in [decided, after] {
            assert_eq!(decided.dead_letters.len(), 4096, "{deed}");
            assert!(decided.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rejected(_))));
            assert!(decided.dead_letters.iter().all(|letter| letter.payload == deed.as_bytes()));
            assert!(decided.dead_letters.iter().all(|letter| letter.guest.is_some()));
        }
        assert!(bench.degraded("normalize").contains("dead letters"), "{}", bench.degraded("normalize"));
    }
    Ok(())
}

#[test]
fn one_poison_event_in_a_thousand_never_opens_a_breaker() -> Result<()> {
    let mut bench = Bench::new(|_| {})?;
    for batch in 0..100 {
        let lines: Vec<_> =
            (0..256).map(|i| if (batch * 256 + i) % 1000 == 7 { "normalize trap" } else { "plain" }).collect();
        let culprits = lines.iter().filter(|line| line.starts_with("normalize")).count();
        let decided = bench.decide(lines);
        assert_eq!(decided.dead_letters.len(), culprits);
        assert_eq!(bench.state(Stage::Normalize), 0, "batch {batch}");
    }
    Ok(())
}

#[test]
fn a_search_that_clears_most_is_given_up_in_the_end_and_opens_nothing() -> Result<()> {
    let mut bench = Bench::new(|config| config.guests.normalize.deadline = Duration::from_millis(4))?;
    // Each culprit costs several deadlines, however short, so a hundred are over long before the last of them.
    let lines: Vec<_> = (0..4096).map(|i| if i % 10 == 3 { "normalize spin" } else { "plain" }).collect();
    let decided = bench.decide(lines.iter().copied());
    let not_reached =
        decided.dead_letters.iter().filter(|letter| letter.reason.contains("before it was reached")).count();
    assert!(not_reached > 0, "the search went to its end");
    assert_eq!(titles(&decided).len() + decided.dead_letters.len(), 4096);
    assert!(titles(&decided).len() > decided.dead_letters.len() - not_reached, "mostly culprits");
    assert_eq!(bench.state(Stage::Normalize), 0, "{}", bench.degraded("normalize"));
    assert!(bench.decide(["plain"; 8]).dead_letters.is_empty());
    Ok(())
}

#[test]
fn the_guest_decides_again_when_it_copes_with_a_batch() -> Result<()> {
    let mut bench = Bench::new(|_| {})?;
    bench.decide(["route trap"; 256]);
    assert_eq!(bench.state(Stage::Route), 1);
    let begun = Instant::now();
    while bench.state(Stage::Route) != 0 {
        let decided = bench.decide(["plain"; 4]);
        // Nobody is left out meanwhile: the default route, and a letter that says so.
        assert_eq!(routers(&decided).len(), 4);
        ensure!(begun.elapsed() < Duration::from_secs(10), "not tried again");
    }
    assert!(bench.degraded("route").is_empty());
    assert!(bench.decide(["plain"; 4]).dead_letters.is_empty());
    assert_eq!(bench.metrics.guest(Stage::Route).breaker_opened.get(), 1);
    Ok(())
}

#[test]
fn the_last_good_guest_decides_what_the_new_one_failed_on() -> Result<()> {
    let (mut bench, good) = Bench::with_a_good_router()?;
    // Mixed, so that rulings of both guests have to be put together in order. Enough of it to open the breaker.
    let numbered: Vec<_> =
        (0..256).map(|i| format!("{} {i}", if i % 3 == 0 { "plain" } else { "route trap" })).collect();
    let decided = bench.decide(numbered.iter().map(String::as_str));
    assert_eq!(bench.state(Stage::Route), 1);
    assert_eq!(titles(&decided), numbered);
    let present = bench.stages.route.stock().present();
    for (line, router) in numbered.iter().zip(routers(&decided)) {
        let expected = if line.starts_with("plain") { present.digest_text() } else { &good };
        assert_eq!(router, **expected, "{line}");
    }
    assert!(decided.dead_letters.is_empty(), "{:?}", decided.dead_letters[0]);
    assert!(bench.degraded("route").contains(&*good), "{}", bench.degraded("route"));
    Ok(())
}

#[test]
fn a_last_good_guest_that_does_no_better_is_let_go_and_the_present_one_decides() -> Result<()> {
    let (mut bench, _) = Bench::with_a_good_router()?;
    // The good one of the next swap is the hostile guest, which behaves as long as nobody tells it otherwise.
    (0..2).for_each(|_| drop(bench.decide(["plain"; 8])));
    bench.swap_router()?;
    // One device sends what no router copes with, twice as much as the others together.
    let lines: Vec<_> = (0..256).map(|i| if i % 3 == 0 { "plain" } else { "route trap" }).collect();
    let (mut opened, mut states) = (0, Vec::new());
    for batch in 0..20 {
        let decided = bench.decide(lines.iter().copied());
        let undecided = routers(&decided).iter().zip(&lines).filter(|(router, _)| router.is_empty()).count();
        let poison = lines.iter().filter(|line| line.starts_with("route")).count();
        assert_eq!((undecided, decided.dead_letters.len()), (poison, poison), "batch {batch}");
        assert!(decided.dead_letters.iter().all(|letter| letter.payload == b"route trap"[..]), "batch {batch}");
        states.push(bench.state(Stage::Route));
        opened = bench.metrics.guest(Stage::Route).breaker_opened.get();
    }
    // The stand-in is compared on whole batches, so it has its turn; then the breaker has nobody to turn to.
    assert_eq!((states[0], opened), (1, 1), "{states:?}");
    assert!(states.ends_with(&[0; 15]), "{states:?}");
    assert!(bench.degraded("route").is_empty(), "{}", bench.degraded("route"));
    Ok(())
}

#[tokio::test]
async fn a_swap_closes_the_breaker_is_told_and_begins_anew_with_the_last_good_guest() -> Result<()> {
    let (mut bench, _) = Bench::with_a_good_router()?;
    (0..2).for_each(|_| drop(bench.decide(["plain"; 8])));
    bench.swap_router()?;
    // Opens; the stand-in fails on the second batch as well and is let go; the third has nobody to turn to.
    (0..3).for_each(|_| drop(bench.decide(["route trap"; 256])));
    assert!(bench.degraded("route").contains("default streams"), "{}", bench.degraded("route"));
    let before = bench.swap_router()?;
    assert_eq!(bench.state(Stage::Route), 0);
    assert!(bench.degraded("route").is_empty(), "{}", bench.degraded("route"));
    bench.decide(["route trap"; 256]);
    assert!(bench.degraded("route").contains("last good guest"), "{}", bench.degraded("route"));

    let audit = bench.audited().await?;
    let actions: Vec<_> = audit.iter().map(|(action, _)| action.as_str()).collect();
    let first = ["breaker-open", "guest-last-good-unfit", "breaker-close", "breaker-open"];
    assert_eq!(actions, [&first[..], &["breaker-close", "breaker-open"]].concat());
    assert_eq!(audit[4].1, format!("route {before} decides in the place of {before}"));
    Ok(())
}

#[test]
fn leftovers_are_not_held_against_the_last_good_guest() -> Result<()> {
    let (mut bench, _) = Bench::with_a_good_router()?;
    (0..2).for_each(|_| drop(bench.decide(["plain"; 8])));
    bench.swap_router()?;
    // The stand-in fails on all that it is asked about here.
    let decided = bench.decide(["route trap"; 256]);
    assert_eq!((decided.dead_letters.len(), bench.state(Stage::Route)), (256, 1));
    let decided = bench.decide(["plain"; 8]);
    assert!(decided.dead_letters.is_empty() && bench.state(Stage::Route) == 1);
    let router = Arc::clone(bench.stages.route.stock().present().digest_text());
    assert!(routers(&decided).iter().all(|by| **by == *router), "nobody stood in");
    assert!(bench.degraded("route").contains("last good guest"), "{}", bench.degraded("route"));
    Ok(())
}

#[test]
fn a_policy_that_is_not_called_shares_nothing() -> Result<()> {
    let mut bench = Bench::new(|config| {
        config.guests.federate.path = stock_guest("federate-core").expect("the stock guests are built");
        config.guests.federate.breaker.proven = 1;
        config.guests.federate.breaker.wait = Duration::from_secs(60);
    })?;
    bench.decide(["plain"; 8]);
    let config = aurora::config::Guest { path: hostile_guest()?, ..bench.config.guests.federate.clone() };
    let hostile = Guest::load(&bench.sandbox, &config, &bench.metrics.guest(Stage::Federate))?;
    let slots = bench.stages.federate.clone().context("a policy")?;
    slots.stock().swap(Arc::new(hostile), None, Made::Alike);
    bench.decide(["federate trap"; 256]);
    assert_eq!(bench.state(Stage::Federate), 1);
    let decided = bench.decide(["share this"; 8]);
    assert_eq!(events(&decided).filter(|event| event.share.is_some()).count(), 0, "an older policy shared it");
    assert_eq!(decided.dead_letters.len(), 8);
    assert!(decided.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    Ok(())
}

#[test]
fn a_raw_event_of_many_is_one_dead_letter_of_a_stage() -> Result<()> {
    let mut bench = Bench::new(|_| {})?;
    bench.decide(["route trap"; 256]);
    assert_eq!(bench.state(Stage::Route), 1);
    let decided = bench.decide(["plain", "normalize many", "plain"]);
    assert_eq!(titles(&decided).len(), 5);
    assert_eq!(decided.dead_letters.len(), 3);
    Ok(())
}

#[test]
fn the_same_batch_is_decided_alike() -> Result<()> {
    let lines: Vec<_> = (0..512).map(|i| if i % 9 == 4 { "normalize trap" } else { "share it" }).collect();
    let shown = || -> Result<String> {
        let decided = Bench::new(|_| {})?.decide(lines.clone());
        Ok(format!("{:?} {:?} {:?}", decided.outcomes, titles(&decided), routers(&decided)))
    };
    assert_eq!(shown()?, shown()?);
    Ok(())
}

/// A site's route stage with `path`, a cache, and a proof that two batches give.
fn with_cache(path: &Path, cache: &Path) -> Result<Bench> {
    Bench::new(|config| {
        config.guests.cache = Some(cache.to_owned());
        config.guests.route.path = path.to_owned();
        config.guests.route.breaker.proven = 2;
        config.guests.route.breaker.wait = Duration::from_secs(60);
    })
}

#[tokio::test]
async fn the_newest_good_guest_that_loads_takes_the_place_of_a_missing_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let gone = folder.path().join("gone.wasm");
    ensure!(with_cache(&gone, folder.path()).is_err(), "nobody is there");
    let sandbox = {
        let guests = aurora::config::Guests { cache: Some(folder.path().to_owned()), ..Default::default() };
        Sandbox::new(&guests, 1)?.compiling_here()
    };
    let good = |wasm| Kept {
        slot: Stage::Route.into(),
        name: "good".to_owned(),
        settings: Default::default(),
        wasm,
        signature: None,
    };
    let (keep, proven) = mpsc::channel(3);
    let keeping = tokio::spawn(sandbox.clone().keep_good(proven, Default::default()));
    keep.send(good(std::fs::read(stock_guest("route-core")?)?)).await?;
    keep.send(good(b"of another engine".to_vec())).await?;
    wait_until("the guests to be kept", Duration::from_secs(10), async || {
        ensure!(sandbox.good(&Stage::Route.into()).len() == 2, "not kept");
        Ok(())
    })
    .await?;
    keeping.abort();
    let mut bench = with_cache(&gone, folder.path())?;
    assert_eq!(bench.stages.route.stock().present().name(), "good");
    assert!(bench.degraded("route").contains("gone.wasm"), "{}", bench.degraded("route"));
    assert!(bench.decide(["plain"; 8]).dead_letters.is_empty());
    Ok(())
}

#[test]
fn a_batch_in_many_parts_proves_a_guest_no_more_than_one_in_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = with_cache(&stock_guest("route-core")?, folder.path())?;
    let lines: Vec<_> = (0..64).map(|i| if i % 4 == 1 { "normalize trap" } else { "plain" }).collect();
    let decided = bench.decide(lines.iter().copied());
    assert_eq!((titles(&decided).len(), decided.dead_letters.len()), (48, 16));
    assert!(bench.proven.try_recv().is_err(), "one batch proved it");
    bench.decide(lines);
    assert!(bench.proven.try_recv().is_ok_and(|kept| kept.slot == Stage::Route.into()));
    Ok(())
}

#[tokio::test]
async fn yesterdays_guest_stands_in_for_a_new_and_bad_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut first = with_cache(&stock_guest("route-core")?, folder.path())?;
    (0..2).for_each(|_| drop(first.decide(["plain"; 8])));
    let good = Arc::clone(first.stages.route.stock().present().digest_text());
    let (sandbox, proven) = (first.sandbox.clone(), std::mem::replace(&mut first.proven, mpsc::channel(1).1));
    let keeping = tokio::spawn(sandbox.keep_good(proven, Default::default()));
    wait_until("the guest to be kept", Duration::from_secs(10), async || {
        ensure!(first.sandbox.good(&Stage::Route.into()).len() == 1, "not kept");
        Ok(())
    })
    .await?;
    keeping.abort();

    // One that traps.
    let mut second = with_cache(&hostile_guest()?, folder.path())?;
    let decided = second.decide(["route trap"; 256]);
    assert_eq!(second.state(Stage::Route), 1);
    assert!(decided.dead_letters.is_empty());
    assert!(routers(&decided).iter().all(|router| *router == *good));

    // And one that does not load: a normalizer.
    let mut third = with_cache(&stock_guest("normalize-core")?, folder.path())?;
    assert_eq!(third.stages.route.stock().present().digest_text(), &good);
    assert!(third.degraded("route").contains("normalize-core"), "{}", third.degraded("route"));
    let decided = third.decide(["plain"; 8]);
    assert!(decided.dead_letters.is_empty() && routers(&decided).iter().all(|router| *router == *good));
    Ok(())
}
