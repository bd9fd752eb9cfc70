use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::mpsc;

use crate::event::{Delivery, Duty};

/// A copy of a lane's batch. Its deliveries bear no duty.
pub type Copied = Vec<Delivery>;

/// Where lanes leave copies of their batches while a rehearsal wants them. A lane never waits here: what the rehearsal
/// has no place for it does not get, and that is counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// All that a lane looks at when nobody wants copies.
    open: AtomicBool,
    to: RwLock<Option<mpsc::Sender<Copied>>>,
    missed: AtomicU64,
}

impl Tap {
    /// From now on lanes leave copies here, as long as fewer than `places` batches wait. Whoever had them before gets
    /// no more.
    #[must_use]
    pub fn open(&self, places: usize) -> mpsc::Receiver<Copied> {
        let (to, copies) = mpsc::channel(places);
        *self.0.to.write().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.0.missed.store(0, Ordering::Relaxed);
        self.0.open.store(true, Ordering::Release);
        copies
    }

    /// Nobody wants copies any more.
    pub fn close(&self) {
        self.0.open.store(false, Ordering::Release);
        *self.0.to.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Events that were not copied since it was opened, for want of a place.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.missed.load(Ordering::Relaxed)
    }

    /// Leaves a copy of `batch`, if anybody wants one and has a place for it.
    pub(super) fn copy(&self, batch: &[Delivery]) {
        if !self.0.open.load(Ordering::Acquire) {
            return;
        }
        let to = self.0.to.read().unwrap_or_else(PoisonError::into_inner);
        let Some(to) = &*to else { return };
        match to.try_reserve() {
            Ok(place) => place.send(batch.iter().map(copied).collect()),
            Err(mpsc::error::TrySendError::Full(())) => {
                self.0.missed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }
}

/// `delivery` again, with a duty to nobody.
#[must_use]
pub fn copied(delivery: &Delivery) -> Delivery {
    Delivery {
        context: Arc::clone(&delivery.context),
        received_ms: delivery.received_ms,
        payload: delivery.payload.clone(),
        identity: delivery.identity,
        attempts: delivery.attempts,
        unfit: delivery.unfit.clone(),
        duty: Duty::none(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Identity;

    fn batch(events: u64) -> Vec<Delivery> {
        let delivery = |number| Delivery {
            context: Arc::default(),
            received_ms: 0,
            payload: Bytes::from_static(b"raw"),
            identity: Identity::Once(number),
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        };
        (0..events).map(delivery).collect()
    }

    #[test]
    fn a_lane_leaves_what_there_is_a_place_for_and_counts_the_rest() {
        let tap = Tap::default();
        tap.copy(&batch(9));
        let mut copies = tap.open(2);
        for events in [3, 4, 5, 6] {
            tap.copy(&batch(events));
        }
        assert_eq!(tap.missed(), 11);
        assert_eq!(copies.try_recv().map(|batch| batch.len()), Ok(3));
        tap.copy(&batch(7));
        assert_eq!(tap.missed(), 11);
        tap.close();
        tap.copy(&batch(8));
        let rest: Vec<_> = std::iter::from_fn(|| copies.try_recv().ok()).map(|batch| batch.len()).collect();
        assert_eq!((rest, tap.missed()), (vec![4, 7], 11));
    }
}
