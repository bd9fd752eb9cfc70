use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::{
    Origin, Sort,
    wire::{self, Attestation, Event, Listed},
};
use crate::{
    event::is_device_id,
    intel::{self, Indicator, Seen, What},
    sandbox::{Category, Kind, ObservableType, Scope, Severity, Tlp, events::Draft},
};

/// A message of another site that is sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where it comes from.
    pub origin: Origin,
    /// The moment of which it speaks, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The event that it is, if it is one.
    pub event: Option<Draft>,
    /// Indicators that it tells of.
    pub indicators: Vec<Indicator>,
}

impl Message {
    /// The event that it is. What is none is shown as one, for whoever judges messages: its indicators are its observables.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, Draft> {
        if let Some(event) = &self.event {
            return Cow::Borrowed(event);
        }
        let observables = self.indicators.iter().map(|one| (one.kind(), Scope::Public, one.value().to_owned()));
        Cow::Owned(Draft {
            kind: Kind::Alert,
            severity: Severity::Info,
            category: Category::Network,
            timestamp_ms: self.timestamp_ms,
            fields: Vec::new(),
            observables: observables.collect(),
            techniques: Vec::new(),
            source: self.origin.site.clone(),
            device_id: String::new(),
            dedup_key: String::new(),
            title: String::new(),
            description: String::new(),
        })
    }

    /// What it tells of indicators, as a message of this `sort`.
    pub(super) fn tells(self, sort: Sort) -> Vec<Seen> {
        let Self { origin, timestamp_ms, indicators, .. } = self;
        let ms = u64::try_from(timestamp_ms).unwrap_or_default();
        let of = |indicator: Indicator| Seen {
            indicator,
            site: origin.site.clone(),
            first_ms: ms,
            last_ms: ms,
            tlp: origin.tlp,
            expires_ms: None,
            // An alert and the messages of its indicators tell of them once.
            message: format!("{}:{}", origin.site, origin.id),
            what: if let Sort::Sighting(_) = sort { What::Sighting } else { What::Indicator },
            // No message withdraws.
            edition: None,
        };
        indicators.into_iter().map(of).collect()
    }
}

/// What says nothing of its marking: for the recipient's organisation and its clients.
const UNMARKED: Tlp = Tlp::Amber;

/// A clock may be ahead by so much, milliseconds.
const AHEAD: i64 = 86_400_000;

/// Lengths in bytes, and counts.
const SHORT: usize = 256;
const TITLE: usize = 4096;
const LONG: usize = 65_536;
const FIELDS: usize = 1024;
const OBSERVABLES: usize = 1024;
const TECHNIQUES: usize = 256;

/// Where messages come from, and what is known of how they did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'a> {
    /// The site, out of the header.
    pub site: &'a str,
    /// Whether the message may name no site itself.
    pub is_unnamed: bool,
    pub sort: Sort,
    /// When we got it.
    pub received_ms: i64,
}

/// Reads a message of `arrived`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(payload: &[u8], arrived: Arrived<'_>) -> Result<Message, String> {
    match arrived.sort {
        Sort::Attestation => attestation(payload, arrived),
        Sort::Indicator(kind) | Sort::Sighting(kind) => indicator(payload, kind, arrived),
        Sort::Alert | Sort::AgentResult | Sort::Audit | Sort::Soar => event(payload, arrived),
    }
}

