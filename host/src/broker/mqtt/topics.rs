//! From a topic to the context of its events.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use super::Subscription;
use crate::event::{Context, device_of, is_device_id};

/// Topics remembered. Beyond it all are forgotten and learnt again: topics come from devices, so their number is not
/// ours to trust.
const REMEMBERED: usize = 16 * 1024;

/// What all messages of one topic share.
#[derive(Debug)]
pub(super) struct Topic {
    pub context: Arc<Context>,
    pub lane: usize,
    /// Why no guest may see its messages.
    pub unfit: Option<String>,
}

/// Topics seen, each with its context and lane.
pub(super) struct Topics {
    subscriptions: Vec<Subscription>,
    seen: HashMap<Bytes, Topic>,
}

impl Topics {
    pub fn new(subscriptions: Vec<Subscription>) -> Self {
        Self { subscriptions, seen: HashMap::new() }
    }

    /// What `topic` means; `lane_of` is asked once for each topic.
    pub fn get(&mut self, topic: &Bytes, lane_of: impl FnOnce(&Context) -> usize) -> &Topic {
        if !self.seen.contains_key(topic) {
            let (context, unfit) = self.read(topic);
            let lane = lane_of(&context);
            if self.seen.len() >= REMEMBERED {
                self.seen.clear();
            }
            // A copy, since the topic is a slice of a whole read buffer.
            let topic = Bytes::copy_from_slice(topic);
            self.seen.insert(topic, Topic { context: Arc::new(context), lane, unfit });
        }
        &self.seen[topic]
    }

    fn read(&self, topic: &[u8]) -> (Context, Option<String>) {
        let Ok(name) = std::str::from_utf8(topic) else {
            let name = String::from_utf8_lossy(topic).into_owned();
            let unfit = format!("topic `{}` is not UTF-8", name.escape_debug());
            return (self.context(&name, None), Some(unfit));
        };
        match device_of(name) {
            Some(id) if !is_device_id(id) => {
                let unfit = format!(
                    "device id `{}` in topic `{}` does not match [A-Za-z0-9_-]{{1,64}}",
                    id.escape_debug(),
                    name.escape_debug()
                );
                (self.context(name, None), Some(unfit))
            }
            id => (self.context(name, id), None),
        }
    }

    fn context(&self, topic: &str, device_id: Option<&str>) -> Context {
        // A session may still bring topics of a subscription that is no longer configured.
        let subscription = self.subscriptions.iter().find(|subscription| matches(filter(&subscription.topic), topic));
        let (source, format) = subscription.map_or(("mqtt", "mqtt"), |found| (&found.source, &found.format));
        Context {
            source: source.to_owned(),
            format: format.to_owned(),
            topic: Some(topic.to_owned()),
            device_id: device_id.map(ToOwned::to_owned),
            channel: topic.rsplit('/').next().map(ToOwned::to_owned),
            source_ip: None,
        }
    }
}

/// The filter of a subscription without the `$share/<group>/` of a shared one.
pub(super) fn filter(subscription: &str) -> &str {
    subscription
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(subscription, |(_, filter)| filter)
}

/// Whether a topic filter matches a topic. Our own: the codec's cuts a topic in the middle of a character.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut topics) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), topics.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let of = |topic: &str, source: &str| Subscription {
            topic: topic.to_owned(),
            qos: 1,
            format: "json".to_owned(),
            source: source.to_owned(),
        };
        Topics::new(vec![of("aurora/sensors/+/alerts", "devices"), of("$share/hosts/zeek/#", "zeek")])
    }

    #[test]
    fn takes_device_and_channel_from_the_topic_and_source_from_its_subscription() {
        let mut topics = topics();
        let topic = topics.get(&Bytes::from("aurora/sensors/stm32_pac_01/alerts"), |_| 3);
        let context = &*topic.context;
        assert_eq!((context.device_id.as_deref(), context.channel.as_deref()), (Some("stm32_pac_01"), Some("alerts")));
        assert_eq!((context.source.as_str(), context.format.as_str()), ("devices", "json"));
        assert_eq!((topic.lane, &topic.unfit), (3, &None));
        assert_eq!(topics.get(&Bytes::from("zeek/conn"), |_| 0).context.source, "zeek");
        assert_eq!(topics.get(&Bytes::from("elsewhere"), |_| 0).context.source, "mqtt");
    }

    #[test]
    fn a_wrong_device_id_is_unfit_and_not_passed_on() {
        let mut topics = topics();
        for id in ["", "a b", "a.b", "ä", &"x".repeat(65)] {
            let topic = topics.get(&Bytes::from(format!("aurora/sensors/{id}/alerts")), |_| 0);
            assert!(topic.unfit.as_deref().is_some_and(|why| why.contains("does not match")), "{topic:?}");
            assert_eq!(topic.context.device_id, None);
        }
        let odd = topics.get(&Bytes::from_static(b"aurora/sensors/\xff/alerts"), |_| 0);
        assert!(odd.unfit.as_deref().is_some_and(|why| why.contains("not UTF-8")), "{odd:?}");
    }

    #[test]
    fn remembers_a_bounded_number_of_topics() {
        let mut topics = topics();
        for i in 0..=REMEMBERED {
            topics.get(&Bytes::from(format!("t/{i}")), |_| 0);
        }
        assert!(topics.seen.len() <= REMEMBERED);
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/+/c", "a/b/c", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("+", "a/b", false),
            ("#", "$SYS/x", false),
            ("a/b", "a/b/", false),
            ("ä/+", "ä/ö", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
