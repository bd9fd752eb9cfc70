//! SUBSCRIBE, and what the broker grants.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Error, Subscription, Version, packet};
use crate::broker::{Backoff, backoff};

/// Asks for the subscriptions of the section, and again and again for those that are refused.
pub(super) struct Subscribing {
    version: Version,
    /// Subscriptions that the broker's session does not hold as far as we know, as indexes of the section.
    wanted: Vec<usize>,
    /// Packet id of the SUBSCRIBE under way.
    asked: Option<u16>,
    last_id: u16,
    again: Backoff,
    /// When to ask again.
    pub due: Option<Instant>,
    reconnect_max: Duration,
}

impl Subscribing {
    pub fn new(version: Version, reconnect_max: Duration) -> Self {
        let again = backoff(reconnect_max);
        Self { version, wanted: Vec::new(), asked: None, last_id: 0, again, due: None, reconnect_max }
    }

    /// A new connection is up. Where the session holds what was granted before, only the rest is asked for: with
    /// 3.1.1 each SUBSCRIBE brings all retained messages again. (So does each start of the host, whose section may
    /// have changed; what is retained is passed over then. MQTT 5 can be told not to bring it.)
    pub fn connect(&mut self, subscriptions: &[Subscription], kept: bool, out: &mut BytesMut) -> Result<(), Error> {
        if !kept {
            self.wanted = (0..subscriptions.len()).collect();
        }
        self.again = backoff(self.reconnect_max);
        self.ask(subscriptions, out)
    }

    /// Writes SUBSCRIBE for what is wanted.
    pub fn ask(&mut self, subscriptions: &[Subscription], out: &mut BytesMut) -> Result<(), Error> {
        self.due = None;
        self.asked = None;
        if self.wanted.is_empty() {
            return Ok(());
        }
        // Those from 0x8000 on are for what we publish.
        self.last_id = self.last_id % 0x7fff + 1;
        self.asked = Some(self.last_id);
        let wanted: Vec<_> = self.wanted.iter().map(|&index| &subscriptions[index]).collect();
        packet::subscribe(self.version, self.last_id, &wanted, out)
    }

    /// SUBACK.
    pub fn granted(&mut self, subscriptions: &[Subscription], id: u16, grants: &[Result<u8, String>]) {
        if self.asked != Some(id) {
            return;
        }
        self.asked = None;
        let mut refused = Vec::new();
        for (i, &index) in self.wanted.iter().enumerate() {
            let Subscription { topic, qos, .. } = &subscriptions[index];
            match grants.get(i) {
                Some(Ok(granted)) if granted < qos => {
                    warn!(topic, qos, granted, "the broker grants a lower qos than mqtt.subscriptions asks for");
                }
                Some(Ok(granted)) => info!(topic, qos = granted, "subscribed"),
                answer => {
                    let reason = match answer {
                        Some(Err(reason)) => reason,
                        _ => "the broker gave no answer for it",
                    };
                    error!(
                        topic,
                        reason,
                        "subscription refused, asking again; check the broker's access rules for mqtt.username and mqtt.client_id"
                    );
                    refused.push(index);
                }
            }
        }
        self.wanted = refused;
        if !self.wanted.is_empty() {
            self.due = Some(Instant::now() + self.again.next().unwrap_or(self.reconnect_max));
        }
    }

    /// Whether the broker has answered all that was asked, so that no message of a granted subscription is missed.
    pub fn is_answered(&self) -> bool {
        self.asked.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_again_for_what_was_refused_and_for_nothing_else() {
        let of = |topic: &str| Subscription {
            topic: topic.to_owned(),
            qos: 1,
            format: String::new(),
            source: String::new(),
        };
        let subscriptions = [of("a"), of("b"), of("c")];
        let mut subscribing = Subscribing::new(Version::V5, Duration::from_secs(5));
        let mut out = BytesMut::new();
        subscribing.connect(&subscriptions, false, &mut out).expect("valid filters");
        assert!(!subscribing.is_answered());
        subscribing.granted(&subscriptions, 1, &[Ok(1), Err("NotAuthorized".to_owned()), Ok(0)]);
        assert_eq!(subscribing.wanted, [1]);
        assert!(subscribing.due.is_some() && subscribing.is_answered());
        subscribing.ask(&subscriptions, &mut out).expect("valid filters");
        subscribing.granted(&subscriptions, 1, &[Ok(1)]);
        assert_eq!(subscribing.wanted, [1], "an answer to an older question");
        subscribing.granted(&subscriptions, 2, &[Ok(1)]);
        assert!(subscribing.wanted.is_empty() && subscribing.due.is_none());

        out.clear();
        subscribing.connect(&subscriptions, true, &mut out).expect("valid filters");
        assert!(out.is_empty(), "the session holds them");
        subscribing.connect(&subscriptions, false, &mut out).expect("valid filters");
        assert!(!out.is_empty() && subscribing.wanted.len() == 3);
    }
}
