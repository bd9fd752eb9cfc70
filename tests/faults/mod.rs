//! Nothing lost, nothing twice, order kept: whatever breaks.
//!
//! Each case starts a site of real brokers, publishes numbered events at a steady rate, breaks something again and
//! again at random instants, heals it, lets everything settle, and counts every number in Redis and in JetStream. The
//! tests here are the short form. `make soak` is the long form: the same cases, more and longer, one after the other,
//! with a table at the end. Where a broker itself may forget, the case says so, and shows that nothing more is missing.
//!
//! | file | what lives there |
//! |---|---|
//! | [`events`] | the numbered events |
//! | [`load`] | publishes them, and knows which of them the MQTT broker has acknowledged |
//! | [`run`] | one run of a case: a site, a load, the means to break |
//! | [`count`], [`table`] | what was sent against what is there |
//! | [`host`], [`redis`], [`brokers`], [`spool`], [`strain`], [`guests`] | the cases |
//!
//! `AURORA_FAULTS_SEED` repeats the random instants of a run, as far as machines repeat anything; `AURORA_FAULTS_ONLY`
//! takes of the long form only the cases with that text in their name.

mod events;
mod load;
mod chance;
mod count;
mod table;
mod run;
mod host;
mod redis;
mod brokers;
mod spool;
mod strain;
mod sabotage;
mod guests;

use std::{env, time::Instant};

use anyhow::{Result, ensure};
use chance::Chance;
use run::{Bench, Case, Form};
use table::Row;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];

/// Each case is a test of the short form, and one of [`CASES`] for the long one.
macro_rules! cases {
    ($($test:ident: $module:ident::$case:ident),* $(,)?) => {
        const CASES: &[Case] = &[$(Case { name: stringify!($test), run: |bench| Box::pin($module::$case(bench)) }),*];

        mod nothing_is_lost_or_doubled {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::short(stringify!($test), async |bench| super::$module::$case(bench).await).await
            })*
        }
    };
}

cases! {
    when_the_daemon_is_killed: host::killed,
    when_redis_is_killed: redis::killed,
    when_redis_that_syncs_each_second_is_killed: redis::killed_everysec,
    when_redis_that_keeps_nothing_is_killed: redis::killed_without_aof,
    when_mosquitto_is_killed: brokers::mqtt_killed,
    when_mosquitto_restarts: brokers::mqtt_restarted,
    when_nats_is_killed: brokers::nats_killed,
    when_daemon_and_redis_are_killed: brokers::host_and_redis_killed,
    when_daemon_and_nats_are_killed: brokers::host_and_nats_killed,
    when_daemon_and_nats_stay_away: brokers::host_and_nats_away,
    when_daemon_and_mosquitto_are_killed: brokers::host_and_mqtt_killed,
    when_redis_and_nats_are_killed: brokers::redis_and_nats_killed,
    when_answers_of_redis_are_lost: redis::answers_lost,
    when_connections_are_cut: brokers::network_cut,
    when_brokers_move: brokers::failed_over,
    when_redis_is_slow: redis::slow,
    when_redis_freezes: redis::frozen,
    when_the_daemon_is_killed_while_it_spools: spool::killed,
    when_a_spooled_record_is_spoiled: spool::corrupted,
    when_the_disk_of_the_spool_is_full: spool::disk_full,
    when_the_clock_steps: host::clock_stepped,
    when_a_guest_traps: host::trapping,
    when_the_daemon_is_ended: host::terminated,
    when_twice_as_much_comes_as_redis_takes: strain::overload,
    when_all_comes_at_once: strain::flat_out,
    when_a_long_queue_has_come: strain::queued,
    when_guests_are_exchanged: guests::exchanged,
    while_guests_are_compiled: guests::compiled,
    while_a_guest_is_rehearsed: guests::rehearsed,
}

/// One of these is enough for each run of the long form.
const STEADY: Case = Case { name: "for_ten_minutes", run: |bench| Box::pin(strain::soak(bench)) };

async fn short(name: &'static str, case: impl AsyncFnOnce(Bench) -> Result<Row>) -> Result<()> {
    // Half of the cases for each version, always the same ones.
    let version = VERSIONS[name.bytes().map(usize::from).sum::<usize>() % 2];
    let row = case(Bench { case: name, form: Form::Short, seed: Chance::seed(), version }).await?;
    ensure!(row.is_clean(), "the bar is missed:\n{}\n{row}", Row::heading());
    println!("{}\n{row}", Row::heading());
    Ok(())
}

/// The long form, and its table. `make soak` runs it.
#[tokio::test]
#[ignore = "takes more than an hour; `make soak` runs it"]
async fn soak() -> Result<()> {
    let only = env::var("AURORA_FAULTS_ONLY").unwrap_or_default();
    let (began, seed) = (Instant::now(), Chance::seed());
    println!("AURORA_FAULTS_SEED={seed} repeats this");
    let mut rows: Vec<Row> = Vec::new();
    let all = CASES.iter().map(|case| (case, &VERSIONS[..])).chain([(&STEADY, &VERSIONS[..1])]);
    for (case, versions) in all.filter(|(case, _)| case.name.contains(&only)) {
        let mut sum: Option<Row> = None;
        for version in versions {
            let bench = Bench { case: case.name, form: Form::Long, seed, version };
            let row = (case.run)(bench).await.unwrap_or_else(|error| {
                let problems = vec![format!("MQTT {version}: {error:#}")];
                Row { case: case.name.replace('_', " "), problems, ..Row::default() }
            });
            match &mut sum {
                Some(sum) => sum.add(row),
                None => sum = Some(row),
            }
        }
        if let Some(row) = sum {
            println!("{:>5} s  {}\n{row}", began.elapsed().as_secs(), Row::heading());
            rows.push(row);
        }
    }
    println!("\n{}", Row::heading());
    for row in &rows {
        println!("{row}");
    }
    let missed = rows.iter().filter(|row| !row.is_clean()).count();
    let skipped = rows.iter().filter(|row| row.skipped).count();
    ensure!(!rows.is_empty(), "no case has {only} in its name");
    ensure!(missed == 0, "{missed} of {} cases miss the bar", rows.len());
    println!("{} cases, nothing lost, nothing twice, order kept; {skipped} passed over", rows.len() - skipped);
    Ok(())
}
