//! From exec to ready, brokers being there: with guests to compile, and with compiled ones.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::site::Site;

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub cold_ms: f64,
    pub warm_ms: f64,
}

/// Starts the daemon twice with a cache of its own.
pub async fn run(settings: &[String]) -> Result<Times> {
    let site = Site::start(1, true, settings).await?;
    let cold_ms = once(&site).await?;
    // JetStream's stream is there as well now, as it is at any start but the first.
    let warm_ms = once(&site).await?;
    Ok(Times { cold_ms, warm_ms })
}

async fn once(site: &Site) -> Result<f64> {
    let begun = Instant::now();
    let mut daemon = site.launch(&site.folder.path().join("cache"))?;
    while !matches!(daemon.get("/readyz").await, Ok(answer) if answer.status == 200) {
        ensure!(daemon.exit_status().is_none() && begun.elapsed() < Duration::from_secs(60), "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    site.end(daemon).await?;
    Ok(milliseconds)
}
