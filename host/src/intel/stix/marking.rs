//! Markings. The ids of TLP 1 are fixed in section 7.2.1.4 of STIX 2.1, which knows no other; those of TLP 2.0 in an
//! extension of the same committee. `AMBER+STRICT` is new in 2.0, and anything of TLP 1 in its place would say too much or too
//! little, so it alone goes out as the extension.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reading::cut;
use crate::sandbox::Tlp;

const EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// By marking: the id that goes out, and another one that is understood.
const IDS: [(Tlp, &str, &str); 5] = [
    (Tlp::Clear, "613f2e26-407d-48c7-9eca-b8e91df99dc9", "94868c89-83c2-464b-929b-a1a8aa3c8487"),
    (Tlp::Green, "34098fce-860f-48ae-8e50-ebd3cc5e41da", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
    (Tlp::Amber, "f88d31f6-486f-44da-b317-01333bde0b82", "55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
    (Tlp::AmberStrict, "939a9414-2ddd-4d32-a0cd-375ea402b003", "939a9414-2ddd-4d32-a0cd-375ea402b003"),
    (Tlp::Red, "5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "e828b379-4e03-4974-9ac4-e53a884c97c1"),
];

/// The id of a marking.
pub(super) fn id(tlp: Tlp) -> String {
    let (_, id, _) = IDS[tlp as usize];
    format!("marking-definition--{id}")
}

/// Most markings of a bundle that are kept, and the longest id of one, bytes.
const MOST: usize = 10_000;
const LONGEST_ID: usize = 256;

/// Markings that a bundle defines itself, by id: of each what it says of TLP, if anything.
#[derive(Debug, Default)]
pub(super) struct Defined(BTreeMap<String, Option<Tlp>>);

impl Defined {
    /// Takes an object of the bundle in, if it is a marking.
    pub fn take(&mut self, object: &Value) {
        if object["type"] != "marking-definition" {
            return;
        }
        // A word that is none of TLP is not guessed at: such a marking stays unknown.
        let (Some(id), Ok(tlp)) = (object["id"].as_str(), said(object)) else { return };
        let id = plain(id);
        // What a hostile bundle has beyond stays unknown, and what is marked with it is not taken.
        let has_room = self.0.len() < MOST && id.len() <= LONGEST_ID;
        if has_room || self.0.contains_key(&id) {
            let known = self.0.entry(id).or_default();
            *known = strictest([*known, tlp]);
        }
    }

    /// The strictest marking of an object, or of any part of it, for parts are not told apart here; none: TLP does not
    /// speak of it.
    ///
    /// # Errors
    /// It has a marking that nobody knows, so it cannot be said how far it may go.
    pub fn of(&self, object: &Value) -> Result<Option<Tlp>, String> {
        let mut tlp = None;
        for id in references(object)? {
            let (fixed, own) = (of_id(id), self.0.get(&plain(id)));
            if fixed.is_none() && own.is_none() {
                return Err(format!("its marking {:?} is not known", cut(id)));
            }
            tlp = strictest([tlp, fixed, own.copied().flatten()]);
        }
        Ok(tlp)
    }
}

/// Ids of the markings of an object and of its parts.
fn references(object: &Value) -> Result<Vec<&str>, String> {
    let mut all = Vec::new();
    for id in each(&object["object_marking_refs"]) {
        all.push(id.as_str().ok_or("its object_marking_refs are no ids")?);
    }
    for part in each(&object["granular_markings"]) {
        let ids = each(&part["marking_ref"]);
        // One with `lang` says in which language a part is.
        if ids.is_empty() && !part["lang"].is_string() {
            return Err("its granular_markings mark with nothing".to_owned());
        }
        for id in ids {
            all.push(id.as_str().ok_or("its granular_markings have no ids")?);
        }
    }
    Ok(all)
}

/// The values of a list; one that stands without a list is meant as one.
fn each(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(all) => all,
        one => std::slice::from_ref(one),
    }
}

/// What a definition says of TLP 1, of TLP 2.0, or by its name. An error if it is of TLP and cannot be read.
fn said(object: &Value) -> Result<Option<Tlp>, ()> {
    let name = object["name"].as_str().filter(|name| name.to_ascii_uppercase().starts_with("TLP:"));
    let mut tlp = name.and_then(Tlp::read);
    let definition = &object["definition"];
    let extensions = object["extensions"].as_object().into_iter().flat_map(|all| all.values());
    let words = [&definition["tlp"], &definition["tlp_2_0"]].into_iter();
    for word in words.chain(extensions.map(|extension| &extension["tlp_2_0"])).filter(|word| !word.is_null()) {
        let word = word.as_str().and_then(Tlp::read).ok_or(())?;
        tlp = strictest([tlp, Some(word)]);
    }
    let is_of_tlp = name.is_some() || object["definition_type"] == "tlp";
    if is_of_tlp && tlp.is_none() { Err(()) } else { Ok(tlp) }
}

fn strictest<const N: usize>(all: [Option<Tlp>; N]) -> Option<Tlp> {
    all.into_iter().flatten().reduce(Tlp::stricter)
}

/// Ids are compared in lower case: a marking that is overlooked opens what it closes.
fn plain(id: &str) -> String {
    id.trim().to_ascii_lowercase()
}

/// The marking with this id, in either version of TLP.
fn of_id(id: &str) -> Option<Tlp> {
    let id = plain(id);
    let id = id.strip_prefix("marking-definition--")?;
    IDS.into_iter().find(|(_, one, other)| [*one, *other].contains(&id)).map(|(tlp, ..)| tlp)
}

/// The object that a marking is.
pub(super) fn definition(tlp: Tlp) -> Value {
    if tlp == Tlp::AmberStrict {
        return json!({
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": id(tlp),
            "created": "2022-10-01T00:00:00.000Z",
            "name": "TLP:AMBER+STRICT",
            "extensions": { EXTENSION: { "extension_type": "property-extension", "tlp_2_0": "amber+strict" } },
        });
    }
    let word = match tlp {
        Tlp::Clear => "white",
        Tlp::Green => "green",
        Tlp::Amber | Tlp::AmberStrict => "amber",
        Tlp::Red => "red",
    };
    json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": id(tlp),
        "created": "2017-01-20T00:00:00.000Z",
        "definition_type": "tlp",
        "name": format!("TLP:{}", word.to_uppercase()),
        "definition": { "tlp": word },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_marking_has_the_place_of_its_number_and_is_found_again() {
        for (place, tlp) in Tlp::ALL.into_iter().enumerate() {
            assert_eq!((IDS[place].0, of_id(&id(tlp))), (tlp, Some(tlp)));
            assert_eq!(definition(tlp)["id"], id(tlp));
        }
        assert_eq!(of_id("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"), Some(Tlp::Amber));
        assert_eq!(of_id("marking-definition--00000000-0000-4000-8000-000000000000"), None);
    }

    const RED: &str = "marking-definition--5E57C739-391A-4EB3-B6BE-7D15CA92D5ED";
    const GREEN: &str = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da";

    fn defined(more: Value) -> Defined {
        let mut object = json!({ "type": "marking-definition", "id": "marking-definition--X" });
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        let mut defined = Defined::default();
        defined.take(&object);
        defined
    }

    #[test]
    fn the_strictest_marking_counts_wherever_and_however_it_is_written() {
        for (object, tlp) in [
            (json!({}), None),
            (json!({ "object_marking_refs": [] }), None),
            (json!({ "object_marking_refs": [GREEN] }), Some(Tlp::Green)),
            (json!({ "object_marking_refs": [RED] }), Some(Tlp::Red)),
            (json!({ "object_marking_refs": RED }), Some(Tlp::Red)),
            (json!({ "object_marking_refs": [RED, GREEN] }), Some(Tlp::Red)),
            (
                json!({ "object_marking_refs": [GREEN], "granular_markings": [{ "lang": "en", "selectors": ["name"] },
                    { "marking_ref": RED, "selectors": ["description"] }] }),
                Some(Tlp::Red),
            ),
            (json!({ "granular_markings": { "marking_ref": RED } }), Some(Tlp::Red)),
        ] {
            assert_eq!(Defined::default().of(&object), Ok(tlp), "{object}");
        }
    }

    #[test]
    fn a_marking_of_the_bundle_is_read_in_either_version() {
        let marked = json!({ "object_marking_refs": ["marking-definition--x"] });
        for (more, tlp) in [
            (json!({ "definition_type": "tlp", "definition": { "tlp": "red" } }), Some(Tlp::Red)),
            (json!({ "definition": { "tlp_2_0": "amber+strict" } }), Some(Tlp::AmberStrict)),
            (json!({ "extensions": { EXTENSION: { "tlp_2_0": "red" } }, "name": "TLP:GREEN" }), Some(Tlp::Red)),
            (json!({ "name": "TLP:RED" }), Some(Tlp::Red)),
            (json!({ "definition_type": "statement", "definition": { "statement": "(c) us" } }), None),
        ] {
            assert_eq!(defined(more.clone()).of(&marked), Ok(tlp), "{more}");
        }
        let redefined = json!({ "id": RED, "definition": { "tlp": "white" } });
        assert_eq!(defined(redefined).of(&json!({ "object_marking_refs": RED })), Ok(Some(Tlp::Red)));
    }

    #[test]
    fn what_there_is_no_room_for_stays_unknown() {
        let mut defined = Defined::default();
        let mut take = |id: &str, word: &str| {
            defined.take(&json!({ "type": "marking-definition", "id": id, "definition": { "tlp": word } }));
        };
        (0..=MOST).for_each(|number| take(&format!("marking-definition--{number}"), "green"));
        take("marking-definition--0", "red");
        take(&"x".repeat(LONGEST_ID + 1), "green");
        assert_eq!(defined.0.len(), MOST);
        let of =
            |number: usize| defined.of(&json!({ "object_marking_refs": [format!("marking-definition--{number}")] }));
        assert_eq!((of(0), of(1)), (Ok(Some(Tlp::Red)), Ok(Some(Tlp::Green))), "those that are there grow stricter");
        assert!(of(MOST).is_err());
    }

    #[test]
    fn what_nobody_knows_is_not_taken_for_no_marking() {
        for object in [
            json!({ "object_marking_refs": ["marking-definition--y"] }),
            json!({ "object_marking_refs": [GREEN, "marking-definition--y"] }),
            json!({ "object_marking_refs": [7] }),
            json!({ "granular_markings": [{ "marking_ref": "marking-definition--y" }] }),
            json!({ "granular_markings": [{ "selectors": ["name"] }] }),
        ] {
            assert!(defined(json!({})).of(&object).is_err(), "{object}");
        }
        let marked = json!({ "object_marking_refs": ["marking-definition--x"] });
        for more in [json!({ "definition": { "tlp": "purple" } }), json!({ "definition_type": "tlp" })] {
            let refused = defined(more).of(&marked).unwrap_err();
            assert_eq!(refused, "its marking \"marking-definition--x\" is not known");
        }
    }
}
