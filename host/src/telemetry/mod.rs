//! What the daemon says of itself: metrics, and logs through `tracing`.

mod metrics;
mod chain;
pub mod log;

pub use chain::Chain;
pub use metrics::{Broker, BrokerMetrics, GuestMetrics, Metrics, Stage, StageMetrics};
