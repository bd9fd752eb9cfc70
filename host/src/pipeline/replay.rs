//! Dead letters, run again: their raw bytes through the guests that there are now, and what comes of it into the
//! streams in the very step that takes the letters out of theirs. A letter that was taken out already is a repetition
//! there, so however often a replay is interrupted and begun again, each event is stored once.
//!
//! What a message of another site tells of indicators is recorded before that step. It counts once, however often it is
//! recorded, so of a replay that is interrupted between the two nothing is lost: the letter is still there.
//!
//! A letter that fails again stays as it is. What is only half done (normalized, and no route for it) is not stored
//! either: unlike an event on its way, a letter can wait for a better guest.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    aside::{Aside, AsideError},
    decide::Decider,
    decided::{Decided, DecidedEvent},
    encode::Batch,
    letter::{Letter, Missing},
    missing::{Plan, Rules, message, plan},
    stages::Stages,
    target::Target,
};
use crate::{
    broker::redis_streams::{Message, Stored},
    event::{Delivery, Duty, Identity},
    federation::inbound,
    intel::{Matcher, Seen, Table},
    telemetry::Metrics,
};

/// Replays dead letters.
pub struct Replay {
    decider: Decider,
    streams: Arc<[String]>,
    target: Arc<Target>,
    rules: Rules,
    /// How messages of other sites are read.
    inbound: Arc<inbound::Rules>,
    /// Where it is recorded what they tell of indicators; none: nowhere.
    table: Option<Table>,
}

/// Letters on which everything is decided and of which nothing is stored.
pub struct Trial {
    letters: Vec<Letter>,
    decided: Decided,
    /// Of each letter: its delivery, unless no guest had to see it.
    deliveries: Vec<Option<usize>>,
    plans: Vec<Plan>,
    /// Of each letter: what is recorded of indicators.
    seen: Vec<Vec<Seen>>,
}

/// What became of a letter. Of all but the last it is no letter any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What was missing of it is stored.
    Stored,
    /// Its content is that of this event, which was there within the window of dedup.
    Suppressed(Uuid),
    /// The guest drops it.
    Dropped(String),
    /// It was not there any more: it had been replayed, discarded, or trimmed.
    Gone,
    /// One of those: it is done with, and an answer of Redis was lost that said how.
    Unclear,
    /// It stays where it is, for this reason.
    Failed(String),
}

impl Replay {
    /// With the guests of `stages`, into the streams of `target`. `force` is for letters that their source refused, and
    /// for those that do not go any more where they are missing; without `dedup` equal contents are as many events.
    #[must_use]
    pub fn new(stages: &Stages, target: &Arc<Target>, force: bool, dedup: bool) -> Self {
        Self {
            // A letter that a guest puts off stays a letter, so it is never put off too often.
            decider: Decider::new(stages, u32::MAX, Metrics::new()),
            streams: Arc::clone(&stages.streams),
            target: Arc::clone(target),
            rules: Rules { force, dedup, records: false },
            inbound: Arc::clone(&stages.inbound),
            table: None,
        }
    }

    /// Events are looked up by `matcher`.
    #[must_use]
    pub fn matched_by(self, matcher: Option<Matcher>) -> Self {
        Self { decider: self.decider.matched_by(matcher), ..self }
    }

    /// What messages of other sites tell of indicators is recorded in `table`.
    #[must_use]
    pub fn recording(self, table: Option<Table>) -> Self {
        Self { rules: Rules { records: table.is_some(), ..self.rules }, table, ..self }
    }

    /// Decides on `letters`, and stores nothing.
    #[must_use]
    pub fn decide(&mut self, letters: Vec<Letter>) -> Trial {
        let (mut batch, mut deliveries) = (Vec::with_capacity(letters.len()), Vec::with_capacity(letters.len()));
        for letter in &letters {
            let is_seen = letter.missing() != Ok(Missing::Message);
            deliveries.push(is_seen.then_some(batch.len()));
            if is_seen {
                batch.push(delivery(letter));
            }
        }
        let decided = self.decider.decide(batch);
        let plans = letters.iter().zip(&deliveries).map(|(letter, delivery)| match *delivery {
            None => message(&self.target),
            Some(index) => plan(letter, &decided, index, &self.streams, &self.target, self.rules),
        });
        let plans: Vec<Plan> = plans.collect();
        let seen = letters.iter().zip(&plans).map(|(letter, plan)| match plan {
            Plan::Events(_) if self.rules.records => {
                self.inbound.told(&letter.context, &letter.payload, letter.received_ms())
            }
            _ => Vec::new(),
        });
        Trial { seen: seen.collect(), plans, letters, decided, deliveries }
    }

