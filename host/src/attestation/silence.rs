//! Devices that send no heartbeat any more: one alert when it goes, one event when it is back, by one host of the site.
//!
//! Nobody who steals, breaks or jams a device makes it send an answer that fails. A host that has not heard the broker for
//! as long as a device is online after a heartbeat says nothing of anybody: it may have missed the heartbeats itself.

use prometheus::IntGauge;

use super::{Config, Health, health::milliseconds, notice::Notice, repeats::time};
use crate::{
    broker::redis_streams::Turn,
    sandbox::{Category, Kind, Severity, events::Draft},
};

/// What is to be told of a device, if anything: last heard of at `heard`, known to be enrolled since `enrolled`, and told
/// to be silent or not.
pub(super) fn turn(heard: Option<i64>, enrolled: i64, is_silent: bool, now: i64, config: &Config) -> Option<Turn> {
    match (Health::of(heard, now, config), is_silent) {
        (Health::Offline, false) => Some(Turn::Silent),
        (Health::Unknown, false) if enrolled <= latest(now, config) => Some(Turn::Silent),
        (Health::Online, true) => Some(Turn::Back),
        _ => None,
    }
}

/// When a device that is offline was heard of at the latest.
pub(super) fn latest(now: i64, config: &Config) -> i64 {
    now - milliseconds(config.stale)
}

/// Since when this host hears devices.
#[derive(Debug)]
pub(super) struct Ear {
    connected: IntGauge,
    since: Option<i64>,
}

impl Ear {
    /// Of the session that `connected` shows.
    pub fn new(connected: IntGauge) -> Self {
        Self { connected, since: None }
    }

    /// Looks whether there is a session still. To be called often.
    pub fn listen(&mut self, now: i64) {
        self.since = if self.connected.get() == 1 { self.since.or(Some(now)) } else { None };
    }

    /// Whether a device that was not heard of has been silent, for all that this host knows.
    pub fn can_tell(&self, now: i64, config: &Config) -> bool {
        self.since.is_some_and(|since| since <= now - milliseconds(config.online))
    }
}

/// Puts what `notice` tells in the place of what a normalizer made of it at `now`.
pub(super) fn rewrite(drafts: &mut Vec<Draft>, notice: &Notice, now: i64) {
    let Some(first) = drafts.iter().find(|draft| draft.kind == Kind::Attestation) else { return };
    let device = notice.device();
    let (kind, severity, state, heard, title, description) = match notice {
        Notice::Silent { heard_ms: Some(at), .. } => {
            let description = format!("no heartbeat since {}", time(*at));
            (Kind::Alert, Severity::High, "offline", time(*at), format!("{device} is offline"), description)
        }
        Notice::Silent { heard_ms: None, enrolled_ms, .. } => {
            let description = format!("no heartbeat came since it was enrolled, {} or before", time(*enrolled_ms));
            let title = format!("{device} was never heard of");
            (Kind::Alert, Severity::High, "offline", "never".to_owned(), title, description)
        }
        Notice::Back { heard_ms, .. } => {
            let before = heard_ms.map_or_else(|| "never".to_owned(), time);
            let description = format!("a heartbeat came; the one before: {before}");
            (Kind::Status, Severity::Info, "online", before, format!("{device} is back"), description)
        }
        // It has a verdict.
        Notice::Unanswered { .. } => return,
    };
    let field = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let draft = Draft {
        kind,
        severity,
        category: Category::Cps,
        timestamp_ms: now,
        fields: vec![field("device.health", state), field("device.heard", &heard)],
        observables: Vec::new(),
        techniques: Vec::new(),
        source: first.source.clone(),
        device_id: first.device_id.clone(),
        // Told again when whoever told it was killed before that was noted, it is one alert.
        dedup_key: format!("health {device} {state} {heard}"),
        title,
        description,
    };
    *drafts = vec![draft];
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const NOW: i64 = 1_000 * MINUTE;

    #[test]
    fn a_device_is_told_of_when_it_goes_and_when_it_comes_and_not_between() {
        let config = Config::default();
        let ago = |minutes: i64| Some(NOW - minutes * MINUTE);
        let told = |heard, is_silent| turn(heard, 0, is_silent, NOW, &config);
        assert_eq!([told(ago(0), false), told(ago(30), false)], [None, None]);
        assert_eq!([told(ago(60), false), told(ago(60), true)], [Some(Turn::Silent), None]);
        // An old heartbeat that came late does not bring it back.
        assert_eq!([told(ago(30), true), told(ago(0), true)], [None, Some(Turn::Back)]);
    }

    #[test]
    fn a_device_that_was_never_heard_of_has_time_from_its_enrolment_on() {
        let config = Config::default();
        let told = |enrolled, is_silent| turn(None, enrolled, is_silent, NOW, &config);
        assert_eq!(told(NOW - 60 * MINUTE + 1, false), None);
        assert_eq!([told(NOW - 60 * MINUTE, false), told(0, true)], [Some(Turn::Silent), None]);
    }

    #[test]
    fn a_host_that_has_just_begun_to_listen_tells_of_nobody() {
        let (config, connected) =
            (Config::default(), IntGauge::new("connected", "1 while connected").expect("a gauge"));
        let mut ear = Ear::new(connected.clone());
        ear.listen(NOW);
        assert!(!ear.can_tell(NOW + 60 * MINUTE, &config), "it is not connected");
        connected.set(1);
        ear.listen(NOW);
        ear.listen(NOW + MINUTE);
        assert!(!ear.can_tell(NOW + 10 * MINUTE - 1, &config));
        assert!(ear.can_tell(NOW + 10 * MINUTE, &config));
        connected.set(0);
        ear.listen(NOW + 11 * MINUTE);
        connected.set(1);
        ear.listen(NOW + 12 * MINUTE);
        assert!(!ear.can_tell(NOW + 13 * MINUTE, &config), "it has been away");
    }

    #[test]
    fn going_is_an_alert_and_coming_back_is_none() {
        let made = || Draft {
            kind: Kind::Attestation,
            severity: Severity::Critical,
            category: Category::Network,
            timestamp_ms: 7,
            fields: vec![("attestation.status".into(), "failed".into())],
            observables: Vec::new(),
            techniques: Vec::new(),
            source: String::new(),
            device_id: "dev".into(),
            dedup_key: String::new(),
            title: "dev attestation failed".into(),
            description: String::new(),
        };
        let device_id = || "dev".to_owned();
        for (notice, kind, severity, title) in [
            (
                Notice::Silent { device_id: device_id(), heard_ms: Some(1), enrolled_ms: 0 },
                Kind::Alert,
                Severity::High,
                "dev is offline",
            ),
            (
                Notice::Silent { device_id: device_id(), heard_ms: None, enrolled_ms: 0 },
                Kind::Alert,
                Severity::High,
                "dev was never heard of",
            ),
            (Notice::Back { device_id: device_id(), heard_ms: None }, Kind::Status, Severity::Info, "dev is back"),
        ] {
            let mut drafts = vec![made()];
            rewrite(&mut drafts, &notice, NOW);
            let [told] = &drafts[..] else { panic!("{drafts:?}") };
            assert_eq!((told.kind, told.severity, told.category), (kind, severity, Category::Cps));
            assert_eq!((told.title.as_str(), told.timestamp_ms), (title, NOW));
            assert!(told.fields.iter().all(|(key, _)| !key.starts_with("attestation.")), "{:?}", told.fields);
        }
    }
}
