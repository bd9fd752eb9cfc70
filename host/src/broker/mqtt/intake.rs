//! Whom deliveries are handed to.

use std::future::Future;

use crate::event::{Context, Delivery};

/// The far side of the source: lanes that take chunks of deliveries.
pub trait Intake: Send + Sync + 'static {
    /// Number of lanes.
    fn lanes(&self) -> usize;

    /// The lane of a context, below [`Intake::lanes`]. The same for the same context at all times: the answer is kept.
    fn lane_of(&self, context: &Context) -> usize;

    /// Hands a chunk to a lane, waiting while the lane is full.
    ///
    /// # Errors
    /// [`Closed`] when the lane will never take anything again.
    fn send(&self, lane: usize, chunk: Vec<Delivery>) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// The lanes have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lanes take no more events")]
pub struct Closed;
