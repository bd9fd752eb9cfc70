//! What there is of a message of another site that never became an event here: its dead letter, which has its id in the
//! payload alone, and the indicators that it told.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::trace::{Bounds, Place};
use crate::{
    broker::redis_streams::{Config, Letters},
    event::EntryId,
    intel::Table,
    moment::rfc3339,
    pipeline::Letter,
};

/// An indicator that a message told.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// As `ip:203.0.113.7`.
    pub indicator: String,
    /// The site that sent the message.
    pub site: String,
    /// The strictest marking that the indicator came with, from whomever.
    pub tlp: String,
    /// How many messages have told it.
    pub count: u64,
    /// Until when it is looked out for.
    pub until: String,
}

/// Payloads that are in memory at a time; each may have a MiB.
const AT_ONCE: usize = 8;

/// Those of `suspects` whose message has one of `ids`.
pub(super) async fn naming(letters: &Letters, suspects: &[EntryId], ids: &[Uuid]) -> anyhow::Result<Vec<Letter>> {
    let mut found = Vec::new();
    for some in suspects.chunks(AT_ONCE) {
        for (entry, fields) in letters.get(some).await? {
            let letter = Letter::new(entry, fields);
            if ids.iter().any(|&id| is_of(&letter.payload, id)) {
                found.push(letter);
            }
        }
    }
    Ok(found)
}

/// Whether a message is that of the event `id`.
fn is_of(payload: &[u8], id: Uuid) -> bool {
    #[derive(Deserialize)]
    struct Named {
        id: Option<Value>,
        event_id: Option<Value>,
    }
    let id = id.to_string();
    match serde_json::from_slice::<Named>(payload) {
        Ok(Named { id: own, event_id }) => [own, event_id].into_iter().flatten().any(|named| named == *id),
        // Of a large one only the beginning is kept.
        Err(_) => payload.windows(id.len()).any(|part| part == id.as_bytes()),
    }
}

/// The indicators that the message of the event `id` has told, as far as each remembers who told it.
pub(super) async fn told(
    table: &Table,
    redis: &Config,
    id: Uuid,
    bounds: Bounds,
    looked_at: &mut Vec<Place>,
) -> anyhow::Result<Vec<Told>> {
    let (mut all, mut walk) = (Vec::new(), table.walk().await?);
    while walk.passed() < bounds.most
        && let Some(found) = walk.told_by(id).await?
    {
        all.extend(found.into_iter().map(|(known, site)| Told {
            indicator: known.indicator.to_string(),
            site,
            tlp: known.tlp.as_str().to_owned(),
            count: known.count,
            until: rfc3339(known.expires_ms),
        }));
    }
    let (entries, complete) = (walk.passed(), walk.passed() == walk.size());
    looked_at.push(Place { stream: redis.state_key("intel"), entries, oldest: None, complete });
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_own_id_and_by_no_other_that_it_mentions() {
        let (id, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        for payload in [
            format!(r#"{{"id":"{id}","title":"{other}"}}"#),
            format!(r#"{{"event_id":"{id}","id":7,"value":"{other}"}}"#),
            format!(r#"{{"id":"{id}","title":"cut off he"#),
        ] {
            assert!(is_of(payload.as_bytes(), id), "{payload}");
            assert!(!is_of(payload.as_bytes(), other), "{payload}");
        }
        assert!(!is_of(b"", id) && !is_of(b"[]", id));
    }
}
