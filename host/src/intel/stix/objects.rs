//! The objects of a bundle, one by one, and of each only what is asked of it: as values they would take up to 64 times their
//! bytes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Deserializer, Map, Value, value::RawValue};

/// Longest part of an object that is looked at, bytes. As a value it may take 64 times as much, for as long as its object is
/// read.
const LONGEST: usize = 256 << 10;

/// The objects of a bundle, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects<'b>(&'b str);

impl<'b> Objects<'b> {
    /// Those of `list`; none if it is no list.
    pub fn of(list: &'b RawValue) -> Option<Self> {
        list.get().strip_prefix('[').map(Self)
    }
}

impl<'b> Iterator for Objects<'b> {
    type Item = &'b str;

    /// The list as a whole has been found to be JSON, so nothing but commas stands between two of them.
    fn next(&mut self) -> Option<&'b str> {
        let rest: &'b str = self.0.trim_start_matches([' ', '\t', '\n', '\r', ',']);
        let object = <&'b RawValue>::deserialize(&mut Deserializer::from_str(rest)).ok()?.get();
        self.0 = &rest[object.len()..];
        Some(object)
    }
}

/// What is asked of an object, as it is written there. `null` is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object<'o> {
    #[serde(borrow, rename = "type")]
    pub kind: Option<&'o RawValue>,
    #[serde(borrow)]
    pub id: Option<&'o RawValue>,
    #[serde(borrow)]
    pub name: Option<&'o RawValue>,
    #[serde(borrow)]
    pub modified: Option<&'o RawValue>,
    #[serde(borrow)]
    pub revoked: Option<&'o RawValue>,
    #[serde(borrow)]
    pub valid_from: Option<&'o RawValue>,
    #[serde(borrow)]
    pub valid_until: Option<&'o RawValue>,
    #[serde(borrow)]
    pub pattern: Option<&'o RawValue>,
    #[serde(borrow)]
    pub pattern_type: Option<&'o RawValue>,
    #[serde(borrow)]
    pub external_references: Option<&'o RawValue>,
    #[serde(borrow)]
    object_marking_refs: Option<&'o RawValue>,
    #[serde(borrow)]
    granular_markings: Option<&'o RawValue>,
    #[serde(borrow)]
    definition: Option<&'o RawValue>,
    #[serde(borrow)]
    definition_type: Option<&'o RawValue>,
    #[serde(borrow)]
    extensions: Option<&'o RawValue>,
}

impl<'o> Object<'o> {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or says something twice.
    pub fn read(text: &'o str) -> Result<Self, String> {
        // A list would be taken for one by the order of its values.
        if !text.starts_with('{') {
            return Err("it is no object".to_owned());
        }
        serde_json::from_str(text).map_err(|error| format!("it cannot be read: {error}"))
    }

    /// What marks it and its parts.
    ///
    /// # Errors
    /// That is too long.
    pub fn markings(&self) -> Result<Value, String> {
        together([("object_marking_refs", self.object_marking_refs), ("granular_markings", self.granular_markings)])
    }

    /// What it says if it is a marking itself.
    ///
    /// # Errors
    /// That is too long.
    pub fn definition(&self) -> Result<Value, String> {
        together([
            ("type", self.kind),
            ("id", self.id),
            ("name", self.name),
            ("definition", self.definition),
            ("definition_type", self.definition_type),
            ("extensions", self.extensions),
        ])
    }
}

/// The text that the part `name` is; none if it is not there or no text.
///
/// # Errors
/// It is too long.
pub(super) fn text<'o>(name: &str, part: Option<&'o RawValue>) -> Result<Option<Cow<'o, str>>, String> {
    let Some(written) = within(name, part)? else { return Ok(None) };
    // Borrowed where nothing in it is escaped.
    let plain = serde_json::from_str::<&'o str>(written).ok().map(Cow::Borrowed);
    Ok(plain.or_else(|| serde_json::from_str::<String>(written).ok().map(Cow::Owned)))
}

/// The value that the part `name` is, null if it is not there.
///
/// # Errors
/// It is too long or too deep.
pub(super) fn value(name: &str, part: Option<&RawValue>) -> Result<Value, String> {
    let Some(written) = within(name, part)? else { return Ok(Value::Null) };
    serde_json::from_str(written).map_err(|error| format!("its {name} cannot be read: {error}"))
}

fn within<'o>(name: &str, part: Option<&'o RawValue>) -> Result<Option<&'o str>, String> {
    match part.map(RawValue::get) {
        Some(written) if written.len() > LONGEST => {
            Err(format!("its {name} has {} bytes, {LONGEST} are the most", written.len()))
        }
        written => Ok(written),
    }
}

fn together<const N: usize>(parts: [(&str, Option<&RawValue>); N]) -> Result<Value, String> {
    let mut all = Map::new();
    for (name, part) in parts {
        if part.is_some() {
            all.insert(name.to_owned(), value(name, part)?);
        }
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Vec<String> {
        let list: &RawValue = serde_json::from_str(list).unwrap();
        Objects::of(list).unwrap().map(str::to_owned).collect()
    }

    #[test]
    fn each_object_is_found_whatever_it_is() {
        assert_eq!(of("[]"), [""; 0]);
        assert_eq!(of("[ ]"), [""; 0]);
        assert_eq!(
            of("[ {\"a\" : [1, 2]} ,7,\n-1.5e3, \"a],\\\"\", null,true, [[]] , {} ]"),
            ["{\"a\" : [1, 2]}", "7", "-1.5e3", "\"a],\\\"\"", "null", "true", "[[]]", "{}"]
        );
        assert!(Objects::of(serde_json::from_str("7").unwrap()).is_none());
    }

    #[test]
    fn of_an_object_only_what_is_asked_is_read() {
        let deep = format!("{{\"id\":\"a\\u0062\",\"x\":{}{},\"name\":null}}", "[".repeat(1000), "]".repeat(1000));
        let object = Object::read(&deep).unwrap();
        assert_eq!(text("id", object.id), Ok(Some("ab".into())));
        assert_eq!(text("name", object.name), Ok(None));
        assert_eq!(text("id", Object::read("{\"id\":7}").unwrap().id), Ok(None));
        for other in ["[]", "7", "\"a\"", "null", "{\"id\":1,\"id\":2}"] {
            assert!(Object::read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_part_that_is_too_long_is_named() {
        let long = format!("{{\"extensions\":\"{}\",\"granular_markings\":[]}}", "a".repeat(LONGEST));
        let object = Object::read(&long).unwrap();
        assert!(object.markings().unwrap()["granular_markings"].is_array());
        let refused = object.definition().unwrap_err();
        assert_eq!(refused, format!("its extensions has {} bytes, {LONGEST} are the most", LONGEST + 2));
    }
}
