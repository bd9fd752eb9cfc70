//! A guest that spins on many events and not on most: its breaker has no reason to open, and its lane would wait for
//! deadlines all day. What that may cost, and what becomes of the events, healthy ones and others.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use aurora::{
    config,
    pipeline::{DecidedEvent, Effect},
    telemetry::Stage,
};
use cpu_time::ThreadTime;
use harness::{Site, hostile_guest, stock_guest};

use super::breaker::{Bench, events, titles};

/// `all` lines, of which every third makes the guest of `stage` spin.
fn a_third_spins(all: usize, stage: &str) -> Vec<String> {
    (0..all).map(|i| if i % 3 == 0 { format!("{stage} spin {i}") } else { format!("share {i}") }).collect()
}

/// A tenth of a second of five may be wasted, so little that a machine that is busy with something else makes no difference.
fn tight(breaker: &mut config::Breaker) {
    (breaker.wasted, breaker.wasted_within) = (0.02, Duration::from_secs(5));
}

#[test]
fn it_is_hurried_every_event_is_accounted_for_and_in_the_end_it_has_its_time_again() -> Result<()> {
    let mut bench = Bench::new(|config| tight(&mut config.guests.normalize.breaker))?;
    let lines = a_third_spins(256, "normalize");
    let begun = ThreadTime::now();
    let decided = bench.decide(lines.iter().map(String::as_str));
    let spent = begun.elapsed();
    println!("a batch of 256 events, of which 86 spin: {spent:?}");
    // At full length: 86 calls of 25 ms for the culprits, and about three times as many on the way to them.
    assert!(spent < Duration::from_secs(3), "{spent:?}");
    let healthy = titles(&decided);
    assert!(healthy.iter().all(|title| title.starts_with("share")), "a culprit was decided");
    // A busy machine may take one of them along; it is accounted for all the same.
    assert!(healthy.len() >= 165, "only {} of 170", healthy.len());
    assert_eq!(healthy.len() + decided.dead_letters.len(), 256);
    let hurried = decided.dead_letters.iter().filter(|letter| letter.reason.contains("it was hurried")).count();
    assert!(hurried > 43, "{hurried} of 86: {:?}", decided.dead_letters.last());
    assert_eq!(bench.state(Stage::Normalize), 0, "nobody can stand in, so the breaker stays closed");
    assert!(bench.degraded("normalize").contains("is hurried"), "{}", bench.degraded("normalize"));
    assert!(bench.metrics.guest(Stage::Normalize).wasted_seconds.get() > 0.1);

    let begun = Instant::now();
    while !bench.degraded("normalize").is_empty() {
        assert!(bench.decide(["plain"; 256]).dead_letters.is_empty());
        ensure!(begun.elapsed() < Duration::from_secs(20), "still {}", bench.degraded("normalize"));
    }
    let decided = bench.decide(["normalize spin"]);
    assert_eq!(decided.dead_letters.len(), 1);
    assert_eq!(decided.dead_letters[0].reason, "no answer within 100 ms");
    Ok(())
}

#[test]
fn where_the_last_good_guest_can_stand_in_it_decides() -> Result<()> {
    let mut bench = Bench::new(|config| {
        config.guests.route.path = stock_guest("route-core").expect("the stock guests are built");
        config.guests.route.breaker.proven = 2;
        config.guests.route.breaker.wait = Duration::from_secs(60);
        tight(&mut config.guests.route.breaker);
    })?;
    (0..2).for_each(|_| drop(bench.decide(["plain"; 8])));
    let good = bench.swap_router()?;
    // Far fewer than the breaker's window asks for.
    let lines = a_third_spins(12, "route");
    let decided = bench.decide(lines.iter().map(String::as_str));
    assert_eq!(bench.state(Stage::Route), 1);
    assert!(bench.degraded("route").contains("of a lane"), "{}", bench.degraded("route"));
    assert_eq!(titles(&decided), lines);
    assert!(decided.dead_letters.is_empty(), "{:?}", decided.dead_letters[0]);
    let by_good = |event: &DecidedEvent<'_>| event.routed_by.is_some_and(|by| by.digest == good);
    let spun = |event: &DecidedEvent<'_>| event.event.title().contains("spin");
    assert_eq!(events(&decided).filter(spun).filter(by_good).count(), 4);
    let decided = bench.decide(["plain"; 8]);
    assert_eq!(events(&decided).filter(by_good).count(), 8);
    let hostile = Arc::clone(bench.stages.route.stock().present().digest_text());
    assert!(bench.degraded("route").contains(&*hostile), "{}", bench.degraded("route"));
    Ok(())
}

