//! `[[guests.<stage>.rule]]`: a guest for some of the events, with every key of a stage's own guest beside its
//! conditions.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor},
};

use super::{Guest, Purpose, findings::Findings};
use crate::{broker::mqtt::check_filter, event::is_format};

/// `[[guests.<stage>.rule]]`. The first rule of a stage that fits a raw event chooses the guest for it and for all that
/// it becomes; what fits none is for `[guests.<stage>]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Names the guest's place, `<stage>/<name>`. `[a-z0-9_-]{1,32}`, required, once in a stage.
    pub name: String,
    /// MQTT topic filters, one of which must match. An event without a topic fits none.
    pub topic: Vec<String>,
    /// Names of origins, one of which must match; `*` stands for any characters.
    pub source: Vec<String>,
    /// Formats that the source declares, one of which must match; `*` likewise.
    pub format: Vec<String>,
    /// Everything else.
    pub guest: Guest,
}

/// Keys of a rule that a stage's own guest does not have.
const OWN: [&str; 4] = ["name", "topic", "source", "format"];

/// The key of a stage's own guest that a rule does not have.
const NOT_IN_A_RULE: &str = "rule";

/// Most rules of a stage: each costs an instance in every lane, and a series in each of the guests' metrics.
const MOST: usize = 32;

impl Rule {
    fn validate(&self, section: &str, findings: &mut Findings) {
        let key = |name: &str| format!("{section}.{name}");
        if self.name.is_empty() {
            findings.problem(key("name"), "is missing or empty", "give the rule a name, as in name = \"acme\"");
        } else if !is_format(&self.name) {
            let what = format!("{:?} is no name of a rule", self.name);
            findings.problem(key("name"), what, "choose 1 to 32 of a-z 0-9 _ -");
        }
        let conditions = [("topic", &self.topic), ("source", &self.source), ("format", &self.format)];
        if conditions.iter().all(|(name, values)| !findings.given(&key(name), !values.is_empty())) {
            let remedy = "set `topic`, `source` or `format`, or name the guest in the stage's own section";
            findings.problem(section, "has no condition, so the stage's own guest would never be asked", remedy);
        }
        for (index, filter) in self.topic.iter().enumerate() {
            let key = format!("{}[{index}]", key("topic"));
            let remedy = "write an MQTT topic filter, as in \"acme/+/events\" or \"acme/#\"";
            if filter.starts_with("$share/") {
                findings.problem(key, "is a shared subscription, which is no part of an event's topic", remedy);
            } else if let Err(what) = check_filter(filter) {
                findings.problem(key, what, remedy);
            }
        }
        for (name, patterns) in [("source", &self.source), ("format", &self.format)] {
            for (index, pattern) in patterns.iter().enumerate() {
                let odd = |c: char| c.is_control() || c.is_whitespace();
                if pattern.is_empty() || pattern.len() > 64 || pattern.contains(odd) {
                    let remedy = "choose a word of at most 64 characters, in which * stands for any of them";
                    findings.problem(format!("{}[{index}]", key(name)), "is empty, too long, or holds spaces", remedy);
                }
            }
        }
        // A stage's own guest may be found elsewhere by a command; what a rule chooses may not.
        if !self.guest.is_named() && findings.purpose() == Purpose::Pipe {
            findings.problem(key("path"), "is missing or empty", "name a component, a .wasm file");
        }
        self.guest.validate(section, findings);
    }
}

/// Checks the rules of `stage`, as in `guests.route`.
pub(super) fn validate(rules: &[Rule], stage: &str, findings: &mut Findings) {
    let mut names = HashSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let section = format!("{stage}.rule[{index}]");
        rule.validate(&section, findings);
        if !rule.name.is_empty() && !names.insert(&rule.name) {
            findings.problem(
                format!("{section}.name"),
                "names another rule of the stage as well",
                "choose another name",
            );
        }
    }
    if rules.len() > MOST {
        let what = format!("has {} rules; a stage may have {MOST}", rules.len());
        findings.problem(format!("{stage}.rule"), what, "let one rule have several conditions");
    }
}

/// Written by hand, for a rule has its guest's keys beside its own, and serde's `flatten` would neither refuse unknown
/// keys nor say where a wrong value stands.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table)
    }
}

struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = Rule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
        let mut rule = Rule::default();
        rule.guest = Guest::deserialize(Rest { map, rule: &mut rule, fields: &[] })?;
        Ok(rule)
    }
}

/// The keys of the table that are the guest's. Takes out the rule's own on the way.
struct Rest<'r, A> {
    map: A,
    rule: &'r mut Rule,
    /// The guest's keys.
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(Self { fields, ..self })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, mut seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            seed = match self.map.next_key_seed(Key { seed, fields: self.fields })? {
                None => return Ok(None),
                Some(Found::Guest(key)) => return Ok(Some(key)),
                Some(Found::Name(seed)) => {
                    self.rule.name = self.map.next_value()?;
                    seed
                }
                Some(Found::Topic(seed)) => {
                    self.rule.topic = self.map.next_value()?;
                    seed
                }
                Some(Found::Source(seed)) => {
                    self.rule.source = self.map.next_value()?;
                    seed
                }
                Some(Found::Format(seed)) => {
                    self.rule.format = self.map.next_value()?;
                    seed
                }
            };
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Which key it is. If it is the rule's own, the guest's seed comes back unused.
enum Found<T, K> {
    Name(K),
    Topic(K),
    Source(K),
    Format(K),
    Guest(T),
}

struct Key<K> {
    seed: K,
    fields: &'static [&'static str],
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<K> {
    type Value = Found<K::Value, K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        let guests = || self.fields.iter().filter(|field| **field != NOT_IN_A_RULE);
        match key.as_str() {
            "name" => Ok(Found::Name(self.seed)),
            "topic" => Ok(Found::Topic(self.seed)),
            "source" => Ok(Found::Source(self.seed)),
            "format" => Ok(Found::Format(self.seed)),
            known if guests().any(|field| *field == known) => {
                self.seed.deserialize(key.into_deserializer()).map(Found::Guest)
            }
            unknown => {
                // As serde words it, which is how the rest of the configuration is read.
                let known: Vec<_> = OWN.iter().chain(guests()).map(|field| format!("`{field}`")).collect();
                Err(D::Error::custom(format!("unknown field `{unknown}`, expected one of {}", known.join(", "))))
            }
        }
    }
}
