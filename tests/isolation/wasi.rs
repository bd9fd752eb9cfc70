//! The empty WASI is empty, and nothing in it waits. The guest of `tests/wasi` asks for everything.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use harness::{PipeLine, Piped, Site, built_guest, pipe, stock_guest};

/// What the guest makes of `lines`, with a deadline of 100 ms, by a configuration that says `grants`.
fn asked(grants: &str, lines: &[&str]) -> Result<Piped> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("aurora.toml");
    let guest = built_guest("tests/wasi", "wants-wasi")?;
    fs::write(&path, format!("[guests.normalize]\npath = {guest:?}\n{grants}\n"))?;
    let stock = stock_guest("route-core")?;
    let stock = stock.parent().and_then(|folder| folder.to_str()).context("no folder of guests")?;
    let config = path.to_str().context("a path that is not UTF-8")?;
    pipe(&["--config", config, "--guests", stock], lines.join("\n").as_bytes())
}

const GRANTED: &str = "grants = [\"wasi\"]";

fn answer(deed: &str) -> Result<PipeLine> {
    asked(GRANTED, &[deed])?.lines.into_iter().next().context("no answer")
}

fn got(deed: &str) -> Result<String> {
    let line = answer(deed)?;
    assert_eq!(line.outcome(), "accepted", "{line:?}");
    Ok(line.event(0)["title"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn wasi_is_refused_where_it_is_not_granted() -> Result<()> {
    let refused = asked("grants = [\"log\"]", &["plain"]).err().context("it ran")?.to_string();
    for said in ["wasi:filesystem/preopens@0.2.0", "write grants = [\"log\", \"wasi\"] into [guests.normalize]"] {
        assert!(refused.contains(said), "no {said} in {refused}");
    }
    Ok(())
}

#[test]
fn there_are_no_files_no_environment_no_input_and_no_network() -> Result<()> {
    assert_eq!(got("files")?, "0 folders");
    assert_eq!(got("environment")?, "0 variables, 0 arguments, None");
    assert_eq!(got("input")?, "nothing to read");
    let denied = "access-denied";
    assert_eq!(got("network")?, format!("{denied} {denied} {denied}"));
    Ok(())
}

#[test]
fn random_numbers_are_the_same_each_time_and_the_clock_is_that_of_the_batch() -> Result<()> {
    assert_eq!(got("random")?, got("random")?);
    let line = answer("clock")?;
    let received = line.event(0)["timestamp_ms"].as_i64().context("no time")?;
    let expected = format!("{}.{:03}000000", received / 1000, received % 1000);
    assert_eq!(line.event(0)["title"], expected.as_str());
    Ok(())
}

#[test]
fn a_sleep_moves_the_guests_clock_and_takes_no_time() -> Result<()> {
    let began = Instant::now();
    assert_eq!(got("sleep")?, "[1] after 10 s, 10 s on the wall");
    assert!(began.elapsed().as_secs() < 9, "it took {:?}", began.elapsed());
    Ok(())
}

#[test]
fn what_does_not_end_ends_at_its_deadline_and_costs_its_own_event() -> Result<()> {
    for (deed, named) in [
        ("sleep-for-ever", "no answer within"),
        ("random-forever", "no answer within"),
        ("timers", "timers at once"),
        ("exit", "it called exit with status 1"),
    ] {
        let lines = asked(GRANTED, &["plain 1", deed, "plain 3"])?.lines;
        let outcomes: Vec<_> = lines.iter().map(PipeLine::outcome).collect();
        assert_eq!(outcomes, ["accepted", "rejected", "accepted"], "{deed}: {lines:?}");
        assert!(lines[1].reason().contains(named), "{deed}: {:?}", lines[1]);
    }
    assert!(answer("exit")?.reason().contains("it said: going"), "{:?}", answer("exit")?);
    Ok(())
}

#[tokio::test]
async fn what_is_printed_is_lines_of_the_log_and_bounded_as_they_are() -> Result<()> {
    let guest = built_guest("tests/wasi", "wants-wasi")?;
    let site = Site::plan().guest("normalize", &guest).set("guests.normalize.grants", vec!["wasi"]).start().await?;
    site.publish("aurora/sensors/door_1/alerts", 1, ["print"]).await?;
    site.stream_of("aurora:alerts", 1).await?;
    let log = site.log();
    for line in ["one", "two\\u{1b}[31m", "three"] {
        assert!(log.lines().any(|said| said.contains(&format!("guest: {line} "))), "no {line} in {log}");
    }
    site.publish("aurora/sensors/door_1/alerts", 1, ["flood"]).await?;
    site.stream_of("aurora:alerts", 2).await?;
    let log = site.log();
    let lines = log.lines().filter(|line| line.contains("of a flood")).count();
    assert!((1..=100).contains(&lines), "{lines} lines of the flood were written");
    Ok(())
}
