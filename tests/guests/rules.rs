//! Several guests of one stage, chosen by rule: who is asked about what, what stays in order, and whom a bad one costs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aurora::{
    admin::Readiness,
    broker::redis_streams::{self, Session},
    config::{Config, Grant, Rule},
    event::{Context, Delivery, Duty, Identity},
    pipeline::{Decided, DecidedEvent, Decider, Outcome, Stages, Target, Trail, Witness},
    sandbox::Sandbox,
    telemetry::{Metrics, SlotName, Stage},
};
use harness::{Site, guest_cache, hostile_guest, pipe, stock_guest};
use serde_json::Value;
use tokio::sync::mpsc;

/// A lane over the stock guests, and over the hostile one for what a rule takes.
struct Bench {
    stages: Stages,
    decider: Decider,
    metrics: Metrics,
    readiness: Readiness,
    _trail: Trail,
    sent: u64,
}

fn rule(name: &str, source: &str, path: PathBuf) -> Rule {
    let mut rule = Rule { name: name.to_owned(), source: vec![source.to_owned()], ..Rule::default() };
    rule.guest.path = path;
    // What the hostile guest imports.
    rule.guest.grants = [Grant::Log].into_iter().collect();
    rule
}

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config::default();
        config.guests.cache = Some(guest_cache()?);
        for (stage, guest) in [
            ("normalize", &mut config.guests.normalize),
            ("route", &mut config.guests.route),
            ("federate", &mut config.guests.federate),
        ] {
            guest.path = stock_guest(&format!("{stage}-core"))?;
            guest.breaker.last_good = Some(false);
        }
        change(&mut config);
        let (metrics, readiness) = (Metrics::new(), Readiness::new([]));
        let target = Target::new(&config);
        let session = Session::new(&target.layout, redis_streams::Config::default().durability(), false);
        let (audit, trail) = Trail::new(&session, target.audit, Duration::from_secs(1));
        let (proven, _) = mpsc::channel(8);
        let witness = Witness { audit, readiness: readiness.clone(), proven };
        let sandbox = Sandbox::new(&config.guests, 1)?.compiling_here();
        let stages = match Stages::load(&config, &sandbox, &metrics, Some(&witness)) {
            Ok(stages) => stages,
            Err(errors) => bail!("{errors:?}"),
        };
        let decider = Decider::new(&stages, 0, metrics.clone());
        Ok(Self { stages, decider, metrics, readiness, _trail: trail, sent: 0 })
    }

    /// One batch: of each event its source and its payload.
    fn decide<'a>(&mut self, events: impl IntoIterator<Item = (&'a str, String)>) -> Decided {
        let contexts = ["stock", "odd"].map(|source| {
            let format = if source == "odd" { "auto" } else { "json" };
            Arc::new(Context { source: source.to_owned(), format: format.to_owned(), ..Context::default() })
        });
        let deliveries = events.into_iter().map(|(source, payload)| {
            self.sent += 1;
            Delivery {
                context: Arc::clone(&contexts[usize::from(source == "odd")]),
                received_ms: 1_772_445_600_000,
                payload: payload.into_bytes().into(),
                identity: Identity::Once(self.sent),
                attempts: 0,
                unfit: None,
                duty: Duty::none(),
            }
        });
        let deliveries = deliveries.collect();
        self.decider.decide(deliveries)
    }

    fn calls(&self, slot: impl Into<SlotName>) -> u64 {
        self.metrics.guest(slot).calls.get()
    }
}

/// All events, in the order of their deliveries.
fn events(decided: &Decided) -> impl Iterator<Item = DecidedEvent<'_>> {
    (0..decided.deliveries.len()).flat_map(|index| decided.events_of(index, decided.fingerprint(index)))
}

