//! Indicators as an event of MISP, in the JSON that its API and its import take.

use std::io::{self, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::Known;
use crate::{
    moment::rfc3339,
    sandbox::{ObservableType, Tlp},
};

/// Writes an event, attribute by attribute.
pub struct MispEvent<W: Write> {
    out: W,
    site: String,
    attributes: usize,
    /// The strictest marking of what it has.
    tlp: Tlp,
}

impl<W: Write> MispEvent<W> {
    /// Begins one of `site`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut out: W, site: &str, now_ms: u64) -> io::Result<Self> {
        let event = json!({
            "uuid": uuid(&["event", site]),
            "info": format!("Shared indicators of {site}"),
            "date": date(now_ms),
            "timestamp": seconds(now_ms),
            "threat_level_id": "2",
            "analysis": "2",
            "distribution": "0",
            "published": false,
            "Orgc": { "uuid": uuid(&["organisation", site]), "name": site },
        });
        let text = event.to_string();
        // The attributes come behind, and then what they make of its marking.
        let open = text.strip_suffix('}').unwrap_or(&text);
        write!(out, "{{\"Event\":{open},\"Attribute\":[")?;
        Ok(Self { out, site: site.to_owned(), attributes: 0, tlp: Tlp::Clear })
    }

    /// Adds what is known of an indicator, with who has seen it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, known: &Known) -> io::Result<()> {
        let (kind, value) = (known.indicator.kind(), known.indicator.value());
        let (r#type, category) = kind_of(kind);
        self.tlp = self.tlp.stricter(known.tlp);
        let told = known.sites();
        let sightings: Vec<Value> = known
            .sightings
            .iter()
            .map(|(site, times)| {
                json!({
                    "uuid": uuid(&["sighting", &self.site, kind.as_str(), value, site]),
                    "type": "0",
                    "source": site,
                    "date_sighting": seconds(times.last_ms),
                })
            })
            .collect();
        let attribute = json!({
            "uuid": uuid(&["attribute", &self.site, kind.as_str(), value]),
            "type": r#type,
            "category": category,
            "value": value,
            "to_ids": true,
            "distribution": "5",
            "timestamp": seconds(known.last_ms),
            "first_seen": rfc3339(known.first_ms),
            "last_seen": rfc3339(known.last_ms.max(known.first_ms)),
            "comment": format!("Told by {}", told.join(", ")),
            "Tag": [{ "name": tag(known.tlp) }],
            "Sighting": sightings,
        });
        if self.attributes > 0 {
            self.out.write_all(b",")?;
        }
        self.attributes += 1;
        self.out.write_all(b"\n")?;
        serde_json::to_writer(&mut self.out, &attribute)?;
        Ok(())
    }

    /// Ends it, marked as strictly as the strictest of what it has.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        writeln!(self.out, "\n],\"Tag\":{}}}}}", json!([{ "name": tag(self.tlp) }]))?;
        self.out.flush()
    }
}

/// The type of an attribute, and a category that has it.
fn kind_of(kind: ObservableType) -> (&'static str, &'static str) {
    use ObservableType as T;
    match kind {
        T::Ip => ("ip-dst", "Network activity"),
        T::Domain => ("domain", "Network activity"),
        T::Url => ("url", "Network activity"),
        T::UserAgent => ("user-agent", "Network activity"),
        T::Email => ("email-src", "Payload delivery"),
        T::HashMd5 => ("md5", "Payload delivery"),
        T::HashSha1 => ("sha1", "Payload delivery"),
        T::HashSha256 => ("sha256", "Payload delivery"),
        T::FilePath => ("filename", "Payload delivery"),
        T::Cve => ("vulnerability", "External analysis"),
        T::RegistryKey => ("regkey", "Persistence mechanism"),
        T::Mutex => ("mutex", "Artifacts dropped"),
    }
}

/// As in the taxonomy `tlp`.
fn tag(tlp: Tlp) -> String {
    format!("tlp:{}", tlp.as_str().to_lowercase())
}

/// Of what it is about, so that what is exported again is the same.
fn uuid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in ["misp"].iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    Builder::from_random_bytes(std::array::from_fn(|place| digest[place])).into_uuid().to_string()
}

fn seconds(milliseconds: u64) -> String {
    (milliseconds / 1000).to_string()
}

fn time(milliseconds: u64) -> chrono::DateTime<chrono::Utc> {
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    chrono::DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}

fn date(milliseconds: u64) -> String {
    time(milliseconds).format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::intel::{Indicator, Source, Times};

    #[test]
    fn each_type_is_an_attribute_with_its_marking_and_its_sightings() {
        let times = Times { first_ms: 1000, last_ms: 5000, count: 2 };
        let values = ["45.155.205.233", "evil.net", "http://evil.net/", "a@evil.net"];
        let mut out = Vec::new();
        let mut event = MispEvent::begin(&mut out, "here", 86_400_000).unwrap();
        let markings = [Tlp::Green, Tlp::Amber, Tlp::Clear, Tlp::Green];
        for ((kind, value), tlp) in ["ip", "domain", "url", "email"].into_iter().zip(values).zip(markings) {
            event
                .add(&Known {
                    indicator: Indicator::new(kind, value).unwrap(),
                    sources: BTreeMap::from([("site-a".to_owned(), Source { times, tlp: Tlp::Green })]),
                    sightings: BTreeMap::from([("here".to_owned(), times)]),
                    first_ms: 1000,
                    last_ms: 5000,
                    expires_ms: 90_000,
                    count: 2,
                    tlp,
                })
                .unwrap();
        }
        event.end().unwrap();
        let event = &serde_json::from_slice::<Value>(&out).unwrap()["Event"];
        assert_eq!((&event["date"], &event["Tag"][0]["name"]), (&"1970-01-02".into(), &"tlp:amber".into()));
        let attributes = event["Attribute"].as_array().unwrap();
        let pairs: Vec<_> = attributes.iter().map(|one| (one["type"].as_str().unwrap(), &one["value"])).collect();
        assert_eq!(pairs[0], ("ip-dst", &"45.155.205.233".into()));
        assert_eq!((pairs.len(), pairs[3].0), (4, "email-src"));
        assert_eq!(attributes[0]["Tag"][0]["name"], "tlp:green");
        assert_eq!(attributes[0]["Sighting"][0]["source"], "here");
        let mut out = Vec::new();
        MispEvent::begin(&mut out, "here", 0).unwrap().end().unwrap();
        assert!(serde_json::from_slice::<Value>(&out).unwrap()["Event"]["Attribute"].as_array().unwrap().is_empty());
    }
}
