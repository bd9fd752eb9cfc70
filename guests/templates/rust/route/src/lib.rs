//! {{name}}: which Redis streams each event goes to.
//!
//! What stands here is an example to be replaced. It knows the SDK's types and no WebAssembly, so it runs under plain
//! `cargo test`; `component.rs` binds it to its world.

use aurora_guest::{Category, Failure, OriginEvents, Routes, Routing, Severity, settings};

#[cfg(target_family = "wasm")]
mod component;

/// Names the streams of every event of a batch, in order. Each must be one of `[redis.streams]`.
///
/// # Errors
/// Only for what concerns the whole batch, such as wrong settings.
pub fn route(input: &OriginEvents) -> Result<Routes, Failure> {
    // From `[guests.route.options]` of the site's configuration, or `[options]` of a case.
    let urgent = settings::text("urgent_stream")?;
    let mut routing = Routing::new();
    for event in input.iter() {
        let stream = if event.category() == Category::Cps { "aurora:cps:alerts" } else { "aurora:alerts" };
        match &urgent {
            Some(urgent) if event.severity() == Severity::Critical && urgent != stream => {
                routing.to(&[stream, urgent], "critical events also go to the urgent stream");
            }
            _ => routing.to(&[stream], "by category"),
        }
    }
    Ok(routing.finish())
}
