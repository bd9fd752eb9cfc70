use super::config::{CAPITAL, Set};
use crate::{config::Config, sandbox::ObservableType};

/// Which messages of an event go out beside its own, and where to. Looked up once: a subject is held against a dozen
/// patterns.
#[derive(Clone, Debug)]
pub struct Sendable {
    /// By type: `aurora.intel.ioc.<type>`, where an observable goes, if it does.
    intel: [Option<String>; ObservableType::ALL.len()],
    /// By type: `aurora.intel.sighting.<type>`, where it is told that one was seen.
    sighting: [Option<String>; ObservableType::ALL.len()],
    /// Whether alerts go to `AURORA.alerts`.
    pub(crate) alerts: bool,
    /// Whether observables go to `AURORA.ioc_sharing`.
    pub(crate) sharing: bool,
}

impl Sendable {
    /// What the sets and the subjects of a configuration come to.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (federation, nats) = (&config.federation, config.nats.clone().unwrap_or_default());
        let subjects = federation.subjects(&nats);
        let goes = |set, subject: &str| {
            federation.sets.contains(&set) && subjects.iter().all(|subjects| subjects.allow(subject))
        };
        let tells = config.intel.as_ref().is_some_and(|intel| intel.sightings);
        let of = |what: &str, kind: ObservableType| {
            Some(format!("aurora.intel.{what}.{}", kind.as_str())).filter(|subject| goes(Set::Aurora, subject))
        };
        Self {
            intel: ObservableType::ALL.map(|kind| of("ioc", kind)),
            sighting: ObservableType::ALL.map(|kind| of("sighting", kind).filter(|_| tells)),
            alerts: goes(Set::Capital, CAPITAL[0]),
            sharing: goes(Set::Capital, CAPITAL[1]),
        }
    }

    /// The subject of their own that observables of this type go to, if they do.
    pub(crate) fn intel(&self, kind: ObservableType) -> Option<&str> {
        self.intel[kind as usize].as_deref()
    }

    /// Where it is told that one of this type was seen, if it is.
    pub(crate) fn sighting(&self, kind: ObservableType) -> Option<&str> {
        self.sighting[kind as usize].as_deref()
    }

    /// Whether it goes anywhere by itself.
    pub(super) fn anywhere(&self, kind: ObservableType) -> bool {
        self.sharing || self.intel(kind).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel;

    #[test]
    fn every_type_has_the_place_of_its_number() {
        for (place, kind) in ObservableType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[test]
    fn goes_where_its_set_is_wanted_and_its_subject_is_allowed() {
        let mut config = Config::default();
        let first = Sendable::new(&config);
        assert_eq!(first.intel(ObservableType::Ip), Some("aurora.intel.ioc.ip"));
        assert!(!first.alerts && !first.sharing);
        config.federation.sets.push(Set::Capital);
        config.federation.ceiling.subjects = Some(vec!["AURORA.alerts".to_owned(), "aurora.intel.ioc.url".to_owned()]);
        config.intel = Some(intel::Config::default());
        let telling = Sendable::new(&Config { intel: config.intel.clone(), ..Config::default() });
        assert_eq!(telling.sighting(ObservableType::Ip), Some("aurora.intel.sighting.ip"));
        let narrow = Sendable::new(&config);
        assert_eq!((narrow.sighting(ObservableType::Ip), first.sighting(ObservableType::Ip)), (None, None));
        assert!(narrow.alerts && !narrow.sharing && narrow.intel(ObservableType::Url).is_some());
        assert!(!narrow.anywhere(ObservableType::Ip));
    }
}
