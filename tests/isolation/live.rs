//! The same in the running daemon: what an operator finds afterwards.

use std::{
    hash::{DefaultHasher, Hasher},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use harness::{Plan, Site, binary, hostile_guest, stock_guest};

const TOPIC: &str = "aurora/sensors/door_1/alerts";

/// A site whose guests are all hostile.
fn plan() -> Result<Plan> {
    let guest = hostile_guest()?;
    Ok(["normalize", "route", "federate"].into_iter().fold(Site::plan(), |plan, stage| plan.guest(stage, &guest)))
}

#[tokio::test]
async fn the_culprit_is_a_dead_letter_with_everything_to_find_it() -> Result<()> {
    let site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["plain 1", "normalize trap", "plain 2"]).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    site.stream_of("aurora:alerts", 2).await?;
    let letter = &letters[0];
    assert_eq!(letter.text("stage"), "normalize");
    assert!(letter.text("reason").contains("trap"), "{letter:?}");
    assert!(letter.text("guest").starts_with("sha256:"), "{letter:?}");
    assert_eq!(letter.fields["payload"], b"normalize trap");
    assert_eq!(letter.text("topic"), TOPIC);
    assert_eq!(letter.text("source"), "mqtt");
    assert!(site.scrape().await?.sum("aurora_guest_faults_total") >= 1.0);
    Ok(())
}

