//! Failures that repeat: one of a device and a cause is told, the others of the window are counted towards the next.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::devices::{Devices, DevicesError, milliseconds};

static REPEATS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("devices_repeats.lua")));

/// Devices that nobody has enrolled which have windows of their own. Each may be told once a window, so few.
const STRANGERS: usize = 64;

/// How long after its last window one of those is remembered.
const REMEMBERED: Duration = Duration::from_hours(1);

/// A verdict that failed, on its way to being told.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Device, as far as anybody says; empty if nobody does.
    pub device: String,
    /// Whether the file of devices has it.
    pub is_listed: bool,
    /// What does not hold.
    pub cause: &'static str,
    /// SHA-256 of the response, in hexadecimal.
    pub response: String,
    /// What tells this host from others of the site.
    pub host: String,
    /// What tells this delivery from others, and stays the same when it is delivered again.
    pub delivery: String,
}

/// What there was before a [`Failure`]. Times are milliseconds since 1970-01-01 UTC by the clock of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// Whether it opened its window. If not it is counted, and nothing else.
    pub is_told: bool,
    /// When the window was opened.
    pub opened_ms: i64,
    /// How many were counted in the window before,
    pub more: u64,
    /// and since when.
    pub since_ms: i64,
    /// Whether devices that nobody has enrolled share the window, for there are too many of them.
    pub is_shared: bool,
}

impl Devices {
    /// Enters failures into their windows, in order, in one step.
    ///
    /// # Errors
    /// As for [`look`](Self::look). It may have been done all the same. The same again then tells the same ones, and may
    /// count the others twice.
    pub async fn enter(&self, failures: &[Failure], window: Duration) -> Result<Vec<Repetition>, DevicesError> {
        type Entered = (u8, i64, u64, i64, u8);
        let mut call = REPEATS.prepare_invoke();
        call.key(&self.names.records).key(&self.names.strangers).key(self.names.all_strangers());
        call.arg(milliseconds(window)).arg(STRANGERS).arg(milliseconds(window.saturating_add(REMEMBERED)));
        for failure in failures {
            call.key(self.names.of(&failure.device)).key(self.names.of_stranger(&failure.device));
            call.arg(&failure.device).arg(if failure.is_listed { "listed" } else { "" }).arg(failure.cause);
            call.arg(&failure.response).arg(&failure.host).arg(&failure.delivery);
        }
        let entered: Vec<Entered> = self.ask(async |redis| call.invoke_async(redis).await).await?;
        let of = |(is_told, opened_ms, more, since_ms, is_shared): Entered| Repetition {
            is_told: is_told == 1,
            opened_ms,
            more,
            since_ms,
            is_shared: is_shared == 1,
        };
        Ok(entered.into_iter().map(of).collect())
    }
}
