use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;
use crate::attestation;

/// Challenges and what came of them.
#[derive(Clone, Debug)]
pub struct AttestationMetrics {
    results: IntCounterVec,
    failures: IntCounterVec,
    devices: IntGaugeVec,
    /// Challenges that the MQTT broker has taken.
    pub sent: IntCounter,
    /// Challenges that it has not.
    pub unsent: IntCounter,
    /// Challenges that expired without an answer.
    pub unanswered: IntCounter,
    /// Devices that are enrolled and not revoked, and those whose gate is open.
    pub enrolled: IntGauge,
    /// Devices that nobody enrolled, and that were forgotten because there were too many of them.
    pub forgotten: IntCounter,
}

impl AttestationMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        Self {
            results: counters("aurora_attestation_results_total", "Verdicts on answers of devices", &["status"]),
            failures: counters("aurora_attestation_failures_total", "Verdicts that failed, by what did", &["cause"]),
            devices: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "aurora_devices",
                        "Devices that are not revoked and of which heartbeats came, by how long ago",
                    ),
                    &["health"],
                ),
            ),
            sent: counter("aurora_attestation_challenges_sent_total", "Challenges to devices that the broker took"),
            unsent: counter("aurora_attestation_challenges_unsent_total", "Challenges that it did not take"),
            unanswered: counter(
                "aurora_attestation_challenges_unanswered_total",
                "Challenges that expired without an answer",
            ),
            enrolled: register(
                registry,
                IntGauge::new("aurora_devices_enrolled", "Devices that are enrolled, or whose gate is open"),
            ),
            forgotten: counter(
                "aurora_devices_forgotten_total",
                "Devices that nobody enrolled, forgotten because too many of them were heard of",
            ),
        }
    }

    /// Counts a verdict.
    pub fn count(&self, verdict: &attestation::Verdict) {
        self.results.with_label_values(&[verdict.status.as_str()]).inc();
        if let Some(cause) = verdict.cause {
            self.failures.with_label_values(&[cause.as_str()]).inc();
        }
    }

    /// Verdicts so far, by status.
    #[must_use]
    pub fn verdicts(&self) -> [(&'static str, u64); 3] {
        attestation::Status::ALL
            .map(|status| (status.as_str(), self.results.with_label_values(&[status.as_str()]).get()))
    }

    /// How many devices are online, stale and offline.
    #[must_use]
    pub fn health(&self) -> [(&'static str, i64); 3] {
        attestation::Health::ALL
            .map(|health| (health.as_str(), self.devices.with_label_values(&[health.as_str()]).get()))
    }

    /// Shows how many devices are online, stale and offline.
    pub fn show_health(&self, devices: [i64; 3]) {
        for (health, count) in attestation::Health::ALL.iter().zip(devices) {
            self.devices.with_label_values(&[health.as_str()]).set(count);
        }
    }
}