fn event(payload: &[u8], arrived: Arrived<'_>) -> Result<Message, String> {
    let event: Event = object(payload)?;
    let mut origin = arrived.origin(event.site.as_deref(), event.tlp.as_deref(), uuid("id", &event.id)?)?;
    // What the indicators in it came to that site with: that may tighten, and nothing else.
    if let Some(came) = event.fields.get(intel::TLP).and_then(|text| Tlp::read(text)) {
        origin.tlp = origin.tlp.stricter(came);
    }
    let timestamp_ms = arrived.time("timestamp_ms", event.timestamp_ms)?;
    let one_of = |name: &str, text: &str| format!("`{name}` is {}, which it cannot be", shown(text));
    let severity = Severity::ALL.into_iter().find(|one| one.as_str() == event.severity);
    let category = Category::ALL.into_iter().find(|one| one.as_str() == event.category);
    let severity = severity.ok_or_else(|| one_of("severity", &event.severity))?;
    let category = category.ok_or_else(|| one_of("category", &event.category))?;
    let device_id = event.device_id.unwrap_or_default();
    for (name, text, most) in [
        ("source", &event.source, SHORT),
        ("title", &event.title, TITLE),
        ("description", &event.description, LONG),
        ("device_id", &device_id, SHORT),
    ] {
        within(name, text.len(), most, "bytes")?;
    }
    within("fields", event.fields.len(), FIELDS, "entries")?;
    within("mitre_techniques", event.mitre_techniques.len(), TECHNIQUES, "entries")?;
    for (key, value) in &event.fields {
        within("a key of `fields`", key.len(), SHORT, "bytes")?;
        within("a value of `fields`", value.len(), LONG, "bytes")?;
    }
    for technique in &event.mitre_techniques {
        within("one of `mitre_techniques`", technique.len(), SHORT, "bytes")?;
    }
    let (listed, seen) = (observables("iocs", event.iocs)?, observables("iocs_seen", event.iocs_seen)?);
    let draft = Draft {
        kind: Kind::Alert,
        severity,
        category,
        timestamp_ms,
        // What a match made of it here only this host says; what one made of it there is that site's to know.
        fields: event.fields.into_iter().filter(|(key, _)| !intel::is_ours(key)).collect(),
        observables: listed.iter().map(|(kind, value)| (*kind, Scope::Public, value.clone())).collect(),
        techniques: event.mitre_techniques,
        source: if event.source.is_empty() { arrived.site.to_owned() } else { event.source },
        device_id,
        dedup_key: String::new(),
        title: event.title,
        description: event.description,
    };
    // What a site's guests took for one and is none is that site's business.
    let of = |(kind, value): &(ObservableType, String)| Indicator::of(*kind, value).ok();
    // Nor do they take the mark of the message that comes behind, of a sighting.
    let seen: HashSet<_> = seen.iter().filter_map(of).map(|indicator| indicator.id()).collect();
    let indicators = listed.iter().filter_map(of).filter(|indicator| !seen.contains(&indicator.id())).collect();
    Ok(Message { origin, timestamp_ms, event: Some(draft), indicators })
}

/// The observables of a list of this name.
fn observables(name: &str, all: Vec<Listed>) -> Result<Vec<(ObservableType, String)>, String> {
    within(name, all.len(), OBSERVABLES, "entries")?;
    let of_one = format!("the value of one of `{name}`");
    let mut observables = Vec::with_capacity(all.len());
    for listed in all {
        let Listed::Typed { kind, value } = listed else { continue };
        within(&of_one, value.len(), TITLE, "bytes")?;
        // A later version may know more types.
        observables.extend(typed(&kind).map(|kind| (kind, value)));
    }
    Ok(observables)
}

fn attestation(payload: &[u8], arrived: Arrived<'_>) -> Result<Message, String> {
    let result: Attestation = object(payload)?;
    let id = result.event_id.as_deref().map_or_else(|| Ok(of_bytes(payload)), |id| uuid("event_id", id))?;
    let origin = arrived.origin(result.site.as_deref(), result.tlp.as_deref(), id)?;
    let timestamp_ms = arrived.time("timestamp", moment(&result.timestamp)?)?;
    let device = result.device_id.unwrap_or_default();
    for (name, text, most) in
        [("device_id", &device, SHORT), ("status", &result.status, SHORT), ("reason", &result.reason, TITLE)]
    {
        within(name, text.len(), most, "bytes")?;
    }
    let valid = result.valid.unwrap_or(result.status == "valid");
    let texts = [("status", result.status.clone()), ("valid", valid.to_string()), ("reason", result.reason)];
    let draft = Draft {
        kind: Kind::Attestation,
        severity: if valid { Severity::Info } else { Severity::Critical },
        category: Category::Cps,
        timestamp_ms,
        fields: texts.map(|(name, text)| (format!("attestation.{name}"), text)).into(),
        observables: Vec::new(),
        techniques: Vec::new(),
        source: arrived.site.to_owned(),
        title: format!("Attestation of {device}: {}", result.status),
        device_id: device,
        dedup_key: String::new(),
        description: String::new(),
    };
    Ok(Message { origin, timestamp_ms, event: Some(draft), indicators: Vec::new() })
}