#[tokio::test]
async fn a_guest_that_spins_does_not_stop_the_others_for_long() -> Result<()> {
    let site = plan()?.start().await?;
    let lines: Vec<String> =
        (0..60).map(|i| if i % 20 == 10 { format!("normalize spin {i}") } else { format!("plain {i}") }).collect();
    site.publish(TOPIC, 1, &lines).await?;
    assert_eq!(site.stream_of("aurora:alerts", 57).await?.len(), 57);
    assert_eq!(site.stream_of("aurora:dead_letter", 3).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn an_event_whose_router_fails_is_published_and_noted() -> Result<()> {
    let site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["route trap"]).await?;
    assert_eq!(site.stream_of("aurora:alerts", 1).await?.len(), 1);
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    assert_eq!((letter.text("stage"), letter.text("effect")), ("route".to_owned(), "default-route".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_event_whose_policy_fails_is_published_and_stays() -> Result<()> {
    let site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["federate trap", "share after"]).await?;
    assert_eq!(site.stream_of("aurora:alerts", 2).await?.len(), 2);
    // One alert and its one observable, both of the second event.
    let messages = site.jetstream_of(2).await?;
    assert!(messages.iter().all(|message| !String::from_utf8_lossy(&message.payload).contains("federate trap")));
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    assert_eq!((letter.text("stage"), letter.text("effect")), ("federate".to_owned(), "not-shared".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_put_off_for_ever_ends_as_a_dead_letter() -> Result<()> {
    let site = plan()?.set("lanes.retries", 3).start().await?;
    site.publish(TOPIC, 1, ["normalize retry", "plain after"]).await?;
    site.stream_of("aurora:alerts", 1).await?;
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    assert!(letter.text("reason").contains("told to"), "{letter:?}");
    assert_eq!(site.scrape().await?.get("aurora_stage_retried_total{stage=\"normalize\"}")?, 3.0);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_the_event_lives() -> Result<()> {
    let site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["normalize flood"]).await?;
    site.stream_of("aurora:alerts", 1).await?;
    let lines = site.log().lines().filter(|line| line.contains("of a flood")).count();
    assert!((1..=100).contains(&lines), "{lines} lines of the flood were written");
    site.series_of("aurora_guest_log_lines_suppressed_total{guest=\"normalize\",stage=\"normalize\"}", 9_900.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_log_line_is_bounded_and_cannot_forge_another() -> Result<()> {
    let site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["normalize long-line", "normalize control"]).await?;
    site.stream_of("aurora:alerts", 2).await?;
    let log = site.log();
    assert!(log.contains("long long") && log.contains("red"), "the guest's lines are not in the log:\n{log}");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 8 * 1024, "a log line of {longest} bytes");
    assert!(!log.contains('\x1b') && !log.contains('\0'), "control characters reached the log");
    assert!(!log.lines().any(|line| line.starts_with("second")), "a guest began a log line of its own");
    Ok(())
}

const STATE: &str = "aurora_guest_breaker_state{guest=\"route\",stage=\"route\"}";

/// What the audit stream says of breakers: actions and details, in order.
async fn breaker_audit(site: &Site) -> Result<Vec<(String, String)>> {
    let entries = site.stream("aurora:audit").await?;
    let of_breaker = entries.iter().filter(|entry| entry.text("action").starts_with("breaker"));
    Ok(of_breaker.map(|entry| (entry.text("action"), entry.text("details"))).collect())
}

#[tokio::test]
async fn a_guest_that_fails_on_everything_is_stopped_and_comes_back() -> Result<()> {
    let site = plan()?.set("guests.route.breaker.wait", "200ms").start().await?;
    let traps: Vec<_> = (0..1000).map(|i| format!("route trap {i}")).collect();
    site.publish(TOPIC, 1, &traps).await?;
    site.series_of("aurora_guest_breaker_opened_total{guest=\"route\",stage=\"route\"}", 1.0).await?;
    site.stream_of("aurora:alerts", 1000).await?;
    let (ready, body) = (site.readiness().await?, "\"degraded\":{\"route\":");
    assert!(ready.contains("\"ready\":true") && ready.contains(body), "{ready}");

    let mut plain = 0;
    site.wait_until("the breaker to close", async || {
        site.publish(TOPIC, 1, [format!("plain {plain}")]).await?;
        plain += 1;
        let state = site.scrape().await?.get(STATE)?;
        ensure!(state == 0.0, "{state}");
        Ok(())
    })
    .await?;
    let alerts = site.stream_of("aurora:alerts", 1000 + plain).await?;
    let mut titles: Vec<_> = alerts.iter().map(|entry| entry.data()["title"].to_string()).collect();
    assert_eq!(alerts.len(), 1000 + plain);
    titles.dedup();
    assert_eq!(titles.len(), 1000 + plain, "an event stands there twice");
    let numbers = titles.iter().take(1000).enumerate().all(|(i, title)| *title == format!("\"route trap {i}\""));
    assert!(numbers, "the order of a device is lost");
    // One letter for each trap, whether it was called or not; and for those that met the open breaker.
    let letters = site.stream_of("aurora:dead_letter", 1000).await?;
    let of_traps = letters.iter().filter(|letter| letter.fields["payload"].starts_with(b"route trap"));
    assert_eq!(of_traps.count(), 1000);
    assert!(letters.iter().all(|letter| letter.text("effect") == "default-route"));
    assert!(letters.iter().any(|letter| letter.text("reason").starts_with("breaker open: ")));

    let audit = site
        .wait_until("the audit entries", async || {
            let audit = breaker_audit(&site).await?;
            ensure!(audit.last().is_some_and(|(action, _)| action == "breaker-close"), "{audit:?}");
            Ok(audit)
        })
        .await?;
    assert_eq!(audit[0].0, "breaker-open");
    let details = &audit[0].1;
    assert!(details.starts_with("route sha256:") && details.contains("events failed") && details.contains("trap"));
    assert_eq!(audit[audit.len() - 2].0, "breaker-half-open");
    assert!(!site.readiness().await?.contains(body));
    Ok(())
}

#[tokio::test]
async fn after_a_restart_with_a_bad_guest_yesterdays_decides() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let mut site = Site::plan()
        .guest("route", &stock_guest("route-core")?)
        .set("guests.cache", cache.path().display().to_string())
        .set("guests.route.breaker.proven", 2)
        .set("guests.route.breaker.last_good", true)
        .start()
        .await?;
    for number in 0..2 {
        site.publish(TOPIC, 1, [format!("{{\"title\":\"before {number}\"}}")]).await?;
        site.stream_of("aurora:cps:alerts", number + 1).await?;
    }
    let kept = cache.path().join("route.good");
    site.wait_until("the guest to be kept", async || {
        ensure!(kept.is_file(), "no {}", kept.display());
        Ok(())
    })
    .await?;
    site.kill_daemon()?;
    site.set("guests.route.path", hostile_guest()?.display().to_string());
    site.start_daemon().await?;
    let traps: Vec<_> = (0..600).map(|i| format!("{{\"title\":\"route trap {i}\"}}")).collect();
    site.publish(TOPIC, 1, &traps).await?;
    site.stream_of("aurora:cps:alerts", 602).await?;
    let scrape = site.scrape().await?;
    assert!(scrape.get("aurora_guest_breaker_opened_total{guest=\"route\",stage=\"route\"}")? >= 1.0);
    let by_last_good = scrape.get("aurora_guest_last_good_events_total{guest=\"route\",stage=\"route\"}")?;
    let letters = site.stream("aurora:dead_letter").await?.len();
    assert_eq!(by_last_good + letters as f64, 600.0, "{letters} dead letters");
    assert!(by_last_good >= 300.0, "{by_last_good} events by the last good guest");
    Ok(())
}

#[tokio::test]
async fn without_a_file_that_loads_the_daemon_starts_with_yesterdays_guest() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let mut site = Site::plan()
        .without_nats()
        .set("guests.cache", cache.path().display().to_string())
        .set("guests.route.breaker.proven", 1)
        .set("guests.route.breaker.last_good", true)
        .start()
        .await?;
    site.publish(TOPIC, 1, ["{\"title\":\"before\"}"]).await?;
    let kept = cache.path().join("route.good");
    site.wait_until("the guest to be kept", async || {
        ensure!(kept.is_file(), "no {}", kept.display());
        Ok(())
    })
    .await?;
    let path = site.folder().join("new.wasm");
    site.set("guests.route.path", path.display().to_string());
    let contents: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"<!doctype html>"), Some(b"\0asm\x01\0\0\0")];
    for (round, content) in contents.into_iter().enumerate() {
        site.kill_daemon()?;
        if let Some(content) = content {
            std::fs::write(&path, content)?;
        }
        site.start_daemon().await?;
        let ready = site.readiness().await?;
        // In the words of the start, or of whoever has looked at the file since.
        let is_told = ready.contains("the last good guest sha256:") || ready.contains("goes on: ");
        assert!(ready.contains("new.wasm") && is_told, "{ready}");
        site.publish(TOPIC, 1, [format!("{{\"title\":\"after {round}\"}}")]).await?;
        site.stream_of("aurora:cps:alerts", 2 + round).await?;
        let check =
            Command::new(binary()?).arg("check").arg("--config").arg(site.folder().join("aurora.toml")).output()?;
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(!check.status.success() && said.contains("new.wasm"), "{said}");
    }
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_guest_that_spins_on_everything_is_contained_and_the_other_lane_goes_on() -> Result<()> {
    // Ten deadlines is how long the spinning lane is busy at least.
    let plan = plan()?.set("guests.route.deadline", "300ms").set("guests.route.breaker.wait", "5m");
    let site = &plan.set("lanes.count", 2).start().await?;
    // As the lanes hash them.
    let lane = |device: &str| {
        let mut hasher = DefaultHasher::new();
        hasher.write(device.as_bytes());
        hasher.finish() % 2
    };
    let spinning = "door_1";
    let other = (2..).map(|i| format!("door_{i}")).find(|device| lane(device) != lane(spinning)).context("a device")?;
    let spins: Vec<_> = (0..2000).map(|i| format!("route spin {i}")).collect();
    let plain: Vec<_> = (0..200).map(|i| format!("plain {i}")).collect();
    let begun = Instant::now();
    site.publish(&format!("aurora/sensors/{spinning}/alerts"), 1, &spins).await?;
    site.publish(&format!("aurora/sensors/{other}/alerts"), 1, &plain).await?;
    let published = begun.elapsed();
    site.wait_until("the events of the other lane", async || {
        let alerts = site.stream("aurora:alerts").await?;
        let plain = |title: &str| title.starts_with("plain");
        let there = alerts.iter().filter(|entry| entry.data()["title"].as_str().is_some_and(plain)).count();
        ensure!(there == 200, "{there} of them");
        Ok(())
    })
    .await?;
    let neighbours = begun.elapsed();
    // Asked afterwards, so it holds for the whole of their time: what spins was still being searched.
    assert_eq!(site.scrape().await?.get(STATE)?, 0.0, "the neighbours had to wait: {neighbours:?}");
    site.series_of(STATE, 1.0).await?;
    let contained = begun.elapsed();
    // Unbounded: eight batches of 511 calls of 75 ms, 300 s.
    assert_eq!(site.stream_of("aurora:alerts", 2200).await?.len(), 2200);
    println!(
        "published in {published:?}; neighbours stored after {neighbours:?}, contained after {contained:?}, all stored after {:?}",
        begun.elapsed()
    );
    let letters = site.stream_of("aurora:dead_letter", 2000).await?;
    let spun = letters.iter().filter(|letter| letter.fields["payload"].starts_with(b"route spin")).count();
    assert_eq!(spun, 2000);
    Ok(())
}
