//! How long a call has lasted, and what ends it.

use std::time::Duration;

use cpu_time::ThreadTime;
use wasmtime::{StoreContextMut, UpdateDeadline};

use super::{engine::TICK, import::State};

/// What happens at the deadline. It is kept in the thread's CPU time: on a machine that is too busy to run us a guest
/// has not spun, and its events must not become dead letters for that.
pub(super) fn out_of_time(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    match state.budget.checked_sub(cpu_time().saturating_sub(state.begun)) {
        Some(left) if !left.is_zero() => Ok(UpdateDeadline::Continue(ticks(left))),
        _ => Ok(UpdateDeadline::Interrupt),
    }
}

/// CPU time of this thread so far.
pub(super) fn cpu_time() -> Duration {
    ThreadTime::now().as_duration()
}

/// One more than fits: the tick that is under way may end at once.
pub(super) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX - 1) + 1
}
