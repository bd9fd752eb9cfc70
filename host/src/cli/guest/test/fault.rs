//! A fault as its author needs it: what, where, by which input, and how to see it again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    event::Context,
    sandbox::{Fault, events::Events},
    trial::{About, Batch, Case, Culprit, KnownHere, event_value},
};

/// Bytes of an input that are shown.
const SHOWN: usize = 200;

/// Functions of a stack that are shown.
const DEEP: usize = 12;

/// Functions that stand in the fault's own line.
const IN_LINE: usize = 4;

/// Which events of a batch a fault is of.
pub(super) fn events(culprit: &Culprit) -> String {
    match culprit.range.len() {
        1 => format!("event {}", culprit.range.start + 1),
        _ => format!("events {} to {} together", culprit.range.start + 1, culprit.range.end),
    }
}

/// What two faults have in common that one mending removes: a panic's place, or the functions of a trap.
pub(super) fn kind(culprit: &Culprit) -> String {
    let place = culprit.log.last().filter(|line| line.starts_with("panicked at "));
    let place = place.and_then(|line| line.split(": ").next());
    match (&culprit.fault, place) {
        (Fault::Trap(_), Some(place)) => place.to_owned(),
        (Fault::Trap(_), None) if !culprit.functions.is_empty() => culprit.functions.join(" < "),
        (fault, _) => fault.to_string(),
    }
}

/// Tells of `culprit` of `batch`, and leaves its input beside the component as a case of its own.
pub(super) fn tell(guest: &Path, wasm: &Path, batch: &Batch, culprit: &Culprit, case: Option<&Case>) -> String {
    let input = input(batch, culprit);
    let fault = culprit.fault.to_string();
    let mut text = format!("{}: {fault}\n", events(culprit));
    if culprit.functions.len() > IN_LINE {
        for function in culprit.functions.iter().take(DEEP) {
            text += &format!("    in {function}\n");
        }
    }
    // Its last words are part of the fault.
    for line in culprit.log.iter().filter(|line| !fault.contains(line.as_str())) {
        text += &format!("  it said: {line}\n");
    }
    let shown = input[..input.len().min(SHOWN)].escape_ascii();
    let rest = if input.len() > SHOWN { format!(" … {} bytes", input.len()) } else { String::new() };
    text += &format!("  input: {shown}{rest}\n");
    match keep(wasm, batch, culprit, case, &input) {
        Ok(folder) => {
            text += &format!(
                "  again: aurora guest test {} --cases {} --hostile 0\n  (to keep it as a case, move that folder to cases/)",
                word(guest),
                word(&folder)
            );
        }
        Err(error) => text += &format!("  its input could not be kept: {error}"),
    }
    text
}

/// A path as one word of a shell's command.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The input of the culprit, as it stands in a case.
fn input(batch: &Batch, culprit: &Culprit) -> Vec<u8> {
    match batch.slice(culprit.range.clone()) {
        Batch::Raw(events) => events.iter().map(|event| &event.payload[..]).collect::<Vec<_>>().join(&b'\n'),
        Batch::Tasks(tasks) => tasks.iter().map(|task| &task.input[..]).collect::<Vec<_>>().join(&b'\n'),
        Batch::Foreign(messages) => {
            let lines: Vec<_> = messages.iter().map(|message| message.written().to_string()).collect();
            lines.join("\n").into_bytes()
        }
        Batch::Normalized(events) => match Events::of(events.iter().map(|origin| &origin.event)) {
            Ok(events) => {
                let lines: Vec<_> = events.iter().map(|event| event_value(event).to_string()).collect();
                lines.join("\n").into_bytes()
            }
            Err(_) => Vec::new(),
        },
    }
}

fn keep(wasm: &Path, batch: &Batch, culprit: &Culprit, case: Option<&Case>, input: &[u8]) -> io::Result<PathBuf> {
    let digest = Sha256::digest(input);
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy();
    let folder = wasm.with_file_name("faults").join(&*stem).join(format!("{}-{short}", culprit.fault.reason()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("input"), input)?;
    let none = Context::default();
    let (context, received_ms) = match batch {
        Batch::Tasks(tasks) => (&none, tasks[culprit.range.start].now_ms),
        // What it came with stands beside it, on its line.
        Batch::Foreign(messages) => (&none, messages[culprit.range.start].received_ms),
        Batch::Raw(events) => {
            let event = &events[culprit.range.start];
            (&*event.context, event.received_ms)
        }
        Batch::Normalized(events) => {
            let event = &events[culprit.range.start];
            (&*event.context, event.event.timestamp_ms)
        }
    };
    // One raw event may hold line feeds, and a normalized one stands on a line of its own.
    let whole = !matches!(batch, Batch::Normalized(_) | Batch::Foreign(_)) && culprit.range.len() == 1;
    let about = about(context, received_ms, whole, case);
    fs::write(folder.join("case.toml"), about)?;
    Ok(folder)
}

fn about(context: &Context, received_ms: i64, whole: bool, case: Option<&Case>) -> String {
    let mut table = toml::Table::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), value.into());
        }
    };
    put("about", Some("an input on which the guest failed"));
    put("framing", Some(if whole { "whole" } else { "line" }));
    // A task has none.
    put("source", Some(context.source.as_str()).filter(|source| !source.is_empty()));
    put("format", Some(context.format.as_str()).filter(|format| !format.is_empty()));
    put("topic", context.topic.as_deref());
    put("device_id", context.device_id.as_deref());
    put("channel", context.channel.as_deref());
    put("source_ip", context.source_ip.as_deref());
    table.insert("received_ms".to_owned(), received_ms.into());
    if let Some(case) = case {
        surround(&mut table, &case.about);
    }
    table.to_string()
}

