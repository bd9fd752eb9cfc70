use crate::{EventView, OriginEvents, Severity, Tlp, routing::intern};

/// N messages of other sites. As `aurora:inbound/judge.messages`, without needing its bindings.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Each as an event.
    pub events: OriginEvents,
    /// Per context: the site.
    pub sites: Vec<String>,
    /// When each was received.
    pub received_ms: Vec<i64>,
    /// The names of streams used.
    pub streams: Vec<String>,
    /// Index into `streams`, one for each message.
    pub stream: Vec<u32>,
    /// One for each message.
    pub tlp: Vec<Tlp>,
}

/// One message of a batch, read in place.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// What it says; of an indicator or a sighting, an event that has it as its only observable.
    pub event: EventView<'a>,
    /// The site that has sent it.
    pub site: &'a str,
    /// The stream that it goes to if it is accepted; empty of an indicator or a sighting.
    pub stream: &'a str,
    /// The marking that it came with.
    pub tlp: Tlp,
    /// When this host received it, milliseconds since 1970-01-01 UTC; the guest's only clock.
    pub received_ms: i64,
}

impl<'a> MessageView<'a> {
    /// The subject that it came on.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.event.context.topic.as_deref().unwrap_or_default()
    }

    /// What it is: `alert`, `attestation`, `ioc`, `sighting`, `agent_results`, `audit` or `soar`.
    #[must_use]
    pub fn sort(&self) -> &'a str {
        self.event.context.channel.as_deref().unwrap_or_default()
    }

    /// Whether it becomes an event; otherwise it only tells of an indicator, and its severity means nothing.
    #[must_use]
    pub fn is_event(&self) -> bool {
        !matches!(self.sort(), "ioc" | "sighting")
    }
}

impl Messages {
    /// The messages of the batch.
    pub fn iter(&self) -> impl Iterator<Item = MessageView<'_>> {
        self.events.iter().enumerate().map(move |(index, event)| MessageView {
            event,
            site: &self.sites[self.events.context[index] as usize],
            stream: &self.streams[self.stream[index] as usize],
            tlp: self.tlp[index],
            received_ms: self.received_ms[index],
        })
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is stored.
    Accepted,
    /// It becomes a dead letter.
    Refused,
    /// It is gone.
    Dropped,
}

/// An answer about messages of other sites. As `aurora:inbound/judge.verdicts`, without needing its bindings.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// One for each message.
    pub disposition: Vec<Judgement>,
    /// The reasons used.
    pub reasons: Vec<String>,
    /// Index into `reasons`, one for each message.
    pub reason: Vec<u32>,
    /// One for each accepted message.
    pub severity: Vec<Severity>,
}

/// Writes an answer about messages of other sites.
#[derive(Debug, Default)]
pub struct Judging(Verdicts);

impl Judging {
    /// An empty answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next message is stored, with `severity`.
    pub fn accept(&mut self, severity: Severity, reason: &str) {
        self.verdict(Judgement::Accepted, reason);
        self.0.severity.push(severity);
    }

    /// The next message becomes a dead letter, for a person to look at.
    pub fn refuse(&mut self, reason: &str) {
        self.verdict(Judgement::Refused, reason);
    }

    /// The next message is gone.
    pub fn discard(&mut self, reason: &str) {
        self.verdict(Judgement::Dropped, reason);
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Verdicts {
        self.0
    }

    fn verdict(&mut self, judgement: Judgement, reason: &str) {
        self.0.disposition.push(judgement);
        let reason = intern(&mut self.0.reasons, reason);
        self.0.reason.push(reason);
    }
}