fn indicator(payload: &[u8], of_subject: Option<ObservableType>, arrived: Arrived<'_>) -> Result<Message, String> {
    let indicator: wire::Indicator = object(payload)?;
    let id = indicator.event_id.as_deref().map_or_else(|| Ok(of_bytes(payload)), |id| uuid("event_id", id))?;
    let origin = arrived.origin(indicator.site.as_deref(), indicator.tlp.as_deref(), id)?;
    let timestamp_ms = arrived.time("timestamp", moment(&indicator.timestamp)?)?;
    let kind = typed(&indicator.kind).ok_or_else(|| format!("`type` is {}, which is none", shown(&indicator.kind)))?;
    if let Some(other) = of_subject.filter(|other| *other != kind) {
        return Err(format!("`type` is {}, but its subject is that of {}", kind.as_str(), other.as_str()));
    }
    let indicator = Indicator::of(kind, &indicator.value).map_err(|error| format!("`value` {error}"))?;
    Ok(Message { origin, timestamp_ms, event: None, indicators: vec![indicator] })
}

impl Arrived<'_> {
    /// Header and message must say the same.
    fn origin(&self, site: Option<&str>, tlp: Option<&str>, id: Uuid) -> Result<Origin, String> {
        match site {
            Some(site) if site == self.site && is_device_id(site) => {}
            Some(site) => {
                return Err(format!("`site` is {}, but its header says {}", shown(site), shown(self.site)));
            }
            None if self.is_unnamed => {}
            None => return Err("it has no `site`".to_owned()),
        }
        let tlp = tlp.map_or(Ok(UNMARKED), |text| {
            let text = text.strip_prefix("TLP:").unwrap_or(text);
            let all = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];
            all.into_iter().find(|tlp| tlp.as_str() == text).ok_or_else(|| format!("`tlp` is {}", shown(text)))
        })?;
        Ok(Origin { site: self.site.to_owned(), id, tlp })
    }

    fn time(&self, name: &str, ms: i64) -> Result<i64, String> {
        if ms < 0 || ms > self.received_ms.saturating_add(AHEAD) {
            return Err(format!("`{name}` is {ms} ms since 1970, which is before that or more than a day ahead"));
        }
        Ok(ms)
    }
}

fn object<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| format!("it is no such message: {error}"))
}

fn within(name: &str, length: usize, most: usize, unit: &str) -> Result<(), String> {
    if length <= most {
        return Ok(());
    }
    let name = if name.contains(' ') { name.to_owned() } else { format!("`{name}`") };
    Err(format!("{name} has {length} {unit}, {most} are the most"))
}

fn typed(text: &str) -> Option<ObservableType> {
    ObservableType::ALL.into_iter().find(|kind| kind.as_str() == text)
}

fn uuid(name: &str, text: &str) -> Result<Uuid, String> {
    // The other spellings of a UUID would be as many names of one event.
    let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text);
    id.ok_or_else(|| format!("`{name}` is {}, which is no UUID as we write them", shown(text)))
}

fn moment(text: &str) -> Result<i64, String> {
    let moment = chrono::DateTime::parse_from_rfc3339(text);
    let moment = moment.map_err(|_| format!("`timestamp` is {}, which is no time as in RFC 3339", shown(text)))?;
    Ok(moment.timestamp_millis())
}

/// The id of what has none.
fn of_bytes(payload: &[u8]) -> Uuid {
    let digest: [u8; 32] = Sha256::digest(payload).into();
    Builder::from_custom_bytes(std::array::from_fn(|index| digest[index])).into_uuid()
}

