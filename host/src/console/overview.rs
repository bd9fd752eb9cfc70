//! What is open to all who reach the admin listener: figures, names of streams, groups and guests; nothing that an event
//! says.

use std::{collections::BTreeMap, time::SystemTime};

use prometheus::{Histogram, core::Collector as _};
use serde_json::{Value, json};

use super::Handle;
use crate::{
    broadcast::Feed,
    broker::redis_streams::{Depth, Pool},
    config::{Config, redacted_url},
    telemetry::{Broker, Metrics, SiteSeen, SlotName, Stage},
};

/// What does not change while the daemon runs.
pub struct About {
    site: String,
    started_ms: u64,
    sources: Vec<&'static str>,
    /// Brokers that are configured, with their addresses.
    brokers: Vec<(Broker, String)>,
    /// Length that each stream is trimmed to.
    lengths: BTreeMap<String, u64>,
    /// Streams that events go to.
    pub(super) routed: Vec<String>,
    pub(super) routed_keys: Vec<String>,
    dead_letter: String,
    outbox: String,
    /// JetStream's stream, where anything leaves the site.
    shared_to: Option<String>,
    spool_bytes: Option<u64>,
    slots: Vec<SlotName>,
    is_broadcast: bool,
    attests: bool,
    /// Whether what other sites share comes in, and whether indicators are looked out for.
    takes_in: bool,
    has_indicators: bool,
    pub(super) redis: Pool,
}

impl std::fmt::Debug for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("About").field("site", &self.site).field("routed", &self.routed).finish_non_exhaustive()
    }
}

