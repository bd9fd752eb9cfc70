//! What was set aside in the spool's `damaged/`, stored by a person's command. One step for each file, under a name that
//! is the file's own: so it is stored once, however often the command is interrupted and run again.
//!
//! Redis may have some of it. Of a record of which it refused entries it has all others, as the note beside the file says.
//! Of any other record it has nothing, as a rule; but the batch may have been stored before it was spooled, with its answer
//! lost, and its sources may have delivered some of it again. So events are looked for by their ids first, and deliveries
//! that can be recognised are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    aside::{Aside, AsideError},
    target::Target,
};
use crate::{
    broker::redis_streams::{
        Commit, Contents, Guard, KnownBy, Message, Normalized, Part, PresentError, Stored, Stream, What, present,
    },
    spool::SetAside,
};

/// What became of a file's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// It was recovered before, so nothing was done now.
    pub before: bool,
    /// Entries that are stored now.
    pub stored: usize,
    /// Entries of events that were in their streams.
    pub present: usize,
    /// Entries of deliveries that were stored when they were delivered again.
    pub repeated: usize,
    /// Entries of events that count towards others of equal content.
    pub suppressed: usize,
    /// Entries that are not stored, by the keys of their streams, which the configuration does not have.
    pub homeless: BTreeMap<String, usize>,
}

/// A file cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It cannot be told what is there.
    #[error(transparent)]
    Present(#[from] PresentError),
    /// It cannot be stored.
    #[error(transparent)]
    Aside(#[from] AsideError),
}

/// How long before a record was written its batch may have been stored, ms: the clocks of host and Redis may differ.
const EARLIER_MS: i64 = 3_600_000;

/// Stores what Redis lacks of `contents`, which are those of `file`.
///
/// # Errors
/// If Redis does not take it, or is not known to.
pub async fn recover(aside: &mut Aside, file: &SetAside, contents: &Contents) -> Result<Recovered, RecoverError> {
    let refused = file.why.as_ref().map(|why| why.refused.as_slice()).filter(|refused| !refused.is_empty());
    let there = match refused {
        // What Redis refused it does not have.
        Some(_) => HashMap::new(),
        None => there(aside, file, contents).await?,
    };
    let details = format!("file={} entries={}", file.file, refused.map_or(contents.entries().count(), <[usize]>::len));
    aside.known_as(&file.file);
    let mut commit = aside.begin(usize::try_from(file.bytes).unwrap_or_default(), "spool-recover", &details);
    // For letters whose own delivery is not told.
    commit.delivery(Guard::None);
    let mut filling = Filling {
        target: Arc::clone(aside.target()),
        refused,
        there,
        commit,
        recovered: Recovered::default(),
        deliveries: vec![0],
        places: HashMap::new(),
        events: Vec::new(),
        begins: None,
        is_there: false,
    };
    contents.parts.iter().for_each(|part| filling.add(part));
    let Filling { commit, recovered, deliveries, events, .. } = filling;
    let stored = aside.store(commit).await?;
    Ok(recovered.told(&stored, &deliveries, &events))
}

/// Which events of each stream of the record are in it.
async fn there(
    aside: &Aside,
    file: &SetAside,
    contents: &Contents,
) -> Result<HashMap<Stream, HashSet<Uuid>>, PresentError> {
    let layout = &aside.target().layout;
    let since = u64::try_from(file.written_ms.unwrap_or_default() - EARLIER_MS).unwrap_or_default();
    let of_events = contents.entries().filter(|(_, _, what)| matches!(what, What::Normalized(_)));
    let streams: HashSet<Stream> = of_events.filter_map(|(_, key, _)| layout.stream_of_key(key?)).collect();
    let mut there = HashMap::new();
    for stream in streams {
        there.insert(stream, present(aside.redis(), layout.key(stream), since).await?);
    }
    Ok(there)
}

/// A step while it is put together.
struct Filling<'a> {
    target: Arc<Target>,
    refused: Option<&'a [usize]>,
    there: HashMap<Stream, HashSet<Uuid>>,
    commit: Commit,
    recovered: Recovered,
    /// Of each delivery of the step: how many entries it has.
    deliveries: Vec<usize>,
    /// Positions of deliveries in the step, by those in the record.
    places: HashMap<usize, usize>,
    /// The same of each event.
    events: Vec<usize>,
    /// The key of an event whose first entry is still to come.
    begins: Option<Option<[u8; 16]>>,
    /// Whether the event at hand is in one of its streams.
    is_there: bool,
}

