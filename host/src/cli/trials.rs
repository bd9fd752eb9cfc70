//! What `aurora check` tries out: the guests, always, and each broker with `--connect`.

use super::{check::Trial, spool::files};
use crate::{
    broadcast,
    broker::{Finding, jetstream, mqtt, redis_streams},
    config::{self, Config, Problems},
    federation::inbound,
    pipeline::Conditions,
    raw,
    sandbox::{Agent, Federation, Guest, Inbound, LoadError, Normalizer, Router, Sandbox, World},
    spool::{self, SetAside},
    tasks::{self, Agents},
    telemetry::{Chain, Metrics, SlotName, Stage},
};

pub async fn attempt(config: &Config, connect: bool) -> Vec<Trial> {
    let mut trials = guests(config);
    trials.extend(agents(config));
    trials.extend(config.spool.as_ref().map(spool));
    if connect {
        if let Some(mqtt) = &config.mqtt {
            trials.push(Trial::broker("mqtt", mqtt::probe(mqtt.clone()).await));
        }
        if let Some(redis) = &config.redis {
            trials.push(Trial::broker("redis", redis_streams::probe(redis).await));
        }
        if let (Some(raw), Some(redis)) = (&config.raw, &config.redis) {
            trials.push(Trial::broker("raw", raw::probe(raw, redis).await));
        }
        if let Some(redis) = &config.redis {
            for &offer in &config.federation.share {
                let stream = config.federation.streams.of(config.federation.stream_of(offer, redis));
                trials.push(Trial::broker(format!("share {}", offer.as_str()), raw::probe(&stream, redis).await));
            }
        }
        if let (Some(broadcast), Some(redis)) = (&config.broadcast, &config.redis) {
            trials.push(Trial::broker("broadcast", broadcast::probe(broadcast, redis).await));
        }
        if let (Some(tasks), Some(redis)) = (&config.tasks, &config.redis) {
            trials.push(Trial::broker("tasks", tasks::probe(tasks, redis).await));
        }
        if let Some(nats) = &config.nats {
            trials.push(Trial::broker("nats", jetstream::probe(nats, &config.site.id).await));
        }
        if let (Some(inbound), Some(nats)) = (&config.federation.inbound, &config.nats) {
            let probed = inbound::probe(inbound, nats, &config.site.id).await;
            trials.extend(probed.into_iter().map(|(name, of)| Trial::broker(format!("federation.in {name}"), of)));
        }
    }
    trials
}

/// What was set aside in the folder of a spool; nothing else of it is judged, for a daemon may be at work in it.
fn spool(config: &spool::Config) -> Trial {
    let path = config.path.display();
    let aside = match SetAside::list(&config.path) {
        Ok(aside) => aside,
        Err(error) => {
            let note = Finding::note(format!("damaged/ could not be looked at: {}", Chain(&error)));
            return Trial { findings: vec![note], ..Trial::new("spool", Ok(path.to_string())) };
        }
    };
    let events: u64 = aside.iter().filter_map(|file| file.events).map(u64::from).sum();
    let lost = format!(
        "damaged/ holds {} with {events} events that are not stored, or only in part; `aurora spool list` shows them",
        files(aside.len())
    );
    let findings = if aside.is_empty() { Vec::new() } else { vec![Finding::warning(lost)] };
    Trial { findings, ..Trial::new("spool", Ok(path.to_string())) }
}

/// What is wrong with the guests of a configuration that has other problems, so that all of them are told at once.
pub fn of_guests_beside(problems: &Problems) -> Vec<Trial> {
    let mut trials = problems.sound_guests().map(guests).unwrap_or_default();
    trials.extend(problems.sound_guests().and(problems.sound("tasks")).map(agents).unwrap_or_default());
    trials.into_iter().filter(|trial| trial.result.is_err()).collect()
}

