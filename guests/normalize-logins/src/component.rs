//! The component's outside: the pure logic beside this file behind the bindings of `wit/normalizer`. What it remembers
//! comes with the SDK.

wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/normalizer"],
    world: "aurora:normalizer/normalizer",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, RawEvents};
use exports::aurora::normalizer::normalize::{Disposition, Guest, Normalized};

struct Component;

impl Guest for Component {
    fn normalize(input: RawEvents) -> Result<Normalized, Failure> {
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

export!(Component);
