//! What a normalizer says of a raw event, as its source hears it: dropped and rejected are acknowledged once they are
//! stored; what is put off is not, until it is decided.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use harness::{PATIENCE, Plan, Site, free_port, hostile_guest};

use super::http::post;

const TOPIC: &str = "aurora/sensors/door_1/alerts";
const IN_FLIGHT: &str = "aurora_broker_in_flight{broker=\"mqtt\"}";
const RETRIED: &str = "aurora_stage_retried_total{stage=\"normalize\"}";

/// A site whose normalizer does what an event says.
fn plan() -> Result<Plan> {
    Ok(Site::plan().without_nats().guest("normalize", &hostile_guest()?))
}

fn ingest(plan: Plan) -> Result<(Plan, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    Ok((plan.set("ingest.listen", address.to_string()).set("ingest.token", "secret"), address))
}

async fn all_acknowledged(site: &Site) -> Result<()> {
    site.wait_until("every acknowledgement", async || {
        let left = site.scrape().await?.get(IN_FLIGHT)?;
        anyhow::ensure!(left == 0.0, "{left} in flight");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn over_mqtt_dropped_and_rejected_events_are_acknowledged() -> Result<()> {
    let mut site = plan()?.start().await?;
    site.publish(TOPIC, 1, ["normalize drop", "normalize reject", "plain"]).await?;
    assert_eq!(site.stream_of("aurora:alerts", 1).await?.len(), 1);
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!((letters.len(), letters[0].text("reason")), (1, "told to".to_owned()));
    assert_eq!((letters[0].text("attempts"), letters[0].text("effect")), ("1".into(), "not-published".into()));
    all_acknowledged(&site).await?;
    // Whatever is not acknowledged would come again. Not killed: none in flight says that it is decided, and the
    // acknowledgements may still be on their way.
    site.terminate(PATIENCE).await?;
    site.start_daemon().await?;
    site.publish(TOPIC, 1, ["plain after"]).await?;
    assert_eq!(site.stream_of("aurora:alerts", 2).await?.len(), 2);
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), 1);
    assert_eq!(site.scrape().await?.get("aurora_events_repeated_total")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn over_mqtt_an_event_is_not_acknowledged_while_it_is_put_off() -> Result<()> {
    let mut site = plan()?.set("lanes.retries", 1000).start().await?;
    site.publish(TOPIC, 1, ["normalize retry"]).await?;
    site.series_of(RETRIED, 1.0).await?;
    assert_eq!(site.scrape().await?.get(IN_FLIGHT)?, 1.0);
    // Nobody but the broker has it now, and the broker gives it to the next daemon.
    site.kill_daemon()?;
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    site.set("lanes.retries", 3);
    site.start_daemon().await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!((letters.len(), letters[0].text("attempts")), (1, "4".to_owned()));
    assert!(letters[0].text("reason").contains("4 attempts"), "{:?}", letters[0]);
    all_acknowledged(&site).await
}

#[tokio::test]
async fn over_http_each_line_has_its_outcome() -> Result<()> {
    let (plan, address) = ingest(plan()?)?;
    let site = plan.start().await?;
    let (status, answer) =
        post(address, "secret", "application/x-ndjson", "plain\nnormalize drop\nnormalize reject\n").await?;
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let counts = ["published", "dropped", "dead_lettered"].map(|key| answer[key].as_u64());
    assert_eq!(counts, [Some(1); 3], "{answer}");
    let told: Vec<_> = answer["results"].as_array().into_iter().flatten().collect();
    let told: Vec<_> = told.iter().map(|line| (line["line"].as_u64(), line["reason"].as_str())).collect();
    assert_eq!(told, [(Some(2), Some("told to")), (Some(3), Some("told to"))], "{answer}");
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn over_http_the_answer_waits_for_an_event_that_is_put_off() -> Result<()> {
    // 20 ms each: the guest's own wait.
    let (plan, address) = ingest(plan()?.set("lanes.retries", 150))?;
    let site = plan.start().await?;
    let answering = tokio::spawn(async move { post(address, "secret", "text/plain", "normalize retry\n").await });
    site.series_of(RETRIED, 1.0).await?;
    assert!(!answering.is_finished(), "answered before it was decided");
    let (status, answer) = answering.await??;
    assert_eq!(status, 200, "{answer}");
    // Not waited for: it must be there by now.
    let letters = site.stream("aurora:dead_letter").await?;
    assert_eq!((letters.len(), letters[0].text("attempts")), (1, "151".to_owned()));
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    assert_eq!(answer["dead_lettered"], 1);
    Ok(())
}