impl Filling<'_> {
    fn add(&mut self, part: &Part) {
        match part {
            Part::Delivery { position, known_by } => {
                // Of a record that is stored but for some entries, all deliveries are repetitions.
                self.begin(known_by.as_ref().filter(|_| self.refused.is_none()));
                self.places.extend(position.map(|position| (position, self.deliveries.len() - 1)));
            }
            // Its mark, if it has one, is that of what is stored of it.
            Part::Event { key } => (self.begins, self.is_there) = (Some(key.filter(|_| self.refused.is_none())), false),
            Part::Entry { position, stream, what } => {
                if self.refused.is_none_or(|refused| refused.contains(position)) {
                    self.entry(stream.as_deref().unwrap_or_default(), what);
                }
            }
        }
    }

    fn begin(&mut self, known_by: Option<&KnownBy>) {
        let layout = &self.target.layout;
        let guard = match known_by {
            None => Guard::None,
            Some(KnownBy::Request { key, line, digest }) => Guard::Request { key, line: *line, digest: *digest },
            Some(KnownBy::Message { mark, day, life, away }) => {
                Guard::Message { mark, day: *day, life: *life, away: *away }
            }
            // Only of the very same stream: in another one the id would be another entry's.
            Some(KnownBy::Entry { stream, group, id, remove }) => match &self.target.raw {
                Some(raw) if layout.key(raw.stream) == stream => {
                    Guard::Entry { stream: raw.stream, group, id, remove: *remove }
                }
                _ => Guard::None,
            },
        };
        self.commit.delivery(guard);
        self.deliveries.push(0);
    }

    fn entry(&mut self, key: &str, what: &What) {
        let Some(stream) = self.target.layout.stream_of_key(key) else {
            *self.recovered.homeless.entry(key.to_owned()).or_default() += 1;
            return;
        };
        let id = what.event_id();
        let is_there = match what {
            What::Normalized(_) => id.is_some_and(|id| self.there.get(&stream).is_some_and(|ids| ids.contains(&id))),
            // It was stored in the step that stored its event, and may have been sent since.
            What::Message(_) => self.is_there,
            What::Letter { .. } | What::Other(_) => false,
        };
        if is_there {
            self.is_there = true;
            self.recovered.present += 1;
            return;
        }
        if let What::Normalized(_) | What::Message(_) = what {
            if let Some(key) = self.begins.take() {
                // If some of it is there, its mark may be as well.
                self.commit.event(key.filter(|_| !self.is_there), id.unwrap_or_default());
                self.events.push(0);
            }
            self.events.last_mut().into_iter().for_each(|entries| *entries += 1);
        }
        self.deliveries.last_mut().into_iter().for_each(|entries| *entries += 1);
        self.recovered.stored += 1;
        let text = |field| what.text(field);
        match what {
            What::Normalized(_) => self.commit.normalized(
                stream,
                &Normalized {
                    data: what.bytes("data"),
                    severity: text("severity"),
                    source: text("source"),
                    category: text("category"),
                    raw: text("raw"),
                    topic: text("topic"),
                    provenance: text("provenance"),
                    origin: text("origin"),
                },
            ),
            What::Message(_) => {
                let (subject, id, kind, provenance) = (text("subject"), text("id"), text("kind"), text("provenance"));
                self.commit.outbox(stream, &Message { subject, id, kind, data: what.bytes("data"), provenance });
            }
            What::Letter { delivery, fields } => {
                let delivery = self.places.get(delivery).copied().unwrap_or_default();
                let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                self.commit.letter(stream, delivery, &[], &fields);
            }
            What::Other(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                self.commit.entry(stream, &fields);
            }
        }
    }
}

impl Recovered {
    /// With what Redis says. `deliveries` and `events` are how many entries each of them has.
    fn told(mut self, stored: &Stored, deliveries: &[usize], events: &[usize]) -> Self {
        if stored.before {
            return Self { before: true, homeless: self.homeless, ..Self::default() };
        }
        self.repeated = stored.repeats.iter().filter_map(|&delivery| deliveries.get(delivery)).sum();
        self.suppressed = stored.suppressed.iter().filter_map(|&(event, _)| events.get(event)).sum();
        self.stored = self.stored.saturating_sub(self.repeated + self.suppressed);
        self
    }
}
