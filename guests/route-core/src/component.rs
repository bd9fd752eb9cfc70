//! The component's outside: the pure logic beside this file behind the bindings of `wit/router`.

wit_bindgen::generate!({
    path: ["../../wit/event", "../../wit/router"],
    world: "aurora:router/router",
    with: {
        "aurora:event/types@0.1.0": aurora_guest::bindings::aurora::event::types,
        "aurora:event/log@0.1.0": aurora_guest::bindings::aurora::event::log,
        "aurora:event/settings@0.1.0": aurora_guest::bindings::aurora::event::settings,
    },
});

use aurora_guest::{Failure, OriginEvents, settings};
use exports::aurora::router::route::{Guest, Routes};

struct Component;

impl Guest for Component {
    fn route(input: OriginEvents) -> Result<Routes, Failure> {
        let options = crate::Options {
            telemetry_stream: settings::text("telemetry_stream")?,
            status_stream: settings::text("status_stream")?,
        };
        let aurora_guest::Routes { streams, reasons, count, stream, reason } = crate::route(&input, &options);
        Ok(Routes { streams, reasons, count, stream, reason })
    }
}

export!(Component);
