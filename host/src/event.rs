//! What travels through the host: a raw event with where it came from, and the duty to settle it.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::federation::Offer;

/// Where raw events come from. Shared by all events that came the same way, so that a batch names it once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    /// Name of the origin: `mqtt`, or what a collector calls itself.
    pub source: String,
    /// The format that the source declares, or `auto`.
    pub format: String,
    /// MQTT topic.
    pub topic: Option<String>,
    /// Device id out of the topic, checked by [`device_id`].
    pub device_id: Option<String>,
    /// Last level of the topic: `alerts`, `status`, `telemetry`, `response`, `badge_event`.
    pub channel: Option<String>,
    /// Address of the sender, where the transport knows it.
    pub source_ip: Option<String>,
}

impl Context {
    /// What keeps its order: the device, else the source.
    #[must_use]
    pub fn ordering_key(&self) -> &str {
        self.device_id.as_deref().unwrap_or(&self.source)
    }
}

/// Whether `id` is a device id: `^[A-Za-z0-9_-]{1,64}$`.
#[must_use]
pub fn is_device_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether `name` names an origin: `^[A-Za-z0-9_.-]{1,64}$`.
#[must_use]
pub fn is_source(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(valid)
}

/// Whether `name` names a format: `^[a-z0-9_-]{1,32}$`. Only the shape: which ones exist is for the normalizer to know.
#[must_use]
pub fn is_format(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(valid)
}

/// Level 3 of a topic `aurora/<sensors|attestation|access>/<device id>/<channel>`, not checked.
#[must_use]
pub fn device_of(topic: &str) -> Option<&str> {
    let mut levels = topic.split('/');
    match (levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some("aurora"), Some("sensors" | "attestation" | "access"), Some(id), Some(_)) => Some(id),
        _ => None,
    }
}

/// A raw event on its way, with the duty to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// Where it came from.
    pub context: Arc<Context>,
    /// When the host received it, milliseconds since 1970-01-01 UTC.
    pub received_ms: i64,
    /// The bytes as they came.
    pub payload: Bytes,
    /// What makes this delivery differ from another one with the same bytes, and stays the same when the source
    /// delivers it again.
    pub identity: Identity,
    /// How often a guest has put it off.
    pub attempts: u32,
    /// Set by a source that found the event unfit before any guest saw it (a wrong device id, too large): it becomes
    /// a dead letter of stage `source` with this reason.
    pub unfit: Option<String>,
    /// Whom to tell.
    pub duty: Duty,
}

/// See [`Delivery::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A packet of QoS 1 or 2. Ids come round, so it names a delivery together with its content, and among those of a
    /// short time.
    Packet {
        /// Digest of the client id.
        client: u64,
        /// Packet id.
        id: u16,
        /// Whether the broker says that it delivers it again.
        dup: bool,
    },
    /// A line of a request that its client may send again.
    Request {
        /// Digest of the request's key and of where it came from.
        key: [u8; 16],
        /// Which line.
        line: u64,
    },
    /// An entry of the Redis stream of raw events.
    Entry(EntryId),
    /// An entry of a stream that is offered to other sites.
    Offer(Offer, EntryId),
    /// A message of another site.
    Message {
        /// Digest of its site and of the id that it has there: the same in every stream that has a copy of it.
        mark: [u8; 16],
        /// The day of which it speaks, counted from 1970-01-01 UTC: marks are kept by days.
        day: u32,
    },
    /// A dead letter that is replayed: its entry.
    Letter(EntryId),
    /// It is never delivered again; the number tells it from others.
    Once(u64),
}

/// Id of an entry of a Redis stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since 1970-01-01 UTC, by the clock of Redis.
    pub ms: u64,
    /// Counts the entries of one millisecond.
    pub sequence: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

impl FromStr for EntryId {
    type Err = NoEntryId;