#[test]
fn a_policy_that_is_hurried_shares_nothing_that_it_did_not_decide() -> Result<()> {
    let mut bench = Bench::new(|config| tight(&mut config.guests.federate.breaker))?;
    let lines = a_third_spins(96, "federate");
    let decided = bench.decide(lines.iter().map(String::as_str));
    assert_eq!(titles(&decided), lines, "an event was not published");
    assert!(bench.degraded("federate").contains("is hurried"), "{}", bench.degraded("federate"));
    let undecided: Vec<_> = events(&decided).filter(|event| event.federated_by.is_none()).collect();
    assert!(undecided.iter().all(|event| event.share.is_none()), "what nobody decided is shared");
    assert!(events(&decided).filter(|event| event.event.title().contains("spin")).all(|event| event.share.is_none()));
    assert!((32..40).contains(&undecided.len()), "{} of 96 undecided", undecided.len());
    assert_eq!(decided.dead_letters.len(), undecided.len());
    assert!(decided.dead_letters.iter().all(|letter| letter.effect == Effect::NotShared));
    Ok(())
}

/// Events of the running daemon, and how long they may take. At full length a lane would decide some 30 of them a second.
const ALL: usize = 2400;
const TIME: Duration = Duration::from_secs(40);

#[tokio::test]
async fn in_the_running_daemon_the_healthy_rest_goes_on_and_nothing_is_lost() -> Result<()> {
    let site = Site::plan()
        .without_nats()
        .guest("normalize", &hostile_guest()?)
        .guest("route", &hostile_guest()?)
        .set("guests.normalize.breaker.wasted", 0.02)
        .set("guests.normalize.breaker.wasted_within", "5s")
        .start()
        .await?;
    let lines = a_third_spins(ALL, "normalize");
    let begun = Instant::now();
    site.publish("aurora/sensors/door_1/alerts", 1, &lines).await?;
    let (alerts, letters) = site
        .wait_until("every event", async || {
            let (alerts, letters) = (site.stream("aurora:alerts").await?, site.stream("aurora:dead_letter").await?);
            ensure!(alerts.len() + letters.len() >= ALL, "{} and {} of {ALL}", alerts.len(), letters.len());
            Ok((alerts, letters))
        })
        .await?;
    let took = begun.elapsed();
    let wasted =
        site.scrape().await?.get("aurora_guest_wasted_seconds_total{guest=\"normalize\",stage=\"normalize\"}")?;
    println!("{ALL} events in {took:?}, of which {wasted} s wasted: {} accepted", alerts.len());
    ensure!(took < TIME, "{took:?}");
    assert!(wasted > 0.1 && wasted < TIME.as_secs_f64(), "{wasted}");

    let mut seen: Vec<String> =
        alerts.iter().map(|entry| entry.data()["title"].as_str().unwrap_or("").to_owned()).collect();
    assert!(seen.iter().all(|title| title.starts_with("share")), "a culprit was decided");
    // A busy machine may take one or the other along; it is accounted for all the same.
    assert!(seen.len() >= ALL / 3 * 2 - 16, "only {} of the healthy ones", seen.len());
    seen.extend(letters.iter().map(|letter| String::from_utf8_lossy(&letter.fields["payload"]).into_owned()));
    let mut sent = lines;
    seen.sort();
    sent.sort();
    assert!(seen == sent, "not each event once: {} of {ALL}", seen.len());
    assert!(letters.iter().all(|letter| letter.text("effect") == "not-published"));
    let hurried = letters.iter().filter(|letter| letter.text("reason").contains("it was hurried")).count();
    assert!(hurried > ALL / 6, "{hurried} of {}", letters.len());

    // What an operator sees: what it is, and what to do.
    let log = site.log();
    assert!(log.contains("is hurried") && log.contains("aurora dead-letter list --stage normalize"), "{log}");
    let told = log.matches("wastes its lane's time").count();
    assert!((1..4).contains(&told), "told {told} times:\n{log}");
    let ready = site.readiness().await?;
    assert!(ready.contains("\"ready\":true") && ready.contains("is hurried"), "{ready}");
    site.wait_until("the audit entry", async || {
        let audit = site.stream("aurora:audit").await?;
        ensure!(audit.iter().any(|entry| entry.text("action") == "guest-hurried"), "{} entries", audit.len());
        Ok(())
    })
    .await?;
    Ok(())
}
