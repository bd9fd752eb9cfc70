//! What is written down: the JSON of normalized events, and of what other sites get.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use uuid::Uuid;

use super::decided::DecidedEvent;
use crate::{
    federation::inbound::Origin,
    intel::Tell,
    moment::rfc3339,
    sandbox::{
        Tlp,
        answer::{Piece, Share},
        events::EventRef,
    },
};

/// A NormalizedEvent as consumers read it.
#[must_use]
pub fn event_json(event: &DecidedEvent<'_>) -> Vec<u8> {
    json(&Record { event, leaving: None }, 512 + 2 * event.payload.len())
}

/// The copy of an event that leaves the site: without the removed fields, with the chosen observables only, with what
/// never leaves blotted out, and with the site and the marking.
#[must_use]
pub fn alert_json(event: &DecidedEvent<'_>, site: &str) -> Vec<u8> {
    let closed = Share::default();
    let leaving = Leaves { site, share: event.share.unwrap_or(&closed) };
    json(&Record { event, leaving: Some(leaving) }, 512 + 2 * event.payload.len())
}

/// A shared observable: `type value source timestamp` as the seed has them, and where it comes from.
#[must_use]
pub fn ioc_json(event: &DecidedEvent<'_>, observable: usize, site: &str, tlp: Tlp) -> Vec<u8> {
    let (kind, _, value) = event.event.observable(observable);
    json(
        &Ioc {
            kind: kind.as_str(),
            value,
            source: PUBLISHER,
            timestamp: rfc3339(event.event.timestamp_ms()),
            site,
            event_id: event.id,
            tlp: tlp.as_str(),
        },
        256,
    )
}

/// An attestation result: `device_id status timestamp` as the seed has them, with the verdict behind it.
#[must_use]
pub fn attestation_json(event: &DecidedEvent<'_>, site: &str) -> Vec<u8> {
    let closed = Share::default();
    let share = event.share.unwrap_or(&closed);
    let Attested { status, valid, reason } = Attested::of(event.event, Some(share));
    json(
        &Attestation {
            device_id: event.device_id().map(|device| share.text(Piece::Device, device)),
            status,
            valid,
            reason,
            timestamp: rfc3339(event.event.timestamp_ms()),
            site,
            event_id: event.id,
        },
        256,
    )
}

/// Who publishes indicators, as consumers of the original know it.
const PUBLISHER: &str = "aurora-rust-core";

#[derive(Serialize)]
struct Ioc<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    value: &'a str,
    source: &'a str,
    timestamp: String,
    site: &'a str,
    #[serde(serialize_with = "hyphenated")]
    event_id: Uuid,
    tlp: &'a str,
}

#[derive(Serialize)]
struct Attestation<'a> {
    device_id: Option<&'a str>,
    status: &'a str,
    valid: bool,
    reason: &'a str,
    timestamp: String,
    site: &'a str,
    #[serde(serialize_with = "hyphenated")]
    event_id: Uuid,
}

/// What an attestation result says.
struct Attested<'a> {
    status: &'a str,
    valid: bool,
    reason: &'a str,
}

impl<'a> Attested<'a> {
    /// As `share` lets it be read; none: by the site itself.
    fn of(event: EventRef<'a>, share: Option<&'a Share>) -> Self {
        let field = |wanted: &str| {
            let found = event.fields().enumerate().find(|(_, (key, _))| *key == wanted);
            found.map_or("", |(position, (_, value))| {
                share.map_or(value, |share| share.text(Piece::Field(position), value))
            })
        };
        Self {
            status: field("attestation.status"),
            valid: field("attestation.valid") == "true",
            reason: field("attestation.reason"),
        }
    }
}

struct Record<'a> {
    event: &'a DecidedEvent<'a>,
    /// In which form it leaves; none: it stays.
    leaving: Option<Leaves<'a>>,
}

