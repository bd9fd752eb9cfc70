//! Sites joined in the ways that NATS joins servers: one cluster, leaf nodes with mirrors, and a ring.

use std::time::Instant;

use anyhow::{Result, ensure};
use harness::{PATIENCE, Plan, Site, wait_until};
use serde_json::json;

use super::{
    servers::{Server, carry, cluster, leader, leaves, linked, messages, mirror, shared_stream},
    taking_in,
};
use crate::delivery::assert_exactly_once;

/// A site of this name at a server that is not its own.
fn at(name: &str, url: &str) -> Plan {
    taking_in(name).without_nats().set("nats.url", url)
}

/// Publishes alerts of these numbers to a site's own MQTT broker.
async fn happen(site: &Site, numbers: std::ops::Range<u32>) -> Result<()> {
    let alert = |number: u32| json!({ "severity": "critical", "title": format!("alert {number}"), "number": number });
    site.publish("aurora/sensors/door_1/alerts", 1, numbers.map(|number| alert(number).to_string())).await
}

/// Waits until `site` has `count` alerts of `other`, each once, and gives them a moment to come twice.
async fn has(site: &Site, other: &str, count: u32) -> Result<()> {
    let of_other = async || -> Result<Vec<harness::Entry>> {
        let entries = site.stream("aurora:cps:alerts").await?;
        Ok(entries.into_iter().filter(|entry| entry.text("origin") == other).collect())
    };
    site.wait_until(&format!("{count} alerts of {other}"), async || {
        let there = of_other().await?.len();
        ensure!(there >= count as usize, "{there}");
        Ok(())
    })
    .await?;
    assert_exactly_once(&of_other().await?, count);
    Ok(())
}

