use crate::{Context, RawEvents, piece};

/// One raw event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// Where it came from.
    pub context: &'a Context,
    /// When the host received it, milliseconds since 1970-01-01 UTC: the only clock a guest has.
    pub received_ms: i64,
    /// The bytes as they came.
    pub payload: &'a [u8],
}

impl RawEvents {
    /// The raw events of the batch, in the order in which they arrived.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RawEvent<'_>> {
        (0..self.ends.len()).map(|index| RawEvent {
            context: &self.contexts[self.context[index] as usize],
            received_ms: self.received_ms[index],
            payload: piece(&self.payload, &self.ends, index),
        })
    }

    /// A batch of one context, for tests and benches.
    pub fn of<'a>(context: Context, received_ms: i64, payloads: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut batch = Self {
            contexts: vec![context],
            context: Vec::new(),
            received_ms: Vec::new(),
            ends: Vec::new(),
            payload: Vec::new(),
        };
        for payload in payloads {
            batch.payload.extend_from_slice(payload);
            batch.ends.push(batch.payload.len() as u32);
            batch.context.push(0);
            batch.received_ms.push(received_ms);
        }
        batch
    }
}
