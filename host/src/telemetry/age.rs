use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use prometheus::{
    Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// How long ago something was, in seconds. Worked out when the metrics are read, because it grows while nothing happens.
#[derive(Clone, Debug)]
pub struct Age {
    gauge: Gauge,
    /// Unix ms; [`NEVER`] if there is nothing.
    since: Arc<AtomicI64>,
}

const NEVER: i64 = i64::MAX;

impl Age {
    pub(super) fn new(name: &str, help: &str) -> prometheus::Result<Self> {
        Ok(Self { gauge: Gauge::new(name, help)?, since: Arc::new(AtomicI64::new(NEVER)) })
    }

    /// When it was, Unix ms. `None` shows as 0.
    pub fn since(&self, ms: Option<i64>) {
        self.since.store(ms.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// How long ago it was, now; 0 if there is nothing.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.at(chrono::Utc::now().timestamp_millis())
    }

    /// Clocks step, and a negative age would only alarm somebody.
    fn at(&self, now_ms: i64) -> f64 {
        now_ms.saturating_sub(self.since.load(Ordering::Relaxed)).max(0) as f64 / 1000.0
    }
}

impl Collector for Age {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(self.seconds());
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_itself_and_is_never_negative() {
        let age = Age::new("aurora_age_seconds", "For this test").unwrap();
        assert_eq!(age.at(5_000), 0.0);
        age.since(Some(1_500));
        assert_eq!(age.at(5_000), 3.5);
        assert_eq!(age.at(1_000), 0.0);
        age.since(None);
        assert_eq!(age.at(5_000), 0.0);
    }

    #[test]
    fn is_worked_out_when_it_is_read() {
        let age = Age::new("aurora_age_seconds", "For this test").unwrap();
        age.since(Some(0));
        let family = age.collect();
        assert!(family[0].get_metric()[0].get_gauge().get_value() > 1e9);
    }
}
