use super::{
    Config, Message, Sort,
    message::{Arrived, read},
    origin::site_of,
};
use crate::{config, event::Context, intel::Seen, sandbox::Category};

/// How messages of other sites are read, and which streams they go to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The site of what names none.
    unnamed: Option<String>,
    /// Positions of the streams, in the order of `[federation.in.into]`.
    into: [usize; 6],
}

impl Rules {
    /// As `config` says, with streams by their positions in `streams`.
    #[must_use]
    pub fn new(config: &config::Config, streams: &[String]) -> Self {
        let inbound = config.federation.inbound.clone().unwrap_or_default();
        let position = |name: &str| streams.iter().position(|stream| stream == name);
        // A letter may be replayed that came in while the section was still there.
        let fallback = position("aurora:alerts").unwrap_or_default();
        let into = inbound.into.named().map(|(_, name)| position(name).unwrap_or(fallback));
        Self { unnamed: inbound.unnamed, into }
    }

    /// Reads a delivery of `context`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, context: &Context, payload: &[u8], received_ms: i64) -> Result<Message, String> {
        let (Some(site), Some(sort)) = (site_of(context), context.topic.as_deref().and_then(Sort::of)) else {
            return Err("it is no message of another site on a subject that has a meaning".to_owned());
        };
        let is_unnamed = self.unnamed.as_deref() == Some(site);
        read(payload, Arrived { site, is_unnamed, sort, received_ms })
    }

    /// What a delivery of `context` tells of indicators, once it is stored; nothing if it is not sound.
    #[must_use]
    pub fn told(&self, context: &Context, payload: &[u8], received_ms: i64) -> Vec<Seen> {
        let sort = context.topic.as_deref().and_then(Sort::of);
        let message = self.read(context, payload, received_ms).ok();
        message.zip(sort).map(|(message, sort)| message.tells(sort)).unwrap_or_default()
    }

    /// Position of the stream that an event of `category` on the subject of `context` goes to, and why.
    #[must_use]
    pub fn stream(&self, context: &Context, category: Category) -> (usize, String) {
        let subject = context.topic.as_deref().unwrap_or_default();
        let at = match Sort::of(subject) {
            Some(Sort::Attestation) => 2,
            Some(Sort::AgentResult) => 3,
            Some(Sort::Audit) => 4,
            Some(Sort::Soar) => 5,
            _ => usize::from(category == Category::Cps),
        };
        (self.into[at], format!("federation.in: {subject}"))
    }
}

impl Config {
    /// The site of a message whose header names none, if there is one for it.
    pub(super) fn unnamed(&self) -> Option<&str> {
        self.unnamed.as_deref()
    }
}
