//! What events say, for who has shown the token. Asked of Redis at most once in a while, however many look.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use super::overview::About;
use crate::{
    admin::devices,
    attestation::{Health, Overview, Status},
    broker::redis_streams::{Fields, Letters, Order, Pool, Span, newest},
    event::EntryId,
    mark::Mark,
    pipeline::Letter,
    tasks::Roster,
};

/// How long an answer serves.
const FRESH: Duration = Duration::from_millis(1500);

/// Entries of each stream that are looked at.
const ENTRIES: usize = 24;

/// Events that are shown.
const EVENTS: usize = 14;

/// The newest dead letters, whose reasons are counted.
const LETTERS: usize = 128;

/// Devices that are shown.
const DEVICES: usize = 6;

/// What was said last.
pub(super) struct Contents {
    redis: Pool,
    /// Keys of the streams that events go to.
    streams: Vec<String>,
    letters: Letters,
    devices: devices::Handle,
    agents: Arc<OnceLock<Roster>>,
    last: Mutex<Option<(Instant, Value)>>,
}

impl Contents {
    pub fn new(about: &About, letters: Letters, devices: devices::Handle, agents: Arc<OnceLock<Roster>>) -> Self {
        let (redis, streams) = (about.redis.clone(), about.routed_keys.clone());
        Self { redis, streams, letters, devices, agents, last: Mutex::new(None) }
    }

    /// What there is now. While Redis is away there is less.
    pub async fn now(&self) -> Value {
        let mut last = self.last.lock().await;
        if let Some((asked, value)) = &*last
            && asked.elapsed() < FRESH
        {
            return value.clone();
        }
        let mut events: Vec<_> =
            newest(&self.redis, &self.streams, ENTRIES).await.unwrap_or_default().into_iter().flatten().collect();
        events.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        // An event may be in several streams.
        events.dedup_by(|(_, a), (_, b)| a.get("data") == b.get("data"));
        let events: Vec<_> = events.iter().filter_map(|(id, fields)| event(*id, fields)).collect();
        let shared: Vec<_> = events.iter().filter(|event| event["subject"].is_string()).take(6).cloned().collect();
        let agents = match self.agents.get() {
            Some(roster) => roster.views(true).await,
            None => Vec::new(),
        };
        let value = json!({
            "alerts": events.into_iter().take(EVENTS).collect::<Vec<_>>(),
            "shared": shared,
            "dead_letters": self.reasons().await,
            "devices": self.troubled().await,
            "agents": agents,
        });
        *last = Some((Instant::now(), value.clone()));
        value
    }

    /// Devices that failed or are not there, those that failed last before the others.
    async fn troubled(&self) -> Vec<Value> {
        let Some(asking) = self.devices.asking.get() else { return Vec::new() };
        let all = Overview::read(&asking.devices, &asking.registry, &asking.config).await.unwrap_or_default();
        let failed = |device: &Overview| {
            device.last.as_ref().filter(|last| last.status == Status::Failed).map(|last| last.at_ms)
        };
        let is_away =
            |device: &Overview| device.health == Health::Stale.as_str() || device.health == Health::Offline.as_str();
        let mut all: Vec<_> = all.into_iter().filter(|device| failed(device).is_some() || is_away(device)).collect();
        all.sort_by_key(|device| std::cmp::Reverse((failed(device), device.heard_ms)));
        let of = |device: &Overview| {
            let last = device.last.as_ref().filter(|last| last.status == Status::Failed);
            json!({
                "device_id": device.device_id,
                "health": device.health,
                "heard_ms": device.heard_ms,
                "failed_ms": last.map(|last| last.at_ms),
                "reason": last.map(|last| short(&last.reason)),
            })
        };
        all.iter().take(DEVICES).map(of).collect()
    }

    /// Reasons of the newest dead letters, the most frequent first.
    async fn reasons(&self) -> Vec<Value> {
        let mut walk = self.letters.walk(Span::default(), Order::NewestFirst);
        let (mut counts, mut seen) = (BTreeMap::<(String, String), usize>::new(), 0);
        while seen < LETTERS {
            let Ok(Some(part)) = walk.next().await else { break };
            for letter in part.into_iter().map(Letter::of) {
                let reason = match Mark::of(letter.reason.as_bytes()) {
                    Some(mark) => format!("hidden, {mark}"),
                    None => short(&letter.reason),
                };
                *counts.entry((letter.stage, reason)).or_default() += 1;
                seen += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let of = |((stage, reason), count)| json!({ "stage": stage, "reason": reason, "count": count });
        counts.into_iter().take(8).map(of).collect()
    }
}

/// An event in short; none where TLP forbids to show it, or where it is none.
fn event(id: EntryId, fields: &Fields) -> Option<Value> {
    if fields.values().any(|value| Mark::of(value).is_some()) {
        return None;
    }
    let data: Value = serde_json::from_slice(fields.get("data")?).ok()?;
    let provenance: Value =
        fields.get("provenance").and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let title = data["title"].as_str().or(data["status"].as_str()).unwrap_or_default();
    Some(json!({
        "time_ms": id.ms,
        "id": data["id"],
        "severity": data["severity"],
        "category": data["category"],
        "source": data["source"],
        "device_id": data["device_id"],
        "title": short(title),
        "subject": provenance["subject"],
    }))
}

fn short(text: &str) -> String {
    const MOST: usize = 160;
    let begin: String = text.chars().take(MOST).collect();
    if begin.len() < text.len() { begin + "…" } else { begin }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(data: &str, provenance: &str) -> Fields {
        [("data", data), ("provenance", provenance)]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn an_event_is_shown_in_short_and_not_where_tlp_forbids_it() {
        let id = EntryId { ms: 5, sequence: 0 };
        let long = "x".repeat(500);
        let shown = event(id, &fields(&format!(r#"{{"title":"{long}","severity":"high"}}"#), r#"{"subject":"a.b"}"#));
        let shown = shown.unwrap();
        assert_eq!(
            (&shown["time_ms"], &shown["severity"], &shown["subject"]),
            (&json!(5), &json!("high"), &json!("a.b"))
        );
        assert_eq!(shown["title"].as_str().unwrap().chars().count(), 161);
        assert!(event(id, &fields(r#"{"title":"a","fields":{"tlp":"red"}}"#, "{}")).is_none());
        assert!(event(id, &fields("no JSON", "{}")).is_none());
    }
}