#[derive(Clone, Copy)]
struct Leaves<'a> {
    site: &'a str,
    share: &'a Share,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (event, share) = (self.event.event, self.leaving.map(|leaving| leaving.share));
        let text = |piece, own| share.map_or(own, |share: &'_ Share| share.text(piece, own));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &Hyphenated(self.event.id))?;
        map.serialize_entry("source", text(Piece::Source, self.event.source()))?;
        map.serialize_entry("severity", event.severity().as_str())?;
        map.serialize_entry("category", event.category().as_str())?;
        map.serialize_entry("title", text(Piece::Title, event.title()))?;
        map.serialize_entry("description", text(Piece::Description, event.description()))?;
        map.serialize_entry("fields", &Fields(event, share))?;
        map.serialize_entry("iocs", &Iocs(event, share))?;
        let seen = Seen::of(self.event, share);
        if !seen.1.is_empty() {
            map.serialize_entry("iocs_seen", &seen)?;
        }
        map.serialize_entry("mitre_techniques", &Techniques(event))?;
        map.serialize_entry("timestamp_ms", &event.timestamp_ms())?;
        map.serialize_entry("device_id", &self.event.device_id().map(|device| text(Piece::Device, device)))?;
        if event.kind().is_attestation() {
            // As consumers of results know them.
            let verdict = Attested::of(event, share);
            map.serialize_entry("valid", &verdict.valid)?;
            map.serialize_entry("status", verdict.status)?;
            map.serialize_entry("reason", verdict.reason)?;
        }
        if let Some(Leaves { site, share }) = self.leaving {
            map.serialize_entry("site", site)?;
            map.serialize_entry("tlp", share.tlp.as_str())?;
        } else if let Some(Origin { site, tlp, .. }) = self.event.origin {
            // As it came.
            map.serialize_entry("site", site)?;
            map.serialize_entry("tlp", tlp.as_str())?;
        }
        map.end()
    }
}

struct Fields<'a>(EventRef<'a>, Option<&'a Share>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event, Some(share)) = self else { return serializer.collect_map(self.0.fields()) };
        let fields = event.fields().enumerate();
        let kept = fields.filter(|(_, (key, _))| !share.remove.iter().any(|removed| removed == key));
        serializer.collect_map(kept.map(|(position, (key, value))| (key, share.text(Piece::Field(position), value))))
    }
}

struct Iocs<'a>(EventRef<'a>, Option<&'a Share>);

#[derive(Serialize)]
struct TypeAndValue<'a> {
    r#type: &'a str,
    value: &'a str,
}

impl Serialize for Iocs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (position, (kind, _, value)) in self.0.observables().enumerate() {
            if self.1.is_none_or(|share| share.observables.contains(&(position as u32))) {
                list.serialize_element(&TypeAndValue { r#type: kind.as_str(), value })?;
            }
        }
        list.end()
    }
}

/// Those of the observables that leave which the event only has, so that nobody takes them for indicators that this site
/// tells of; by position.
struct Seen<'a>(EventRef<'a>, Vec<u32>);

impl<'a> Seen<'a> {
    /// None of an event that stays.
    fn of(event: &DecidedEvent<'a>, share: Option<&Share>) -> Self {
        let shared: &[u32] = share.map_or(&[], |share| share.observables.as_slice());
        let seen = shared.iter().copied().filter(|&observable| event.tells(observable) != Tell::Indicator);
        Self(event.event, seen.collect())
    }
}

impl Serialize for Seen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|&observable| {
            let (kind, _, value) = self.0.observable(observable as usize);
            TypeAndValue { r#type: kind.as_str(), value }
        }))
    }
}

struct Techniques<'a>(EventRef<'a>);

impl Serialize for Techniques<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.techniques())
    }
}

struct Hyphenated(Uuid);

impl Serialize for Hyphenated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hyphenated(&self.0, serializer)
    }
}

fn hyphenated<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

fn json(value: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    // Strings and numbers into a Vec: nothing here can fail.
    let written = serde_json::to_writer(&mut out, value);
    debug_assert!(written.is_ok());
    out
}
