use sha2::{Digest as _, Sha256};

use super::{
    Config, Sort,
    message::names_a_site,
    origin::{context, is_site},
    rules::Rules,
};
use crate::{
    broker::jetstream::{Incoming, Subjects},
    event::{Context, Identity},
    intel::Seen,
    telemetry::Passage,
};

/// What is done with a message.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Nothing, for this reason.
    Passed(Passed),
    /// It goes to the lanes.
    Taken(Box<Taken>),
}

/// Why nothing is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// We sent it.
    Own,
    /// It was shared too long ago.
    Old,
    /// Nobody wants it.
    Unwanted,
}

impl From<Passed> for Passage {
    fn from(passed: Passed) -> Self {
        match passed {
            Passed::Own => Self::Own,
            Passed::Old => Self::Old,
            Passed::Unwanted => Self::Unwanted,
        }
    }
}

/// A message on its way to the lanes.
#[derive(Debug)]
pub(super) struct Taken {
    pub context: Context,
    pub identity: Identity,
    /// Why it becomes a dead letter.
    pub unfit: Option<String>,
    /// What it tells of indicators.
    pub seen: Vec<Seen>,
}

/// How messages are looked at when they come.
#[derive(Debug)]
pub(super) struct Gate {
    config: Config,
    subjects: Subjects,
    /// This site.
    site: String,
    rules: Rules,
}

const DAY: i64 = 86_400_000;

impl Gate {
    pub fn new(config: Config, site: String, rules: Rules) -> Self {
        Self { subjects: Subjects::new(&config.subjects), config, site, rules }
    }

