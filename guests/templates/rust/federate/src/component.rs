//! The component's outside: the logic of `lib.rs` behind the bindings of `aurora/wit/federation`.

wit_bindgen::generate!({
    path: ["aurora/wit/event", "aurora/wit/federation"],
    world: "aurora:federation/federation-policy",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, OriginEvents};
use exports::aurora::federation::federate::{Decisions, Guest};

struct Component;

impl Guest for Component {
    fn federate(input: OriginEvents) -> Result<Decisions, Failure> {
        // Else a panic only tells functions. This is what the guest imports `aurora:event/log` for.
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

export!(Component);
