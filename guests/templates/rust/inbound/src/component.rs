//! The component's outside: the logic of `lib.rs` behind the bindings of `aurora/wit/inbound`.

wit_bindgen::generate!({
    path: ["aurora/wit/event", "aurora/wit/inbound"],
    world: "aurora:inbound/inbound-policy",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, Judgement};
use exports::aurora::inbound::judge::{Disposition, Guest, Messages, Verdicts};

struct Component;

impl Guest for Component {
    fn judge(input: Messages) -> Result<Verdicts, Failure> {
        // Else a panic only tells functions. This is what the guest imports `aurora:event/log` for.
        aurora_guest::panics_to_log();
        let Messages { events, sites, received_ms, streams, stream, tlp } = input;
        let done = crate::judge(&aurora_guest::Messages { events, sites, received_ms, streams, stream, tlp })?;
        let disposition = |judgement| match judgement {
            Judgement::Accepted => Disposition::Accepted,
            Judgement::Refused => Disposition::Refused,
            Judgement::Dropped => Disposition::Dropped,
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
