//! The component's outside: the logic of `lib.rs` behind the bindings of `aurora/wit/normalizer`.

wit_bindgen::generate!({
    path: ["aurora/wit/event", "aurora/wit/normalizer"],
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
        // Else a panic only tells functions. This is what the guest imports `aurora:event/log` for.
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

export!(Component);
