use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aurora::{
    broker::redis_streams::{self, Pool, StateShelf},
    config::StateLimits,
    state::{Change, Shelf as _},
    telemetry::{SlotName, Stage},
};
use harness::{Cluster, Entry, Make, Plan, Site, read_stream, wait_until};

use super::alert;
use crate::delivery::assert_exactly_once;

const STREAM: &str = "{aurora}:cps:alerts";

fn plan(cluster: &Cluster) -> Plan {
    Site::plan().set("redis.url", cluster.url()).set("redis.cluster", true)
}

/// Publishes numbered alerts, not more than 500 a second, until told to stop. Returns how many.
async fn keep_publishing(site: &Site, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Result<u32>> {
    let mut publisher = site.publisher("numbers");
    tokio::spawn(async move {
        let mut count = 0;
        // So few that nothing is trimmed, and that the end of the test is about a failover and not about a queue.
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            publisher.publish("aurora/sensors/door/alerts", 1 + (count % 2) as u8, alert(count)).await?;
            publisher.acknowledged(harness::PATIENCE).await?;
            count += 1;
        }
        Ok(count)
    })
}

/// Waits until the owner has `count` alerts.
async fn stored(site: &Site, cluster: &Cluster, count: usize) -> Result<Vec<Entry>> {
    site.wait_until(&format!("{count} alerts are stored"), async || {
        let owner = cluster.owner().await?;
        let entries = read_stream(&cluster.nodes[owner].url(), STREAM).await?;
        ensure!(entries.len() >= count, "{} entries", entries.len());
        Ok(entries)
    })
    .await
}

/// Has events flow while `happens` happens, and counts them at both ends.
async fn nothing_lost_and_nothing_twice(
    plan: impl FnOnce(&Cluster) -> Plan,
    happens: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = Make::Redis7.program()?.context("Debian's Redis is always there")?;
    let mut cluster = Cluster::start(&program, folder.path(), "appendonly yes\nappendfsync always").await?;
    let site = plan(&cluster).start().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = keep_publishing(&site, Arc::clone(&stop)).await;
    stored(&site, &cluster, 100).await?;
    happens(&mut cluster).await?;
    let there = stored(&site, &cluster, 0).await?.len();
    stored(&site, &cluster, there + 100).await?;
    stop.store(true, Ordering::Relaxed);
    let count = publishing.await??;
    let entries = stored(&site, &cluster, count as usize).await?;
    assert_exactly_once(&entries, count);
    assert_eq!(site.jetstream_of(count as usize).await?.len(), count as usize);
    Ok(())
}

#[tokio::test]
async fn a_failover_loses_nothing_where_a_replica_is_waited_for() -> Result<()> {
    let plan = |cluster: &Cluster| plan(cluster).set("redis.durability", "replicas").set("redis.replicas", 1);
    nothing_lost_and_nothing_twice(plan, async |cluster| {
        let dead = cluster.owner().await?;
        cluster.nodes[dead].kill();
        wait_until("the replica has taken over", harness::PATIENCE, async || -> Result<()> {
            cluster.owner().await.map(drop)
        })
        .await?;
        // Comes back as the replica of its replica, and is what the daemon waits for.
        cluster.nodes[dead].restart().await
    })
    .await
}

#[tokio::test]
async fn a_failover_by_hand_is_followed() -> Result<()> {
    nothing_lost_and_nothing_twice(plan, async |cluster| {
        let before = cluster.owner().await?;
        cluster.nodes[3].ask::<()>("CLUSTER FAILOVER").await?;
        wait_until("the replica has taken over", harness::PATIENCE, async || {
            let owner = cluster.owner().await?;
            ensure!(owner != before, "still node {owner}");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_slot_that_moves_while_events_flow_is_followed() -> Result<()> {
    nothing_lost_and_nothing_twice(plan, async |cluster| {
        let before = cluster.owner().await?;
        cluster.move_slot((before + 1) % 3).await?;
        ensure!(cluster.owner().await? != before, "it did not move");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cluster_is_reached_by_any_node_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    certificates(folder.path())?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let lines = format!(
        "tls-port PORT\ntls-ca-cert-file {}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\ntls-cluster yes\n\
         tls-replication yes",
        at("ca.pem"),
        at("server.pem"),
        at("server.key")
    );
    let program = Make::Redis7.program()?.context("Debian's Redis is always there")?;
    let cluster = Cluster::start(&program, folder.path(), &lines).await?;
    let other = (cluster.owner().await? + 1) % 3;
    let plan = plan(&cluster).set("redis.url", cluster.nodes[other].url()).set("redis.ca", at("ca.pem"));
    let site = plan.start().await?;
    site.publish("aurora/sensors/door/alerts", 1, (0..10).map(alert)).await?;
    site.jetstream_of(10).await?;
    assert_eq!(cluster.nodes[cluster.owner().await?].ask::<u64>(&format!("XLEN {STREAM}")).await?, 10);
    Ok(())
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n")?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names"
            .into(),
    ] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output()?;
        ensure!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[tokio::test]
async fn what_guests_remember_is_found_wherever_the_slot_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = Make::Redis7.program()?.context("Debian's Redis is always there")?;
    let cluster = Cluster::start(&program, folder.path(), "").await?;
    let config = redis_streams::Config { url: cluster.url(), cluster: true, ..redis_streams::Config::default() };
    let shelf = StateShelf::new(Pool::new(&config)?, &config);
    let (slot, wait) = (SlotName::from(Stage::Normalize), Duration::from_secs(5));
    let put = |value: &str| {
        let put = Change::Put { value: value.into(), ttl: Duration::from_secs(60) };
        shelf.write(&slot, &StateLimits::default(), &[("key", put)], wait).is_ok()
    };
    let get = || shelf.read(&slot, &["key"], wait).ok().and_then(|mut found| found.values.pop().flatten());
    assert!(put("before"));
    assert_eq!(get().map(|value| value.text()), Some(b"before".to_vec()));
    let before = cluster.owner().await?;
    cluster.move_slot((before + 1) % 3).await?;
    wait_until("it is found at its new owner", harness::PATIENCE, async || {
        let found = get().map(|value| value.text());
        ensure!(found.as_deref() == Some(b"before"), "{found:?}");
        Ok(())
    })
    .await?;
    assert!(put("after"));
    Ok(())
}
