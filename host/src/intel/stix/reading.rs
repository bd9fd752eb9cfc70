//! A bundle of somebody else's. It is hostile input: what is not understood is told and skipped, and says of itself what it
//! is; nothing is guessed. Beyond its own bytes it takes what one object takes, and its markings.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    marking::Defined,
    objects::{Object, Objects, text, value},
    part::{Item, Part, Skipped, Withdrawal},
    pattern,
};
use crate::{
    intel::{Edition, Indicator},
    sandbox::{ObservableType, Tlp},
};

/// Largest bundle, bytes.
pub const LARGEST: u64 = 256 << 20;

/// Longest id of an object that may be withdrawn, bytes. Those of the standard have 80 at most.
const LONGEST_ID: usize = 256;

/// A bundle that was received: JSON as a whole, of which no object is read yet but for the markings that it defines.
#[derive(Debug)]
pub struct Received<'b> {
    objects: Objects<'b>,
    markings: Defined,
}

#[derive(Deserialize)]
struct Outer<'b> {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default, borrow)]
    objects: Option<&'b RawValue>,
}

impl<'b> Received<'b> {
    /// Looks at one.
    ///
    /// # Errors
    /// It is none.
    pub fn open(bytes: &'b [u8]) -> Result<Self, String> {
        // Some tools of Windows begin a file with it.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let outer: Outer<'b> = serde_json::from_slice(bytes).map_err(|error| format!("is no STIX bundle: {error}"))?;
        match outer.r#type.as_deref() {
            Some("bundle") => {}
            Some(other) => return Err(format!("is no STIX bundle but of type {:?}", cut(other))),
            // As servers of TAXII send them.
            None if outer.objects.is_some() => {}
            None => return Err("is no STIX bundle: it has neither a type nor objects".to_owned()),
        }
        let list = |written| Objects::of(written).ok_or("is no STIX bundle: its objects are no list");
        let objects = outer.objects.map_or(Ok(Objects::default()), list)?;
        let mut markings = Defined::default();
        // They may stand behind what they mark.
        for object in objects.clone().filter(|object| object.contains("marking-definition")) {
            let Ok(object) = Object::read(object) else { continue };
            if matches!(text("type", object.kind), Ok(Some(kind)) if kind == "marking-definition")
                && let Ok(definition) = object.definition()
            {
                markings.take(&definition);
            }
        }
        Ok(Self { objects, markings })
    }

    /// What its objects say at `now_ms`, one by one in their order. It is read anew each time.
    pub fn parts(&self, now_ms: u64) -> impl Iterator<Item = Part> {
        self.objects.clone().enumerate().flat_map(move |(place, object)| self.parts_of(place, object, now_ms))
    }

    fn parts_of(&self, place: usize, written: &str, now_ms: u64) -> Vec<Part> {
        let mut id = format!("object {}", place + 1);
        let skipped = |id: &str, why: String| vec![Part::Skipped(Skipped { id: id.to_owned(), why })];
        let object = match Object::read(written) {
            Ok(object) => object,
            Err(why) => return skipped(&id, why),
        };
        let own_id = text("id", object.id).unwrap_or_default();
        if let Some(own) = &own_id {
            id = cut(own);
        }
        let kind = match text("type", object.kind) {
            Ok(Some(kind)) => kind,
            Ok(None) => return skipped(&id, "it has no type".to_owned()),
            Err(why) => return skipped(&id, why),
        };
        let found = match &*kind {
            "indicator" => of_pattern(&object),
            "vulnerability" => of_vulnerability(&object),
            other => return vec![Part::Other(cut(other))],
        };
        let judged = found.and_then(|found| Ok((found, self.standing(&object, own_id.as_deref(), now_ms)?)));
        let (found, standing) = match judged {
            Ok(judged) => judged,
            Err(why) => return skipped(&id, why),
        };
        let version = text("modified", object.modified).ok().flatten();
        let version = version.as_deref().map(cut).unwrap_or_default();
        let part = |(part, (kind, value)): (usize, (ObservableType, String))| match Indicator::of(kind, &value) {
            Ok(indicator) => standing.part(indicator, format!("{id} {version} {part}")),
            Err(error) => {
                let why = format!("{} {:?} {error}", kind.as_str(), cut(&value));
                Part::Skipped(Skipped { id: id.clone(), why })
            }
        };
        found.into_iter().enumerate().map(part).collect()
    }

    /// Whether an object holds.
    fn standing(&self, object: &Object<'_>, id: Option<&str>, now_ms: u64) -> Result<Standing, String> {
        let (from, until) = (time("valid_from", object.valid_from)?, time("valid_until", object.valid_until)?);
        let modified = time("modified", object.modified);
        let id = id.filter(|id| id.len() <= LONGEST_ID);
        let edition = match (id, &modified) {
            (Some(id), Ok(Some(modified_ms))) => Some(Edition { object: id.to_owned(), modified_ms: *modified_ms }),
            _ => None,
        };
        let why = if object.revoked.is_some_and(|revoked| revoked.get() == "true") {
            Some("it is revoked")
        } else {
            until.is_some_and(|until| until <= now_ms).then_some("it is over")
        };
        if let Some(why) = why {
            let edition = edition.ok_or_else(|| format!("{why}, and does not say in which version of what object"))?;
            return Ok(Standing::Over { edition, why });
        }
        if from.is_some_and(|from| from > now_ms) {
            return Err("its time has not come yet".to_owned());
        }
        Ok(Standing::Holds { from, until, tlp: self.markings.of(&object.markings()?)?, edition })
    }
}