    fn from_str(text: &str) -> Result<Self, NoEntryId> {
        let (ms, sequence) = text.split_once('-').ok_or(NoEntryId)?;
        Ok(Self { ms: ms.parse().map_err(|_| NoEntryId)?, sequence: sequence.parse().map_err(|_| NoEntryId)? })
    }
}

/// A text is no id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no entry id; one looks like 1763780000000-0")]
pub struct NoEntryId;

/// What became of a delivery, as its source hears it. All of these mean that the host has stored what there was to
/// store, so that the source may acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Published as this many normalized events.
    Published(u32),
    /// All of its events are repetitions of others by content, within the window of dedup; the id of the first.
    Suppressed(Uuid),
    /// It was stored before, when it was delivered for the first time.
    Repeated,
    /// Dropped on purpose, with the guest's reason.
    Dropped(String),
    /// Stored as a dead letter, with the reason.
    DeadLettered(String),
}

/// A source that waits to hear of its deliveries. Called on lane and publisher tasks, so it must not block.
pub trait Settle: Send + Sync {
    /// The delivery `ticket` is stored; acknowledge it.
    fn settle(&self, ticket: u64, settlement: Settlement);
    /// The delivery `ticket` was given up unsettled; have it delivered again.
    fn abandon(&self, ticket: u64);
}

/// Where a source hands over what it took: the lanes, as HTTP ingest sees them. Called on async tasks, so nothing in it
/// may block.
pub trait Intake: Send + Sync + 'static {
    /// Number of lanes.
    fn lanes(&self) -> usize;

    /// The lane that keeps the order of events with this context, below [`lanes`](Self::lanes). The same for the same
    /// context at all times: sources keep the answer.
    fn lane_of(&self, context: &Context) -> usize;

    /// Most events that one [`try_send`](Self::try_send) can ever place. A larger chunk would be refused for ever, so
    /// a source has to say so instead of asking its client to try again.
    fn capacity(&self) -> usize;

    /// Places the whole chunk in `lane`, in order, or nothing of it. Never waits.
    ///
    /// # Errors
    /// [`Refused`] gives the chunk back, with its duties still open.
    fn try_send(&self, lane: usize, chunk: Vec<Delivery>) -> Result<(), Refused>;

    /// Hands a chunk to a lane, waiting while the lane is full.
    ///
    /// # Errors
    /// [`Closed`] when the lane will never take anything again; the chunk's duties are abandoned.
    fn send(&self, lane: usize, chunk: Vec<Delivery>) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// How a source that holds a connection ends, in two steps.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// First: hand on no more events. What is in flight goes on to be acknowledged.
    pub reading: CancellationToken,
    /// Then: send the last acknowledgements, say goodbye, and return.
    pub connection: CancellationToken,
}

/// The lanes have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lanes take no more events")]
pub struct Closed;

/// A chunk that a lane did not take.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// All of the chunk. Dropping it abandons its deliveries.
    pub chunk: Vec<Delivery>,
}

/// Why a lane takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too few places now; later there may be enough.
    Full,
    /// The lane has ended, or is about to.
    Closed,
}

/// The duty to settle one delivery. Dropping it unsettled asks for redelivery, so neither a panic nor a cancelled task
/// can lose an event.
pub struct Duty {
    source: Option<Arc<dyn Settle>>,
    ticket: u64,
}

impl Duty {
    /// A duty towards `source` under `ticket`.
    #[must_use]
    pub fn new(source: Arc<dyn Settle>, ticket: u64) -> Self {
        Self { source: Some(source), ticket }
    }

    /// A duty towards nobody: `aurora pipe` reads from a file that needs no acknowledgement.
    #[must_use]
    pub fn none() -> Self {
        Self { source: None, ticket: 0 }
    }

    /// Tells the source that it may acknowledge.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some(source) = self.source.take() {
            source.settle(self.ticket, settlement);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            source.abandon(self.ticket);
        }
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duty").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
