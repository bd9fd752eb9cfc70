use super::{
    Config, Destinations, Message, Sort,
    message::{Arrived, read},
    origin::site_of,
};
use crate::{config, event::Context, intel::Seen, sandbox::Category};

/// How messages of other sites are read, and which streams they go to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The site of what names none.
    unnamed: Option<String>,
    into: Positions,
}

/// Positions of the streams that [`Destinations`] names.
#[derive(Clone, Copy, Debug)]
struct Positions {
    alerts: usize,
    cps_alerts: usize,
    attestation: usize,
    agent_results: usize,
    audit: usize,
    soar: usize,
}

impl Rules {
    /// As `config` says, with streams by their positions in `streams`.
    #[must_use]
    pub fn new(config: &config::Config, streams: &[String]) -> Self {
        let inbound = config.federation.inbound.clone().unwrap_or_default();
        Self { unnamed: inbound.unnamed, into: Positions::of(&inbound.into, streams) }
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
        let Positions { alerts, cps_alerts, attestation, agent_results, audit, soar } = self.into;
        let stream = match Sort::of(subject) {
            Some(Sort::Attestation) => attestation,
            Some(Sort::AgentResult) => agent_results,
            Some(Sort::Audit) => audit,
            Some(Sort::Soar) => soar,
            // Indicators and sightings become no entries; they go the way of alerts if they ever do.
            Some(Sort::Alert | Sort::Indicator(_) | Sort::Sighting(_)) | None => match category {
                Category::Cps => cps_alerts,
                _ => alerts,
            },
        };
        (stream, format!("federation.in: {subject}"))
    }
}

impl Positions {
    fn of(into: &Destinations, streams: &[String]) -> Self {
        let position = |name: &str| streams.iter().position(|stream| stream == name);
        // A letter may be replayed that came in while the section was still there.
        let fallback = position("aurora:alerts").unwrap_or_default();
        let position = |name: &str| position(name).unwrap_or(fallback);
        let Destinations { alerts, cps_alerts, attestation, agent_results, audit, soar } = into;
        Self {
            alerts: position(alerts),
            cps_alerts: position(cps_alerts),
            attestation: position(attestation),
            agent_results: position(agent_results),
            audit: position(audit),
            soar: position(soar),
        }
    }
}

impl Config {
    /// The site of a message whose header names none, if there is one for it.
    pub(super) fn unnamed(&self) -> Option<&str> {
        self.unnamed.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::inbound::context;

    #[test]
    fn every_message_goes_to_the_stream_that_its_key_names() {
        let into = Destinations::default();
        // Not in the order of the keys: a position has to be found by its name.
        let mut streams: Vec<String> = into.named().map(|(_, name)| name.to_owned()).into();
        streams.reverse();
        let mut config = config::Config::default();
        config.federation.inbound = Some(Config { into: into.clone(), ..Config::default() });
        let rules = Rules::new(&config, &streams);
        for (subject, category, wanted) in [
            ("aurora.alerts.network", Category::Network, &into.alerts),
            ("aurora.alerts.cps", Category::Cps, &into.cps_alerts),
            ("aurora.cps.attestation.door_1", Category::Cps, &into.attestation),
            ("AURORA.agent_results", Category::Endpoint, &into.agent_results),
            ("AURORA.audit", Category::Endpoint, &into.audit),
            ("aurora.soar.block_ip", Category::Network, &into.soar),
        ] {
            let sort = Sort::of(subject).unwrap();
            let (stream, why) = rules.stream(&context(Some("there"), sort, subject), category);
            assert_eq!((&streams[stream], why), (wanted, format!("federation.in: {subject}")));
        }
    }
}
