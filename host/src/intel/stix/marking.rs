//! Markings. The ids of TLP 1 are fixed in section 7.2.1.4 of STIX 2.1, which knows no other; those of TLP 2.0 in an
//! extension of the same committee. `AMBER+STRICT` is new in 2.0, and anything of TLP 1 in its place would say too much or too
//! little, so it alone goes out as the extension.

use serde_json::{Value, json};

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

/// The marking with this id, in either version of TLP.
pub(super) fn of_id(id: &str) -> Option<Tlp> {
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
}
