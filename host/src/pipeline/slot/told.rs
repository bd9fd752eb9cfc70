//! What an operator hears of a guest: in the log, in the audit stream, in `/readyz`.

use std::{sync::Arc, time::Instant};

use super::{Inner, Slot, Watch};
use crate::{
    pipeline::breaker::{State, Window},
    sandbox::{Guest, World},
    telemetry::Stage,
};

impl<W: World> Slot<W> {
    /// Tells of a change of the breaker's state. Under the lock, so that changes are told in order; none of it waits.
    pub(super) fn tell(&self, inner: &mut Inner<W>, now: Instant) {
        let Some(Watch { witness, config }) = &self.watch else { return };
        let (slot, digest) = (self.name(), Arc::clone(inner.present.digest_text()));
        match inner.breaker.state() {
            State::Closed => {
                inner.standing_in = Window::new(config.window);
                witness.audit.record("breaker-close", format!("{slot} {digest} decides again"));
            }
            State::Open { until, reason } => {
                self.metrics.breaker_opened.inc();
                let wait = until.duration_since(now);
                let instead =
                    inner.stand_in().map_or_else(|| without(W::STAGE).to_owned(), |guest| stood_in_by(&guest));
                tracing::warn!(%slot, guest = &*digest, ?wait, reason = &**reason, "breaker open");
                let details = format!("{slot} {digest}: {reason}; {instead}; to be tried again in {wait:?}");
                witness.audit.record("breaker-open", details);
            }
            State::HalfOpen { .. } => {
                witness.audit.record("breaker-half-open", format!("{slot} {digest} is tried on one batch"));
            }
        }
        self.show(inner);
    }

    /// Brings metrics and readiness up to date.
    pub(super) fn show(&self, inner: &Inner<W>) {
        self.metrics.breaker_state.set(inner.breaker.state().number());
        let Some(Watch { witness, .. }) = &self.watch else { return };
        let breaker = inner.instead().map(|instead| {
            let who = instead.guest.map_or_else(|| without(W::STAGE).to_owned(), |guest| stood_in_by(&guest));
            format!("{} is not called, {}; {who}", instead.absent, instead.reason)
        });
        let reasons: Vec<_> = inner.note.clone().into_iter().chain(breaker).collect();
        witness.readiness.degrade(self.name().as_str(), (!reasons.is_empty()).then(|| reasons.join("; ")));
    }
}

fn stood_in_by<W: World>(guest: &Guest<W>) -> String {
    format!("the last good guest {} decides", guest.digest_text())
}

/// What becomes of events when nobody decides.
fn without(stage: Stage) -> &'static str {
    match stage {
        Stage::Route => "events go to the default streams",
        Stage::Federate => "nothing is shared",
        Stage::Inbound => "messages of other sites become dead letters",
        _ => "events become dead letters",
    }
}