fn json(title: &str, category: &str) -> String {
    format!(r#"{{"severity":"high","title":"{title}","category":"{category}","src_ip":"198.18.0.7"}}"#)
}

/// Alternating by threes, so that no part of the batch is one guest's alone.
fn mixed(count: usize) -> impl Iterator<Item = (&'static str, String)> {
    (0..count).map(|i| match i % 3 {
        0 => ("odd", format!("share {i}")),
        _ => ("stock", json(&format!("alert {i}"), if i.is_multiple_of(2) { "cps" } else { "network" })),
    })
}

#[test]
fn each_event_is_decided_by_the_guest_that_its_rule_names_and_each_guest_is_asked_once() -> Result<()> {
    let hostile = hostile_guest()?;
    let mut bench = Bench::new(|config| {
        config.guests.normalize.rules = vec![rule("lines", "odd", hostile.clone())];
        config.guests.federate.rules = vec![rule("lines", "o*", hostile)];
    })?;
    let decided = bench.decide(mixed(256));
    assert!(decided.dead_letters.is_empty(), "{:?}", decided.dead_letters);
    let by_rule = |stage| SlotName::of_rule(stage, "lines");
    let mut count = 0;
    for (i, event) in events(&decided).enumerate() {
        let odd = i % 3 == 0;
        let title = if odd { format!("share {i}") } else { format!("alert {i}") };
        assert_eq!(event.event.title(), title, "an event is out of its place");
        let slot = |stage: Stage| if odd { by_rule(stage) } else { stage.into() };
        let slots = [event.normalized_by, event.federated_by].map(|maker| maker.map(|maker| maker.slot.clone()));
        assert_eq!(slots, [Some(slot(Stage::Normalize)), Some(slot(Stage::Federate))], "{title}");
        assert_eq!(event.routed_by.map(|maker| maker.slot.clone()), Some(Stage::Route.into()), "{title}");
        count += 1;
    }
    assert_eq!(count, 256);
    for stage in [Stage::Normalize, Stage::Federate] {
        assert_eq!((bench.calls(stage), bench.calls(by_rule(stage))), (1, 1), "{stage}");
    }
    assert_eq!(bench.calls(Stage::Route), 1, "one call, however many normalizers there are");
    Ok(())
}

#[test]
fn the_same_guests_decide_the_same_by_rules_as_without() -> Result<()> {
    let decisions = |change: &dyn Fn(&mut Config)| -> Result<Vec<String>> {
        let mut bench = Bench::new(change)?;
        let sources = ["odd", "stock", "stock", "odd", "odd"];
        let category = |i: usize| ["cps", "network", "identity"][i % 3];
        let batch = (0..200).map(|i| (sources[i % 5], json(&format!("alert {i}"), category(i))));
        let decided = bench.decide(batch);
        ensure!(decided.dead_letters.is_empty(), "{:?}", decided.dead_letters);
        let said = |event: DecidedEvent<'_>| {
            let digest = |maker: Option<&aurora::pipeline::Maker>| maker.map(|maker| maker.digest.to_string());
            let makers = [event.normalized_by, event.routed_by, event.federated_by].map(digest);
            let (title, streams, why) = (event.event.title(), event.streams, event.route_reason);
            format!("{} {title} {streams:?} {why} {:?} {} {makers:?}", event.id, event.share, event.share_reason)
        };
        Ok(events(&decided).map(said).collect())
    };
    let without = decisions(&|_| {})?;
    let with = decisions(&|config| {
        let guests = &mut config.guests;
        for guest in [&mut guests.normalize, &mut guests.route, &mut guests.federate] {
            guest.rules = vec![rule("same", "odd", guest.path.clone())];
        }
    })?;
    assert_eq!(without.len(), 200);
    assert_eq!(without, with);
    Ok(())
}

#[test]
fn a_bad_guest_of_a_rule_costs_the_events_of_its_rule_and_nobody_elses() -> Result<()> {
    let hostile = hostile_guest()?;
    let mut bench = Bench::new(|config| {
        let mut bad = rule("bad", "odd", hostile);
        bad.guest.breaker.window = 16;
        bad.guest.breaker.last_good = Some(false);
        config.guests.normalize.rules = vec![bad];
    })?;
    let trap = |i: usize| if i.is_multiple_of(2) { "normalize trap".to_owned() } else { json("alert", "network") };
    let decided = bench.decide((0..64usize).map(|i| (if i.is_multiple_of(2) { "odd" } else { "stock" }, trap(i))));
    for (i, outcome) in decided.outcomes.iter().enumerate() {
        let accepted = matches!(outcome, Outcome::Accepted { .. });
        assert_eq!(accepted, i % 2 == 1, "event {i}: {outcome:?}");
    }
    let slot = SlotName::of_rule(Stage::Normalize, "bad");
    assert_eq!(bench.metrics.guest(slot.clone()).breaker_state.get(), 1);
    assert_eq!(bench.metrics.guest(Stage::Normalize).breaker_state.get(), 0);
    let report = bench.readiness.report();
    assert_eq!(report.degraded.keys().collect::<Vec<_>>(), ["normalize/bad"]);
    let found = bench.stages.find("normalize/bad").context("no such slot")?;
    assert_eq!((found.name(), bench.stages.all().count()), (&slot, 4));
    Ok(())
}

