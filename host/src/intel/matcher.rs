//! The look at a lane's batch, in the lane's thread: between what the normalizer says and what route and federate see. One
//! question to Redis for a batch, and none where nobody has told of anything, or where all was asked a moment ago.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::mpsc;

use super::{
    Indicator, Known, Match, Matched, Seen, Table, Tell, What,
    indicator::ID,
    memory::Memory,
    rules::Rules,
    telling::{clean, enter, is_ours, not_looked_up},
};
use crate::sandbox::events::{Draft, Events};

/// Finds shared indicators among the observables of events. One for each lane.
#[derive(Debug)]
pub struct Matcher {
    table: Table,
    rules: Arc<Rules>,
    site: Arc<str>,
    /// Takes what was seen here to the table; none: it counts as no sighting.
    sightings: Option<mpsc::Sender<Seen>>,
    memory: Memory,
}

/// The answers of one look.
struct Answers<'m> {
    memory: &'m Memory,
    fresh: Option<&'m Fresh>,
}

/// What was asked for just now.
type Fresh = HashMap<[u8; ID], Option<Arc<Known>>>;

/// An event that is not to stay as it is.
#[derive(Default)]
struct Change {
    found: Vec<(u32, Arc<Known>)>,
    is_unknown: bool,
}

impl Matcher {
    /// Looks into `table`, for `site`; what was seen goes to `sightings`.
    #[must_use]
    pub fn new(table: Table, site: &str, sightings: mpsc::Sender<Seen>) -> Self {
        Self { sightings: Some(sightings), ..Self::looking_only(table, site) }
    }

    /// The same of events that have happened long ago.
    #[must_use]
    pub fn looking_only(table: Table, site: &str) -> Self {
        let rules = Arc::new(Rules::new(table.config()));
        Self { table, rules, site: site.into(), sightings: None, memory: Memory::new(Instant::now()) }
    }

    /// Looks all observables of `batch` up, and puts into the events what was found. `name` gives the id of an event: of
    /// which list, and which of it. Returns the matches of each list.
    pub(crate) fn pass(&mut self, batch: &mut [&mut Events], name: impl Fn(usize, usize) -> String) -> Vec<Matched> {
        let wanted: Vec<Vec<(usize, u32, Indicator)>> = match self.table.is_empty() {
            true => batch.iter().map(|_| Vec::new()).collect(),
            false => batch.iter().map(|events| indicators(events, &self.table)).collect(),
        };
        self.memory.refresh(Instant::now(), self.table.changes());
        let fresh = self.ask(wanted.iter().flatten().map(|(.., indicator)| indicator));
        let mut all = Vec::with_capacity(batch.len());
        let (mut sightings, now_ms) = (Vec::new(), now());
        for (list, (events, wanted)) in batch.iter_mut().zip(&wanted).enumerate() {
            let answers = Answers { memory: &self.memory, fresh: fresh.as_ref() };
            let mut changes: BTreeMap<usize, Change> = forged(events).map(|event| (event, Change::default())).collect();
            for (event, observable, indicator) in wanted {
                match answers.get(&indicator.id()) {
                    Some(None) => {}
                    Some(Some(known)) => changes.entry(*event).or_default().found.push((*observable, known)),
                    None => changes.entry(*event).or_default().is_unknown = true,
                }
            }
            let matched = self.enter(events, &changes, now_ms);
            for (event, change) in &changes {
                let id = if change.found.is_empty() { String::new() } else { name(list, *event) };
                for (observable, known) in &change.found {
                    self.table.metrics().matched(known.indicator.kind().as_str());
                    sightings.push(self.sighting(known, format!("{id}:{observable}"), now_ms));
                }
            }
            all.push(matched);
        }
        if let Some(fresh) = fresh {
            fresh.into_iter().for_each(|(id, answer)| self.memory.put(id, answer));
        }
        if let Some(waiting) = &self.sightings {
            for seen in sightings {
                // Redis is away for long, and a count that is short of some is better than lanes that wait.
                if waiting.try_send(seen).is_err() {
                    self.table.metrics().sightings_lost.inc();
                }
            }
        }
        all
    }

