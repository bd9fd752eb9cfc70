//! The folders of `cases/`, on the guest's logic as it runs natively. `aurora guest test` runs the same folders on the
//! component that is shipped.

use aurora_guest::testing::Cases;

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).inbound({{ident}}::judge);
}
