//! What a replay stores of a letter: only what is not stored yet. An event of which a part went well is in streams
//! already, and would otherwise be there twice.

use super::{
    decided::{Decided, DecidedEvent, Outcome},
    letter::{Letter, Missing},
    target::Target,
};
use crate::{federation::inbound::site_of, telemetry::Stage};

/// What is to become of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Its message goes back into the outbox.
    Message,
    /// These parts of its events are stored.
    Events(Vec<Piece>),
    /// It goes, for the guest drops it.
    Dropped(String),
    /// It stays.
    Failed(String),
}

/// The part of an event that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which of the delivery's events it is.
    pub position: u32,
    /// Positions of its streams.
    pub streams: Vec<usize>,
    /// Whether what leaves the site is among it.
    pub share: bool,
    /// Whether it may turn out to be a repetition of another event.
    pub dedup: bool,
}

impl Piece {
    /// What of `event` it is.
    pub fn of<'b>(&'b self, event: &DecidedEvent<'b>) -> DecidedEvent<'b> {
        let (share, share_reason) = match self.share {
            true => (event.share, event.share_reason),
            false => (None, "not part of what is missing"),
        };
        DecidedEvent { streams: &self.streams, share, share_reason, ..*event }
    }
}

/// What the choices of a replay are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Replays what a source refused, and what the router does not send to the stream that it is missing in.
    pub force: bool,
    /// Whether events of equal content are one.
    pub dedup: bool,
    /// Whether what messages of other sites tell of indicators is recorded.
    pub records: bool,
}

/// What is to become of `letter`, whose delivery is the one at `index`.
pub(super) fn plan(
    letter: &Letter,
    decided: &Decided,
    index: usize,
    streams: &[String],
    target: &Target,
    rules: Rules,
) -> Plan {
    let missing = match letter.missing() {
        Ok(Missing::Message) => return message(target),
        Ok(Missing::Unfit) if !rules.force => {
            return Plan::Failed("its source refused it before any guest saw it; --force replays it".to_owned());
        }
        Ok(missing) => missing,
        Err(why) => return Plan::Failed(why),
    };
    match &decided.outcomes[index] {
        // The letter would go, and what it tells with it.
        Outcome::Accepted { events, .. }
            if events.is_empty() && !rules.records && site_of(&letter.context).is_some() =>
        {
            return Plan::Failed("it only tells of an indicator, and without [intel] none is recorded".to_owned());
        }
        Outcome::Accepted { .. } => {}
        Outcome::Dropped(reason) => return Plan::Dropped(reason.clone()),
        Outcome::Rejected(reason) => {
            let buried = decided.dead_letters.iter().find(|failed| failed.delivery == index);
            let stage = buried.map_or(Stage::Normalize, |failed| failed.stage);
            return Plan::Failed(format!("{stage}: {reason}"));
        }
        Outcome::RetryAfter { reason, .. } => return Plan::Failed(format!("normalize puts it off for now: {reason}")),
    }
    let fingerprint = letter.fingerprint().unwrap_or_else(|| decided.fingerprint(index));
    let events: Vec<_> = decided.events_of(index, fingerprint).collect();
    let is_concerned = |position: u32| letter.positions.is_empty() || letter.positions.contains(&position);
    if let Some(gone) = letter.positions.iter().find(|&&position| position as usize >= events.len()) {
        let now = events.len();
        return Plan::Failed(format!(
            "normalize: the letter is about event {gone} of its payload, which has {now} now"
        ));
    }
    let shares_only = missing == Missing::Shares;
    let failed = decided.dead_letters.iter().find(|failed| {
        let matters = match failed.stage {
            Stage::Route => !shares_only,
            Stage::Federate => shares_only || matches!(missing, Missing::Everything | Missing::Unfit),
            _ => true,
        };
        let is_ours = failed.positions.is_empty() || failed.positions.iter().any(|&position| is_concerned(position));
        failed.delivery == index && matters && is_ours
    });
    if let Some(failed) = failed {
        return Plan::Failed(format!("{}: {}", failed.stage, failed.reason));
    }
    let concerned = events.iter().filter(|event| is_concerned(event.position));
    let piece = |event: &DecidedEvent<'_>, streams: Vec<usize>, share: bool| Piece {
        position: event.position,
        streams,
        share,
        dedup: false,
    };
    let all = |dedup| {
        let whole = events.iter().map(|event| Piece { dedup, ..piece(event, event.streams.to_vec(), true) });
        Plan::Events(whole.collect())
    };
    match missing {
        Missing::Everything | Missing::Unfit => all(rules.dedup),
        Missing::Routes => {
            let rest = concerned.map(|event| {
                let at = letter.positions.iter().position(|&position| position == event.position);
                let stands_in = at.and_then(|at| letter.streams.get(at)).or(letter.streams.first());
                let others = event.streams.iter().copied().filter(|&stream| Some(&streams[stream]) != stands_in);
                piece(event, others.collect(), false)
            });
            Plan::Events(rest.collect())
        }
        Missing::Refused => {
            let to = |stream: &usize| letter.streams.contains(&streams[*stream]);
            let meant = concerned.filter(|event| event.streams.iter().any(to));
            let pieces: Vec<_> =
                meant.map(|event| piece(event, event.streams.iter().copied().filter(to).collect(), false)).collect();
            match (pieces.is_empty(), rules.force) {
                (false, _) => Plan::Events(pieces),
                // Its mark was set when it was refused, so it would take itself for a repetition.
                (true, true) => all(false),
                (true, false) => Plan::Failed(format!(
                    "route: it does not go to {} any more; --force stores it wherever it goes now, also where it may be",
                    letter.streams.join(" ")
                )),
            }
        }
        Missing::Shares | Missing::Message if target.outbox.is_none() => nothing_leaves(),
        Missing::Shares | Missing::Message => {
            Plan::Events(concerned.map(|event| piece(event, Vec::new(), true)).collect())
        }
    }
}

/// The plan for a letter that is a message for other sites.
pub(super) fn message(target: &Target) -> Plan {
    if target.outbox.is_some() { Plan::Message } else { nothing_leaves() }
}

fn nothing_leaves() -> Plan {
    Plan::Failed("nothing leaves the site: no [nats] is configured".to_owned())
}
