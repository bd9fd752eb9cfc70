//! What a broker tells of itself: topics below `$SYS`, as mosquitto and some others have them.

use super::{Config, Error, Packet, Subscription, Wire, packet};
use crate::broker::Finding;

const VERSION: &str = "$SYS/broker/version";
const DROPPED: &str = "$SYS/broker/publish/messages/dropped";

/// What it told; nothing of a broker without such topics, or which keeps them from us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Telling {
    /// Its name and version.
    pub version: Option<String>,
    /// Messages to any client that it has dropped since it started, because a queue was full.
    pub dropped: Option<u64>,
}

impl Telling {
    /// Listens until the broker has answered a ping, which it does after what it retains.
    pub async fn of(config: &Config, wire: &mut Wire) -> Result<Self, Error> {
        let topics =
            [VERSION, DROPPED].map(|topic| Subscription { topic: topic.to_owned(), qos: 0, ..Subscription::default() });
        packet::subscribe(config.version, 2, &topics.iter().collect::<Vec<_>>(), &mut wire.out)?;
        packet::ping(&mut wire.out);
        let mut told = Self::default();
        loop {
            match wire.next()? {
                None => wire.turn(true).await?,
                Some(Packet::Pong) => return Ok(told),
                Some(Packet::Publish(message)) => told.hear(&message.topic, &message.payload),
                Some(Packet::Farewell(error)) => return Err(error),
                Some(_) => {}
            }
        }
    }

    fn hear(&mut self, topic: &[u8], payload: &[u8]) {
        // A broker's word, for a person's screen.
        let text: String = String::from_utf8_lossy(payload).chars().filter(|c| !c.is_control()).take(80).collect();
        match topic {
            topic if topic == VERSION.as_bytes() => self.version = Some(text),
            topic if topic == DROPPED.as_bytes() => self.dropped = text.trim().parse().ok(),
            _ => {}
        }
    }

    /// What follows from it for subscriptions whose highest QoS is `qos`, and what cannot be seen.
    pub fn findings(&self, qos: u8) -> Vec<Finding> {
        let mut findings = Vec::new();
        if qos > 1 && self.overtakes() {
            findings.push(Finding::warning(
                "a mosquitto before 2.0.13 hands over out of order and twice where subscriptions have QoS 2 and much is \
                 under way; set qos = 1 for all of them, which loses nothing"
                    .to_owned(),
            ));
        }
        if let Some(dropped @ 1..) = self.dropped {
            findings.push(Finding::warning(format!(
                "the broker has dropped {dropped} messages to its clients since it started, because a queue was full; in \
                 mosquitto set max_queued_messages 0"
            )));
        }
        findings.push(Finding::note(if self.mosquitto().is_some() {
            "mosquitto cannot be asked for its settings; nothing lost and nothing twice need these in mosquitto.conf, and \
             deploy/README.md says what each is worth:\npersistence true\nautosave_interval 1\nmax_queued_messages 0\n\
             max_inflight_messages 65535"
        } else {
            "the broker cannot be asked how much it queues for us while we are away, and whether it keeps that over its own \
             crash; see deploy/README.md"
        }));
        findings
    }

    /// The version of a mosquitto.
    fn mosquitto(&self) -> Option<&str> {
        let rest = self.version.as_ref()?.strip_prefix("mosquitto")?;
        Some(rest.trim_start().strip_prefix("version").unwrap_or(rest).trim())
    }

    /// Whether it is a mosquitto that lets messages overtake each other when answers do.
    fn overtakes(&self) -> bool {
        let Some(version) = self.mosquitto() else { return false };
        let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
        // One that does not tell may be any.
        parts.as_slice() < [2, 0, 13].as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Weight;

    #[test]
    fn drops_are_a_warning_and_what_cannot_be_seen_is_a_note() {
        let mut told = Telling::default();
        told.hear(VERSION.as_bytes(), b"mosquitto version 2.0.11\x1b");
        told.hear(DROPPED.as_bytes(), b"2000");
        told.hear(b"$SYS/broker/uptime", b"3 seconds");
        assert_eq!(told.version.as_deref(), Some("mosquitto version 2.0.11"));
        let findings = told.findings(1);
        let weights: Vec<_> = findings.iter().map(|finding| finding.weight).collect();
        assert_eq!(weights, [Weight::Warning, Weight::Note]);
        assert!(findings[0].text.contains("dropped 2000 messages"), "{findings:?}");
        assert!(findings[1].text.contains("\nmax_queued_messages 0"), "{findings:?}");
    }

    #[test]
    fn an_old_mosquitto_is_a_warning_where_a_subscription_has_qos_2() {
        let warns = |version: &str, qos| {
            let told = Telling { version: Some(version.to_owned()), dropped: None };
            told.findings(qos).iter().any(|finding| finding.weight == Weight::Warning)
        };
        for version in ["mosquitto version 2.0.11", "mosquitto version 1.6.9", "mosquitto version 2.0.12", "mosquitto"]
        {
            assert!(warns(version, 2) && !warns(version, 1), "{version}");
        }
        for version in ["mosquitto version 2.0.13", "mosquitto version 2.1.0", "mosquitto version 3", "EMQX 5.8"] {
            assert!(!warns(version, 2), "{version}");
        }
    }

    #[test]
    fn a_silent_broker_is_no_mosquitto_and_has_dropped_nothing_that_we_know() {
        let findings = Telling::default().findings(2);
        assert!(findings.len() == 1 && !findings[0].text.contains("mosquitto"), "{findings:?}");
    }
}
