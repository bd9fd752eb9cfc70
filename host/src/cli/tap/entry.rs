use serde_json::{Map, Value, json};

use super::stage::Watched;
use crate::{broker::redis_streams::Followed, event::EntryId, mark::Mark};

/// An entry of a stream, as far as it can be read.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub stage: &'static str,
    pub stream: &'a str,
    pub id: EntryId,
    /// What of it TLP forbids to show.
    pub mark: Option<Mark>,
    /// Its fields by name; those that are JSON as such.
    pub fields: Map<String, Value>,
}

/// Fields that hold JSON.
const JSON: [&str; 3] = ["data", "provenance", "payload"];

impl<'a> Entry<'a> {
    pub fn of(followed: Followed, watched: &'a Watched) -> Self {
        let mark = followed.fields.iter().filter_map(|field| Mark::of(field)).max();
        let mut fields = Map::new();
        let mut values = followed.fields.into_iter();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            let name = String::from_utf8_lossy(&name).into_owned();
            let value = value_of(&name, value);
            fields.insert(name, value);
        }
        Self { stage: watched.stage, stream: &watched.name, id: followed.id, mark, fields }
    }

    /// A text of it: one of its own fields, else one of the event or message in it.
    pub fn text(&self, name: &str) -> &str {
        let of = |map: &'_ Map<String, Value>| map.get(name).and_then(Value::as_str).is_some();
        let inner = ["data", "payload"].iter().find_map(|field| self.fields.get(*field)?.as_object());
        let holder = if of(&self.fields) { Some(&self.fields) } else { inner };
        holder.and_then(|map| map.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The device, of an event, a letter, or the topic.
    pub fn device(&self) -> &str {
        self.text("device_id")
    }

    /// When it was added.
    pub fn time(&self) -> chrono::DateTime<chrono::Utc> {
        i64::try_from(self.id.ms).ok().and_then(chrono::DateTime::from_timestamp_millis).unwrap_or_default()
    }

    /// As one object. What TLP forbids is not in it.
    pub fn json(&self, show_restricted: bool) -> Value {
        let time = self.time().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let id = self.id.to_string();
        match self.mark.filter(|_| !show_restricted) {
            Some(mark) => json!({
                "stage": self.stage, "stream": self.stream, "id": id, "time": time, "restricted": mark.to_string(),
            }),
            None => json!({
                "stage": self.stage, "stream": self.stream, "id": id, "time": time, "entry": self.fields,
            }),
        }
    }
}

fn value_of(name: &str, value: Vec<u8>) -> Value {
    if JSON.contains(&name)
        && matches!(value.first(), Some(b'{' | b'['))
        && let Ok(json) = serde_json::from_slice(&value)
    {
        return json;
    }
    match String::from_utf8(value) {
        Ok(text) => Value::String(text),
        Err(error) => {
            let hex: String = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry with these fields and values by turns.
    pub fn entry(watched: &Watched, fields: &[&[u8]]) -> Entry<'static> {
        let followed = Followed {
            stream: 0,
            id: EntryId { ms: 1_763_780_000_123, sequence: 4 },
            fields: fields.iter().map(|field| field.to_vec()).collect(),
        };
        let of = Box::leak(Box::new(watched.clone()));
        Entry::of(followed, of)
    }

    #[test]
    fn what_tlp_forbids_is_not_in_it() {
        let watched = Watched { stage: "normalized", name: "aurora:alerts".to_owned() };
        let entry = entry(&watched, &[b"data", br#"{"title":"secret","fields":{"tlp":"red"}}"#, b"severity", b"high"]);
        let hidden = entry.json(false).to_string();
        assert!(!hidden.contains("secret") && !hidden.contains("high") && hidden.contains("TLP:RED"), "{hidden}");
        assert_eq!(entry.json(true)["entry"]["data"]["title"], "secret");
        assert_eq!(entry.json(true)["time"], "2025-11-22T02:53:20.123Z");
    }

    #[test]
    fn reads_fields_of_its_own_before_those_of_its_event() {
        let watched = Watched { stage: "normalized", name: "aurora:alerts".to_owned() };
        let entry = entry(
            &watched,
            &[b"severity", b"high", b"data", br#"{"severity":"low","device_id":"pump_1"}"#, b"odd", b"\xff\x00"],
        );
        assert_eq!((entry.text("severity"), entry.device(), entry.text("none")), ("high", "pump_1", ""));
        assert_eq!(entry.fields["odd"], json!({ "hex": "ff00" }));
    }
}
