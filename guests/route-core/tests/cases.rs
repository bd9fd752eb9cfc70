//! The folders of `cases/`, natively; `aurora guest test guests/route-core` runs them on the component.

use aurora_guest::{settings, testing::Cases};
use route_core::{Options, route};

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).route(|batch| {
        let options = Options {
            telemetry_stream: settings::text("telemetry_stream")?,
            status_stream: settings::text("status_stream")?,
        };
        Ok(route(batch, &options))
    });
}
