//! What the audit trail says of a start.

use crate::{
    config::Config,
    pipeline::{Audit, Stages},
};

/// That we start, as what, and with which guests.
pub(super) fn record_start(audit: &Audit, config: &Config, stages: &Stages) {
    audit.record("start", format!("aurora {} at site {}", env!("CARGO_PKG_VERSION"), config.site.id));
    audit.record("config", config.to_string());
    for slot in stages.all() {
        let (name, digest) = slot.present();
        audit.record("guest-load", format!("{} {name} {digest}", slot.name()));
    }
}
