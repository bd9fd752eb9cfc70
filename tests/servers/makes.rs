use anyhow::Result;
use harness::{Make, Server, Site, read_stream};

use super::alert;
use crate::delivery::assert_exactly_once;

const COUNT: u32 = 500;

/// The same on all of them: stored as surely as the server can, shared through the outbox, and known again after the
/// daemon and the server have died.
async fn events_cross(make: Make, durability: &str) -> Result<()> {
    let Some(program) = make.program()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let lines = "appendonly yes\nappendfsync always";
    let mut server = Server::start(&program, folder.path(), lines).await?;
    let plan = Site::plan().set("redis.url", server.url()).set("redis.durability", durability);
    let mut site = plan.start().await?;
    let mut publisher = site.publisher("numbers");
    for number in 0..COUNT {
        publisher.publish("aurora/sensors/door/alerts", 1 + (number % 2) as u8, alert(number)).await?;
        match number {
            200 => server.kill(),
            201 => server.restart().await?,
            350 => {
                site.kill_daemon()?;
                site.start_daemon().await?;
            }
            _ => {}
        }
    }
    publisher.acknowledged(harness::PATIENCE).await?;
    let entries = site
        .wait_until("all events are stored", async || {
            let entries = read_stream(&server.url(), "aurora:cps:alerts").await?;
            anyhow::ensure!(entries.len() >= COUNT as usize, "{} entries", entries.len());
            Ok(entries)
        })
        .await?;
    assert_exactly_once(&entries, COUNT);
    let messages = site.jetstream_of(COUNT as usize).await?;
    assert_eq!(messages.len(), COUNT as usize);
    Ok(())
}

#[tokio::test]
async fn events_cross_redis_7_0() -> Result<()> {
    events_cross(Make::Redis7, "memory").await
}

#[tokio::test]
async fn events_cross_redis_8_2_as_surely_as_its_disk() -> Result<()> {
    events_cross(Make::Redis8, "fsync").await
}

#[tokio::test]
async fn events_cross_valkey_as_surely_as_its_disk() -> Result<()> {
    events_cross(Make::Valkey, "fsync").await
}