fn guests(config: &Config) -> Vec<Trial> {
    let sandbox = match Sandbox::new(&config.guests, 1) {
        Ok(sandbox) => sandbox,
        Err(error) => return vec![Trial::new("sandbox", Err(Chain(&error).to_string()))],
    };
    let metrics = Metrics::new();
    let trial = |(slot, guest): (SlotName, &config::Guest)| {
        let (name, metrics) = (format!("guest {slot}"), metrics.guest(slot.clone()));
        let mut trial = match slot.stage() {
            Stage::Route => loaded(name, Guest::<Router>::load(&sandbox, guest, &metrics), config),
            Stage::Federate => loaded(name, Guest::<Federation>::load(&sandbox, guest, &metrics), config),
            Stage::Inbound => loaded(name, Guest::<Inbound>::load(&sandbox, guest, &metrics), config),
            _ => loaded(name, Guest::<Normalizer>::load(&sandbox, guest, &metrics), config),
        };
        trial.findings.extend(beside(config, &slot));
        trial
    };
    config.guests.all().map(trial).collect()
}

/// The guests that are agents, on the engine that they have to themselves.
fn agents(config: &Config) -> Vec<Trial> {
    let Some(tasks) = config.tasks.as_ref().filter(|tasks| !tasks.agents.is_empty()) else { return Vec::new() };
    let sandbox = match Agents::sandbox(tasks, &config.guests) {
        Ok(sandbox) => sandbox,
        Err(error) => return vec![Trial::new("sandbox of tasks", Err(Chain(&error).to_string()))],
    };
    let all = Metrics::new();
    let trial = |(name, agent): (&String, &tasks::AgentConfig)| {
        let metrics = all.guest(SlotName::of_rule(Stage::Task, name));
        loaded(format!("agent {name}"), Guest::<Agent>::load(&sandbox, &agent.guest(), &metrics), config)
    };
    tasks.agents.iter().map(trial).collect()
}

/// What stands against the rule of `slot` among those before it.
fn beside(config: &Config, slot: &SlotName) -> Vec<Finding> {
    let stages = config.guests.stages();
    let rules =
        stages.iter().find(|(stage, _)| *stage == slot.stage()).map_or(&[][..], |(_, guest)| guest.rules.as_slice());
    let Some(at) = rules.iter().position(|rule| Some(&*rule.name) == slot.rule()) else { return Vec::new() };
    let ours = Conditions::from(&rules[at]);
    let before = rules[..at].iter().map(|rule| (&rule.name, Conditions::from(rule)));
    let finding = |(name, before): (&String, Conditions)| {
        if before.cover(&ours) {
            let text = format!("never reached: all that fits it fits the rule {name:?} before it; exchange the two");
            return Some(Finding::warning(text));
        }
        // A rule before a wider one is how an exception is written.
        let partly = before.overlap(&ours) && !ours.cover(&before);
        partly.then(|| Finding::note(format!("what also fits the rule {name:?} goes there, for that stands before it")))
    };
    before.filter_map(finding).collect()
}

/// What loading a guest has shown: one that wants what its site does not grant it was refused, and one that has what it
/// cannot make use of runs all the same.
fn loaded<W: World>(name: String, loaded: Result<Guest<W>, LoadError>, config: &Config) -> Trial {
    let guest = match loaded {
        Ok(guest) => guest,
        Err(error) => return Trial::new(name, Err(Chain(&error).to_string())),
    };
    let mut findings = Vec::new();
    if !guest.unused().is_empty() {
        let text = format!("it does not import what this gives it: {}; take it out of its grants", guest.unused());
        findings.push(Finding::note(text));
    }
    if guest.looks_up() && config.intel.is_none() {
        findings.push(Finding::note("it looks observables up, and without [intel] finds none"));
    }
    let said = format!("{} {}, {}", guest.name(), guest.digest(), guest.verdict());
    Trial { findings, ..Trial::new(name, Ok(said)) }
}
