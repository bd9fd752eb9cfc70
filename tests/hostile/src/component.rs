//! The component's outside: the pure logic beside this file behind the bindings of all worlds of stages.

wit_bindgen::generate!({
    path: [
        "../../wit/event",
        "../../wit/normalizer",
        "../../wit/router",
        "../../wit/federation",
        "../../wit/inbound",
        "wit",
    ],
    world: "aurora:hostile/hostile",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, OriginEvents, RawEvents};
use exports::aurora::{
    federation::federate::{self, Decisions},
    inbound::judge::{self, Messages, Verdicts},
    normalizer::normalize::{self, Disposition, Normalized},
    router::route::{self, Routes},
};

struct Component;

impl normalize::Guest for Component {
    fn normalize(input: RawEvents) -> Result<Normalized, Failure> {
        aurora_guest::panics_to_log();
        let done = crate::normalize(&input)?;
        Ok(Normalized {
            disposition: done.disposition.into_iter().map(disposition).collect(),
            count: done.count,
            reasons: done.reasons,
            retry_after_ms: done.retry_after_ms,
            events: done.events,
        })
    }
}

fn disposition(disposition: aurora_guest::Disposition) -> Disposition {
    match disposition {
        aurora_guest::Disposition::Accepted => Disposition::Accepted,
        aurora_guest::Disposition::Dropped => Disposition::Dropped,
        aurora_guest::Disposition::RetryAfter => Disposition::RetryAfter,
        aurora_guest::Disposition::Rejected => Disposition::Rejected,
    }
}

impl route::Guest for Component {
    fn route(input: OriginEvents) -> Result<Routes, Failure> {
        aurora_guest::panics_to_log();
        let aurora_guest::Routes { streams, reasons, count, stream, reason } = crate::route(&input)?;
        Ok(Routes { streams, reasons, count, stream, reason })
    }
}

impl federate::Guest for Component {
    fn federate(input: OriginEvents) -> Result<Decisions, Failure> {
        aurora_guest::panics_to_log();
        let done = crate::federate(&input)?;
        Ok(Decisions {
            reasons: done.reasons,
            reason: done.reason,
            share: done.share,
            subjects: done.subjects,
            keys: done.keys,
            subject: done.subject,
            tlp: done.tlp,
            observables: done.observables,
            observable: done.observable,
            removed: done.removed,
            remove: done.remove,
        })
    }
}

impl judge::Guest for Component {
    fn judge(input: Messages) -> Result<Verdicts, Failure> {
        aurora_guest::panics_to_log();
        let Messages { events, sites, received_ms, streams, stream, tlp } = input;
        let done = crate::judge(&aurora_guest::Messages { events, sites, received_ms, streams, stream, tlp })?;
        let disposition = |judgement| match judgement {
            aurora_guest::Judgement::Accepted => judge::Disposition::Accepted,
            aurora_guest::Judgement::Refused => judge::Disposition::Refused,
            aurora_guest::Judgement::Dropped => judge::Disposition::Dropped,
        };
        Ok(Verdicts {
            disposition: done.disposition.into_iter().map(disposition).collect(),
            reasons: done.reasons,
            reason: done.reason,
            severity: done.severity,
        })
    }
}

export!(Component);
