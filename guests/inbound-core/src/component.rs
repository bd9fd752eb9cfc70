//! The component's outside: the pure logic beside this file behind the bindings of `wit/inbound`.

wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/inbound"],
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
        let Messages { events, sites, received_ms, streams, stream, tlp } = input;
        let input = aurora_guest::Messages { events, sites, received_ms, streams, stream, tlp };
        let done = crate::judge(&input, &crate::Options::read()?);
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
