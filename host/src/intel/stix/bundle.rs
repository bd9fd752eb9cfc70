use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{ids::id, marking, pattern};
use crate::{
    intel::{Known, Times},
    moment::rfc3339,
    sandbox::{ObservableType, Tlp},
};

/// Writes a bundle, object by object: a table may hold a million.
pub struct Bundle<W: Write> {
    out: W,
    /// Id of the identity of the site that exports.
    author: String,
    site: String,
    now_ms: u64,
    sites: BTreeSet<String>,
    markings: [bool; Tlp::ALL.len()],
    objects: usize,
}

/// Most that `count` of a sighting may say.
const MOST_SEEN: u64 = 999_999_999;

impl<W: Write> Bundle<W> {
    /// Begins one of `site`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut out: W, site: &str, now_ms: u64) -> io::Result<Self> {
        let bundle = id("bundle", &[site, &now_ms.to_string()]);
        write!(out, "{{\"type\":\"bundle\",\"id\":\"{bundle}\",\"objects\":[")?;
        let author = id("identity", &[site]);
        let mut begun = Self {
            out,
            author,
            site: site.to_owned(),
            now_ms,
            sites: BTreeSet::new(),
            markings: [false; Tlp::ALL.len()],
            objects: 0,
        };
        begun.identity(site)?;
        Ok(begun)
    }

    /// Adds what is known of an indicator, and one sighting for each site that has seen it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, known: &Known) -> io::Result<()> {
        if !std::mem::replace(&mut self.markings[known.tlp as usize], true) {
            self.object(&marking::definition(known.tlp))?;
        }
        let (kind, value) = (known.indicator.kind(), known.indicator.value());
        let created = rfc3339(known.first_ms.min(self.now_ms));
        let modified = rfc3339(known.last_ms.clamp(known.first_ms.min(self.now_ms), self.now_ms));
        let told: Vec<&str> = known.sites();
        let said = match told.as_slice() {
            [] => String::new(),
            sites => format!("Told by {}.", sites.join(", ")),
        };
        let marked = [marking::id(known.tlp)];
        let (subject, object) = match pattern::write(&known.indicator) {
            Some(pattern) => {
                let subject = id("indicator", &[&self.site, kind.as_str(), value]);
                let mut object = json!({
                    "type": "indicator",
                    "spec_version": "2.1",
                    "id": subject,
                    "created_by_ref": self.author,
                    "created": created,
                    "modified": modified,
                    "name": format!("{}: {value}", kind.as_str()),
                    "indicator_types": ["malicious-activity"],
                    "pattern": pattern,
                    "pattern_type": "stix",
                    "pattern_version": "2.1",
                    "valid_from": created,
                    "object_marking_refs": marked,
                });
                // It must be later than `valid_from`.
                if known.expires_ms > known.first_ms.min(self.now_ms) {
                    object["valid_until"] = rfc3339(known.expires_ms).into();
                }
                (subject, object)
            }
            None => {
                debug_assert_eq!(kind, ObservableType::Cve);
                let subject = id("vulnerability", &[&self.site, value]);
                let object = json!({
                    "type": "vulnerability",
                    "spec_version": "2.1",
                    "id": subject,
                    "created_by_ref": self.author,
                    "created": created,
                    "modified": modified,
                    "name": value,
                    "external_references": [{ "source_name": "cve", "external_id": value }],
                    "object_marking_refs": marked,
                });
                (subject, object)
            }
        };
        let mut object = object;
        if !said.is_empty() {
            object["description"] = said.into();
        }
        self.object(&object)?;
        for (site, times) in &known.sightings {
            self.sighting(&subject, site, *times, &marked[0])?;
        }
        Ok(())
    }

    fn sighting(&mut self, of: &str, site: &str, times: Times, marking: &str) -> io::Result<()> {
        self.identity(site)?;
        let Times { first_ms, last_ms, count } = times;
        let first = first_ms.min(self.now_ms);
        let last = last_ms.clamp(first, self.now_ms);
        let object = json!({
            "type": "sighting",
            "spec_version": "2.1",
            "id": id("sighting", &[of, site]),
            "created_by_ref": self.author,
            "created": rfc3339(first),
            "modified": rfc3339(last),
            "first_seen": rfc3339(first),
            "last_seen": rfc3339(last),
            "count": count.min(MOST_SEEN),
            "sighting_of_ref": of,
            "where_sighted_refs": [id("identity", &[site])],
            "object_marking_refs": [marking],
        });
        self.object(&object)
    }

    /// Who a site is, the first time that it is spoken of.
    fn identity(&mut self, site: &str) -> io::Result<()> {
        if !self.sites.insert(site.to_owned()) {
            return Ok(());
        }
        // The same object whenever it is exported, so it has a time that does not move.
        let since = "2026-01-01T00:00:00.000Z";
        let object = json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": id("identity", &[site]),
            "created": since,
            "modified": since,
            "name": site,
            "identity_class": "organization",
        });
        self.object(&object)
    }

    fn object(&mut self, object: &Value) -> io::Result<()> {
        if self.objects > 0 {
            self.out.write_all(b",")?;
        }
        self.objects += 1;
        self.out.write_all(b"\n")?;
        serde_json::to_writer(&mut self.out, object)?;
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::intel::{Indicator, Source};

    fn known(kind: &str, value: &str, tlp: Tlp) -> Known {
        let times = Times { first_ms: 1000, last_ms: 5000, count: 2 };
        Known {
            indicator: Indicator::new(kind, value).unwrap(),
            sources: BTreeMap::from([("site-a".to_owned(), Source { times, tlp })]),
            sightings: BTreeMap::from([("here".to_owned(), times), ("site-c".to_owned(), times)]),
            first_ms: 1000,
            last_ms: 5000,
            expires_ms: 90_000,
            count: 2,
            tlp,
        }
    }

    fn written(all: &[Known]) -> Value {
        let mut out = Vec::new();
        let mut bundle = Bundle::begin(&mut out, "here", 6000).unwrap();
        all.iter().for_each(|known| bundle.add(known).unwrap());
        bundle.end().unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn all_that_is_referred_to_is_there_once() {
        let bundle = written(&[
            known("ip", "45.155.205.233", Tlp::Green),
            known("cve", "CVE-2021-44228", Tlp::AmberStrict),
            known("domain", "evil.net", Tlp::Green),
        ]);
        let objects = bundle["objects"].as_array().unwrap();
        let ids: Vec<&str> = objects.iter().map(|object| object["id"].as_str().unwrap()).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        for object in objects {
            let refs = ["created_by_ref", "sighting_of_ref"].into_iter().filter_map(|key| object.get(key));
            let lists =
                ["object_marking_refs", "where_sighted_refs"].into_iter().filter_map(|key| object[key].as_array());
            for wanted in refs.chain(lists.flatten()) {
                assert!(ids.contains(&wanted.as_str().unwrap()), "{wanted} of {object}");
            }
            let (created, modified) = (object["created"].as_str(), object["modified"].as_str());
            assert!(modified.is_none_or(|modified| Some(modified) >= created), "{object}");
            assert!(object["id"].as_str().unwrap().starts_with(object["type"].as_str().unwrap()));
        }
        let of = |kind: &str| objects.iter().filter(|object| object["type"] == kind).count();
        let counts = ["indicator", "vulnerability", "sighting", "identity", "marking-definition"].map(of);
        assert_eq!(counts, [2, 1, 6, 2, 2]);
    }

    #[test]
    fn an_indicator_says_from_when_until_when() {
        let bundle = written(&[known("ip", "45.155.205.233", Tlp::Red)]);
        let indicator = &bundle["objects"][2];
        assert_eq!(indicator["pattern"], "[ipv4-addr:value = '45.155.205.233']");
        assert_eq!(indicator["valid_from"], "1970-01-01T00:00:01.000Z");
        assert_eq!(indicator["valid_until"], "1970-01-01T00:01:30.000Z");
        assert_eq!(written(&[known("ip", "45.155.205.233", Tlp::Red)])["objects"][2]["id"], indicator["id"]);
    }
}
