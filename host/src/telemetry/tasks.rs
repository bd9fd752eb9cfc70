use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, histogram_opts};

use super::metrics::register;

/// What is counted of tasks for agents. Those that wait are in `aurora_agent_tasks_pending_total`, which looks at the group.
#[derive(Clone, Debug)]
pub struct TaskMetrics {
    /// `aurora_agent_task_retry_total`: attempts that failed and are made again.
    pub retried: IntCounter,
    /// `aurora_agent_dead_letter_total`: tasks that were given up.
    pub dead_lettered: IntCounter,
    /// `aurora_agent_result_correlation_latency_ms`: from the result's entry to its ticket.
    pub correlation_ms: Histogram,
    /// `aurora_agent_results_unmatched_total`: results for which nobody has asked.
    pub unmatched: IntCounter,
    /// Tasks of agents that we do not serve, which nobody else took in time.
    pub passed_over: IntCounter,
    /// Tasks that were added again under the same name, and not done again.
    pub repeated: IntCounter,
    /// Tasks under way here.
    pub in_flight: IntGauge,
    under_way: IntGaugeVec,
    ended: IntCounterVec,
}

/// Milliseconds; the alert is at 5,000.
const MILLISECONDS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0];

impl TaskMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        Self {
            retried: counter("aurora_agent_task_retry_total", "Count of worker requeued tasks"),
            dead_lettered: counter("aurora_agent_dead_letter_total", "Count of dead-lettered tasks"),
            correlation_ms: register(
                registry,
                Histogram::with_opts(histogram_opts!(
                    "aurora_agent_result_correlation_latency_ms",
                    "From the result's entry in its stream until whoever asked can have it",
                    MILLISECONDS.to_vec()
                )),
            ),
            unmatched: counter("aurora_agent_results_unmatched_total", "Results for which nobody has asked here"),
            passed_over: counter(
                "aurora_agent_tasks_passed_over_total",
                "Tasks of agents that are not served here, left to other workers, which took them not in time",
            ),
            repeated: counter(
                "aurora_agent_tasks_repeated_total",
                "Tasks that were added again under the same task_id, and not done again",
            ),
            in_flight: register(
                registry,
                IntGauge::new("aurora_agent_tasks_in_flight", "Tasks that are being done here"),
            ),
            under_way: register(
                registry,
                IntGaugeVec::new(
                    Opts::new("aurora_agent_tasks_under_way", "Attempts that the guest of an agent is at, here"),
                    &["agent"],
                ),
            ),
            ended: register(
                registry,
                IntCounterVec::new(
                    Opts::new("aurora_agent_tasks_ended_total", "Tasks that were ended here: completed, failed"),
                    &["agent", "status"],
                ),
            ),
        }
    }

    /// Counts a task that has ended; `agent` is one of the configuration, or empty.
    pub fn ended(&self, agent: &str, is_completed: bool) {
        self.ended.with_label_values(&[agent, if is_completed { "completed" } else { "failed" }]).inc();
    }

    /// Counts an attempt that begins; `agent` is one of the configuration.
    pub fn began(&self, agent: &str) {
        self.under_way.with_label_values(&[agent]).inc();
    }

    /// That it is over, whatever came of it.
    pub fn ended_attempt(&self, agent: &str) {
        self.under_way.with_label_values(&[agent]).dec();
    }

    /// Of an agent of the configuration: attempts under way, tasks that were completed, and that failed.
    #[must_use]
    pub fn of(&self, agent: &str) -> (i64, u64, u64) {
        let ended = |status: &str| self.ended.with_label_values(&[agent, status]).get();
        (self.under_way.with_label_values(&[agent]).get(), ended("completed"), ended("failed"))
    }
}
