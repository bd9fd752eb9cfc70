//! The same in the running daemon: what an operator finds afterwards.

use anyhow::Result;
use harness::{Plan, Site, hostile_guest};

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
    site.series_of("aurora_guest_log_lines_suppressed_total{stage=\"normalize\"}", 9_900.0).await?;
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
