//! What the daemon says of itself: metrics, and logs through `tracing`.

mod metrics;
mod guest_metrics;
mod state_metrics;
mod attestation_metrics;
mod sharing_metrics;
mod streams;
mod tasks;
mod feeds;
mod inbound_metrics;
mod outbound_metrics;
mod intel_metrics;
mod slot_name;
mod age;
mod chain;
pub mod log;

pub use age::Age;
pub use attestation_metrics::AttestationMetrics;
pub use chain::Chain;
pub use feeds::FeedMetrics;
pub use guest_metrics::GuestMetrics;
pub use inbound_metrics::{InboundMetrics, Passage, SiteSeen};
pub use intel_metrics::IntelMetrics;
pub use metrics::{Broker, BrokerMetrics, InFlight, Metrics, SpoolMetrics, Stage, StageMetrics};
pub use outbound_metrics::{Outbound, OutboundMetrics};
pub use sharing_metrics::EntryMetrics;
pub use slot_name::SlotName;
pub use state_metrics::StateMetrics;
pub use tasks::TaskMetrics;
