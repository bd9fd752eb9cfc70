//! What the daemon says of itself: metrics here, logs through `tracing`.

mod metrics;

pub use metrics::{Broker, BrokerMetrics, GuestMetrics, Metrics, Stage, StageMetrics};