/// Enough of a text to recognise it by.
fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The site that a message names, whatever else it says; for one whose header names none.
pub(super) fn names_a_site(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        site: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Named>(payload).is_ok_and(|named| named.site.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_763_780_000_000;
    const ID: &str = "3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e";

    fn arrived(sort: Sort) -> Arrived<'static> {
        Arrived { site: "north", is_unnamed: false, sort, received_ms: NOW }
    }

    fn alert() -> Value {
        json!({
            "id": ID, "source": "suricata", "severity": "high", "category": "network", "title": "t", "description": "d",
            "fields": { "src_ip": "45.155.205.233" }, "iocs": [{ "type": "ip", "value": "45.155.205.233" }],
            "mitre_techniques": ["T1071"], "timestamp_ms": NOW, "device_id": null, "site": "north", "tlp": "AMBER+STRICT",
        })
    }

    fn of(sort: Sort, message: &Value) -> Result<Message, String> {
        read(message.to_string().as_bytes(), arrived(sort))
    }

    #[test]
    fn an_alert_keeps_what_it_says_and_its_marking() {
        let Message { origin, event, indicators, .. } = of(Sort::Alert, &alert()).unwrap();
        assert_eq!((origin.site.as_str(), origin.id.to_string().as_str()), ("north", ID));
        assert_eq!(origin.tlp, Tlp::AmberStrict);
        let event = event.unwrap();
        assert_eq!((event.title.as_str(), event.severity, event.category), ("t", Severity::High, Category::Network));
        assert_eq!(indicators.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ip:45.155.205.233"]);
    }

    #[test]
    fn nobody_else_writes_the_fields_of_the_host_and_a_marking_in_them_only_tightens() {
        for (tlp, came, after) in [("AMBER", "RED", Tlp::Red), ("AMBER", "CLEAR", Tlp::Amber), ("RED", "x", Tlp::Red)] {
            let mut alert = alert();
            alert["tlp"] = json!(tlp);
            alert["fields"] = json!({
                "intel": "not looked up", "intel.match": "ip:1.2.3.4", "intel.raised": "low to critical",
                "intel.sources": "x", "intel.tlp": came, "intelligence": "y", "user": "z",
            });
            let Message { origin, event, .. } = of(Sort::Alert, &alert).unwrap();
            let fields = event.unwrap().fields;
            let keys: Vec<_> = fields.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!((keys.as_slice(), origin.tlp), (&["intelligence", "user"][..], after), "{tlp} {came}");
        }
    }

    #[test]
    fn what_it_does_not_know_it_passes_over() {
        let mut alert = alert();
        alert["colour"] = json!({ "deep": [1, null] });
        alert["iocs"] =
            json!(["45.155.205.233", { "type": "smell", "value": "x" }, { "type": "ip", "value": "1.2.3.4" }]);
        assert_eq!(of(Sort::Alert, &alert).unwrap().indicators.len(), 1);
    }

    #[test]
    fn what_a_site_has_only_seen_it_does_not_tell() {
        let mut alert = alert();
        let listed = |kind: &str, value: &str| json!({ "type": kind, "value": value });
        alert["iocs"] =
            json!([listed("ip", "45.155.205.233"), listed("domain", "evil.net"), listed("domain", "a.net")]);
        // In another spelling, in none that is known, and what is not there.
        alert["iocs_seen"] =
            json!([listed("domain", "EVIL.net."), "a.net", listed("smell", "x"), listed("ip", "1.2.3.4")]);
        let Message { event, indicators, .. } = of(Sort::Alert, &alert).unwrap();
        assert_eq!(event.unwrap().observables.len(), 3, "the event is kept as it is");
        let told: Vec<_> = indicators.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["ip:45.155.205.233", "domain:a.net"]);
    }

    #[test]
    fn whatever_is_wrong_is_refused_with_a_reason() {
        for (field, value, said) in [
            ("id", json!("x"), "`id` is `x`"),
            ("id", json!(ID.to_uppercase()), "which is no UUID"),
            ("severity", json!("High"), "`severity` is `High`"),
            ("category", json!("x\n"), "`category` is `x\\n`"),
            ("site", json!("south"), "`site` is `south`, but its header says `north`"),
            ("site", Value::Null, "it has no `site`"),
            ("tlp", json!("WHITE"), "`tlp` is `WHITE`"),
            ("timestamp_ms", json!(-1), "`timestamp_ms` is -1"),
            ("timestamp_ms", json!(NOW + AHEAD + 1), "more than a day ahead"),
            ("timestamp_ms", json!("soon"), "no such message"),
            ("title", json!("x".repeat(TITLE + 1)), "`title` has 4097 bytes"),
            ("fields", json!({ "a": 1 }), "no such message"),
            ("fields", json!({ "x".repeat(300): "" }), "a key of `fields` has 300 bytes"),
            ("iocs", json!(vec![json!({ "type": "ip", "value": "1.2.3.4" }); OBSERVABLES + 1]), "`iocs` has 1025"),
            ("iocs", json!([7]), "no such message"),
            ("iocs_seen", json!(vec!["x"; OBSERVABLES + 1]), "`iocs_seen` has 1025"),
            ("iocs_seen", json!([{ "type": "ip", "value": "1".repeat(TITLE + 1) }]), "one of `iocs_seen` has 4097"),
            ("iocs_seen", json!(7), "no such message"),
            ("mitre_techniques", json!(vec!["T1"; TECHNIQUES + 1]), "`mitre_techniques` has 257"),
        ] {
            let mut alert = alert();
            alert[field] = value;
            let why = of(Sort::Alert, &alert).unwrap_err();
            assert!(why.contains(said), "{field}: {why}");
            assert!(why.len() < 400, "{why}");
        }
        for payload in [&b""[..], b"7", b"[]", b"{}", b"{\"id\":", b"\xff", &[b'['; 100_000]] {
            assert!(read(payload, arrived(Sort::Alert)).is_err());
        }
    }

    #[test]
    fn an_attestation_is_read_with_and_without_what_we_add_to_the_seeds() {
        let ours = json!({
            "device_id": "door_1", "status": "failed", "valid": false, "reason": "r", "timestamp": "2025-11-01T00:00:00Z",
            "site": "north", "event_id": ID,
        });
        let message = of(Sort::Attestation, &ours).unwrap();
        let event = message.event.unwrap();
        assert_eq!(
            (event.severity, event.device_id.as_str(), event.kind),
            (Severity::Critical, "door_1", Kind::Attestation)
        );
        assert_eq!((message.origin.id.to_string().as_str(), message.origin.tlp), (ID, Tlp::Amber));
        let seeds = br#"{"device_id":"door_1","status":"valid","timestamp":"2025-11-01T00:00:00+00:00"}"#;
        let unnamed = Arrived { is_unnamed: true, ..arrived(Sort::Attestation) };
        let message = read(seeds, unnamed).unwrap();
        assert_eq!(message.event.unwrap().severity, Severity::Info);
        assert_eq!(message.origin.id, read(seeds, unnamed).unwrap().origin.id);
    }

    #[test]
    fn an_indicator_has_the_type_of_its_subject() {
        let ioc = |kind: &str| json!({ "type": kind, "value": "1.2.3.4", "source": "x", "timestamp": "2025-11-01T00:00:00Z", "site": "north" });
        let ip = Sort::Indicator(Some(ObservableType::Ip));
        assert_eq!(of(ip, &ioc("ip")).unwrap().indicators, [Indicator::of(ObservableType::Ip, "1.2.3.4").unwrap()]);
        let message = of(Sort::Indicator(None), &ioc("ip")).unwrap();
        assert_eq!(message.event, None);
        let shown = message.shown();
        assert_eq!(shown.observables, [(ObservableType::Ip, Scope::Public, "1.2.3.4".to_owned())]);
        assert_eq!((shown.title.as_str(), shown.source.as_str()), ("", "north"));
        assert!(of(ip, &ioc("domain")).unwrap_err().contains("its subject is that of ip"));
        assert!(of(ip, &ioc("smell")).unwrap_err().contains("`type` is `smell`"));
    }
}
