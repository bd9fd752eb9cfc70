//! The folders of `cases/`, natively; `aurora guest test guests/federate-core` runs them on the component.

use aurora_guest::testing::Cases;
use federate_core::{Options, federate};

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).federate(|batch| Ok(federate(batch, &Options::read()?)));
}
