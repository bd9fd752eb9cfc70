//! Golden cases: `cases/<format>/<case>/` holds `case.toml` (what is shown, and by which document it is right), `input`
//! and `expected.json`. Here they run natively; `aurora guest test guests/normalize-core` runs them on the component.
//! `UPDATE_CASES=1 cargo test -p normalize-core --test cases` writes the expectations anew; read the difference before
//! you believe it.

use std::path::Path;

use aurora_guest::testing::{Case, Cases};
use normalize_core::{Options, normalize};

#[test]
fn every_case_comes_out_as_expected() {
    Cases::of(env!("CARGO_MANIFEST_DIR")).normalize(|batch| Ok(normalize(batch, &Options::from_settings()?)));
}

#[test]
fn every_case_says_where_it_is_from() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    for folder in Cases::below(&root).folders() {
        let Case { product, document, .. } = Case::read(folder);
        assert!(!product.is_empty() && !document.is_empty(), "{}: say where it is from", folder.display());
    }
}
