//! What was decided on entries of streams that are offered to other sites, as the step wrote it down that acknowledged them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    guests::Names,
    trace::{Bounds, Place, Stored, Traces, read_provenance},
};
use crate::{
    broker::redis_streams::{Config, Pool, SearchError, Wanted, search},
    event::EntryId,
    moment::rfc3339,
};

/// Most entries that can have one id, one in each stream; and those whose id begins with it.
const ENOUGH: usize = 32;

/// Which decision is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// That on the event of this id.
    Event(Uuid),
    /// Those on entries of this id, of whatever stream.
    Entry(EntryId),
}

/// Adds to `events` what was decided on an entry that is offered; `stream` is where decisions are.
pub(super) async fn decided(
    (pool, redis, stream): (&Pool, &Config, &str),
    which: Which,
    bounds: Bounds,
    events: &mut BTreeMap<Uuid, Traces>,
    looked_at: &mut Vec<Place>,
    names: &mut Names,
) -> Result<(), SearchError> {
    let (field, text, enough) = match which {
        Which::Event(id) => ("id", id.to_string(), 1),
        Which::Entry(id) => ("entry", id.to_string(), ENOUGH),
    };
    let wanted = Wanted { field, text: &text, since: bounds.since, most: bounds.most, enough };
    let looked = search(pool, &redis.key(stream), &wanted).await?;
    if looked_at.iter().all(|place| place.stream != stream) {
        looked_at.push(Place::of(stream, &looked));
    }
    for (at, fields) in looked.found {
        let text_of =
            |name: &str| String::from_utf8_lossy(fields.get(name).map_or(&b""[..], Vec::as_slice)).into_owned();
        // What is looked for may be the beginning of another one.
        if text_of(field) != text {
            continue;
        }
        let Ok(id) = text_of("id").parse::<Uuid>() else { continue };
        // One that was a dead letter first does not say which entry it was.
        let stored = rfc3339(at.ms);
        let found = Stored { stream: text_of("stream"), entry: text_of("entry"), stored };
        if let Some(known) = events.get_mut(&id) {
            known.offered.get_or_insert(found);
            continue;
        }
        let (source, offered) = (found.stream.clone(), Some(found));
        let mut traces = Traces { id, source, offered, decided_ms: Some(at.ms), ..Traces::default() };
        read_provenance(&fields, &mut traces, names).await;
        events.insert(id, traces);
    }
    Ok(())
}