    /// Stores what is decided, in one step. `chosen` says for the audit trail how the letters were chosen. Returns what
    /// became of each letter.
    ///
    /// # Errors
    /// If Redis does not take it, or is not known to; also, and then nothing of it is stored, what is told of indicators.
    pub async fn store(&self, trial: &Trial, aside: &mut Aside, chosen: &str) -> Result<Vec<Fate>, AsideError> {
        let Trial { letters, plans, .. } = trial;
        let mut fates: Vec<Fate> = plans.iter().map(Plan::fate).collect();
        let planned: Vec<usize> = (0..letters.len()).filter(|&i| !matches!(fates[i], Fate::Failed(_))).collect();
        let (Some(&first), Some(&last)) = (planned.first(), planned.last()) else { return Ok(fates) };
        let seen = trial.seen.concat();
        if let Some(table) = self.table.as_ref().filter(|_| !seen.is_empty()) {
            table.record(&seen).await?;
        }
        let bytes: usize = planned.iter().map(|&i| letters[i].payload.len()).sum();
        let (first, last) = (letters[first].id, letters[last].id);
        let details = format!("letters={} first={first} last={last} chosen={chosen}", planned.len());
        let commit = aside.begin(3 * bytes + 256 * planned.len(), "dead-letter-replay", &details);
        let mut batch = Batch::new(commit, &self.target, planned.len());
        for (position, &index) in planned.iter().enumerate() {
            self.add(&mut batch, position, trial, index);
        }
        let Batch { commit, events, .. } = batch;
        let stored = aside.store(commit).await?;
        if stored.before {
            planned.iter().for_each(|&index| fates[index] = Fate::Unclear);
        }
        tell_repetitions(&stored, &events, &planned, &mut fates);
        Ok(fates)
    }

    fn add(&self, batch: &mut Batch<'_>, position: usize, trial: &Trial, index: usize) {
        let letter = &trial.letters[index];
        match (&trial.plans[index], trial.deliveries[index]) {
            (Plan::Message, _) => {
                batch.begin_letter(letter.id);
                if let Some(outbox) = self.target.outbox {
                    let message = Message {
                        subject: letter.context.topic.as_deref().unwrap_or_default(),
                        id: &letter.message_id,
                        kind: &letter.message_kind,
                        data: &letter.payload,
                        provenance: &letter.provenance,
                    };
                    batch.commit.outbox(outbox, &message);
                }
            }
            (_, Some(_)) => {
                batch.begin_letter(letter.id);
                trial.visit(index, |event, dedup| {
                    let key = if dedup { self.target.dedup.key(event) } else { None };
                    batch.add_event(position, event, key, None);
                });
            }
            (_, None) => {}
        }
    }
}

impl Trial {
    /// The letters, each with its fate as it stands before anything is stored.
    pub fn letters(&self) -> impl Iterator<Item = (&Letter, Fate)> {
        self.letters.iter().zip(self.plans.iter().map(Plan::fate))
    }

    /// What would be recorded of indicators for the letter at `index`.
    #[must_use]
    pub fn seen(&self, index: usize) -> &[Seen] {
        &self.seen[index]
    }

    /// Shows what would be stored of the letter at `index`: its events, each with whether it may turn out to be a
    /// repetition.
    pub fn visit(&self, index: usize, mut visitor: impl FnMut(&DecidedEvent<'_>, bool)) {
        let (Plan::Events(pieces), Some(delivery)) = (&self.plans[index], self.deliveries[index]) else { return };
        let fingerprint = self.letters[index].fingerprint().unwrap_or_else(|| self.decided.fingerprint(delivery));
        for event in self.decided.events_of(delivery, fingerprint) {
            if let Some(piece) = pieces.iter().find(|piece| piece.position == event.position) {
                visitor(&piece.of(&event), piece.dedup);
            }
        }
    }
}

impl Plan {
    /// What becomes of it if everything goes well.
    fn fate(&self) -> Fate {
        match self {
            Self::Message | Self::Events(_) => Fate::Stored,
            Self::Dropped(reason) => Fate::Dropped(reason.clone()),
            Self::Failed(reason) => Fate::Failed(reason.clone()),
        }
    }
}

fn delivery(letter: &Letter) -> Delivery {
    Delivery {
        context: Arc::clone(&letter.context),
        received_ms: letter.received_ms(),
        payload: letter.payload.clone(),
        identity: Identity::Letter(letter.id),
        attempts: 0,
        unfit: None,
        duty: Duty::none(),
    }
}

/// Enters what Redis found to be stored already. A letter whose events are all repetitions is one.
fn tell_repetitions(stored: &Stored, events: &[(usize, u32)], planned: &[usize], fates: &mut [Fate]) {
    for &position in &stored.repeats {
        fates[planned[position]] = Fate::Gone;
    }
    for &(event, first) in &stored.suppressed {
        let (position, _) = events[event];
        let of_letter = |&&(event, _): &&(usize, Uuid)| events[event].0 == position;
        let suppressed = stored.suppressed.iter().filter(of_letter).count();
        if suppressed == events.iter().filter(|(other, _)| *other == position).count() {
            fates[planned[position]] = Fate::Suppressed(first);
        }
    }
}
