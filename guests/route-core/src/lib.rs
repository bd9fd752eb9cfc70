//! The stock router. Alerts follow the seed's rule, `cps` to `aurora:cps:alerts` and the rest to `aurora:alerts`;
//! attestation results have a stream of their own. Telemetry and status go where alerts go unless the site names other
//! streams for them (`telemetry_stream`, `status_stream`), so that readings do not push alerts out of a trimmed one.

use aurora_guest::{Category, EventView, Kind, OriginEvents, Routes, Routing, Severity};

#[cfg(target_family = "wasm")]
mod component;

/// Streams that a site may set aside, from `[guests.route.options]`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `telemetry_stream`: where measured values go.
    pub telemetry_stream: Option<String>,
    /// `status_stream`: where heartbeats go.
    pub status_stream: Option<String>,
}

const ALERTS: &str = "aurora:alerts";
const CPS_ALERTS: &str = "aurora:cps:alerts";
const ATTESTATION: &str = "aurora:cps:attestation";

/// Decides the streams of every event of a batch.
#[must_use]
pub fn route(input: &OriginEvents, options: &Options) -> Routes {
    let mut routing = Routing::new();
    for event in input.iter() {
        let by_category = by_category(event.category());
        match event.kind() {
            Kind::Alert => routing.to(&[by_category], reason(event.category())),
            Kind::Telemetry => set_aside(&mut routing, options.telemetry_stream.as_deref(), by_category, "telemetry"),
            Kind::Status => set_aside(&mut routing, options.status_stream.as_deref(), by_category, "status"),
            Kind::Attestation if failed(&event) && !has_alert(&event) => {
                routing.to(&[ATTESTATION, CPS_ALERTS], "a failed attestation is also an alert");
            }
            Kind::Attestation => routing.to(&[ATTESTATION], "attestation results have their own stream"),
        }
    }
    routing.finish()
}

fn by_category(category: Category) -> &'static str {
    if category == Category::Cps { CPS_ALERTS } else { ALERTS }
}

fn reason(category: Category) -> &'static str {
    if category == Category::Cps { "category is cps" } else { "category is not cps" }
}

fn set_aside(routing: &mut Routing, stream: Option<&str>, otherwise: &str, what: &str) {
    match stream {
        Some(stream) => routing.to(&[stream], &format!("{what} has its own stream")),
        None => routing.to(&[otherwise], &format!("{what} has no stream of its own")),
    }
}

fn failed(event: &EventView<'_>) -> bool {
    event.severity() >= Severity::High
}

/// Whether the host, whose verdict it is, has raised an alert beside the result.
fn has_alert(event: &EventView<'_>) -> bool {
    event.field("attestation.alert").is_some()
}
