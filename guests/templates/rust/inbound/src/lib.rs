//! {{name}}: what of other sites' messages comes in, and how severe it is here.
//!
//! What stands here is an example to be replaced. It knows the SDK's types and no WebAssembly, so it runs under plain
//! `cargo test`; `component.rs` binds it to its world. Whatever it says, the host lets in nothing that fails its own checks,
//! keeps each message's marking, and lets in nothing at all where it fails.

use aurora_guest::{Failure, Judging, Messages, Severity, Verdicts, settings};

#[cfg(target_family = "wasm")]
mod component;

/// Judges every message of a batch, in order.
///
/// # Errors
/// Only for what concerns the whole batch, such as wrong settings.
pub fn judge(input: &Messages) -> Result<Verdicts, Failure> {
    // From `[guests.inbound.options]` of the site's configuration, or `[options]` of a case.
    let strangers = settings::texts("strangers")?;
    let mut judging = Judging::new();
    for message in input.iter() {
        let severity = message.event.severity();
        if strangers.iter().any(|site| site == message.site) {
            judging.refuse("nobody here knows that site");
        } else if message.is_event() && severity == Severity::Info {
            judging.discard("nobody here looks at it");
        } else {
            judging.accept(severity, "it comes from a site that we know");
        }
    }
    Ok(judging.finish())
}
