//! {{name}}: what leaves the site, on which subject, and why.
//!
//! What stands here is an example to be replaced. It knows the SDK's types and no WebAssembly, so it runs under plain
//! `cargo test`; `component.rs` binds it to its world. Whatever it says, the host lets out no more than the site's
//! ceiling, and nothing at all where it fails.

use aurora_guest::{Category, Deciding, Decisions, Failure, OriginEvents, Scope, Severity, Share, Tlp, settings};

#[cfg(target_family = "wasm")]
mod component;

/// Decides for every event of a batch, in order, whether it leaves the site.
///
/// # Errors
/// Only for what concerns the whole batch, such as wrong settings.
pub fn federate(input: &OriginEvents) -> Result<Decisions, Failure> {
    // From `[guests.federate.options]` of the site's configuration, or `[options]` of a case.
    let hidden = settings::texts("hidden_fields")?;
    let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
    let mut deciding = Deciding::new();
    for event in input.iter() {
        if event.severity() < Severity::High {
            deciding.keep("severity is below high");
            continue;
        }
        let public = event.observables().enumerate().filter(|(_, observable)| observable.scope == Scope::Public);
        let observables: Vec<u32> = public.map(|(position, _)| position as u32).collect();
        let subject = match event.category() {
            Category::Cps => "aurora.alerts.cps",
            Category::Network => "aurora.alerts.network",
            Category::Endpoint => "aurora.alerts.endpoint",
            Category::Identity => "aurora.alerts.identity",
            Category::Cloud => "aurora.alerts.cloud",
        };
        let share = Share { subject, tlp: Tlp::Amber, observables: &observables, remove: &hidden };
        deciding.share(share, "severity is high or critical");
    }
    Ok(deciding.finish())
}
