//! What the stock guests answer, seen from outside: `aurora pipe` on the components as they are shipped.

mod normalize;
mod route;
mod federate;
mod garbled;

use anyhow::{Context as _, Result};
use harness::{PipeLine, pipe, stock_guest};

/// The one answer to `input`.
fn answer(arguments: &[&str], input: &str) -> Result<PipeLine> {
    let mut lines = pipe(arguments, input.as_bytes())?.lines;
    assert_eq!(lines.len(), 1, "one event, {} answers", lines.len());
    lines.pop().context("no answer")
}

#[test]
fn stock_guests_import_no_wasi() -> Result<()> {
    for guest in ["normalize-core", "route-core", "federate-core", "inbound-core"] {
        let component = std::fs::read(stock_guest(guest)?)?;
        // The names of a component's imports stand in it as they are.
        assert!(component.windows(6).any(|bytes| bytes == b"aurora"), "{guest} imports nothing of ours");
        assert!(!component.windows(5).any(|bytes| bytes == b"wasi:"), "{guest} imports something of WASI");
    }
    Ok(())
}