    /// What is done with `incoming`, as of `now_ms`. `begun` is how often it was begun here, where that was counted.
    pub fn look(&self, incoming: &Incoming, begun: Option<u64>, now_ms: i64) -> Arrival {
        let Some(sort) = Sort::of(&incoming.subject).filter(|_| self.subjects.allow(&incoming.subject)) else {
            return Arrival::Passed(Passed::Unwanted);
        };
        let named = incoming.site.as_deref();
        if named == Some(&self.site) {
            return Arrival::Passed(Passed::Own);
        }
        let shared_ms = incoming.shared_ms().unwrap_or(incoming.published_ms);
        let oldest = now_ms.saturating_sub(i64::try_from(self.config.max_age.as_millis()).unwrap_or(i64::MAX));
        if shared_ms < oldest {
            return Arrival::Passed(Passed::Old);
        }
        let site = match named {
            Some(site) => Some(site).filter(|site| is_site(site)),
            None => self.config.unnamed().filter(|_| !names_a_site(&incoming.payload)),
        };
        let context = context(site, sort, &incoming.subject);
        let read = match self.refusal(incoming, site) {
            Some(why) => Err(why),
            None => self.rules.read(&context, &incoming.payload, now_ms),
        };
        let (mark, moment) = match &read {
            Ok(message) => {
                (digest(&[message.origin.site.as_bytes(), message.origin.id.as_bytes()]), message.timestamp_ms)
            }
            // By what it is, for it says nothing else that is of use.
            Err(_) => {
                let named = named.unwrap_or_default().as_bytes();
                (digest(&[incoming.subject.as_bytes(), named, &incoming.payload]), incoming.published_ms)
            }
        };
        let identity = Identity::Message { mark, day: u32::try_from(moment / DAY).unwrap_or_default() };
        let (seen, unfit) = match read {
            // With the mark of what it says: its copies are not to come in beside its dead letter.
            Ok(_) if begun.is_some_and(|begun| begun > self.config.max_deliveries) => {
                (Vec::new(), Some(worn(begun.unwrap_or_default(), self.config.max_deliveries)))
            }
            Ok(message) => (message.tells(sort), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Arrival::Taken(Box::new(Taken { context, identity, unfit, seen }))
    }

    /// Why no more of it is read.
    fn refusal(&self, incoming: &Incoming, site: Option<&str>) -> Option<String> {
        let (size, most) = (incoming.payload.len() as u64, self.config.max_payload.as_u64());
        if size > most {
            return Some(format!(
                "a message of {size} bytes is larger than federation.in.max_payload ({most}); only the first {most} bytes \
                 are kept"
            ));
        }
        match (&incoming.site, site) {
            (_, Some(_)) => None,
            (Some(named), None) => Some(format!("its header Aurora-Site is {named:?}, which is no name of a site")),
            (None, None) => {
                Some("it has no header Aurora-Site; federation.in.unnamed names the site of such messages".to_owned())
            }
        }
    }

    /// Most bytes of a payload that are kept.
    pub fn most(&self) -> usize {
        usize::try_from(self.config.max_payload.as_u64()).unwrap_or(usize::MAX)
    }
}

/// Why what was begun so often is not begun again.
fn worn(begun: u64, most: u64) -> String {
    let before = begun.saturating_sub(1);
    format!(
        "begun here {before} times and never stored, so it may be what ends the host (federation.in.max_deliveries is {most})"
    )
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::config;

    const NOW: i64 = 1_763_780_000_000;
    const ID: &str = "3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e";

    fn gate(config: Config) -> Gate {
        Gate::new(config, "here".to_owned(), Rules::new(&config::Config::default(), &["aurora:alerts".to_owned()]))
    }

    fn incoming(subject: &str, site: Option<&str>) -> Incoming {
        let payload = format!(
            r#"{{"id":"{ID}","severity":"high","category":"network","timestamp_ms":{NOW},"site":"{}"}}"#,
            site.unwrap_or("north")
        );
        Incoming {
            subject: subject.to_owned(),
            payload: payload.into(),
            id: Some(format!("{ID}:{NOW}-0")),
            site: site.map(str::to_owned),
            reply: "r".to_owned(),
            sequence: 1,
            delivered: 1,
            pending: 0,
            published_ms: NOW,
        }
    }

    fn taken(gate: &Gate, incoming: &Incoming) -> Taken {
        match gate.look(incoming, None, NOW) {
            Arrival::Taken(taken) => *taken,
            Arrival::Passed(why) => panic!("passed: {why:?}"),
        }
    }

    fn passed(gate: &Gate, incoming: &Incoming) -> Passed {
        match gate.look(incoming, None, NOW) {
            Arrival::Passed(why) => why,
            Arrival::Taken(taken) => panic!("taken: {taken:?}"),
        }
    }

    #[test]
    fn copies_of_a_message_are_one_whatever_stream_and_subject_they_come_by() {
        let gate = gate(Config::default());
        let first = taken(&gate, &incoming("aurora.alerts.network", Some("north")));
        let mut copy = incoming("AURORA.alerts", Some("north"));
        (copy.sequence, copy.id, copy.published_ms) = (99, Some(format!("{ID}:AURORA:{NOW}-1")), NOW + 7 * DAY);
        let copy = taken(&gate, &copy);
        assert_eq!((first.identity, first.unfit), (copy.identity, None));
        assert_ne!(first.identity, taken(&gate, &incoming("aurora.alerts.network", Some("south"))).identity);
    }

    #[test]
    fn what_is_ours_old_or_unwanted_is_passed_over() {
        let gate = gate(Config { max_age: Duration::from_secs(3600), ..Config::default() });
        assert_eq!(passed(&gate, &incoming("aurora.alerts.network", Some("here"))), Passed::Own);
        assert_eq!(passed(&gate, &incoming("aurora.other", Some("north"))), Passed::Unwanted);
        let mut old = incoming("aurora.alerts.network", Some("north"));
        old.id = Some(format!("{ID}:{}-0", NOW - 3_600_001));
        assert_eq!(passed(&gate, &old), Passed::Old);
        // Who says nothing of when it was shared is taken by when it came into the stream.
        old.id = None;
        assert!(taken(&gate, &old).unfit.is_none());
    }

    #[test]
    fn what_cannot_be_trusted_becomes_a_dead_letter_with_a_reason() {
        let gate = gate(Config { max_payload: bytesize::ByteSize::b(200), ..Config::default() });
        let unfit = |incoming: &Incoming| taken(&gate, incoming).unfit.unwrap_or_default();
        let mut message = incoming("aurora.alerts.network", Some("a b"));
        assert!(unfit(&message).contains("Aurora-Site is \"a b\""));
        message.site = None;
        assert!(unfit(&message).contains("no header Aurora-Site"));
        message.site = Some("south".to_owned());
        assert!(unfit(&message).contains("`site` is `a b`"));
        message.payload = Bytes::from(vec![b' '; 201]);
        assert!(unfit(&message).contains("201 bytes"));
    }

    #[test]
    fn what_was_begun_too_often_keeps_its_mark() {
        let (gate, mut message) = (gate(Config::default()), incoming("aurora.alerts.network", Some("north")));
        // What JetStream delivered to nobody is no reason.
        message.delivered = 1000;
        let sound = taken(&gate, &message);
        let look = |begun| match gate.look(&message, Some(begun), NOW) {
            Arrival::Taken(taken) => *taken,
            Arrival::Passed(why) => panic!("passed: {why:?}"),
        };
        assert_eq!((sound.unfit, look(10).unfit), (None, None));
        let worn = look(11);
        assert!(worn.unfit.is_some_and(|why| why.starts_with("begun here 10 times")));
        assert_eq!((worn.identity, worn.seen.len()), (sound.identity, 0));
    }

    #[test]
    fn who_names_no_site_is_taken_for_the_configured_one_and_never_for_another() {
        let unnamed = Config { unnamed: Some("old".to_owned()), ..Config::default() };
        let config = config::Config::default();
        let config = config::Config {
            federation: crate::federation::Config { inbound: Some(unnamed.clone()), ..config.federation.clone() },
            ..config
        };
        let gate = Gate::new(unnamed, "here".to_owned(), Rules::new(&config, &["aurora:alerts".to_owned()]));
        let mut message = incoming("aurora.alerts.network", None);
        assert!(taken(&gate, &message).unfit.is_some(), "it names north itself");
        message.payload =
            format!(r#"{{"id":"{ID}","severity":"high","category":"network","timestamp_ms":{NOW}}}"#).into();
        let taken = taken(&gate, &message);
        assert_eq!((taken.context.source.as_str(), taken.unfit), ("aurora:federation:old", None));
    }
}