/// What there is to say of an object's indicators.
enum Standing {
    /// They are to be taken.
    Holds { from: Option<u64>, until: Option<u64>, tlp: Option<Tlp>, edition: Option<Edition> },
    /// They are none any more.
    Over { edition: Edition, why: &'static str },
}

impl Standing {
    fn part(&self, indicator: Indicator, name: String) -> Part {
        match self {
            Self::Holds { from, until, tlp, edition } => Part::Item(Item {
                indicator,
                tlp: *tlp,
                first_ms: *from,
                expires_ms: *until,
                name,
                edition: edition.clone(),
            }),
            Self::Over { edition, why } => Part::Withdrawal(Withdrawal { indicator, edition: edition.clone(), why }),
        }
    }
}

fn of_pattern(object: &Object<'_>) -> Result<Vec<(ObservableType, String)>, String> {
    match text("pattern_type", object.pattern_type)?.as_deref() {
        // STIX 2.0 knew no other.
        Some("stix") | None => {}
        Some(other) => return Err(format!("its pattern is of type {:?}", cut(other))),
    }
    let pattern = text("pattern", object.pattern)?.ok_or("it has no pattern")?;
    pattern::read(&pattern).map_err(|what| format!("its pattern is not understood: {what}"))
}

fn of_vulnerability(object: &Object<'_>) -> Result<Vec<(ObservableType, String)>, String> {
    let references = value("external_references", object.external_references)?;
    let mut references = references.as_array().into_iter().flatten().filter(|one| one["source_name"] == "cve");
    let cve = references.find_map(|one| one["external_id"].as_str());
    let own = text("name", object.name)?;
    let name = cve.or(own.as_deref()).ok_or("it has no name")?;
    Ok(vec![(ObservableType::Cve, name.to_owned())])
}

/// Milliseconds since 1970; none if it does not say.
fn time(name: &str, part: Option<&RawValue>) -> Result<Option<u64>, String> {
    if part.is_none() {
        return Ok(None);
    }
    let written = text(name, part)?;
    let time = written.and_then(|text| chrono::DateTime::parse_from_rfc3339(&text).ok());
    let time = time.ok_or_else(|| format!("its {name} is no time"))?;
    Ok(Some(u64::try_from(time.timestamp_millis()).unwrap_or_default()))
}

/// Not more of it than a person reads.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn indicator(more: Value) -> Value {
        let mut object = json!({
            "type": "indicator", "id": "indicator--1", "pattern_type": "stix",
            "pattern": "[ipv4-addr:value = '45.155.205.233']", "modified": "2026-01-01T00:00:00Z",
        });
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    fn parts(objects: Value) -> Vec<Part> {
        let bundle = json!({ "type": "bundle", "id": "bundle--1", "objects": objects }).to_string();
        Received::open(bundle.as_bytes()).unwrap().parts(1_000_000).collect()
    }

    /// The one part that an object has.
    fn part(object: Value) -> Part {
        let mut parts = parts(json!([object]));
        assert_eq!(parts.len(), 1, "{parts:?}");
        parts.remove(0)
    }

    fn item(object: Value) -> Item {
        match part(object) {
            Part::Item(item) => item,
            other => panic!("{other:?}"),
        }
    }

