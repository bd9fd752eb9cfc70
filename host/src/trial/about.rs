//! What a case's `case.toml` says. The SDK reads the same files for a guest's own tests, and cannot depend on the host; tests
//! here hold that both read the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::Context;

/// A case's `case.toml`. All of it may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// What the case shows.
    pub about: String,
    /// Who writes such events.
    pub product: String,
    /// Where their form is described.
    pub document: String,
    /// How `input` is cut.
    pub framing: Framing,
    /// Name of the origin.
    pub source: String,
    /// What the source declares.
    pub format: String,
    /// MQTT topic. Device and channel are read from it unless they are given.
    pub topic: Option<String>,
    /// Device id.
    pub device_id: Option<String>,
    /// Last level of the topic.
    pub channel: Option<String>,
    /// Address of the sender.
    pub source_ip: Option<String>,
    /// When the host received it, milliseconds since 1970-01-01 UTC; of a task, when its attempt begins.
    pub received_ms: i64,
    /// Of a task: the agent that is asked for.
    pub agent: String,
    /// Of a task: which attempt it is.
    pub attempt: u32,
    /// Of a task: how many there will be.
    pub attempts: u32,
    /// The guest's settings.
    pub options: BTreeMap<String, toml::Value>,
    /// What the guest remembers, key and value: a text as it is, anything else as JSON.
    pub state: BTreeMap<String, toml::Value>,
    /// What is told of observables.
    pub indicators: Vec<KnownHere>,
    /// Streams that a router may name, beside the stock ones.
    pub streams: Vec<String>,
    /// Subjects that a policy may name, wildcards allowed, beside the stock ones.
    pub subjects: Vec<String>,
}

/// `[[indicators]]`: what is told of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownHere {
    /// Its type, as in `aurora.intel.ioc.<type>`.
    pub r#type: String,
    /// Its value.
    pub value: String,
    /// The sites that tell it.
    #[serde(default)]
    pub sites: Vec<String>,
    /// How far it may go.
    #[serde(default = "amber")]
    pub tlp: String,
    /// How many messages have told of it; none: one for each site.
    pub count: Option<u64>,
}

fn amber() -> String {
    "AMBER".to_owned()
}

/// How an input is cut into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Each line that is not empty is one.
    #[default]
    Line,
    /// All of it is one.
    Whole,
}

/// 2026-03-01T00:00:00Z
const RECEIVED_MS: i64 = 1_772_323_200_000;

impl Default for About {
    fn default() -> Self {
        Self {
            about: String::new(),
            product: String::new(),
            document: String::new(),
            framing: Framing::Line,
            source: "test".to_owned(),
            format: "auto".to_owned(),
            topic: None,
            device_id: None,
            channel: None,
            source_ip: None,
            received_ms: RECEIVED_MS,
            agent: "test".to_owned(),
            attempt: 1,
            attempts: 4,
            options: BTreeMap::new(),
            state: BTreeMap::new(),
            indicators: Vec::new(),
            streams: Vec::new(),
            subjects: Vec::new(),
        }
    }
}

impl About {
    /// What the events of the case came with.
    #[must_use]
    pub fn context(&self) -> Context {
        let levels: Vec<&str> = self.topic.as_deref().unwrap_or_default().split('/').collect();
        let (device, channel) = match levels[..] {
            ["aurora", _, device, channel] => (Some(device.to_owned()), Some(channel.to_owned())),
            _ => (None, None),
        };
        Context {
            source: self.source.clone(),
            format: self.format.clone(),
            topic: self.topic.clone(),
            device_id: self.device_id.clone().or(device),
            channel: self.channel.clone().or(channel),
            source_ip: self.source_ip.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use aurora_guest::testing;
    use serde::de::DeserializeOwned;

    use super::*;

    /// All that one of these can be told to be, out of what the reader says of something that it cannot.
    fn known<T: DeserializeOwned>(text: &str) -> Vec<String> {
        let Err(error) = toml::from_str::<T>(text) else { panic!("{text} can be read") };
        let (_, all) = error.message().split_once(", expected ").expect("what is expected");
        let mut all: Vec<_> = all.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        all.sort();
        all
    }

    #[test]
    fn a_guests_own_tests_know_the_same_keys_and_choices() {
        for text in ["no_key = 1", "[[indicators]]\nno_key = 1", "framing = 'no_choice'"] {
            let (ours, theirs) = (known::<About>(text), known::<testing::Case>(text));
            assert!(ours.len() > 1, "{text}: {ours:?}");
            assert_eq!(ours, theirs, "{text}");
        }
    }

    #[test]
    fn a_guests_own_tests_read_the_same_out_of_a_file() {
        let full = "about = 'a'\nproduct = 'b'\ndocument = 'c'\nframing = 'whole'\nsource = 'd'\nformat = 'e'\n\
                    topic = 'f'\ndevice_id = 'g'\nchannel = 'h'\nsource_ip = 'i'\nreceived_ms = 1\nagent = 'j'\n\
                    attempt = 2\nattempts = 3\nstreams = ['k']\nsubjects = ['l']\noptions = { m = 4 }\n\
                    state = { n = 'o' }\n\
                    [[indicators]]\ntype = 'ip'\nvalue = 'p'\nsites = ['q']\ntlp = 'RED'\ncount = 5";
        let keys = toml::from_str::<toml::Table>(full).unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys.len(), known::<About>("no_key = 1").len(), "a key is missing: {keys:?}");
        for text in ["", "[[indicators]]\ntype = 'ip'\nvalue = 'p'", full] {
            // As they are shown but for their names: every field, in one order.
            let ours = format!("{:?}", toml::from_str::<About>(text).unwrap());
            let theirs = format!("{:?}", toml::from_str::<testing::Case>(text).unwrap());
            let ours = ours.replacen("About {", "Case {", 1).replace("KnownHere {", "Told {");
            assert_eq!(ours, theirs, "{text}");
        }
    }
}
