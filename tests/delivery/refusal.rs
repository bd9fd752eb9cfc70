//! What the daemon does not start with.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use async_nats::jetstream::{
    self,
    stream::{Config, DiscardPolicy, StorageType},
};
use harness::{PATIENCE, Plan, Site, binary};

/// How a daemon of this plan ends, and what it says.
async fn refusal(plan: Plan) -> Result<String> {
    let mut site = plan.brokers().await?;
    site.launch_daemon()?;
    let status = site.daemon()?.wait(PATIENCE).await.context("it runs")?;
    assert!(!status.success(), "it ended without an error");
    Ok(site.log())
}

#[tokio::test]
async fn every_problem_of_a_broken_configuration_is_named() -> Result<()> {
    let plan = Site::plan()
        .set("mqtt.cert", "/nowhere/client.pem")
        .set("mqtt.keep_alife", "30s")
        .set("lanes.batch", 0)
        .set("guests.route.path", "/nowhere/route.wasm");
    let log = refusal(plan).await?;
    for word in ["mqtt.cert", "keep_alife", "lanes.batch", "/nowhere/route.wasm"] {
        assert!(log.contains(word), "not a word of {word}:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_guest_that_is_no_component_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("not.wasm");
    std::fs::write(&path, b"\0asm\x01\0\0\0")?;
    let log = refusal(Site::plan().guest("normalize", &path)).await?;
    assert!(log.contains("not.wasm"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_guest_of_another_stage_is_refused() -> Result<()> {
    let log = refusal(Site::plan().guest("normalize", &harness::stock_guest("route-core")?)).await?;
    assert!(log.contains("normalize"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_guest_that_wants_files_is_refused_and_says_which_import() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("curious.wasm");
    let component = wat::parse_str(r#"(component (import "wasi:filesystem/preopens@0.2.0" (instance)))"#)?;
    std::fs::write(&path, component)?;
    let log = refusal(Site::plan().guest("normalize", &path)).await?;
    assert!(log.contains("wasi:filesystem/preopens@0.2.0"), "{log}");
    Ok(())
}

#[tokio::test]
async fn check_finds_the_brokers() -> Result<()> {
    let mut site = Site::plan().brokers().await?;
    let configuration = site.write_configuration(([127, 0, 0, 1], 1).into())?;
    let check = || {
        let output = Command::new(binary()?).args(["check", "--connect", "--config"]).arg(&configuration).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        anyhow::Ok((output.status.success(), text))
    };
    let (fine, text) = check()?;
    assert!(fine, "{text}");
    site.redis.stop().await?;
    let (fine, text) = check()?;
    assert!(!fine && text.contains("redis"), "{text}");
    Ok(())
}

#[tokio::test]
async fn check_says_what_the_settings_of_the_jetstream_stream_mean() -> Result<()> {
    let site = Site::plan().brokers().await?;
    let nats = site.nats.as_ref().context("no NATS")?;
    let config = Config {
        name: "AURORA".to_owned(),
        subjects: vec!["aurora.alerts.>".to_owned()],
        storage: StorageType::Memory,
        discard: DiscardPolicy::New,
        max_messages: 1000,
        duplicate_window: Duration::from_secs(5),
        max_age: Duration::from_secs(3600),
        ..Config::default()
    };
    jetstream::new(async_nats::connect(nats.url()).await?).create_stream(config).await?;
    let configuration = site.write_configuration(([127, 0, 0, 1], 1).into())?;
    let output = Command::new(binary()?).args(["check", "--connect", "--config"]).arg(&configuration).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // It would take nothing of most subjects.
    assert!(!output.status.success(), "{text}");
    for words in ["aurora.intel.>", "in memory", "one server", "ids for 5s", "discard new", "after 1h", "1000 messages"]
    {
        assert!(
            text.lines().any(|line| (line.contains(" warn ") || line.contains("FAILED")) && line.contains(words)),
            "not a word of {words}:\n{text}"
        );
    }
    Ok(())
}
