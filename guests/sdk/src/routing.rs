/// A router's answer. As `aurora:router/route.routes`, without needing its bindings.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Names of the streams used.
    pub streams: Vec<String>,
    /// The reasons used.
    pub reasons: Vec<String>,
    /// Number of streams of each event.
    pub count: Vec<u32>,
    /// Indexes into `streams`.
    pub stream: Vec<u32>,
    /// Index into `reasons`, one for each event.
    pub reason: Vec<u32>,
}

/// Writes a router's answer.
#[derive(Debug, Default)]
pub struct Routing(Routes);

impl Routing {
    /// An empty answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next event goes to `streams`, for `reason`.
    pub fn to(&mut self, streams: &[&str], reason: &str) {
        for stream in streams {
            let index = intern(&mut self.0.streams, stream);
            self.0.stream.push(index);
        }
        self.0.count.push(streams.len() as u32);
        let reason = intern(&mut self.0.reasons, reason);
        self.0.reason.push(reason);
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Routes {
        self.0
    }
}

/// Position of `text` in a small table, which takes it up if it is new.
pub(crate) fn intern(table: &mut Vec<String>, text: &str) -> u32 {
    let index = table.iter().position(|known| known == text).unwrap_or_else(|| {
        table.push(text.to_owned());
        table.len() - 1
    });
    index as u32
}
