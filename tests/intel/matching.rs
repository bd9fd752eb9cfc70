//! What another site tells, and what comes of it here.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aurora::{intel::Seen, sandbox::Tlp};
use harness::{Message, Place, Site, connect_redis};

use super::{DOOR, HASH, aurora, done, indicator, known, plan, table_at, told};

fn alert(severity: &str, hash: &str) -> String {
    format!(r#"{{"severity":"{severity}","title":"A file","sha256":"{hash}"}}"#)
}

/// Waits until the daemon knows that there are indicators.
async fn noticed(site: &Site) -> Result<f64> {
    site.series_of("aurora_intel_indicators", 1.0).await
}

fn on<'m>(messages: &'m [Message], subject: &str) -> Vec<&'m Message> {
    messages.iter().filter(|message| message.subject == subject).collect()
}

#[tokio::test]
async fn what_another_site_tells_raises_an_event_and_goes_back_as_a_sighting() -> Result<()> {
    let site = plan().start().await?;
    let table = table_at(&site.redis.url(), |_| {})?;
    let file = indicator("hash_sha256", HASH);
    let strict = Seen { tlp: Tlp::AmberStrict, ..told(file.clone(), "site-a", "m1") };
    table.record(&[strict]).await?;
    noticed(&site).await?;
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    let entry = site.stream_of("aurora:cps:alerts", 1).await?.remove(0);
    let event = entry.data();
    assert_eq!((entry.text("severity"), &event["severity"]), ("high".to_owned(), &"high".into()));
    let fields = &event["fields"];
    assert_eq!(fields["intel.match"], format!("hash_sha256:{HASH}"));
    assert_eq!((&fields["intel.sources"], &fields["intel.tlp"]), (&"site-a".into(), &"AMBER+STRICT".into()));
    assert_eq!(fields["intel.raised"], "low to high");

    let messages = site.jetstream_of(2).await?;
    let alerts = on(&messages, "aurora.alerts.cps");
    let sightings = on(&messages, "aurora.intel.sighting.hash_sha256");
    assert_eq!((messages.len(), alerts.len(), sightings.len()), (2, 1, 1), "it is not told anew");
    for message in [alerts[0], sightings[0]] {
        assert_eq!(message.json()["tlp"], "AMBER+STRICT", "no more openly than it came");
    }
    let sighting = sightings[0].json();
    assert_eq!((&sighting["value"], &sighting["site"]), (&HASH.into(), &"test-site".into()));
    assert_eq!(sighting["event_id"], event["id"]);

    site.wait_until("the sighting in the table", async || {
        let known = known(&table, &file).await?;
        let seen = known.sightings.get("test-site").map(|times| times.count);
        ensure!(seen == Some(1), "{known:?}");
        Ok(())
    })
    .await?;
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_intel_matches_total{type=\"hash_sha256\"}")?, 1.0);
    assert_eq!(scrape.get("aurora_intel_raised_total")?, 1.0);
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let explained = done(&site, &["explain", &id])?;
    assert!(explained.contains("told by site-a under TLP:AMBER+STRICT; raised from low to high"), "{explained}");
    assert!(explained.contains("TLP:AMBER to TLP:AMBER+STRICT"), "{explained}");
    let listed = done(&site, &["intel", "list", "--seen"])?;
    assert!(listed.contains(HASH) && listed.contains("site-a") && listed.contains("1 of 1"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn who_sees_an_indicator_does_not_tell_it_nor_what_stands_beside_it() -> Result<()> {
    let plan = |name: &str| plan().set("site.id", name).set("federation.in.ack_wait", "2s");
    let north = plan("north").start().await?;
    let url = north.nats.as_ref().context("north has no NATS")?.url();
    let at_north = |name: &str| plan(name).without_nats().set("nats.url", url.clone());
    let (south, west) = (at_north("south").start().await?, at_north("west").start().await?);
    let file = indicator("hash_sha256", HASH);
    north.publish(DOOR, 1, [alert("critical", HASH)]).await?;
    for site in [&south, &west] {
        noticed(site).await?;
    }
    let event = |severity: &str, title: &str, name: &str| {
        format!(r#"{{"severity":"{severity}","title":"{title}","sha256":"{HASH}","message":"asked for {name}"}}"#)
    };
    south.publish(DOOR, 1, [event("low", "first", "beside-it.net"), event("info", "second", "beside-it.net")]).await?;
    south.stream_of("aurora:cps:alerts", 3).await?;
    // This one is bad enough without the match.
    south.publish(DOOR, 1, [event("high", "third", "found-there.net")]).await?;

    for (site, name) in [(&west, "west"), (&north, "north")] {
        let table = table_at(&site.redis.url(), |_| {})?;
        site.wait_until(&format!("{name} to know all of it"), async || {
            let (seen, found) =
                (known(&table, &file).await?, known(&table, &indicator("domain", "found-there.net")).await?);
            let times = seen.sightings.get("south").map(|times| times.count);
            ensure!(times == Some(3) && found.sources.contains_key("south"), "{seen:?} {found:?}");
            Ok(())
        })
        .await?;
        // North's own table has what others tell, and nobody else tells it.
        let told: Vec<(String, u64)> =
            known(&table, &file).await?.sources.into_iter().map(|(site, source)| (site, source.times.count)).collect();
        let expected = if name == "west" { vec![("north".to_owned(), 1)] } else { Vec::new() };
        assert_eq!(told, expected, "{name}");
        assert!(known(&table, &indicator("domain", "beside-it.net")).await.is_err(), "{name}");
    }

    let messages = north.jetstream().await?;
    let seen = |title: &str| {
        let mut alerts =
            messages.iter().filter(|message| message.subject.starts_with("aurora.alerts.")).map(Message::json);
        let alert = alerts.find(|alert| alert["title"] == title).unwrap_or_default();
        let count = |key: &str| alert[key].as_array().map_or(0, Vec::len);
        (count("iocs"), count("iocs_seen"))
    };
    assert_eq!(["A file", "first", "second", "third"].map(seen), [(1, 0), (2, 2), (2, 2), (2, 1)]);
    Ok(())
}

#[tokio::test]
async fn an_event_that_matches_now_is_no_repetition_of_one_that_did_not() -> Result<()> {
    let site = plan().without_nats().start().await?;
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    assert_eq!(site.stream_of("aurora:cps:alerts", 1).await?[0].text("severity"), "low");
    let table = table_at(&site.redis.url(), |_| {})?;
    table.record(&[told(indicator("hash_sha256", HASH), "site-a", "m1")]).await?;
    noticed(&site).await?;
    // The lane remembers for a moment that nobody told of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    assert_eq!(site.stream_of("aurora:cps:alerts", 2).await?[1].text("severity"), "high");
    // The third is one with the second, and the last is there to be waited for.
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    site.publish(DOOR, 1, [alert("medium", &HASH.replace("27", "11"))]).await?;
    assert_eq!(site.stream_of("aurora:cps:alerts", 3).await?[2].text("severity"), "medium");
    Ok(())
}

#[tokio::test]
async fn what_the_site_keeps_for_itself_raises_nothing_though_it_was_told_before() -> Result<()> {
    let site = plan().without_nats().set("federation.ceiling.never.networks", vec!["45.155.0.0/16"]).start().await?;
    // This table knows of no such network.
    let table = table_at(&site.redis.url(), |_| {})?;
    let other = indicator("ip", "46.4.0.1");
    table.record(&[told(indicator("ip", "45.155.205.233"), "a", "m1"), told(other, "a", "m2")]).await?;
    site.series_of("aurora_intel_indicators", 2.0).await?;
    let event = |from: &str| format!(r#"{{"severity":"low","title":"From {from}","src_ip":"{from}"}}"#);
    site.publish(DOOR, 1, [event("45.155.205.233"), event("46.4.0.1")]).await?;
    let entries = site.stream_of("aurora:cps:alerts", 2).await?;
    let mut severities: Vec<String> = entries.iter().map(|entry| entry.text("severity")).collect();
    severities.sort();
    assert_eq!(severities, ["high", "low"]);
    assert!(entries.iter().all(|entry| entry.data()["fields"]["intel.match"] != "ip:45.155.205.233"));
    let said = done(&site, &["intel", "export"])?;
    assert!(said.ends_with("1 indicators; 1 never leave: federation.ceiling.never\n"), "{said}");
    assert!(!said.contains("45.155.205.233"), "{said}");
    Ok(())
}

#[tokio::test]
async fn rules_say_how_far_and_what_nobody_tells_stays_as_it_is() -> Result<()> {
    let rule: toml::Table = toml::from_str("rule = [{ sites = ['trusted'], raise_to = 'critical' }]\nraise_to = 'no'")?;
    let site = plan().set("intel.match", rule).start().await?;
    let table = table_at(&site.redis.url(), |_| {})?;
    let other = HASH.replace("27", "72");
    table.record(&[told(indicator("hash_sha256", HASH), "trusted", "m1")]).await?;
    table.record(&[told(indicator("hash_sha256", &other), "someone", "m2")]).await?;
    noticed(&site).await?;
    let unknown = HASH.replace("27", "11");
    site.publish(DOOR, 1, [alert("low", HASH), alert("low", &other), alert("low", &unknown)]).await?;
    let entries = site.stream_of("aurora:cps:alerts", 3).await?;
    let scrape = site.scrape().await?;
    let batches = scrape.get("aurora_stage_batch_events_count{stage=\"normalize\"}")?;
    let questions = scrape.get("aurora_intel_questions_total")?;
    assert!((1.0..=batches).contains(&questions), "{questions} questions for {batches} batches");
    let mut found: Vec<(String, String)> = entries
        .iter()
        .map(|entry| {
            let field = entry.data()["fields"]["intel.sources"].as_str().unwrap_or_default().to_owned();
            (entry.text("severity"), field)
        })
        .collect();
    found.sort();
    let pair = |severity: &str, site: &str| (severity.to_owned(), site.to_owned());
    assert_eq!(found, [pair("critical", "trusted"), pair("low", ""), pair("low", "someone")]);
    Ok(())
}

// The command goes through the proxy, which runs here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_events_say_that_nobody_looked_and_go_on() -> Result<()> {
    let mut plan = plan().without_nats().proxied(Place::Redis).set("intel.timeout", "200ms");
    plan = plan.set("spool.path", "spool").set("spool.after", "100ms");
    let site = plan.start().await?;
    let table = table_at(&site.redis.url(), |_| {})?;
    table.record(&[told(indicator("hash_sha256", HASH), "site-a", "m1")]).await?;
    noticed(&site).await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = true);
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    site.series_of("aurora_spool_appended_events_total", 1.0).await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = false);
    let event = site.stream_of("aurora:cps:alerts", 1).await?.remove(0).data();
    assert_eq!((&event["severity"], &event["fields"]["intel"]), (&"low".into(), &"not looked up".into()), "{event}");
    assert_eq!(site.scrape().await?.get("aurora_intel_not_looked_up_total")?, 1.0);
    let explained = done(&site, &["explain", event["id"].as_str().unwrap_or_default()])?;
    assert!(explained.contains("not looked up"), "{explained}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_asked_while_there_is_nothing_to_be_found() -> Result<()> {
    let site = plan().without_nats().start().await?;
    site.wait_until("the daemon to know that", async || {
        // It is told by looks that no lane has made.
        let mut redis = connect_redis(&site.redis.url()).await?;
        let told: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await?;
        let calls = told.split("cmdstat_hmget:calls=").nth(1).and_then(|rest| rest.split(',').next());
        // The second is asked when the first has been answered.
        let calls: u64 = calls.and_then(|calls| calls.parse().ok()).unwrap_or_default();
        ensure!(calls >= 2, "{calls} looks");
        Ok(())
    })
    .await?;
    site.publish(DOOR, 1, [alert("low", HASH)]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_intel_questions_total")?, 0.0);
    // A person adds one, and the next event is raised.
    let said = done(&site, &["intel", "add", "hash_sha256", HASH])?;
    assert!(said.contains("from now on"), "{said}");
    noticed(&site).await?;
    site.publish(DOOR, 1, [alert("info", HASH)]).await?;
    let entry = site.stream_of("aurora:cps:alerts", 2).await?.remove(1);
    assert_eq!(entry.text("severity"), "high");
    let shown = done(&site, &["intel", "show", "hash_sha256", &HASH.to_uppercase()])?;
    assert!(shown.contains("told by    test-site, once"), "{shown}");
    done(&site, &["intel", "expire", "hash_sha256", HASH, "--yes"])?;
    let (said, found) = aurora(&site, &["intel", "show", "hash_sha256", HASH])?;
    assert!(!found && said.contains("not looked out for"), "{said}");
    Ok(())
}

#[tokio::test]
async fn nobody_else_writes_what_the_host_says_of_matches() -> Result<()> {
    let site = plan().without_nats().start().await?;
    let forged = r#"{"severity":"low","title":"x","intel.match":"ip:1.2.3.4","intel":{"tlp":"CLEAR"},"intel.x":"y"}"#;
    site.publish(DOOR, 1, [forged]).await?;
    let event = site.stream_of("aurora:cps:alerts", 1).await?.remove(0).data();
    let fields = event["fields"].as_object().cloned().unwrap_or_default();
    assert!(!fields.is_empty() && fields.keys().all(|key| !key.starts_with("intel")), "{event}");
    Ok(())
}
