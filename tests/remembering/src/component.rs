//! The component's outside: the pure logic beside this file behind the bindings of both worlds.

wit_bindgen::generate!({
    path: [
        "../../wit/event", "../../wit/normalizer", "../../wit/router", "../../wit/state", "wit",
    ],
    world: "aurora:remembering/remembering",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
        "aurora:event/lookup@0.1.0": aurora_guest::lookup::bindings::aurora::event::lookup,
        "aurora:state/state@0.1.0": aurora_guest::state::bindings::aurora::state::state,
    },
});

use aurora_guest::{Failure, OriginEvents, RawEvents};
use exports::aurora::{
    normalizer::normalize::{self, Disposition, Normalized},
    router::route::{self, Routes},
};

struct Component;

impl normalize::Guest for Component {
    fn normalize(input: RawEvents) -> Result<Normalized, Failure> {
        let done = crate::normalize(&input);
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
        let aurora_guest::Routes { streams, reasons, count, stream, reason } = crate::route(&input);
        Ok(Routes { streams, reasons, count, stream, reason })
    }
}

export!(Component);
