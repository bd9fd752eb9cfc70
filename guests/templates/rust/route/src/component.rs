//! The component's outside: the logic of `lib.rs` behind the bindings of `aurora/wit/router`.

wit_bindgen::generate!({
    path: ["aurora/wit/event", "aurora/wit/router"],
    world: "aurora:router/router",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, OriginEvents};
use exports::aurora::router::route::{Guest, Routes};

struct Component;

impl Guest for Component {
    fn route(input: OriginEvents) -> Result<Routes, Failure> {
        // Else a panic only tells functions. This is what the guest imports `aurora:event/log` for.
        aurora_guest::panics_to_log();
        let done = crate::route(&input)?;
        Ok(Routes {
            streams: done.streams,
            reasons: done.reasons,
            count: done.count,
            stream: done.stream,
            reason: done.reason,
        })
    }
}

export!(Component);
