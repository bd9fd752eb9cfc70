//! What the host tells of a device by itself: deliveries of its own, on the way that the device's answers take, so that what
//! comes of them is stored as surely, and shared by the same policy.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Context, Delivery, Duty, Identity, Intake, Settle},
    ledger::{Entry, Ledger},
};

/// Origin of notices.
pub(super) const NOTICES: &str = "aurora-attestation";

/// What is told, as we write it down. Times are milliseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Notice {
    /// A device has not answered to a challenge.
    Unanswered {
        device_id: String,
        nonce: String,
        /// Whether it is online; if not it was never heard of.
        was_heard: bool,
    },
    /// A device sends no heartbeats any more, or never sent any.
    Silent {
        device_id: String,
        /// When the last one came.
        heard_ms: Option<i64>,
        /// Since when it is known to be enrolled.
        enrolled_ms: i64,
    },
    /// A device sends heartbeats again.
    Back {
        device_id: String,
        /// When the last one had come before.
        heard_ms: Option<i64>,
    },
}

impl Notice {
    /// Of which device.
    pub fn device(&self) -> &str {
        match self {
            Self::Unanswered { device_id, .. } | Self::Silent { device_id, .. } | Self::Back { device_id, .. } => {
                device_id
            }
        }
    }
}

/// Notices on their way through the lanes.
#[derive(Default)]
pub(super) struct Notices {
    ledger: Arc<Ledger>,
    next: u64,
    open: BTreeMap<u64, Notice>,
}

impl Notices {
    /// Whether it is being told that `device` did not answer to `about`.
    pub fn is_open(&self, device: &str, about: &str) -> bool {
        let is_it = |notice: &Notice| match notice {
            Notice::Unanswered { device_id, nonce, .. } => device_id == device && nonce == about,
            _ => false,
        };
        self.open.values().any(is_it)
    }

    /// A delivery that tells `notice`, and its lane.
    pub fn make(&mut self, notice: Notice, now: i64, intake: &impl Intake) -> (usize, Delivery) {
        let device = notice.device();
        let context = Context {
            source: NOTICES.to_owned(),
            format: "mqtt".to_owned(),
            // As an answer would have come: guests know it by that.
            topic: Some(format!("aurora/attestation/{device}/response")),
            device_id: Some(device.to_owned()),
            channel: Some("response".to_owned()),
            source_ip: None,
        };
        let payload = serde_json::to_vec(&notice).unwrap_or_default();
        self.next += 1;
        self.open.insert(self.next, notice);
        let settle: Arc<dyn Settle> = self.ledger.clone();
        let delivery = Delivery {
            received_ms: now,
            payload: Bytes::from(payload),
            identity: Identity::Once(self.next),
            attempts: 0,
            unfit: None,
            duty: Duty::new(settle, self.next),
            context: Arc::new(context),
        };
        (intake.lane_of(&delivery.context), delivery)
    }

    /// Those that are stored since the last time. Those that were given up are made again if they still hold.
    pub fn settled(&mut self) -> Vec<Notice> {
        let mut entries = Vec::new();
        self.ledger.take(&mut entries);
        let of = |entry| match entry {
            Entry::Settled(ticket) => self.open.remove(&ticket),
            Entry::Abandoned(ticket) => {
                self.open.remove(&ticket);
                None
            }
        };
        entries.into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let device_id = || "dev".to_owned();
        for notice in [
            Notice::Unanswered { device_id: device_id(), nonce: "n".into(), was_heard: false },
            Notice::Silent { device_id: device_id(), heard_ms: Some(1_763_780_000_000), enrolled_ms: 7 },
            Notice::Silent { device_id: device_id(), heard_ms: None, enrolled_ms: 7 },
            Notice::Back { device_id: device_id(), heard_ms: None },
        ] {
            let written = serde_json::to_vec(&notice).expect("texts and numbers");
            assert_eq!(serde_json::from_slice::<Notice>(&written).ok(), Some(notice));
        }
    }
}
