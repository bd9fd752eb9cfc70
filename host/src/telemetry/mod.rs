//! What the daemon says of itself: metrics, and logs through `tracing`.

mod metrics;
mod state_metrics;
mod streams;
mod feeds;
mod slot_name;
mod age;
mod chain;
pub mod log;

pub use age::Age;
pub use chain::Chain;
pub use feeds::FeedMetrics;
pub use metrics::{
    AttestationMetrics, Broker, BrokerMetrics, EntryMetrics, GuestMetrics, InFlight, Metrics, SpoolMetrics, Stage,
    StageMetrics,
};
pub use slot_name::SlotName;
pub use state_metrics::StateMetrics;