#[test]
fn pipe_chooses_by_the_rules_of_its_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("aurora.toml");
    let hostile = hostile_guest()?;
    let config = format!(
        "[[guests.normalize.rule]]\nname = \"lines\"\npath = {hostile:?}\ngrants = [\"log\"]\ntopic = [\"odd/#\"]\nformat = [\"j*\"]\n"
    );
    std::fs::write(&path, config)?;
    let config = path.to_str().context("a path that is not UTF-8")?;
    let title = |topic: &str, payload: &str| -> Result<Value> {
        let piped = pipe(&["--config", config, "--format", "json", "--topic", topic], payload.as_bytes())?;
        let line = piped.lines.first().context("no answer")?;
        Ok(line.event(0)["title"].clone())
    };
    assert_eq!(title("odd/1", "plain text")?, "plain text");
    assert_eq!(title("even/1", &json("alert", "network"))?, "alert");
    Ok(())
}

#[tokio::test]
async fn the_daemon_keeps_the_order_of_a_device_and_says_which_guests_made_each_event() -> Result<()> {
    let mut rule = toml::Table::new();
    rule.insert("name".to_owned(), "acme".into());
    rule.insert("path".to_owned(), hostile_guest()?.display().to_string().into());
    rule.insert("grants".to_owned(), vec!["log"].into());
    rule.insert("topic".to_owned(), vec!["aurora/sensors/+/events"].into());
    // One device on two topics: its events are decided by two guests, and stay in one lane.
    let plan = Site::plan()
        .set("guests.normalize.rule", vec![toml::Value::from(rule)])
        .set("dedup.window", "0s")
        .subscribe("aurora/sensors/+/alerts", 1, "mqtt", "mqtt")
        .subscribe("aurora/sensors/+/events", 1, "mqtt", "acme");
    let site = plan.start().await?;
    let mut publisher = site.publisher("one-device");
    for i in 0..200 {
        let (topic, payload) = match i % 2 {
            0 => ("aurora/sensors/dev_1/events", format!("share {i}")),
            _ => ("aurora/sensors/dev_1/alerts", format!(r#"{{"severity":"low","title":"alert {i}"}}"#)),
        };
        publisher.publish(topic, 1, payload.as_bytes()).await?;
    }
    publisher.acknowledged(harness::PATIENCE).await?;
    let (mut all, mut entries) = (Vec::new(), Vec::new());
    site.series_of("aurora_events_published_total", 200.0).await?;
    for stream in ["aurora:alerts", "aurora:cps:alerts"] {
        entries.extend(site.stream(stream).await?);
    }
    for entry in &entries {
        let data = entry.data();
        let title = data["title"].as_str().unwrap_or_default().to_owned();
        let number: usize = title.rsplit(' ').next().unwrap_or_default().parse()?;
        let provenance: Value = serde_json::from_str(&entry.text("provenance"))?;
        let guests: Vec<&str> =
            provenance["guests"].as_array().context("guests")?.iter().filter_map(Value::as_str).collect();
        let expected = if number.is_multiple_of(2) { "normalize/acme@" } else { "normalize@" };
        assert!(guests.len() == 3 && guests[0].starts_with(expected), "{title}: {guests:?}");
        assert_eq!(entry.text("raw").len(), 64);
        assert_eq!(
            entry.text("topic"),
            format!("aurora/sensors/dev_1/{}", if number.is_multiple_of(2) { "events" } else { "alerts" })
        );
        all.push((entry.id.clone(), number));
    }
    // Each stream by itself is in the order of the device.
    for stream in ["aurora:alerts", "aurora:cps:alerts"] {
        let titles = site.stream(stream).await?.into_iter().map(|entry| entry.data()["title"].to_string());
        let numbers: Vec<usize> = titles.filter_map(|t| t.trim_matches('"').rsplit(' ').next()?.parse().ok()).collect();
        assert!(numbers.is_sorted(), "{stream}: {numbers:?}");
    }
    assert_eq!(all.len(), 200);
    let scrape = site.scrape().await?;
    assert!(scrape.get("aurora_guest_calls_total{guest=\"normalize/acme\",stage=\"normalize\"}")? >= 1.0);
    let shared = site.jetstream_of(1).await?;
    let provenance = shared[0].headers.get("Aurora-Provenance").context("no header")?;
    let provenance: Value = serde_json::from_str(provenance)?;
    assert!(provenance["guests"].is_array() && provenance["share"].is_string(), "{provenance}");
    assert!(provenance.get("route").is_none() && shared[0].headers.keys().all(|name| name != "raw"));
    Ok(())
}
