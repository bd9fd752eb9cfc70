use prometheus::{
    IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{PartState, Readiness};

/// What `/readyz` says, as metrics: worked out when they are read.
struct Shown {
    readiness: Readiness,
    ready: IntGauge,
    parts: IntGaugeVec,
    degraded: IntGauge,
}

impl Readiness {
    /// Shows it among the metrics of `registry`.
    ///
    /// # Errors
    /// It is there already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let parts = Opts::new("aurora_part_ready", "1 while the part is ready; of those that are configured");
        registry.register(Box::new(Shown {
            readiness: self.clone(),
            ready: IntGauge::new("aurora_ready", "1 while every part is ready, as /readyz says")?,
            parts: IntGaugeVec::new(parts, &["part"])?,
            degraded: IntGauge::new("aurora_degraded", "Things that are not as they should be, as /readyz names them")?,
        }))
    }
}

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        [self.ready.desc(), self.parts.desc(), self.degraded.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.readiness.report();
        self.ready.set(i64::from(report.ready()));
        self.degraded.set(i64::try_from(report.degraded.len()).unwrap_or(i64::MAX));
        for (part, state) in &report.parts {
            self.parts.with_label_values(&[part.as_str()]).set(i64::from(*state == PartState::Ready));
        }
        [self.ready.collect(), self.parts.collect(), self.degraded.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Part;

    #[test]
    fn shows_only_parts_that_are_configured() {
        let (readiness, registry) = (Readiness::new([Part::Redis, Part::Lanes]), Registry::new());
        readiness.register(&registry).unwrap();
        readiness.set(Part::Redis, PartState::Ready);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("aurora_part_ready{part=\"redis\"} 1\n"), "{text}");
        assert!(text.contains("aurora_part_ready{part=\"lanes\"} 0\n") && !text.contains("nats"), "{text}");
        assert!(text.contains("aurora_ready 0\n"), "{text}");
    }
}
