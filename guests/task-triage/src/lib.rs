//! An example of an agent: looks at an alert and proposes how soon somebody has to, and what he should do first.
//!
//! The input is an event as it stands in `data` of an alert stream, by itself or as `{"event":{…}}`. The output is
//! `{"priority":"P1","score":92,"reasons":["…"],"steps":["…"]}`. Options: `assets`, names of devices, hosts and accounts that
//! matter more than others.

use aurora_guest::{Outcome, Task, TaskFailure, settings};
use serde::{Deserialize, Serialize};

#[cfg(target_family = "wasm")]
mod component;

/// What it needs of an event. Whatever else is there is no matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    severity: String,
    category: String,
    title: String,
    device_id: Option<String>,
    fields: std::collections::BTreeMap<String, String>,
    iocs: Vec<Ioc>,
    mitre_techniques: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Ioc {
    r#type: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Wrapped { event: Event },
    Bare(Event),
}

/// What it proposes.
#[derive(Debug, Serialize)]
struct Proposal {
    priority: &'static str,
    score: u32,
    reasons: Vec<String>,
    steps: Vec<String>,
}

/// Techniques after which somebody has lost something: they weigh more than those that only try.
const GRAVE: [(&str, &str); 6] = [
    ("T1486", "data is encrypted"),
    ("T1485", "data is destroyed"),
    ("T1041", "data leaves the site"),
    ("T1003", "credentials are read"),
    ("T1021", "somebody moves from host to host"),
    ("T1078", "a real account is used"),
];

/// Looks at the alert of `task`.
///
/// # Errors
/// For good, if the input is no alert; whoever asked has to send another one.
pub fn triage(task: &Task) -> Result<Outcome, TaskFailure> {
    let assets = settings::texts("assets")?;
    let event = match task.input()? {
        Input::Wrapped { event } | Input::Bare(event) => event,
    };
    let base = match event.severity.as_str() {
        "critical" => 70,
        "high" => 50,
        "medium" => 30,
        "low" => 15,
        "info" => 5,
        "" => return Err(TaskFailure::Permanent("the input is no event: it has no `severity`".to_owned())),
        other => return Err(TaskFailure::Permanent(format!("the input has the severity {other:?}"))),
    };
    let (mut score, mut reasons, mut steps) = (base, vec![format!("severity {}", event.severity)], Vec::new());
    let mut add = |points: u32, reason: String| {
        score += points;
        reasons.push(reason);
    };
    if event.category == "cps" {
        add(10, "it concerns a machine, not only data".to_owned());
        steps.push("call whoever stands beside the machine before anything is switched off".to_owned());
    }
    let known =
        |name: &String| event.device_id.as_ref() == Some(name) || event.fields.values().any(|value| value == name);
    if let Some(asset) = assets.iter().find(|name| known(name)) {
        add(15, format!("{asset} is one of the site's important assets"));
    }
    for technique in &event.mitre_techniques {
        let family = technique.split('.').next().unwrap_or_default();
        if let Some((_, meaning)) = GRAVE.iter().find(|(known, _)| *known == family) {
            add(10, format!("{technique}: {meaning}"));
        }
    }
    if let Some(account) = ["user", "account", "user.name"].iter().find_map(|key| event.fields.get(*key)) {
        steps.push(format!("ask {account} whether it was them, by another channel"));
    }
    let outside: Vec<_> =
        event.iocs.iter().filter(|ioc| matches!(ioc.r#type.as_str(), "ip" | "domain" | "url")).collect();
    if !outside.is_empty() {
        let shown: Vec<_> = outside.iter().take(3).map(|ioc| ioc.value.as_str()).collect();
        steps.push(format!("look for other hosts that spoke with {}", shown.join(", ")));
    }
    if event.iocs.iter().any(|ioc| ioc.r#type.starts_with("hash")) {
        steps.push("look for the same file elsewhere, by its hash".to_owned());
    }
    if steps.is_empty() {
        steps.push("compare with what the same source said in the last hour".to_owned());
    }
    let score = score.min(100);
    let priority = match score {
        80.. => "P1",
        60.. => "P2",
        30.. => "P3",
        _ => "P4",
    };
    let title = if event.title.is_empty() { "an alert without a title" } else { &event.title };
    Outcome::of(&Proposal { priority, score, reasons, steps }, format!("{priority}: {title}"))
}