async fn is_clean(sites: &[&Site]) -> Result<()> {
    for site in sites {
        assert!(site.stream("aurora:dead_letter").await?.is_empty());
        assert!(site.stream("aurora:outbox").await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn in_one_cluster_the_death_of_a_server_loses_nothing_and_doubles_nothing() -> Result<()> {
    const EACH: u32 = 400;
    let folder = tempfile::tempdir()?;
    let mut servers = cluster(folder.path()).await?;
    shared_stream(&servers).await?;
    let urls = servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let (north, south) = (at("north", &urls).start().await?, at("south", &urls).start().await?);
    happen(&north, 0..EACH / 2).await?;
    happen(&south, 0..EACH / 2).await?;
    has(&south, "north", EACH / 2).await?;
    let leads = leader(&servers).await?;
    let dead = servers.iter_mut().find(|server| server.name == leads);
    let dead = dead.expect("the leader is one of them");
    happen(&north, EACH / 2..EACH * 3 / 4).await?;
    dead.kill();
    happen(&north, EACH * 3 / 4..EACH).await?;
    happen(&south, EACH / 2..EACH).await?;
    dead.restart()?;
    has(&south, "north", EACH).await?;
    has(&north, "south", EACH).await?;
    is_clean(&[&north, &south]).await
}

/// Two sites, each with a mirror of the other's stream, and the link between them cut while `count` alerts happen at each.
async fn partition(count: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (servers, link) = leaves(folder.path(), &["north", "south"]).await?;
    let [hub, leaf] = &servers[..] else { unreachable!("there are two") };
    linked(hub, true).await?;
    let (of_north, of_south) = (mirror(leaf, hub).await?, mirror(hub, leaf).await?);
    // Nothing is trimmed: all of it is counted.
    let plan = |name, server: &Server, stream: String| {
        at(name, &server.url()).set("federation.in.streams", vec![stream]).set("redis.streams.aurora:cps:alerts", 0)
    };
    let north = plan("north", hub, of_south).start().await?;
    let south = plan("south", leaf, of_north).start().await?;
    happen(&north, 0..20).await?;
    happen(&south, 0..20).await?;
    has(&south, "north", 20).await?;
    has(&north, "south", 20).await?;
    link.down();
    linked(hub, false).await?;
    happen(&north, 20..count).await?;
    happen(&south, 20..count).await?;
    for (server, what) in [(hub, "north"), (leaf, "south")] {
        wait_until(&format!("{what} has shared all"), PATIENCE * 10, async || {
            let there = messages(server, "AURORA").await?;
            ensure!(there >= u64::from(count), "{there}");
            Ok(())
        })
        .await?;
    }
    // It stays cut, however long that took.
    linked(hub, false).await?;
    let known = south.stream("aurora:cps:alerts").await?;
    let crossed = known.iter().filter(|entry| entry.text("origin") == "north").count();
    ensure!(crossed == 20, "{crossed} crossed the cut link, so this showed nothing");
    link.heal();
    let healed = Instant::now();
    let patience = PATIENCE * 10;
    for (site, other) in [(&south, "north"), (&north, "south")] {
        wait_until(&format!("all of {other}"), patience, async || {
            let there = site.scrape().await?;
            let stored = format!("aurora_federation_in_total{{stream=\"{}\",what=\"stored\"}}", other.to_uppercase());
            let stored = there.get(&stored)?;
            ensure!(stored >= f64::from(count), "{stored}");
            Ok(())
        })
        .await?;
        has(site, other, count).await?;
    }
    println!("partition of {count} alerts at each site, caught up in {:?}", healed.elapsed());
    is_clean(&[&north, &south]).await
}

#[tokio::test]
async fn a_partition_between_leaf_nodes_heals_with_nothing_lost_and_nothing_twice() -> Result<()> {
    partition(1000).await
}

#[tokio::test]
#[ignore = "minutes: ten minutes' worth of 1,000 alerts a second"]
async fn a_partition_of_ten_minutes_heals_with_nothing_lost_and_nothing_twice() -> Result<()> {
    partition(600_000).await
}

#[tokio::test]
async fn in_a_ring_of_three_sites_nothing_goes_round() -> Result<()> {
    const EACH: u32 = 30;
    let folder = tempfile::tempdir()?;
    let (servers, _link) = leaves(folder.path(), &["north", "south", "east"]).await?;
    let [a, b, c] = &servers[..] else { unreachable!("there are three") };
    linked(a, true).await?;
    // Each reads its own stream and mirrors of both others.
    let mut sites = Vec::new();
    for server in &servers {
        let mut streams = vec!["AURORA".to_owned()];
        for other in servers.iter().filter(|other| other.name != server.name) {
            streams.push(mirror(server, other).await?);
        }
        sites.push(at(server.name, &server.url()).set("federation.in.streams", streams).start().await?);
    }
    for site in &sites {
        happen(site, 0..EACH).await?;
    }
    for server in &servers {
        wait_until("it has shared all", PATIENCE, async || {
            let there = messages(server, "AURORA").await?;
            ensure!(there >= u64::from(EACH), "{there}");
            Ok(())
        })
        .await?;
    }
    // What is carried from each to the next comes back to where it came from, and goes on.
    for (from, to) in [(a, b), (b, c), (c, a), (a, b)] {
        carry(from, to).await?;
    }
    for (site, server) in sites.iter().zip(&servers) {
        for other in servers.iter().filter(|other| other.name != server.name) {
            has(site, other.name, EACH).await?;
        }
        site.wait_until("all of its stream is looked at", async || {
            let there = messages(server, "AURORA").await?;
            let scrape = site.scrape().await?;
            let mut looked_at = 0.0;
            for what in ["stored", "repeated", "own"] {
                let series = format!("aurora_federation_in_total{{stream=\"AURORA\",what=\"{what}\"}}");
                looked_at += scrape.get(&series).unwrap_or_default();
            }
            ensure!(looked_at >= there as f64, "{looked_at} of {there}");
            Ok(())
        })
        .await?;
        assert_eq!(site.stream("aurora:cps:alerts").await?.len(), 3 * EACH as usize);
        // Nothing was sent that was not its own, or it would have been once more in somebody's stream.
        assert_eq!(site.scrape().await?.get("aurora_events_federated_total")?, f64::from(EACH));
    }
    let own = sites[0].scrape().await?.get("aurora_federation_in_total{stream=\"AURORA\",what=\"own\"}")?;
    ensure!(own > f64::from(EACH), "{own} came back to north, so this showed nothing");
    is_clean(&sites.iter().collect::<Vec<_>>()).await
}
