use std::{sync::Arc, time::Duration};

use super::{Away, Change, Found, Shelf, Written};
use crate::{config::StateLimits, telemetry::SlotName};

/// Another shelf, of which everything is read and to which nothing is written: for a guest that is rehearsed beside the one
/// that decides, and for what happened long ago.
#[derive(Debug)]
pub struct ReadOnly(pub Arc<dyn Shelf>);

impl Shelf for ReadOnly {
    fn read(&self, slot: &SlotName, keys: &[&str], wait: Duration) -> Result<Found, Away> {
        self.0.read(slot, keys, wait)
    }

    fn write(&self, _: &SlotName, _: &StateLimits, _: &[(&str, Change)], _: Duration) -> Result<Written, Away> {
        Ok(Written::default())
    }

    fn is_away(&self) -> bool {
        self.0.is_away()
    }
}
