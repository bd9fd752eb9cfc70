use std::{sync::Arc, time::Duration};

use super::{
    Config, Step,
    keys::{tag, tagged},
};

/// The keys that commits of this daemon touch, as its script numbers them, and what the script must know besides.
/// Made once; commits share it.
#[derive(Debug)]
pub struct Layout {
    /// Name of the session.
    name: String,
    /// Keys of the script: those of its own state first, then the streams.
    pub(super) keys: Vec<String>,
    /// Names and lengths of the streams, in the same order.
    streams: Vec<(String, u64)>,
    /// Whether batches are plain entries, without the script.
    pub(super) is_plain: bool,
    /// Arguments of the script that are the same for every commit, by its order: from the window of dedup on.
    pub(super) settings: [String; 6],
}

/// A stream that commits write to; a position in their [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream(pub(super) usize);

/// How long things are remembered.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Events of equal content within it are one; zero: they are not.
    pub dedup: Duration,
    /// A packet id means the delivery that it meant before, where the broker says so, for as many deliveries; 32,768 at
    /// most, half of what it takes until ids come round.
    pub horizon: u64,
    /// The marks of a session without deliveries.
    pub session: Duration,
}

/// How long a request may be sent again under its `Idempotency-Key`.
const REQUESTS: Duration = Duration::from_hours(24);

/// How long one may ask how often an event came again.
const COUNTS: Duration = Duration::from_hours(24 * 7);

/// The script's own keys before the streams.
pub(super) const OWN: usize = 6;

impl Layout {
    /// For the session `name`, which is unique among the daemons that use this Redis, with `streams` by name and
    /// length (0: never trimmed).
    #[must_use]
    pub fn new(config: &Config, name: String, streams: Vec<(String, u64)>, memory: &Memory) -> Arc<Self> {
        let of_session = ["session", "producers", "packets"].map(|key| format!("{key}:{name}"));
        let [session, producers, packets] = of_session.each_ref();
        let own = [session, producers, packets, "dedup", "requests", "suppressed"];
        let own: [_; OWN] = own.map(|key| config.state_key(key));
        let names = streams.iter().map(|(name, _)| config.key(name));
        let lengths: Vec<_> = streams.iter().map(|(_, length)| length.to_string()).collect();
        let settings = [
            memory.dedup.as_millis().to_string(),
            memory.horizon.to_string(),
            memory.session.as_secs().to_string(),
            REQUESTS.as_secs().to_string(),
            COUNTS.as_secs().to_string(),
            lengths.join(","),
        ];
        Arc::new(Self {
            name,
            is_plain: config.step == Step::Plain,
            keys: own.into_iter().chain(names).collect(),
            streams,
            settings,
        })
    }

    /// Name of the session whose commits these are.
    #[must_use]
    pub fn session_name(&self) -> &str {
        &self.name
    }

    /// The stream of this name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<Stream> {
        self.streams.iter().position(|(stream, _)| stream == name).map(Stream)
    }

    /// The stream that `key` is, or would be with another hash tag or none.
    #[must_use]
    pub fn stream_of_key(&self, key: &str) -> Option<Stream> {
        let is_key = |name: &str| key == name || tag(key).is_some_and(|tag| tagged(tag, name) == key);
        self.streams().find(|&stream| is_key(self.name(stream)))
    }

    /// All of its streams.
    pub(super) fn streams(&self) -> impl Iterator<Item = Stream> {
        (0..self.streams.len()).map(Stream)
    }

    /// Name of a stream.
    #[must_use]
    pub fn name(&self, stream: Stream) -> &str {
        &self.streams[stream.0].0
    }

    /// The length to which a stream is trimmed; 0: never.
    #[must_use]
    pub fn length(&self, stream: Stream) -> u64 {
        self.streams[stream.0].1
    }

    /// The key of a stream.
    #[must_use]
    pub fn key(&self, stream: Stream) -> &str {
        &self.keys[OWN + stream.0]
    }

    /// Hash of the session: its epoch, the number of its deliveries, and the marks of its packet ids.
    pub(super) fn session(&self) -> &str {
        &self.keys[0]
    }

    /// Hash of the session's producers: the number of the last batch of each.
    pub(super) fn producers(&self) -> &str {
        &self.keys[1]
    }
}
