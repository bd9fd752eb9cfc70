use std::sync::Arc;

use bytes::Bytes;

use super::Foreign;
use crate::{
    event::Context,
    sandbox::{self, events::Draft},
};

/// What a guest is run on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Of a normalizer.
    Raw(Vec<Raw>),
    /// Of a router or a policy.
    Normalized(Vec<Origin>),
    /// Of an agent, which is asked about each by itself.
    Tasks(Vec<Task>),
    /// Of a judge of what other sites send.
    Foreign(Vec<Foreign>),
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub id: String,
    /// The agent that is asked for.
    pub agent: String,
    /// Which attempt it is.
    pub attempt: u32,
    /// Of how many.
    pub attempts: u32,
    /// When it begins, milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// JSON.
    pub input: Bytes,
}

/// A raw event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Where it came from.
    pub context: Arc<Context>,
    /// When, milliseconds since 1970-01-01 UTC.
    pub received_ms: i64,
    /// The bytes.
    pub payload: Bytes,
}

/// A normalized event with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it came from.
    pub context: Arc<Context>,
    /// What it says.
    pub event: Draft,
}

impl Batch {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Raw(events) => events.len(),
            Self::Normalized(events) => events.len(),
            Self::Tasks(tasks) => tasks.len(),
            Self::Foreign(messages) => messages.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of its events.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::Raw(events) => Self::Raw(events[range].to_vec()),
            Self::Normalized(events) => Self::Normalized(events[range].to_vec()),
            Self::Tasks(tasks) => Self::Tasks(tasks[range].to_vec()),
            Self::Foreign(messages) => Self::Foreign(messages[range].to_vec()),
        }
    }

    /// Batches of `size` events, out of these again and again until there are `events`.
    #[must_use]
    pub fn repeated(&self, size: usize, events: usize) -> Vec<Self> {
        let all = self.len();
        let starts = (0..events.div_ceil(size)).map(|batch| batch * size);
        let positions = |start: usize| (start..(start + size).min(events)).map(|at| at % all);
        let pick = |start| match self {
            Self::Raw(from) => Self::Raw(positions(start).map(|at| from[at].clone()).collect()),
            Self::Normalized(from) => Self::Normalized(positions(start).map(|at| from[at].clone()).collect()),
            Self::Tasks(from) => Self::Tasks(positions(start).map(|at| from[at].clone()).collect()),
            Self::Foreign(from) => Self::Foreign(positions(start).map(|at| from[at].clone()).collect()),
        };
        if all == 0 { Vec::new() } else { starts.map(pick).collect() }
    }

    /// Adds the events of another one; of the other sort they are left out.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Raw(events), Self::Raw(more)) => events.extend(more),
            (Self::Normalized(events), Self::Normalized(more)) => events.extend(more),
            (Self::Tasks(tasks), Self::Tasks(more)) => tasks.extend(more),
            (Self::Foreign(messages), Self::Foreign(more)) => messages.extend(more),
            _ => {}
        }
    }
}

/// The distinct contexts, and for each event which is its own.
pub(super) fn contexts<'a>(of: impl Iterator<Item = &'a Arc<Context>>) -> (Vec<sandbox::Context<'a>>, Vec<u32>) {
    let mut distinct: Vec<&Arc<Context>> = Vec::new();
    let index = of
        .map(|context| {
            let known = distinct.iter().rposition(|known| known == &context);
            known.unwrap_or_else(|| {
                distinct.push(context);
                distinct.len() - 1
            }) as u32
        })
        .collect();
    let contexts = distinct.into_iter().map(|context| sandbox::Context {
        source: &context.source,
        format: &context.format,
        topic: context.topic.as_deref(),
        device_id: context.device_id.as_deref(),
        channel: context.channel.as_deref(),
        source_ip: context.source_ip.as_deref(),
    });
    (contexts.collect(), index)
}
