//! The folders of `cases/`, natively; `aurora guest test guests/federate-core` runs them on the component.

use aurora_guest::testing::Cases;

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).federate(|batch| Ok(federate_core::federate(batch)));
}
