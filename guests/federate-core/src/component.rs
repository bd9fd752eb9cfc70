//! The component's outside: the pure logic beside this file behind the bindings of `wit/federation`.

wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/federation"],
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
        let done = crate::federate(&input, &crate::Options::read()?);
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
