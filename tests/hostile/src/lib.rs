//! A guest for all stages that does what no guest should, when an event tells it to.
//!
//! An event is a line of text, `STAGE DEED [anything]`, such as `route spin`. The normalizer does the deeds of
//! `normalize` and passes the line on as the title, where the other stages find theirs; `inbound` finds its own in the titles of messages. Whatever else the line
//! says becomes an ordinary event: `aurora:alerts`, and kept at the site unless it begins with `share`.

#[cfg(target_family = "wasm")]
mod component;
mod deeds;

use aurora_guest::{
    Category, Deciding, Decisions, Failure, Judging, Kind, Messages, Normalized, Normalizing, ObservableType,
    OriginEvents, RawEvents, Routes, Routing, Scope, Severity, Share, Summary, Text, Tlp, Verdicts,
};

/// More than a guest may answer (16 MiB by default), less than it may hold in memory twice.
const LARGE: usize = 17 << 20;

/// What `line` tells `stage` to do.
fn deed<'a>(line: &'a str, stage: &str) -> &'a str {
    line.strip_prefix(stage).and_then(|rest| rest.trim_start().split(' ').next()).unwrap_or_default()
}

/// The normalizer.
///
/// # Errors
/// When told to fail.
pub fn normalize(input: &RawEvents) -> Result<Normalized, Failure> {
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    let mut spoil: Option<fn(&mut Normalized)> = None;
    for raw in input.iter() {
        let line = str::from_utf8(raw.payload).unwrap_or_default();
        match deed(line, "normalize") {
            "drop" => out.drop_event("told to"),
            "reject" => out.reject("told to"),
            "retry" => out.retry_after(20, "told to"),
            "wait" => out.retry_after(3_600_000, "told to"),
            "many" => {
                for _ in 0..3 {
                    write(&mut out, line, raw.received_ms, "");
                }
                out.accept();
            }
            "huge" => {
                write(&mut out, line, raw.received_ms, &"x".repeat(LARGE));
                out.accept();
            }
            "failure" => return Err(Failure::Other("told to".to_owned())),
            "settings" => return Err(Failure::InvalidSettings("told to".to_owned())),
            deed => {
                deeds::common(deed);
                write(&mut out, line, raw.received_ms, "");
                out.accept();
                spoil = spoil.or(deeds::spoil_events(deed));
            }
        }
    }
    let mut done = out.finish();
    if let Some(spoil) = spoil {
        spoil(&mut done);
    }
    Ok(done)
}

fn write(out: &mut Normalizing, line: &str, timestamp_ms: i64, description: &str) {
    let mut event = out.event();
    event.field("line", line);
    event.observable(ObservableType::Domain, Scope::Public, "bad.evil-site.net");
    event.observable(ObservableType::Ip, Scope::Reserved, "10.1.2.3");
    event.finish(&Summary {
        kind: Kind::Alert,
        severity: Severity::High,
        category: Category::Network,
        timestamp_ms,
        source: Text::Str(""),
        device_id: Text::Str(""),
        dedup_key: Text::Str(""),
        title: Text::Field(0),
        description: Text::Str(description),
    });
}

/// The router.
///
/// # Errors
/// When told to fail.
pub fn route(input: &OriginEvents) -> Result<Routes, Failure> {
    let mut routing = Routing::new();
    let mut spoil: Option<fn(&mut Routes)> = None;
    for event in input.iter() {
        match deed(event.title(), "route") {
            "nowhere" => routing.to(&[], "told to"),
            "unknown" => routing.to(&["no:such:stream"], "told to"),
            "twice" => routing.to(&["aurora:alerts", "aurora:alerts"], "told to"),
            "failure" => return Err(Failure::Other("told to".to_owned())),
            "huge" => routing.to(&["aurora:alerts"], &"x".repeat(LARGE)),
            deed => {
                deeds::common(deed);
                routing.to(&["aurora:alerts"], "behaves");
                spoil = spoil.or(deeds::spoil_routes(deed));
            }
        }
    }
    let mut done = routing.finish();
    if let Some(spoil) = spoil {
        spoil(&mut done);
    }
    Ok(done)
}

/// The federation policy.
///
/// # Errors
/// When told to fail.
pub fn federate(input: &OriginEvents) -> Result<Decisions, Failure> {
    let mut deciding = Deciding::new();
    let mut spoil: Option<fn(&mut Decisions)> = None;
    for event in input.iter() {
        let share = |subject| Share { subject, tlp: Tlp::Amber, observables: &[0], remove: &[] };
        match deed(event.title(), "federate") {
            "wildcard" => deciding.share(share("aurora.alerts.>"), "told to"),
            "outside" => deciding.share(share("elsewhere.secret"), "told to"),
            "spaces" => deciding.share(share("aurora.alerts.a b"), "told to"),
            "reserved" => {
                let share =
                    Share { subject: "aurora.alerts.network", tlp: Tlp::Clear, observables: &[0, 1], remove: &[] };
                deciding.share(share, "told to");
            }
            "red" => {
                let share = Share { subject: "aurora.alerts.network", tlp: Tlp::Red, observables: &[], remove: &[] };
                deciding.share(share, "told to");
            }
            // All that there is, to wherever the next word says.
            "everything" => {
                let subject = event.title().split(' ').nth(2).unwrap_or("aurora.alerts.network");
                let all: Vec<u32> = (0..event.observables().len() as u32).collect();
                deciding.share(Share { subject, tlp: Tlp::Clear, observables: &all, remove: &[] }, "wants it all");
            }
            "remove" => {
                let share =
                    Share { subject: "aurora.alerts.network", tlp: Tlp::Green, observables: &[], remove: &["line"] };
                deciding.share(share, "told to");
            }
            "failure" => return Err(Failure::Other("told to".to_owned())),
            "huge" => deciding.keep(&"x".repeat(LARGE)),
            "" if event.title().starts_with("share") => deciding.share(share("aurora.alerts.network"), "behaves"),
            "" => deciding.keep("behaves"),
            deed => {
                deeds::common(deed);
                deciding.share(share("aurora.alerts.network"), "shared without being told to");
                spoil = spoil.or(deeds::spoil_decisions(deed));
            }
        }
    }
    let mut done = deciding.finish();
    if let Some(spoil) = spoil {
        spoil(&mut done);
    }
    Ok(done)
}

/// The judge of what other sites send.
///
/// # Errors
/// When told to fail.
pub fn judge(input: &Messages) -> Result<Verdicts, Failure> {
    let mut judging = Judging::new();
    let mut spoil: Option<fn(&mut Verdicts)> = None;
    for message in input.iter() {
        match deed(message.event.title(), "inbound") {
            "refuse" => judging.refuse("told to"),
            "drop" => judging.discard("told to"),
            "failure" => return Err(Failure::Other("told to".to_owned())),
            "huge" => judging.refuse(&"x".repeat(LARGE)),
            deed => {
                deeds::common(deed);
                judging.accept(message.event.severity(), "behaves");
                spoil = spoil.or(deeds::spoil_verdicts(deed));
            }
        }
    }
    let mut done = judging.finish();
    if let Some(spoil) = spoil {
        spoil(&mut done);
    }
    Ok(done)
}
