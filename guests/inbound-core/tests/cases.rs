//! The folders of `cases/`, natively; `aurora guest test guests/inbound-core` runs them on the component.

use aurora_guest::testing::Cases;
use inbound_core::{Options, judge};

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).inbound(|batch| Ok(judge(batch, &Options::read()?)));
}
