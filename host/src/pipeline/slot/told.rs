//! What an operator hears of a guest: in the log, in the audit stream, in `/readyz`.

use std::{sync::Arc, time::Instant};

use super::{Inner, Slot, Watch};
use crate::{
    config,
    pipeline::breaker::{State, Tally, Window},
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
                inner.hurried = None;
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

    /// Tells when the guest begins to be hurried, and when that is over: after a while in which nothing failed in haste.
    /// Once for all lanes, however many of their batches it concerns.
    pub(super) fn tell_of_haste(&self, inner: &mut Inner<W>, tally: &Tally, now: Instant) {
        let Some(Watch { witness, config }) = &self.watch else { return };
        let (slot, digest) = (self.name(), Arc::clone(inner.present.digest_text()));
        let (stage, within) = (W::STAGE, config.wasted_within);
        if tally.overdrawn {
            if inner.hurried.replace(now + within).is_some() {
                return;
            }
            tracing::warn!(
                %slot, guest = &*digest, fault = &*tally.last, most = config.wasted, ?within,
                "a guest wastes its lane's time and is hurried; `aurora dead-letter list --stage {stage}` has the events \
                 that it fails on: mend it or stop them, then replay them, which leaves it all the time of its deadline"
            );
            let details = format!("{slot} {digest}: {}", haste(config));
            witness.audit.record("guest-hurried", details);
        } else if inner.hurried.take_if(|until| *until <= now).is_some() {
            witness.audit.record("guest-unhurried", format!("{slot} {digest} has all the time of its deadline again"));
        } else {
            return;
        }
        self.show(inner);
    }

    /// Brings metrics and readiness up to date.
    pub(super) fn show(&self, inner: &Inner<W>) {
        self.metrics.breaker_state.set(inner.breaker.state().number());
        let Some(Watch { witness, config }) = &self.watch else { return };
        let breaker = inner.instead().map(|instead| {
            let who = instead.guest.map_or_else(|| without(W::STAGE).to_owned(), |guest| stood_in_by(&guest));
            format!("{} is not called, {}; {who}", instead.absent, instead.reason)
        });
        let haste = inner.hurried.map(|_| format!("{} is hurried: {}", inner.present.digest_text(), haste(config)));
        let reasons: Vec<_> = inner.note.clone().into_iter().chain(breaker).chain(haste).collect();
        witness.readiness.degrade(self.name().as_str(), (!reasons.is_empty()).then(|| reasons.join("; ")));
    }
}

/// Why a guest is hurried, and what of it.
fn haste(config: &config::Breaker) -> String {
    let config::Breaker { wasted, wasted_within, .. } = config;
    format!(
        "its failed calls took more than {wasted} of the last {wasted_within:?} of a lane; what it now takes too long \
         for becomes a dead letter"
    )
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
