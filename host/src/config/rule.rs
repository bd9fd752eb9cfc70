//! `[[guests.<stage>.rule]]`: a guest for some of the events, with every key of a stage's own guest beside its
//! conditions.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Guest, findings::Findings};
use crate::event::{is_format, is_source};

/// `[[guests.<stage>.rule]]`. The first rule of a stage that fits a raw event chooses the guest for it and for all that
/// it becomes; what fits none is for `[guests.<stage>]`.
#[derive(Clone, Debug, Default)]
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
            if let Some(what) = wrong_filter(filter) {
                let remedy = "write an MQTT topic filter, as in \"acme/+/events\" or \"acme/#\"";
                findings.problem(format!("{}[{index}]", key("topic")), what, remedy);
            }
        }
        let names: [(&str, &Vec<String>, fn(&str) -> bool, &str); 2] = [
            ("source", &self.source, is_source, "A-Z a-z 0-9 _ . -"),
            ("format", &self.format, is_format, "a-z 0-9 _ -"),
        ];
        for (name, patterns, valid, letters) in names {
            for (index, pattern) in patterns.iter().enumerate() {
                if !valid(&pattern.replace('*', "a")) {
                    let what = format!("{pattern:?} matches no {name}");
                    findings.problem(format!("{}[{index}]", key(name)), what, format!("write it of {letters} and *"));
                }
            }
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

fn wrong_filter(filter: &str) -> Option<&'static str> {
    if filter.is_empty() || filter.contains('\0') {
        return Some("is no topic filter");
    }
    if filter.starts_with("$share/") {
        return Some("is a shared subscription, which is no part of an event's topic");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Some("has # before its end"),
            "#" | "+" => {}
            level if level.contains(['#', '+']) => return Some("has # or + within a level"),
            _ => {}
        }
    }
    None
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
        let guest = Guest::deserialize(MapAccessDeserializer::new(Rest { map, rule: &mut rule }))?;
        rule.guest = guest;
        Ok(rule)
    }
}

/// The keys of the table that are the guest's. Takes out the rule's own on the way.
struct Rest<'r, A> {
    map: A,
    rule: &'r mut Rule,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = seed;
        loop {
            seed = match self.map.next_key_seed(Key(seed))? {
                None => return Ok(None),
                Some(Found::Guest(key)) => return Ok(Some(key)),
                Some(Found::Own(own, seed)) => {
                    match own {
                        "name" => self.rule.name = self.map.next_value()?,
                        "topic" => self.rule.topic = self.map.next_value()?,
                        "source" => self.rule.source = self.map.next_value()?,
                        "format" => self.rule.format = self.map.next_value()?,
                        _ => {
                            self.map.next_value::<IgnoredAny>()?;
                        }
                    }
                    seed
                }
            };
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Whose a key is.
enum Found<T, K> {
    Own(&'static str, K),
    Guest(T),
}

struct Key<K>(K);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<K> {
    type Value = Found<K::Value, K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        if let Some(own) = OWN.iter().find(|own| **own == key) {
            return Ok(Found::Own(own, self.0));
        }
        if key == "rule" {
            return Err(D::Error::custom("a rule has no rules of its own"));
        }
        self.0.deserialize(key.into_deserializer()).map(Found::Guest)
    }
}
