//! A guest that has just taken another one's place, and does worse: how soon that one is back, and what becomes of the
//! events in between. Without brokers, batch by batch.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use aurora::{
    config::Probation,
    pipeline::{Made, ProbationFate, Terms},
    sandbox::Guest,
    telemetry::Stage,
};
use harness::{hostile_guest, stock_guest};
use tokio::sync::mpsc;

use super::breaker::{Bench, events};

type Fates = mpsc::Receiver<(Arc<str>, ProbationFate)>;

/// With a stock router and a stock policy, and a deadline that nobody misses.
fn bench() -> Result<Bench> {
    let (route, federate) = (stock_guest("route-core")?, stock_guest("federate-core")?);
    Bench::new(|config| {
        (config.guests.route.path, config.guests.federate.path) = (route, federate);
        config.guests.route.deadline = Duration::from_secs(10);
        config.guests.federate.breaker.wait = Duration::from_secs(60);
    })
}

fn terms(change: impl FnOnce(&mut Probation)) -> (Terms, Fates) {
    let mut budget = Probation::default();
    change(&mut budget);
    let (told, fates) = mpsc::channel(4);
    (Terms { budget, told }, fates)
}

/// The hostile guest in the router's place, on these terms.
fn swap_router(bench: &Bench, terms: Terms) -> Result<()> {
    let config = aurora::config::Guest { path: hostile_guest()?, ..bench.config.guests.route.clone() };
    let guest = Guest::load(&bench.sandbox, &config, &bench.metrics.guest(Stage::Route))?;
    bench.stages.route.stock().swap(Arc::new(guest), Some(terms), Made::Alike);
    Ok(())
}

/// `all` lines, of which so many make the hostile router trap.
fn lines(all: usize, traps: usize) -> Vec<&'static str> {
    (0..all).map(|line| if line < traps { "route trap" } else { "plain" }).collect()
}

fn router(bench: &Bench) -> Arc<str> {
    Arc::clone(bench.stages.route.stock().present().digest_text())
}

#[test]
fn the_one_before_is_back_within_the_batch_and_decides_what_failed() -> Result<()> {
    let mut bench = bench()?;
    let stock = router(&bench);
    let (terms, mut fates) = terms(|_| {});
    swap_router(&bench, terms)?;
    let hostile = router(&bench);
    let decided = bench.decide(lines(256, 256));
    assert!(decided.dead_letters.is_empty(), "{:?}", decided.dead_letters.first());
    assert!(events(&decided).all(|event| event.routed_by.is_some_and(|by| by.digest == stock)));
    assert_eq!(events(&decided).count(), 256);
    let (digest, fate) = fates.try_recv()?;
    assert_eq!(digest, hostile);
    assert!(matches!(fate, ProbationFate::Fell { .. }), "{fate:?}");
    assert_eq!((router(&bench), bench.state(Stage::Route)), (stock, 0));
    assert!(bench.degraded("route").contains("was taken back"), "{}", bench.degraded("route"));
    Ok(())
}

#[test]
fn two_faults_in_256_are_borne_and_a_third_is_not() -> Result<()> {
    let mut bench = bench()?;
    let (terms, mut fates) = terms(|_| {});
    swap_router(&bench, terms)?;
    let hostile = router(&bench);
    let decided = bench.decide(lines(256, 2));
    assert_eq!(decided.dead_letters.len(), 2);
    assert_eq!(router(&bench), hostile);
    // Of 256 later ones as well: it is a part of all of them.
    let decided = bench.decide(lines(256, 3));
    assert_eq!((decided.dead_letters.len(), router(&bench)), (3, hostile.clone()));
    let decided = bench.decide(lines(256, 3));
    assert!(decided.dead_letters.is_empty(), "what it failed on last was not decided again");
    let (_, fate) = fates.try_recv()?;
    assert!(matches!(&fate, ProbationFate::Fell { reason } if reason.contains("8 of its 768 events")), "{fate:?}");
    assert_ne!(router(&bench), hostile);
    Ok(())
}

#[test]
fn one_that_takes_far_more_time_is_taken_back_and_its_answers_stand() -> Result<()> {
    let mut bench = bench()?;
    let stock = router(&bench);
    (0..4).for_each(|_| drop(bench.decide(["route slow"; 64])));
    let (terms, mut fates) = terms(|_| {});
    swap_router(&bench, terms)?;
    let hostile = router(&bench);
    let mut batches = 0;
    while router(&bench) == hostile && batches < 10 {
        let decided = bench.decide(["route slow"; 64]);
        assert!(decided.dead_letters.is_empty());
        assert!(events(&decided).all(|event| event.routed_by.is_some_and(|by| by.digest == hostile)));
        batches += 1;
    }
    // As soon as enough is known of it.
    assert_eq!((batches, router(&bench)), (4, stock));
    let (_, fate) = fates.try_recv()?;
    let ProbationFate::Fell { reason } = &fate else { anyhow::bail!("{fate:?}") };
    assert!(reason.contains("times as long as the guest before it"), "{reason}");
    Ok(())
}

#[test]
fn one_that_copes_stays_and_is_held_to_no_more_than_others() -> Result<()> {
    let mut bench = bench()?;
    let (terms, mut fates) = terms(|budget| budget.events = 500);
    swap_router(&bench, terms)?;
    let hostile = router(&bench);
    bench.decide(lines(256, 0));
    assert!(fates.try_recv().is_err() && bench.stages.route.stock().is_on_probation());
    bench.decide(lines(256, 0));
    assert_eq!(fates.try_recv()?, (Arc::clone(&hostile), ProbationFate::Stayed));
    let decided = bench.decide(lines(256, 20));
    assert_eq!((decided.dead_letters.len(), router(&bench)), (20, hostile));
    Ok(())
}

#[test]
fn a_policy_is_not_taken_back_and_shares_nothing() -> Result<()> {
    let mut bench = bench()?;
    let (terms, mut fates) = terms(|_| {});
    let config = aurora::config::Guest { path: hostile_guest()?, ..bench.config.guests.federate.clone() };
    let hostile = Guest::load(&bench.sandbox, &config, &bench.metrics.guest(Stage::Federate))?;
    let slots = bench.stages.federate.clone().context("a policy")?;
    let before = slots.stock().swap(Arc::new(hostile), Some(terms), Made::Alike);
    bench.decide(["federate trap"; 256]);
    let (_, fate) = fates.try_recv()?;
    assert!(matches!(fate, ProbationFate::Spared { .. }), "{fate:?}");
    assert_ne!(slots.stock().present().digest(), before.digest());
    let decided = bench.decide(["share this"; 8]);
    assert_eq!(events(&decided).filter(|event| event.share.is_some()).count(), 0, "an older policy shared it");
    Ok(())
}

#[test]
fn a_site_may_want_no_probation() -> Result<()> {
    let mut bench = bench()?;
    let (terms, mut fates) = terms(|budget| budget.events = 0);
    swap_router(&bench, terms)?;
    let hostile = router(&bench);
    bench.decide(lines(256, 100));
    assert!(fates.try_recv().is_err() && router(&bench) == hostile);
    Ok(())
}