/// All that a case has beside what the input came with: without it the guest may well not fail again.
fn surround(table: &mut toml::Table, about: &About) {
    let About { agent, attempt, attempts, options, state, indicators, streams, subjects, .. } = about;
    let texts = |texts: &[String]| texts.iter().cloned().map(toml::Value::from).collect::<Vec<_>>();
    let values = |values: &BTreeMap<String, toml::Value>| toml::Value::Table(values.clone().into_iter().collect());
    table.insert("agent".to_owned(), agent.as_str().into());
    table.insert("attempt".to_owned(), i64::from(*attempt).into());
    table.insert("attempts".to_owned(), i64::from(*attempts).into());
    table.insert("options".to_owned(), values(options));
    table.insert("state".to_owned(), values(state));
    table.insert("indicators".to_owned(), indicators.iter().map(told).collect::<Vec<_>>().into());
    table.insert("streams".to_owned(), texts(streams).into());
    table.insert("subjects".to_owned(), texts(subjects).into());
}

/// An indicator as a case tells it.
fn told(one: &KnownHere) -> toml::Value {
    let KnownHere { r#type, value, sites, tlp, count } = one;
    let mut table = toml::Table::new();
    table.insert("type".to_owned(), r#type.as_str().into());
    table.insert("value".to_owned(), value.as_str().into());
    table.insert("sites".to_owned(), sites.iter().cloned().map(toml::Value::from).collect::<Vec<_>>().into());
    table.insert("tlp".to_owned(), tlp.as_str().into());
    // It came out of TOML, which has no larger ones.
    if let Some(count) = count.and_then(|count| i64::try_from(count).ok()) {
        table.insert("count".to_owned(), count.into());
    }
    toml::Value::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_input_comes_with_all_that_its_case_has() {
        let text = "about = 'an input on which the guest failed'\nframing = 'whole'\nsource = 'd'\nformat = 'e'\n\
                    topic = 'f'\ndevice_id = 'g'\nchannel = 'h'\nsource_ip = 'i'\nreceived_ms = 1\nagent = 'j'\n\
                    attempt = 2\nattempts = 3\nstreams = ['k']\nsubjects = ['l']\noptions = { m = 4 }\n\
                    state = { n = 'o', p = { q = true } }\n\
                    [[indicators]]\ntype = 'ip'\nvalue = 'r'\nsites = ['s']\ntlp = 'RED'\ncount = 5";
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("input"), "x").unwrap();
        fs::write(folder.path().join("case.toml"), text).unwrap();
        let case = Case::read(folder.path()).unwrap();
        let kept = about(&case.about.context(), case.about.received_ms, true, Some(&case));
        let again: About = toml::from_str(&kept).unwrap();
        assert_eq!(format!("{again:?}"), format!("{:?}", case.about), "{kept}");
    }

    #[test]
    fn panics_of_one_place_are_of_one_kind_whatever_they_say() {
        let culprit = |said: &str| Culprit {
            range: 0..1,
            fault: Fault::Trap(format!("unreachable; it said: {said}")),
            functions: vec!["acme::normalize".to_owned()],
            log: vec![said.to_owned()],
        };
        let [first, same, other] = ["src/lib.rs:7: of 1", "src/lib.rs:7: of 2", "src/lib.rs:8: of 1"]
            .map(|place| kind(&culprit(&format!("panicked at {place}"))));
        assert_eq!(first, same);
        assert_ne!(first, other);
    }

    #[test]
    fn a_path_is_one_word_of_a_command() {
        assert_eq!(word(Path::new("target/guests/a-1.wasm")), "target/guests/a-1.wasm");
        assert_eq!(word(Path::new("my guest's")), "'my guest'\\''s'");
    }
}
