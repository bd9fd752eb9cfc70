//! A bundle of somebody else's. It is hostile input: what is not understood is told and skipped, and says of itself what it
//! is; nothing is guessed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{marking::Defined, pattern};
use crate::{
    intel::Indicator,
    sandbox::{ObservableType, Tlp},
};

/// Largest bundle, bytes.
pub const LARGEST: u64 = 256 << 20;

/// An indicator of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub indicator: Indicator,
    /// The strictest marking that it has; none: it has none of TLP.
    pub tlp: Option<Tlp>,
    /// From when on, milliseconds since 1970.
    pub first_ms: Option<u64>,
    /// Until when.
    pub expires_ms: Option<u64>,
    /// Object, version and place in its pattern: the same whenever it is read.
    pub name: String,
}

/// An object that is not taken, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its id, or its place in the bundle.
    pub id: String,
    /// Why.
    pub why: String,
}

/// What is in a bundle.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// What is to be taken.
    pub items: Vec<Item>,
    /// What is not.
    pub skipped: Vec<Skipped>,
    /// How many objects there are of types that say nothing of indicators.
    pub others: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Outer<'b> {
    r#type: String,
    /// Read one by one: as values all of them would take ten times their bytes.
    #[serde(default, borrow)]
    objects: Vec<&'b RawValue>,
}