impl About {
    /// Out of the configuration; none without `[redis]`.
    #[must_use]
    pub fn new(config: &Config, redis: &Pool) -> Option<Self> {
        let redis_config = config.redis.as_ref()?;
        let urls = [
            (Broker::Mqtt, config.mqtt.as_ref().map(|mqtt| redacted_url(&mqtt.url))),
            (Broker::Redis, Some(redacted_url(&redis_config.url))),
            (Broker::Nats, config.nats.as_ref().map(|nats| redacted_url(&nats.url))),
        ];
        let sources =
            [("mqtt", config.mqtt.is_some()), ("http", config.ingest.is_some()), ("raw", config.raw.is_some())];
        let routed: Vec<_> = redis_config.routable().map(|(name, _)| name.clone()).collect();
        Some(Self {
            site: config.site.id.clone(),
            started_ms: now_ms(),
            sources: sources.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect(),
            brokers: urls.into_iter().filter_map(|(broker, url)| Some((broker, url?.to_string()))).collect(),
            lengths: redis_config.streams.clone(),
            routed_keys: routed.iter().map(|name| redis_config.key(name)).collect(),
            routed,
            dead_letter: redis_config.dead_letter.clone(),
            outbox: redis_config.outbox.clone(),
            shared_to: config.nats.as_ref().map(|nats| nats.stream.clone()),
            spool_bytes: config.spool.as_ref().map(|spool| spool.max_bytes.as_u64()),
            slots: config.guests.all().map(|(slot, _)| slot).collect(),
            is_broadcast: config.broadcast.is_some(),
            attests: config.attestation.is_some(),
            takes_in: config.federation.inbound.is_some() && config.nats.is_some(),
            has_indicators: config.intel.is_some(),
            redis: redis.clone(),
        })
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Handle {
    /// How everything is now. Counters are as they are counted: who asks again works out rates.
    pub(super) async fn overview(&self) -> Value {
        let (about, metrics) = (&*self.about, &self.metrics);
        let (streams, report, now) = (self.seen.streams(), self.readiness.report(), now_ms());
        let entries =
            |name: &str| streams.iter().find(|(known, _)| known == name).map_or(0, |(_, depth)| depth.entries);
        let mut overview = json!({
            "site": about.site,
            "version": env!("CARGO_PKG_VERSION"),
            "now_ms": now,
            "started_ms": about.started_ms,
            "state": {
                "ready": report.ready(),
                "draining": report.draining,
                "parts": report.parts,
                "degraded": report.degraded,
                "lost": self.liveness.lost(),
            },
            "bounds": bounds(&metrics.event_seconds),
            "stages": Stage::ALL.map(|one| stage(metrics, one)),
            "events": {
                "published": metrics.events_published.get(),
                "federated": metrics.events_federated.get(),
                "repeated": metrics.events_repeated.get(),
                "seconds": seconds(&metrics.event_seconds),
            },
            "sources": about.sources.iter().map(|name| json!({ "name": name, "in_flight": self.in_flight(name) })).collect::<Vec<_>>(),
            "brokers": about.brokers.iter().map(|(one, url)| broker(metrics, *one, url)).collect::<Vec<_>>(),
            "streams": streams.iter().map(|(name, depth)| self.stream(name, depth, now)).collect::<Vec<_>>(),
            "dead_letters": { "entries": entries(&about.dead_letter) },
            "guests": self.guests().await,
            "viewers": self.viewers(),
        });
        if let Some(max_bytes) = about.spool_bytes {
            overview["spool"] = json!({
                "events": metrics.spool.waiting(),
                "oldest_seconds": metrics.spool.oldest_seconds(),
                "max_bytes": max_bytes,
            });
        }
        if let Some(stream) = &about.shared_to {
            overview["outbox"] = json!({
                "entries": entries(&about.outbox),
                "oldest_seconds": metrics.outbox_oldest.seconds(),
                "stream": stream,
                "sent": BTreeMap::from(metrics.federation_out.all()),
            });
        }
        if let Some(roster) = self.guests.agents.get() {
            overview["agents"] = json!(roster.views(false).await);
        }
        if about.takes_in {
            let site = |one: &SiteSeen| json!({ "site": one.site, "stored": one.stored, "last_ms": one.last_ms });
            overview["sites"] = metrics.inbound_sites().iter().map(site).collect();
        }
        if about.has_indicators {
            overview["indicators"] = metrics.intel.indicators.get().into();
        }
        if about.attests {
            let of = &metrics.attestation;
            overview["devices"] = json!({
                "health": BTreeMap::from(of.health()),
                "verdicts": BTreeMap::from(of.verdicts()),
                "enrolled": of.enrolled.get(),
                "unanswered": of.unanswered.get(),
            });
        }
        overview
    }

    fn in_flight(&self, source: &str) -> i64 {
        match source {
            "mqtt" => self.metrics.broker(Broker::Mqtt).in_flight.get(),
            "http" => self.metrics.ingest_in_flight.get(),
            _ => self.metrics.raw_in_flight.get(),
        }
    }

    fn stream(&self, name: &str, depth: &Depth, now: u64) -> Value {
        let groups: Vec<_> = depth
            .groups
            .iter()
            .map(|group| {
                let oldest = group.oldest_pending_ms.map_or(0, |added| now.saturating_sub(added));
                json!({
                    "name": group.name,
                    "consumers": group.consumers,
                    "pending": group.pending,
                    "lag": group.lag,
                    "oldest_seconds": oldest as f64 / 1000.0,
                })
            })
            .collect();
        json!({
            "name": name,
            "entries": depth.entries,
            "length": self.about.lengths.get(name).copied().unwrap_or_default(),
            "routed": self.about.routed.iter().any(|routed| routed == name),
            "groups": groups,
        })
    }

    /// Every slot with what befell it last; none while guests are being loaded.
    async fn guests(&self) -> Vec<Value> {
        const LAST: usize = 5;
        let Some(swap) = self.guests.swap.get() else { return Vec::new() };
        let mut guests = Vec::new();
        for view in swap.views().await.unwrap_or_default() {
            let mut history = swap.history(&view.slot).await.unwrap_or_default();
            history.truncate(LAST);
            let slot = self.about.slots.iter().find(|slot| slot.as_str() == view.slot);
            let breaker = slot.map_or(0, |slot| self.metrics.guest(slot.clone()).breaker_state.get());
            // A path of this machine is nobody's business who only looks.
            let name = |installed: &crate::swap::Installed| json!({ "name": installed.name, "digest": installed.digest, "at": installed.at });
            guests.push(json!({
                "slot": view.slot,
                "present": name(&view.present),
                "before": view.before.as_ref().map(name),
                "on_probation": view.on_probation,
                "events": view.events,
                "faults": view.faults,
                "ns_an_event": view.ns_an_event,
                "installing": view.installing.is_some(),
                "rehearsing": view.rehearsal.as_ref().is_some_and(|report| report.ended.is_none()),
                "refused": view.refused.is_some(),
                "breaker": breaker,
                "history": history.iter().map(|event| json!({
                    "at": event.at, "what": event.what, "name": event.name, "digest": event.digest,
                })).collect::<Vec<_>>(),
            }));
        }
        guests
    }

    fn viewers(&self) -> Vec<Value> {
        let feeds = Feed::ALL.into_iter().filter(|_| self.about.is_broadcast);
        let viewers = feeds.map(|feed| {
            let metrics = self.metrics.feed(feed);
            json!({
                "feed": feed.as_str(),
                "clients": metrics.clients.get(),
                "sent": metrics.sent.get(),
                "reading": metrics.reading.get() == 1,
            })
        });
        viewers.collect()
    }
}

fn stage(metrics: &Metrics, stage: Stage) -> Value {
    let of = metrics.stage(stage);
    json!({
        "name": stage.as_str(),
        "in": of.received.get(),
        "out": of.sent.get(),
        "dropped": of.dropped.get(),
        "dead_lettered": of.dead_lettered.get(),
        "retried": of.retried.get(),
        "queue": of.queue.get(),
        "seconds": seconds(&of.seconds),
    })
}

fn broker(metrics: &Metrics, broker: Broker, url: &str) -> Value {
    let of = metrics.broker(broker);
    json!({
        "name": broker.as_str(),
        "address": url,
        "connected": of.connected.get() == 1,
        "in_flight": of.in_flight.get(),
        "reconnects": of.reconnects.get(),
    })
}

/// A histogram as counts below each of the bounds.
fn seconds(histogram: &Histogram) -> Value {
    let buckets: Vec<u64> = histogram
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
        .flat_map(|metric| metric.get_histogram().get_bucket())
        .map(|bucket| bucket.cumulative_count())
        .collect();
    json!({ "count": histogram.get_sample_count(), "buckets": buckets })
}

/// The bounds, which all histograms of seconds have in common.
fn bounds(histogram: &Histogram) -> Vec<f64> {
    let families = histogram.collect();
    let buckets =
        families.iter().flat_map(|family| family.get_metric()).flat_map(|metric| metric.get_histogram().get_bucket());
    buckets.map(|bucket| bucket.upper_bound()).filter(|bound| bound.is_finite()).collect()
}