    /// Asks for those of which nothing is remembered; none if there is no answer.
    fn ask<'i>(&self, wanted: impl Iterator<Item = &'i Indicator>) -> Option<Fresh> {
        let (mut missing, mut count) = (BTreeSet::new(), 0);
        for indicator in wanted {
            count += 1;
            if self.memory.get(&indicator.id()).is_none() {
                missing.insert(indicator.id());
            }
        }
        let metrics = self.table.metrics();
        metrics.lookups.inc_by(count);
        if missing.is_empty() {
            return Some(HashMap::new());
        }
        let ids: Vec<&[u8]> = missing.iter().map(|id| &id[..]).collect();
        metrics.questions.inc();
        let Some(found) = self.table.look_up_now(&ids) else {
            metrics.failed("look-up");
            return None;
        };
        Some(missing.iter().copied().zip(found.into_iter().map(|known| known.map(Arc::new))).collect())
    }

    /// Makes the changes, and says what others hear of the events that have matches.
    fn enter(&self, events: &mut Events, changes: &BTreeMap<usize, Change>, now_ms: u64) -> Matched {
        let (mut matched, mut made, mut at) = (Matched::new(), Events::none(), 0);
        if changes.is_empty() {
            return matched;
        }
        let metrics = self.table.metrics();
        for (&event, change) in changes {
            let mut draft = Draft::from(events.get(event));
            clean(&mut draft);
            let found: Vec<_> = change.found.iter().map(|(_, known)| Arc::clone(known)).collect();
            if change.is_unknown {
                metrics.not_looked_up.inc();
                not_looked_up(&mut draft);
            }
            let is_raised = !found.is_empty() && enter(&mut draft, &found, &self.rules, now_ms);
            if is_raised {
                metrics.raised.inc();
            }
            let told = change.found.iter();
            let told = told.filter_map(|(observable, known)| Some((*observable, Tell::of(known, &self.site)?)));
            let told = Match { found: told.collect(), is_raised };
            // It was within its bounds before, and some short fields do not bring it to 4 GiB.
            let Ok(one) = Events::of([&draft]) else { continue };
            made.append(events, at..event);
            made.append(&one, 0..1);
            at = event + 1;
            if !found.is_empty() {
                matched.insert(event, told);
            }
        }
        made.append(events, at..events.len());
        *events = made;
        matched
    }

    fn sighting(&self, known: &Known, message: String, now_ms: u64) -> Seen {
        Seen {
            indicator: known.indicator.clone(),
            site: self.site.to_string(),
            first_ms: now_ms,
            last_ms: now_ms,
            tlp: known.tlp,
            expires_ms: None,
            message,
            what: What::Own,
            edition: None,
        }
    }
}

/// For another lane, which remembers for itself.
impl Clone for Matcher {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
            rules: Arc::clone(&self.rules),
            site: Arc::clone(&self.site),
            sightings: self.sightings.clone(),
            memory: Memory::new(Instant::now()),
        }
    }
}

impl Answers<'_> {
    /// None: nobody knows.
    fn get(&self, id: &[u8; ID]) -> Option<Option<Arc<Known>>> {
        self.fresh.and_then(|fresh| fresh.get(id)).or_else(|| self.memory.get(id)).cloned()
    }
}

/// Every observable that can be an indicator: of which event, which of it.
fn indicators(events: &Events, table: &Table) -> Vec<(usize, u32, Indicator)> {
    let mut all = Vec::new();
    for (event, one) in events.iter().enumerate() {
        for (observable, (kind, _, value)) in one.observables().enumerate() {
            // What is none of its type nobody can have told.
            if let Ok(indicator) = Indicator::of(kind, value)
                // A warning list or an own network may be younger than what is in the table.
                && !table.keeps(&indicator)
            {
                all.push((event, observable as u32, indicator));
            }
        }
    }
    all
}

/// Events with fields that only the host writes.
fn forged(events: &Events) -> impl Iterator<Item = usize> {
    events.iter().enumerate().filter(|(_, event)| event.fields().any(|(key, _)| is_ours(key))).map(|(event, _)| event)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
