//! From what a policy decided to what leaves.

use std::borrow::Cow;

use super::{
    config::{CAPITAL, Config as Federation, Marking, Set},
    cut::Cut,
    names::{Names, canonical},
    narrowing::Narrowing,
    networks::{Networks, network},
    never::{Never, Why},
    offer::Offer,
    sendable::Sendable,
};
use crate::{
    broker::jetstream::Subjects,
    config::Config,
    event::Context,
    intel,
    mark::{self, is_marked},
    pipeline::dedup::EventKind,
    sandbox::{
        Kind, ObservableType, Severity, Tlp,
        answer::{Decisions, Share},
        events::{EventRef, Events},
    },
    telemetry::Metrics,
};

/// What no policy can go beyond. Made once; lanes share it.
#[derive(Debug)]
pub struct Ceiling {
    site: String,
    sets: Vec<Set>,
    offered: Vec<Offer>,
    min_severity: Severity,
    kinds: Vec<EventKind>,
    /// Beside those of `[nats]`, which an answer is held to before it comes here.
    subjects: Option<Subjects>,
    pub(super) sendable: Sendable,
    max_tlp: Marking,
    pub(super) never: Never,
    /// In lower case.
    pub(super) fields: Vec<String>,
    pub(super) mask: bool,
}

impl Ceiling {
    /// The one of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let Federation { sets, share, ceiling, .. } = &config.federation;
        let never = &ceiling.never;
        Self {
            site: config.site.id.clone(),
            sets: sets.clone(),
            offered: share.clone(),
            min_severity: ceiling.min_severity,
            kinds: ceiling.kinds.clone(),
            subjects: ceiling.subjects.as_ref().map(|subjects| Subjects::new(subjects)),
            sendable: Sendable::new(config),
            max_tlp: ceiling.max_tlp,
            never: Never {
                reserved: never.reserved,
                // What is none was found when the configuration was checked.
                networks: Networks::new(never.networks.iter().filter_map(|text| network(text))),
                domains: Names::new(never.domains.iter().filter_map(|text| canonical(text))),
                lists: never.read.0.clone(),
                common: never.common,
            },
            // Whoever writes `password` means `Password` as well.
            fields: never.fields.iter().map(|pattern| pattern.to_ascii_lowercase()).collect(),
            mask: never.mask,
        }
    }

    /// Why the observable `value` of this type never leaves, if so, in the words of a provenance.
    #[must_use]
    pub fn never(&self, kind: ObservableType, value: &str) -> Option<Cow<'static, str>> {
        self.never.judge(kind, value).map(Why::text)
    }

    /// Narrows `decisions` on `events`, each of which came in its `context`.
    pub(crate) fn narrow<'c>(
        &self,
        decisions: &mut Decisions,
        events: &Events,
        context: impl Fn(usize) -> &'c Context,
        metrics: &Metrics,
    ) {
        for index in 0..decisions.len() {
            let (share, reason) = decisions.event_mut(index);
            let Some(shared) = share else { continue };
            let (event, context) = (events.get(index), context(index));
            if !self.sets.contains(&Set::Aurora) && Offer::of(context).is_none() && !event.kind().is_attestation() {
                CAPITAL[0].clone_into(&mut shared.subject);
            }
            if let Some((came, how)) = markings(event).max_by_key(|(tlp, _)| *tlp as u8)
                && came as u8 > shared.tlp as u8
            {
                let (from, to) = (shared.tlp.as_str(), came.as_str());
                shared.cut.push(format!("TLP:{from} to TLP:{to}, {how}"));
                shared.tlp = came;
                metrics.federation_cut(Cut::Tlp).inc();
            }
            // Nobody could say how what it speaks of is marked.
            let unseen = event.text().contains(intel::NOT_LOOKED_UP)
                && event.fields().any(|(key, value)| key == intel::STATUS && value == intel::NOT_LOOKED_UP);
            let unseen = unseen.then(|| (Cut::Tlp, "its indicators could not be looked up".to_owned()));
            let narrowing = Narrowing { ceiling: self, event, context, metrics };
            let refused = unseen.or_else(|| self.refusal(shared, event, context));
            if let Some((cut, what)) = refused.or_else(|| narrowing.narrow(shared, reason)) {
                metrics.federation_cut(cut).inc();
                *reason = format!("ceiling: {what}; the policy would have shared it: {reason}");
                *share = None;
            }
        }
    }

    /// Why the event stays.
    fn refusal(&self, share: &Share, event: EventRef<'_>, context: &Context) -> Option<(Cut, String)> {
        let (subject, tlp) = (share.subject.as_str(), share.tlp);
        match Offer::of(context) {
            Some(offer) => {
                if !self.offered.contains(&offer) {
                    return Some((Cut::Offer, format!("{} is not in federation.share", offer.as_str())));
                }
                // What another site has said is that site's to share.
                let origin = event.fields().find(|(key, _)| *key == "origin").map_or("", |(_, value)| value);
                if !origin.is_empty() && origin != self.site {
                    return Some((Cut::Origin, "it is another site's".to_owned()));
                }
                if !offer.takes(subject) {
                    return Some((Cut::Subject, format!("its subject is {} and not {subject}", offer.subject())));
                }
            }
            None => {
                let kind = event.kind();
                if !self.kinds.iter().any(|known| known.is(kind)) {
                    return Some((Cut::Kind, format!("kind {} is not one that may leave", kind.as_str())));
                }
                let (severity, least) = (event.severity(), self.min_severity);
                if kind == Kind::Alert && (severity as u8) < least as u8 {
                    let what = format!("severity {} is below {}", severity.as_str(), least.as_str());
                    return Some((Cut::Severity, what));
                }
                if is_of_others(subject) {
                    return Some((Cut::Subject, format!("events of this kind do not go to {subject}")));
                }
            }
        }
        if self.subjects.as_ref().is_some_and(|subjects| !subjects.allow(subject)) {
            return Some((Cut::Subject, format!("nothing may be shared to {subject}")));
        }
        let most = self.max_tlp;
        (!most.covers(tlp)).then(|| (Cut::Tlp, format!("TLP:{} is above TLP:{}", tlp.as_str(), most.as_str())))
    }
}