/// Reads a bundle.
///
/// # Errors
/// It is none.
pub fn read(bytes: &[u8], now_ms: u64) -> Result<Contents, String> {
    let outer: Outer<'_> = serde_json::from_slice(bytes).map_err(|error| format!("is no STIX bundle: {error}"))?;
    if outer.r#type != "bundle" {
        return Err(format!("is no STIX bundle but of type {:?}", cut(&outer.r#type)));
    }
    let mut markings = Defined::default();
    for object in outer.objects.iter().filter(|object| object.get().contains("marking-definition")) {
        markings.take(&serde_json::from_str(object.get()).unwrap_or_default());
    }
    let Contents { mut items, mut skipped, mut others } = Contents::default();
    for (place, object) in outer.objects.iter().enumerate() {
        // It is JSON already.
        let object: &Value = &serde_json::from_str(object.get()).unwrap_or_default();
        let id = match object["id"].as_str() {
            Some(id) => cut(id),
            None => format!("object {}", place + 1),
        };
        let mut skip = |why: String| skipped.push(Skipped { id: id.clone(), why });
        let found = match object["type"].as_str() {
            Some("indicator") => of_pattern(object),
            Some("vulnerability") => of_vulnerability(object),
            Some(other) => {
                *others.entry(cut(other)).or_default() += 1;
                continue;
            }
            None => Err("it has no type".to_owned()),
        };
        let found = found.and_then(|found| Ok((found, Validity::of(object, now_ms)?, markings.of(object)?)));
        let (found, validity, tlp) = match found {
            Ok(found) => found,
            Err(why) => {
                skip(why);
                continue;
            }
        };
        for (part, (kind, value)) in found.into_iter().enumerate() {
            match Indicator::of(kind, &value) {
                Ok(indicator) => items.push(Item {
                    indicator,
                    tlp,
                    first_ms: validity.from,
                    expires_ms: validity.until,
                    name: format!("{id} {} {part}", object["modified"].as_str().map(cut).unwrap_or_default()),
                }),
                Err(error) => skip(format!("{} {:?} {error}", kind.as_str(), cut(&value))),
            }
        }
    }
    Ok(Contents { items, skipped, others })
}

fn of_pattern(object: &Value) -> Result<Vec<(ObservableType, String)>, String> {
    match object["pattern_type"].as_str() {
        // STIX 2.0 knew no other.
        Some("stix") | None => {}
        Some(other) => return Err(format!("its pattern is of type {:?}", cut(other))),
    }
    let pattern = object["pattern"].as_str().ok_or("it has no pattern")?;
    pattern::read(pattern).map_err(|what| format!("its pattern is not understood: {what}"))
}

fn of_vulnerability(object: &Value) -> Result<Vec<(ObservableType, String)>, String> {
    let references = object["external_references"].as_array().into_iter().flatten();
    let cve = references.filter(|one| one["source_name"] == "cve").find_map(|one| one["external_id"].as_str());
    let name = cve.or_else(|| object["name"].as_str()).ok_or("it has no name")?;
    Ok(vec![(ObservableType::Cve, name.to_owned())])
}

/// From when until when an object holds.
struct Validity {
    from: Option<u64>,
    until: Option<u64>,
}

impl Validity {
    fn of(object: &Value, now_ms: u64) -> Result<Self, String> {
        if object["revoked"] == true {
            return Err("it is revoked".to_owned());
        }
        let time = |key: &str| match &object[key] {
            Value::Null => Ok(None),
            value => {
                let time = value.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
                let time = time.ok_or_else(|| format!("its {key} is no time"))?;
                Ok::<_, String>(Some(u64::try_from(time.timestamp_millis()).unwrap_or_default()))
            }
        };
        let (from, until) = (time("valid_from")?, time("valid_until")?);
        if until.is_some_and(|until| until <= now_ms) {
            return Err("it is over".to_owned());
        }
        if from.is_some_and(|from| from > now_ms) {
            return Err("its time has not come yet".to_owned());
        }
        Ok(Self { from, until })
    }
}

/// Not more of it than a person reads.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    fn read_one(object: Value) -> Contents {
        let bundle = json!({ "type": "bundle", "id": "bundle--1", "objects": [object] });
        read(bundle.to_string().as_bytes(), 1_000_000).unwrap()
    }

    #[test]
    fn an_indicator_is_read_with_its_time_and_its_marking() {
        let marked = json!({
            "object_marking_refs": ["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],
            "valid_from": "1970-01-01T00:10:00Z", "valid_until": "1970-01-01T00:20:00.5Z",
        });
        let Contents { items, skipped, .. } = read_one(indicator(marked));
        let Item { tlp, first_ms, expires_ms, name, .. } = &items[0];
        assert_eq!((*tlp, *first_ms, *expires_ms), (Some(Tlp::Amber), Some(600_000), Some(1_200_500)));
        assert_eq!(name, "indicator--1 2026-01-01T00:00:00Z 0");
        assert!(skipped.is_empty());
        let cve = json!({ "type": "vulnerability", "id": "vulnerability--1", "name": "cve-2021-44228" });
        assert_eq!(read_one(cve).items[0].indicator.to_string(), "cve:CVE-2021-44228");
    }

    #[test]
    fn what_is_not_to_be_taken_is_named_with_its_reason() {
        for (more, said) in [
            (json!({ "pattern": "[process:pid = '7']" }), "not understood: the path process:pid"),
            (json!({ "pattern": 7 }), "no pattern"),
            (json!({ "pattern_type": "snort" }), "of type \"snort\""),
            (json!({ "pattern": "[ipv4-addr:value = '999.1.1.1']" }), "is no address"),
            (json!({ "revoked": true }), "revoked"),
            (json!({ "valid_until": "1970-01-01T00:00:01Z" }), "over"),
            (json!({ "valid_from": "2970-01-01T00:00:01Z" }), "not come yet"),
            (json!({ "valid_until": "soon" }), "valid_until is no time"),
            (
                json!({ "object_marking_refs": ["marking-definition--x"] }),
                "its marking \"marking-definition--x\" is not known",
            ),
            (json!({ "type": null }), "no type"),
        ] {
            let Contents { items, skipped, .. } = read_one(indicator(more));
            assert!(items.is_empty() && skipped.len() == 1, "{said}");
            assert!(skipped[0].id == "indicator--1" && skipped[0].why.contains(said), "{skipped:?}");
        }
        let Contents { items, skipped, others } = read_one(json!({ "type": "malware", "id": "malware--1" }));
        assert!(items.is_empty() && skipped.is_empty() && others["malware"] == 1);
        assert_eq!(read_one(json!("x")).skipped[0].id, "object 1");
    }

    #[test]
    fn a_marking_of_the_bundle_counts_wherever_it_stands() {
        let definition = json!({
            "type": "marking-definition", "id": "marking-definition--x",
            "extensions": { "extension-definition--1": { "extension_type": "property-extension", "tlp_2_0": "red" } },
        });
        let marked = indicator(json!({ "granular_markings": [{ "marking_ref": "marking-definition--x" }] }));
        let bundle = json!({ "type": "bundle", "id": "bundle--1", "objects": [marked, definition] });
        let Contents { items, skipped, others } = read(bundle.to_string().as_bytes(), 1_000_000).unwrap();
        assert_eq!((items[0].tlp, skipped.len(), others["marking-definition"]), (Some(Tlp::Red), 0, 1));
    }

    #[test]
    fn what_is_no_bundle_is_refused_whole() {
        for text in ["", "7", "{}", "{\"type\":\"indicator\"}", "{\"type\":\"bundle\",\"objects\":7}"] {
            assert!(read(text.as_bytes(), 0).unwrap_err().contains("is no STIX bundle"), "{text}");
        }
        assert!(read("[".repeat(100_000).as_bytes(), 0).is_err(), "however deep");
    }
}
