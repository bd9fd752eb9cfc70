use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;
use crate::broker::redis_streams::Depth;

/// How long streams are and how far their readers have come. Labels are the streams of the configuration, and of each at
/// most 32 groups.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    entries: IntGaugeVec,
    pending: IntGaugeVec,
    lag: IntGaugeVec,
    oldest: GaugeVec,
    tasks_pending: IntGauge,
    shown: Arc<Mutex<Labels>>,
}

/// What has a series.
#[derive(Debug, Default)]
struct Labels {
    streams: BTreeSet<String>,
    groups: BTreeSet<[String; 2]>,
}

impl StreamMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let of_group = &["stream", "group"];
        Self {
            entries: gauges("aurora_stream_entries", "Entries of the stream, asked for every lag.every", &["stream"]),
            pending: gauges(
                "aurora_stream_group_pending",
                "Entries delivered to the group and not acknowledged",
                of_group,
            ),
            lag: gauges(
                "aurora_stream_group_lag",
                "Entries not delivered to the group yet; no series where Redis does not know",
                of_group,
            ),
            oldest: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "aurora_stream_group_oldest_pending_seconds",
                        "Age of the oldest entry delivered to the group and not acknowledged",
                    ),
                    of_group,
                ),
            ),
            tasks_pending: register(
                registry,
                IntGauge::new("aurora_agent_tasks_pending_total", "Pending messages in aurora:agent:tasks group"),
            ),
            shown: Arc::default(),
        }
    }

    /// Shows what is there now. Streams and groups that are gone have no series any more; the others never lack theirs for
    /// a moment, or an alert that waits for them would begin to wait anew.
    pub fn show(&self, streams: &[(String, Depth)], tasks_pending: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.tasks_pending.set(number(tasks_pending));
        let now = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default();
        let mut labels = Labels::default();
        for (stream, depth) in streams {
            self.entries.with_label_values(&[stream]).set(number(depth.entries));
            for group in &depth.groups {
                let label = &[stream.as_str(), group.name.as_str()];
                self.pending.with_label_values(label).set(number(group.pending));
                match group.lag {
                    Some(lag) => self.lag.with_label_values(label).set(number(lag)),
                    None => _ = self.lag.remove_label_values(label),
                }
                // Clocks differ, and a negative age would only alarm somebody.
                let age = group.oldest_pending_ms.map_or(0, |added| now.saturating_sub(added));
                self.oldest.with_label_values(label).set(age as f64 / 1000.0);
                labels.groups.insert([stream.clone(), group.name.clone()]);
            }
            labels.streams.insert(stream.clone());
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Where there is none to be removed nothing is amiss.
        for stream in shown.streams.difference(&labels.streams) {
            let _ = self.entries.remove_label_values(&[stream]);
        }
        for gone in shown.groups.difference(&labels.groups) {
            let label = &gone.each_ref().map(String::as_str);
            let _ = self.pending.remove_label_values(label);
            let _ = self.lag.remove_label_values(label);
            let _ = self.oldest.remove_label_values(label);
        }
        *shown = labels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::redis_streams::Group, telemetry::Metrics};

    fn series(metrics: &Metrics, name: &str) -> Vec<f64> {
        let families = metrics.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family
            .map(|family| family.get_metric().iter().map(|one| one.get_gauge().get_value()).collect())
            .unwrap_or_default()
    }

    #[test]
    fn shows_no_group_that_is_gone_and_no_lag_that_nobody_knows() {
        let metrics = Metrics::new();
        let group = |lag| Group { name: "g".to_owned(), consumers: 1, pending: 3, lag, oldest_pending_ms: Some(1_000) };
        let stream = |groups| vec![("aurora:alerts".to_owned(), Depth { entries: 9, groups })];
        metrics.streams.show(&stream(vec![group(Some(4))]), 2);
        assert_eq!(series(&metrics, "aurora_stream_entries"), [9.0]);
        assert_eq!(series(&metrics, "aurora_stream_group_pending"), [3.0]);
        assert_eq!(series(&metrics, "aurora_stream_group_lag"), [4.0]);
        assert!(series(&metrics, "aurora_stream_group_oldest_pending_seconds")[0] > 1e9);
        assert_eq!(series(&metrics, "aurora_agent_tasks_pending_total"), [2.0]);
        metrics.streams.show(&stream(vec![group(None)]), 0);
        assert!(series(&metrics, "aurora_stream_group_lag").is_empty());
        metrics.streams.show(&stream(Vec::new()), 0);
        assert!(series(&metrics, "aurora_stream_group_pending").is_empty());
    }
}