/// How the event is marked, each with how it came to that.
fn markings(event: EventRef<'_>) -> impl Iterator<Item = (Tlp, &'static str)> {
    let is_marked = is_marked(event.text().as_bytes());
    // What other sites have told goes no further than they said, and an event that has it tells it.
    let came = || event.fields().find(|(key, _)| *key == intel::TLP).and_then(|(_, value)| Tlp::read(value));
    let came = is_marked.then(came).flatten().map(|came| (came, "with which its shared indicator came"));
    let own = is_marked.then(|| marking(event)).flatten().map(|own| (own, "as it is marked itself"));
    came.into_iter().chain(own)
}

/// How the event itself is marked, wherever its source has written that.
fn marking(event: EventRef<'_>) -> Option<Tlp> {
    // What its indicators are marked with is told apart.
    let fields = event.fields().filter(|(key, _)| *key != intel::TLP);
    let fields = fields.filter_map(|(key, value)| mark::of_field(key, value));
    let texts = [event.title(), event.description()].map(|text| mark::marking(text.as_bytes()));
    fields.chain(texts.into_iter().flatten()).reduce(Tlp::stricter)
}

/// Whether `subject` is kept for something else than alerts and attestation results, so that who reads it need not tell
/// them apart.
fn is_of_others(subject: &str) -> bool {
    subject == CAPITAL[1]
        || subject.starts_with("aurora.intel.")
        || Offer::ALL.into_iter().any(|offer| offer.takes(subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::secrets::Secrets;
    use crate::sandbox::{Category, ObservableType as T, Scope, Tlp, answer::Piece, events::Draft};

    fn draft() -> Draft {
        Draft {
            kind: Kind::Alert,
            severity: Severity::High,
            category: Category::Network,
            timestamp_ms: 0,
            fields: [("src_ip", "10.0.0.1"), ("user", "joe"), ("user.id", "7"), ("note", "of the plant")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            observables: vec![
                (T::Ip, Scope::Public, "10.0.0.1".to_owned()),
                (T::Domain, Scope::Public, "evil.com".to_owned()),
                (T::Domain, Scope::AllowListed, "vendor.com".to_owned()),
            ],
            techniques: Vec::new(),
            source: String::new(),
            device_id: String::new(),
            dedup_key: String::new(),
            title: "10.0.0.1 talks to evil.com".to_owned(),
            description: "as does VENDOR.com, not myvendor.com".to_owned(),
        }
    }

    fn share(subject: &str, tlp: Tlp) -> Share {
        Share { subject: subject.to_owned(), tlp, observables: vec![0, 1], ..Share::default() }
    }

    fn ceiling(change: impl FnOnce(&mut Config)) -> Ceiling {
        let mut config = Config::default();
        change(&mut config);
        Ceiling::new(&config)
    }

    /// What becomes of one event: what leaves, or why it stays.
    fn narrowed(ceiling: &Ceiling, draft: &Draft, share: Share, source: &str) -> Result<Share, String> {
        let events = Events::of([draft]).unwrap();
        let mut decisions = Decisions::default();
        decisions.push_shared(share, "policy".to_owned());
        let context = Context { source: source.to_owned(), ..Context::default() };
        ceiling.narrow(&mut decisions, &events, |_| &context, &Metrics::new());
        decisions.share(0).cloned().ok_or_else(|| decisions.reason(0).to_owned())
    }

    fn refused(ceiling: &Ceiling, draft: &Draft, share: Share) -> String {
        narrowed(ceiling, draft, share, "test").unwrap_err()
    }

    const ALERTS: &str = "aurora.alerts.network";

    #[test]
    fn what_is_too_mild_too_confidential_or_of_another_kind_stays_and_says_what_the_policy_wanted() {
        let usual = ceiling(|_| {});
        let mild = Draft { severity: Severity::Medium, ..draft() };
        assert_eq!(
            refused(&usual, &mild, share(ALERTS, Tlp::Amber)),
            "ceiling: severity medium is below high; the policy would have shared it: policy"
        );
        assert!(narrowed(&usual, &draft(), share(ALERTS, Tlp::AmberStrict), "test").is_ok());
        let said = refused(&usual, &draft(), share(ALERTS, Tlp::Red));
        assert!(said.contains("TLP:RED is above TLP:AMBER+STRICT"), "{said}");
        let telemetry = Draft { kind: Kind::Telemetry, ..draft() };
        assert!(refused(&usual, &telemetry, share(ALERTS, Tlp::Clear)).contains("kind telemetry"));
        // Severity is a matter of alerts.
        let attestation = Draft { kind: Kind::Attestation, severity: Severity::Info, ..draft() };
        assert!(narrowed(&usual, &attestation, share("aurora.cps.attestation.x", Tlp::Amber), "test").is_ok());

        let open = ceiling(|config| {
            config.federation.ceiling.min_severity = Severity::Info;
            config.federation.ceiling.max_tlp = Marking::Red;
            config.federation.ceiling.kinds.push(EventKind::Telemetry);
        });
        for (draft, tlp) in [(mild, Tlp::Amber), (draft(), Tlp::Red), (telemetry, Tlp::Clear)] {
            assert!(narrowed(&open, &draft, share(ALERTS, tlp), "test").is_ok());
        }
    }

    #[test]
    fn subjects_are_those_of_the_ceiling_and_of_the_kind() {
        let narrow = ceiling(|config| {
            config.federation.ceiling.subjects = Some(vec!["aurora.alerts.cps".to_owned()]);
        });
        assert!(
            refused(&narrow, &draft(), share(ALERTS, Tlp::Clear)).contains("may be shared to aurora.alerts.network")
        );
        let sent = narrowed(&narrow, &draft(), share("aurora.alerts.cps", Tlp::Clear), "test").unwrap();
        assert!(sent.cut.iter().any(|cut| cut.contains("not sent by themselves")), "{:?}", sent.cut);
        let usual = ceiling(|_| {});
        for others in
            ["AURORA.audit", "AURORA.agent_results", "AURORA.ioc_sharing", "aurora.soar.x", "aurora.intel.ioc.ip"]
        {
            assert!(refused(&usual, &draft(), share(others, Tlp::Clear)).contains("do not go to"), "{others}");
        }
    }

    #[test]
    fn observables_stay_that_mean_nothing_elsewhere_whatever_their_guest_called_them() {
        let sent = narrowed(&ceiling(|_| {}), &draft(), Share { scoped_out: 1, ..share(ALERTS, Tlp::Clear) }, "test");
        let sent = sent.unwrap();
        assert_eq!(sent.observables, [1]);
        assert_eq!(sent.cut[0], "2 observables kept: not public, reserved");
        let open = ceiling(|config| config.federation.ceiling.never.reserved = false);
        assert_eq!(narrowed(&open, &draft(), share(ALERTS, Tlp::Clear), "test").unwrap().observables, [0, 1]);
        let mut browser = draft();
        browser.observables.push((T::UserAgent, Scope::Public, "Mozilla/5.0 (X11)".to_owned()));
        "with Mozilla/5.0 (X11)".clone_into(&mut browser.title);
        let all = Share { observables: vec![1, 3], ..share(ALERTS, Tlp::Clear) };
        let sent = narrowed(&ceiling(|_| {}), &browser, all.clone(), "test").unwrap();
        assert_eq!((sent.observables.as_slice(), sent.cut[0].as_str()), (&[1][..], "1 observables kept: common"));
        assert_eq!(sent.text(Piece::Title, "own"), "own", "what everybody has is in no text to be hidden");
        let open = ceiling(|config| config.federation.ceiling.never.common = false);
        assert_eq!(narrowed(&open, &browser, all, "test").unwrap().observables, [1, 3]);
        let own = ceiling(|config| config.federation.ceiling.never.domains = vec!["evil.com".to_owned()]);
        let sent = narrowed(&own, &draft(), share(ALERTS, Tlp::Clear), "test").unwrap();
        assert!(sent.observables.is_empty() && sent.cut[0].ends_with("reserved, own domain"), "{:?}", sent.cut);
    }

    #[test]
    fn fields_go_by_pattern_and_texts_are_masked() {
        let ceiling = ceiling(|config| config.federation.ceiling.never.fields = vec!["user*".to_owned()]);
        let sent = narrowed(&ceiling, &draft(), share(ALERTS, Tlp::Clear), "test").unwrap();
        assert_eq!(sent.remove, ["user", "user.id"]);
        let text = |piece, own| sent.text(piece, own).to_owned();
        assert_eq!(text(Piece::Title, ""), "[masked] talks to evil.com");
        assert_eq!(text(Piece::Description, ""), "as does [masked], not myvendor.com");
        assert_eq!(text(Piece::Field(0), ""), "[masked]");
        assert_eq!(text(Piece::Field(3), "own"), "own");
        assert_eq!(
            sent.cut[1..],
            ["fields removed: user, user.id", "masked in: title, description, fields.src_ip"].map(str::to_owned)
        );
    }

    #[test]
    fn what_came_marked_leaves_no_more_openly_and_stays_where_it_may_not() {
        let came = |tlp: &str| {
            let mut draft = draft();
            draft.fields.push((intel::TLP.to_owned(), tlp.to_owned()));
            draft
        };
        let sent = narrowed(&ceiling(|_| {}), &came("AMBER"), share(ALERTS, Tlp::Green), "test").unwrap();
        assert_eq!(
            (sent.tlp, sent.cut[0].as_str()),
            (Tlp::Amber, "TLP:GREEN to TLP:AMBER, with which its shared indicator came")
        );
        let sent = narrowed(&ceiling(|_| {}), &came("GREEN"), share(ALERTS, Tlp::Amber), "test").unwrap();
        assert_eq!(sent.tlp, Tlp::Amber, "it makes nothing more open");
        let said = refused(&ceiling(|_| {}), &came("RED"), share(ALERTS, Tlp::Green));
        assert!(said.contains("TLP:RED is above TLP:AMBER+STRICT"), "{said}");
    }

    #[test]
    fn an_event_that_its_source_has_marked_stays_or_leaves_with_that_mark() {
        let marked = |key: &str, value: &str| {
            let mut draft = draft();
            draft.fields.push((key.to_owned(), value.to_owned()));
            narrowed(&ceiling(|_| {}), &draft, share(ALERTS, Tlp::Green), "test")
        };
        for (key, value) in
            [("tlp", "RED"), ("event.tlp", "red"), ("details", "domain:a.net tlp=RED"), ("x", "TLP:RED")]
        {
            let said = marked(key, value).unwrap_err();
            assert!(said.contains("TLP:RED is above TLP:AMBER+STRICT"), "{key}: {said}");
        }
        assert_eq!(marked("tlp", "amber+strict").unwrap().tlp, Tlp::AmberStrict);
        assert_eq!(marked("tlp", "amber").unwrap().tlp, Tlp::Amber);
        assert_eq!(marked("tlp", "clear").unwrap().tlp, Tlp::Green, "it makes nothing more open");
        assert_eq!(marked("tags.0", "tlp:amber").unwrap().tlp, Tlp::Amber);
        assert!(marked("tlp_level", "3").unwrap_err().contains("TLP:RED is above"), "what cannot be read is not open");
        let red = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed";
        assert!(marked("object_marking_refs.0", red).unwrap_err().contains("TLP:RED is above"));
        let said = marked(intel::STATUS, intel::NOT_LOOKED_UP).unwrap_err();
        assert!(said.contains("could not be looked up"), "{said}");
    }

    #[test]
    fn what_is_marked_in_its_title_does_not_leave_as_clear() {
        let most = |max_tlp| ceiling(|config| config.federation.ceiling.max_tlp = max_tlp);
        let titled = |title: &str| Draft { title: title.to_owned(), ..draft() };
        let said = refused(&most(Marking::Green), &titled("restricted, TLP:AMBER"), share(ALERTS, Tlp::Clear));
        assert!(said.contains("TLP:AMBER is above TLP:GREEN"), "{said}");
        let sent = narrowed(&most(Marking::Green), &titled("TLP:GREEN"), share(ALERTS, Tlp::Clear), "test").unwrap();
        assert_eq!(sent.tlp, Tlp::Green);
    }

    #[test]
    fn what_is_removed_is_not_said_elsewhere_either() {
        let ceiling = ceiling(|config| config.federation.ceiling.never.fields = vec!["User".to_owned()]);
        let mut draft = draft();
        draft.fields = vec![("user".to_owned(), "jdoe".to_owned()), ("plc.10.0.0.9.port".to_owned(), "1".to_owned())];
        draft.title = "Login of JDOE".to_owned();
        let sent = narrowed(&ceiling, &draft, share(ALERTS, Tlp::Clear), "test").unwrap();
        assert_eq!(sent.remove, ["user", "plc.10.0.0.9.port"]);
        assert_eq!(sent.text(Piece::Title, ""), "Login of [masked]");
    }

    #[test]
    fn what_is_removed_does_not_leave_as_an_observable() {
        let ceiling = ceiling(|config| config.federation.ceiling.never.fields = vec!["user*".to_owned()]);
        let mut draft = draft();
        draft.fields = vec![("user.name".to_owned(), "secretuser".to_owned())];
        draft.observables = [
            (T::FilePath, r"C:\Users\SecretUser\evil.exe"),
            (T::Url, "http://evil.com/home/secret%75ser"),
            (T::Email, "secretuser@evil.com"),
            (T::FilePath, r"C:\Users\secretusers\evil.exe"),
        ]
        .map(|(kind, value)| (kind, Scope::Public, value.to_owned()))
        .into();
        let all = Share { observables: vec![0, 1, 2, 3], ..share(ALERTS, Tlp::Clear) };
        let sent = narrowed(&ceiling, &draft, all, "test").unwrap();
        assert_eq!(sent.observables, [3]);
        assert_eq!(sent.cut[0], "3 observables kept: holds what is removed");
    }

    #[test]
    fn what_never_leaves_is_no_token_of_a_subject() {
        let ceiling = ceiling(|config| {
            config.federation.ceiling.never.domains = vec!["plc7".to_owned()];
            config.federation.ceiling.never.fields = vec!["asset".to_owned()];
            config.federation.share = vec![Offer::Soar];
        });
        let attestation = Draft { kind: Kind::Attestation, ..draft() };
        let said = refused(&ceiling, &attestation, share("aurora.cps.attestation.PLC7", Tlp::Clear));
        assert!(said.contains("attestation.PLC7 names what never leaves: own domain; the policy would"), "{said}");
        assert!(narrowed(&ceiling, &attestation, share("aurora.cps.attestation.plc70", Tlp::Clear), "test").is_ok());
        let soar = Offer::Soar.source();
        let said = narrowed(&ceiling, &draft(), share("aurora.soar.plc7", Tlp::Clear), soar).unwrap_err();
        assert!(said.contains("own domain"), "{said}");
        // Words that are names only where something is below them.
        assert!(narrowed(&ceiling, &draft(), share("aurora.soar.test", Tlp::Clear), soar).is_ok());
        let mut removed = attestation;
        removed.fields = vec![("asset".to_owned(), "press-4".to_owned()), ("asset.x".to_owned(), "alerts".to_owned())];
        let said = refused(&ceiling, &removed, share("aurora.cps.attestation.press-4", Tlp::Clear));
        assert!(said.contains("it is removed from the event"), "{said}");
        let said = refused(&ceiling, &removed, share("aurora.alerts.10.0.0.7", Tlp::Clear));
        assert!(said.contains("reserved"), "{said}");
    }

    #[test]
    fn nothing_is_masked_where_that_is_not_wanted() {
        let ceiling = ceiling(|config| config.federation.ceiling.never.mask = false);
        let sent = narrowed(&ceiling, &draft(), share(ALERTS, Tlp::Clear), "test").unwrap();
        assert!(sent.masked.is_empty());
    }

    #[test]
    fn masked_parts_that_overlap_are_one() {
        let (ceiling, draft) = (ceiling(|_| {}), draft());
        let (events, context, metrics) = (Events::of([&draft]).unwrap(), Context::default(), Metrics::new());
        let one = Narrowing { ceiling: &ceiling, event: events.get(0), context: &context, metrics: &metrics };
        let mut secrets = Secrets::default();
        ["http://x.local/a", "local/a b"].into_iter().for_each(|secret| secrets.add(secret));
        let masked = one.masked("see http://x.local/a b, ::ffff:10.0.0.1", &secrets);
        assert_eq!(masked.as_deref(), Some("see [masked], [masked]"));
        assert_eq!(one.masked("nothing here", &secrets), None);
    }

    #[test]
    fn a_second_set_alone_takes_the_place_of_the_first() {
        let ceiling = ceiling(|config| config.federation.sets = vec![Set::Capital]);
        let sent = narrowed(&ceiling, &draft(), share(ALERTS, Tlp::Clear), "test").unwrap();
        assert_eq!(sent.subject, "AURORA.alerts");
        let attestation = Draft { kind: Kind::Attestation, ..draft() };
        let subject = "aurora.cps.attestation.x";
        assert_eq!(narrowed(&ceiling, &attestation, share(subject, Tlp::Clear), "test").unwrap().subject, subject);
    }

    #[test]
    fn streams_leave_where_they_are_offered_and_to_their_own_subjects() {
        let offering = ceiling(|config| {
            config.site.id = "here".to_owned();
            config.federation.share = vec![Offer::Audit];
        });
        let (mild, audit) = (Draft { severity: Severity::Info, ..draft() }, Offer::Audit.source());
        assert!(narrowed(&offering, &mild, share("AURORA.audit", Tlp::Amber), audit).is_ok());
        let refused = |subject, source, draft: &Draft| {
            narrowed(&offering, draft, share(subject, Tlp::Amber), source).unwrap_err()
        };
        assert!(refused(ALERTS, audit, &mild).contains("its subject is AURORA.audit"));
        assert!(refused("aurora.soar.x", Offer::Soar.source(), &mild).contains("soar is not in federation.share"));
        let mut foreign = mild.clone();
        foreign.fields.push(("origin".to_owned(), "elsewhere".to_owned()));
        assert!(refused("AURORA.audit", audit, &foreign).contains("another site's"));
        foreign.fields.pop();
        foreign.fields.push(("origin".to_owned(), "here".to_owned()));
        assert!(narrowed(&offering, &foreign, share("AURORA.audit", Tlp::Amber), audit).is_ok());
    }
}
