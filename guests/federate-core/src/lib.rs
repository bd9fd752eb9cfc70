//! The stock federation policy: what is high or critical leaves the site with its public observables, attestation
//! results too, and of the streams that the site offers to others what its options say. Nothing else does.

use aurora_guest::{
    Category, Deciding, Decisions, EventView, Failure, Kind, OriginEvents, Scope, Severity, Share, Tlp, settings,
};

#[cfg(target_family = "wasm")]
mod component;

/// What of the streams that a site offers to others is shared, from `[guests.federate.options]`. All of it, unless they
/// say otherwise: `federation.share` has said already what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `share_agent_results`: what agents found.
    pub share_agent_results: bool,
    /// `share_audit`: the audit trail, but for what it says of the configuration.
    pub share_audit: bool,
    /// `share_soar`: what was done about events.
    pub share_soar: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { share_agent_results: true, share_audit: true, share_soar: true }
    }
}

impl Options {
    /// Those of the site.
    ///
    /// # Errors
    /// If one is set to something else than `true` or `false`.
    pub fn read() -> Result<Self, Failure> {
        let flag = |key| Ok(settings::flag(key)?.unwrap_or(true));
        Ok(Self {
            share_agent_results: flag("share_agent_results")?,
            share_audit: flag("share_audit")?,
            share_soar: flag("share_soar")?,
        })
    }
}

/// Decides for every event of a batch whether it leaves the site.
#[must_use]
pub fn federate(input: &OriginEvents, options: &Options) -> Decisions {
    let mut deciding = Deciding::new();
    let (mut observables, mut subject) = (Vec::new(), String::new());
    for event in input.iter() {
        if event.context.source.starts_with("aurora:") {
            offered(&event, options, &mut deciding, &mut subject);
            continue;
        }
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

/// Decides on an entry of a stream of the site. Only the host gives an event such a source.
fn offered(event: &EventView<'_>, options: &Options, deciding: &mut Deciding, subject: &mut String) {
    subject.clear();
    let (is_wanted, what) = match event.context.source.as_str() {
        "aurora:agent:results" => {
            subject.push_str("AURORA.agent_results");
            (options.share_agent_results, "agent results")
        }
        "aurora:audit" => {
            // Where guests lie, and what listens where. What does not say what it is may be that.
            if options.share_audit && matches!(event.field("action"), None | Some("config")) {
                return deciding.keep("what a site is configured to do stays there");
            }
            subject.push_str("AURORA.audit");
            (options.share_audit, "the audit trail")
        }
        "aurora:soar:actions" => {
            let action = event.field("action").unwrap_or_default();
            if !is_plain(action) {
                return deciding.keep("a SOAR action whose name is no token of a subject cannot be addressed");
            }
            subject.push_str("aurora.soar.");
            subject.push_str(action);
            (options.share_soar, "SOAR actions")
        }
        other => return deciding.keep(&format!("{other} is no stream that this policy knows")),
    };
    match is_wanted {
        true => {
            let share = Share { subject, tlp: Tlp::Amber, observables: &[], remove: &[] };
            deciding.share(share, &format!("the site shares {what}"));
        }
        false => deciding.keep(&format!("the site's options keep {what}")),
    }
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
