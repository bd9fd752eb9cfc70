//! Golden cases: `cases/<format>/<case>/` holds `case.toml` (what is shown, and by which document it is right), `input`
//! and `expected.json`. `UPDATE_CASES=1 cargo test -p normalize-core --test cases` writes the expectations anew; read
//! the difference before you believe it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aurora_guest::{Context, Disposition, OriginEvents, RawEvents};
use normalize_core::{Options, normalize};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Every case is received at this moment unless it says otherwise: 2026-03-01T00:00:00Z.
const RECEIVED_MS: i64 = 1_772_323_200_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Who writes such events.
    product: String,
    /// Where their form is described.
    document: String,
    /// What the source declares.
    format: String,
    /// `line`: each line of the input is a raw event; `whole`: the input is one.
    #[serde(default = "line")]
    framing: String,
    source: Option<String>,
    device_id: Option<String>,
    channel: Option<String>,
    received_ms: Option<i64>,
    utc_offset_min: Option<i32>,
}

fn line() -> String {
    "line".to_owned()
}

#[test]
fn every_case_comes_out_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let (mut tried, mut wrong) = (0, Vec::new());
    for folder in folders(&root).iter().flat_map(|format| folders(format)) {
        let actual = run(&folder);
        let text = serde_json::to_string_pretty(&actual).expect("JSON") + "\n";
        let expected = folder.join("expected.json");
        if update {
            fs::write(&expected, &text).expect("the case's folder can be written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", folder.display()));
        }
        tried += 1;
    }
    assert!(tried > 0, "there are no cases");
    assert!(wrong.is_empty(), "{} of {tried} cases differ\n{}", wrong.len(), wrong.join("\n"));
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("a folder of cases");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

fn run(folder: &Path) -> Value {
    let about = fs::read_to_string(folder.join("case.toml")).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let case: Case = toml::from_str(&about).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    assert!(!case.product.is_empty() && !case.document.is_empty(), "{}: say where it is from", folder.display());
    let input = fs::read(folder.join("input")).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let payloads: Vec<&[u8]> = match case.framing.as_str() {
        "whole" => vec![&input],
        _ => input.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect(),
    };
    let context = Context {
        source: case.source.unwrap_or_else(|| "test".to_owned()),
        format: case.format,
        topic: None,
        device_id: case.device_id,
        channel: case.channel,
        source_ip: None,
    };
    let batch = RawEvents::of(context, case.received_ms.unwrap_or(RECEIVED_MS), payloads);
    let options = Options { utc_offset_min: case.utc_offset_min.unwrap_or(0), ..Options::default() };
    let done = normalize(&batch, &options);
    let context = vec![0; done.events.kind.len()];
    let origin = OriginEvents { contexts: batch.contexts, context, events: done.events };
    let (mut events, mut reasons) = (origin.iter(), done.reasons.iter());
    let verdicts = done.disposition.iter().zip(&done.count).map(|(disposition, &count)| match disposition {
        Disposition::Accepted => {
            let events: Vec<Value> = events
                .by_ref()
                .take(count as usize)
                .map(|event| {
                    let fields: Map<_, _> = event.fields().map(|(key, value)| (key.to_owned(), value.into())).collect();
                    let observables = event.observables();
                    let observables: Vec<String> =
                        observables.map(|o| format!("{} {:?} {}", o.kind.as_str(), o.scope, o.value)).collect();
                    json!({
                        "kind": event.kind().as_str(),
                        "severity": event.severity().as_str(),
                        "category": event.category().as_str(),
                        "timestamp_ms": event.timestamp_ms(),
                        "device_id": event.device_id(),
                        "title": event.title(),
                        "description": event.description(),
                        "fields": fields,
                        "observables": observables,
                        "techniques": event.techniques().collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({ "accepted": events })
        }
        Disposition::Dropped => json!({ "dropped": reasons.next() }),
        _ => json!({ "rejected": reasons.next() }),
    });
    verdicts.collect()
}