    fn skipped(object: Value) -> Skipped {
        match part(object) {
            Part::Skipped(skipped) => skipped,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_indicator_is_read_with_its_time_and_its_marking() {
        let marked = json!({
            "object_marking_refs": ["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],
            "valid_from": "1970-01-01T00:10:00Z", "valid_until": "1970-01-01T00:20:00.5Z",
        });
        let Item { tlp, first_ms, expires_ms, name, edition, .. } = item(indicator(marked));
        assert_eq!((tlp, first_ms, expires_ms), (Some(Tlp::Amber), Some(600_000), Some(1_200_500)));
        assert_eq!(name, "indicator--1 2026-01-01T00:00:00Z 0");
        let edition = edition.unwrap();
        assert_eq!((edition.object.as_str(), edition.modified_ms), ("indicator--1", 1_767_225_600_000));
        let cve = json!({ "type": "vulnerability", "id": "vulnerability--1", "name": "cve-2021-44228" });
        let cve = item(cve);
        assert_eq!((cve.indicator.to_string().as_str(), cve.edition), ("cve:CVE-2021-44228", None));
    }

    #[test]
    fn what_is_revoked_or_over_withdraws_its_indicators() {
        for (more, said) in [
            (json!({ "revoked": true }), "it is revoked"),
            (json!({ "valid_until": "1970-01-01T00:00:01Z" }), "it is over"),
            // Nobody need know how far it may go to take it away.
            (json!({ "revoked": true, "object_marking_refs": ["marking-definition--x"] }), "it is revoked"),
        ] {
            let Part::Withdrawal(withdrawal) = part(indicator(more)) else { panic!("{said}") };
            assert_eq!(withdrawal.indicator.to_string(), "ip:45.155.205.233");
            assert_eq!((withdrawal.edition.object.as_str(), withdrawal.why), ("indicator--1", said));
        }
        assert!(matches!(part(indicator(json!({ "revoked": false }))), Part::Item(_)));
        for more in [json!({ "modified": null }), json!({ "modified": "soon" }), json!({ "id": null })] {
            let mut object = indicator(json!({ "revoked": true }));
            for (key, value) in more.as_object().unwrap() {
                object[key] = value.clone();
            }
            assert!(skipped(object).why.contains("does not say in which version"), "{more}");
        }
    }

    #[test]
    fn what_is_not_to_be_taken_is_named_with_its_reason() {
        for (more, said) in [
            (json!({ "pattern": "[process:pid = '7']" }), "not understood: the path process:pid"),
            (json!({ "pattern": 7 }), "no pattern"),
            (json!({ "pattern": "x".repeat(1 << 20) }), "its pattern has 1048578 bytes, 262144 are the most"),
            (json!({ "pattern_type": "snort" }), "of type \"snort\""),
            (json!({ "pattern": "[ipv4-addr:value = '999.1.1.1']" }), "is no address"),
            (json!({ "valid_from": "2970-01-01T00:00:01Z" }), "not come yet"),
            (json!({ "valid_until": "soon" }), "valid_until is no time"),
            (
                json!({ "object_marking_refs": ["marking-definition--x"] }),
                "its marking \"marking-definition--x\" is not known",
            ),
            (json!({ "type": null }), "no type"),
        ] {
            let skipped = skipped(indicator(more));
            assert!(skipped.id == "indicator--1" && skipped.why.contains(said), "{skipped:?}");
        }
        assert_eq!(part(json!({ "type": "malware", "id": "malware--1" })), Part::Other("malware".to_owned()));
        let all = parts(json!([{ "type": "malware" }, "x"]));
        assert_eq!(all[1], Part::Skipped(Skipped { id: "object 2".to_owned(), why: "it is no object".to_owned() }));
    }

    #[test]
    fn a_marking_of_the_bundle_counts_wherever_it_stands() {
        let definition = json!({
            "type": "marking-definition", "id": "marking-definition--x",
            "extensions": { "extension-definition--1": { "extension_type": "property-extension", "tlp_2_0": "red" } },
        });
        let marked = indicator(json!({ "granular_markings": [{ "marking_ref": "marking-definition--x" }] }));
        let all = parts(json!([marked, definition]));
        let Part::Item(item) = &all[0] else { panic!("{all:?}") };
        assert_eq!((item.tlp, &all[1..]), (Some(Tlp::Red), &[Part::Other("marking-definition".to_owned())][..]));
    }

    #[test]
    fn a_bundle_may_begin_with_a_mark_or_come_in_an_envelope() {
        let object = indicator(json!({}));
        let envelope = json!({ "more": false, "objects": [object] }).to_string();
        let marked = format!("\u{feff}{}", json!({ "type": "bundle", "objects": [object] }));
        for text in [envelope, marked] {
            let parts: Vec<Part> = Received::open(text.as_bytes()).unwrap().parts(0).collect();
            assert!(matches!(parts[..], [Part::Item(_)]), "{parts:?}");
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused_whole() {
        let objects = "{\"objects\":7}";
        let bundle = "{\"type\":\"bundle\",\"objects\":7}";
        for text in ["", "7", "{}", "{\"type\":\"indicator\"}", "{\"type\":7,\"objects\":[]}", objects, bundle] {
            assert!(Received::open(text.as_bytes()).unwrap_err().contains("is no STIX bundle"), "{text}");
        }
        assert!(Received::open("[".repeat(100_000).as_bytes()).is_err(), "however deep");
        assert_eq!(Received::open(b"{\"type\":\"bundle\"}").unwrap().parts(0).count(), 0);
    }
}
