//! The stock federation policy: what is high or critical leaves the site with its public observables, attestation
//! results too, and nothing else does.

use aurora_guest::{Category, Deciding, Decisions, EventView, Kind, OriginEvents, Scope, Severity, Share, Tlp};

#[cfg(target_family = "wasm")]
mod component;

/// Decides for every event of a batch whether it leaves the site.
#[must_use]
pub fn federate(input: &OriginEvents) -> Decisions {
    let mut deciding = Deciding::new();
    let (mut observables, mut subject) = (Vec::new(), String::new());
    for event in input.iter() {
        match event.kind() {
            Kind::Status => deciding.keep("status stays at the site"),
            Kind::Telemetry => deciding.keep("telemetry stays at the site"),
            Kind::Attestation => match event.device_id() {
                // A subject's token: what stands in an event must not choose where a message goes.
                Some(device) if !is_plain(device) => {
                    deciding.keep("an attestation result whose device id is no token of a subject cannot be addressed");
                }
                Some(device) => {
                    subject.clear();
                    subject.push_str("aurora.cps.attestation.");
                    subject.push_str(device);
                    let share = Share { subject: &subject, tlp: Tlp::Amber, observables: &[], remove: &[] };
                    deciding.share(share, "attestation results are shared");
                }
                None => deciding.keep("an attestation result without a device id cannot be addressed"),
            },
            Kind::Alert if event.severity() < Severity::High => deciding.keep("severity is below high"),
            Kind::Alert => {
                public_observables(&event, &mut observables);
                let share = Share {
                    subject: alert_subject(event.category()),
                    tlp: Tlp::Amber,
                    observables: &observables,
                    remove: &[],
                };
                deciding.share(share, "severity is high or critical");
            }
        }
    }
    deciding.finish()
}

fn is_plain(device: &str) -> bool {
    (1..=64).contains(&device.len()) && device.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn alert_subject(category: Category) -> &'static str {
    match category {
        Category::Cps => "aurora.alerts.cps",
        Category::Network => "aurora.alerts.network",
        Category::Endpoint => "aurora.alerts.endpoint",
        Category::Identity => "aurora.alerts.identity",
        Category::Cloud => "aurora.alerts.cloud",
    }
}

/// Positions of the observables that mean something elsewhere: not private addresses, not the site's own.
fn public_observables(event: &EventView<'_>, positions: &mut Vec<u32>) {
    positions.clear();
    let public = event.observables().enumerate().filter(|(_, observable)| observable.scope == Scope::Public);
    positions.extend(public.map(|(position, _)| position as u32));
}
