//! The environment: `AURORA_<SECTION>__<KEY>` sets one key.

use std::collections::HashSet;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    outline::{parent, quoted},
    problem::{Place, Problem},
    reading::fit,
    wording,
};

/// One key set by one variable.
#[derive(Debug)]
pub(super) struct Override<'e> {
    pub variable: &'e str,
    /// As in `mqtt.url`.
    pub key: String,
    steps: Vec<String>,
    value: DeValue<'e>,
}

/// Whether a variable claims to be a key of ours. Names without `__` are somebody else's.
pub(super) fn concerns(variable: &str) -> bool {
    variable.strip_prefix("AURORA_").is_some_and(|rest| rest.contains("__"))
}

/// Reads the variables. Each is tried against an otherwise empty configuration, so that a bad one is named by itself.
pub(super) fn read<'e>(
    variables: &'e [(String, String)],
    misfits: &mut HashSet<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Override<'e>> {
    let mut overrides = Vec::new();
    for (variable, text) in variables {
        match one(variable, text) {
            Ok(found) => overrides.push(found),
            Err(refusal) => {
                let (problem, meant) = *refusal;
                misfits.insert(problem.key.clone());
                misfits.extend(meant);
                problems.push(problem);
            }
        }
    }
    overrides
}

/// What is wrong with a variable, and the key that was probably meant.
type Refusal = Box<(Problem, Option<String>)>;

fn one<'e>(variable: &'e str, text: &'e str) -> Result<Override<'e>, Refusal> {
    let name = variable.strip_prefix("AURORA_").unwrap_or(variable);
    let steps: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    let key = steps.iter().map(|step| quoted(step)).collect::<Vec<_>>().join(".");
    let refuse = |what: String, remedy: String, meant: Option<String>| {
        let place = Place::Variable(variable.to_owned());
        Err(Box::new((Problem { place, key: key.clone(), what, remedy }, meant)))
    };
    if steps.iter().any(String::is_empty) {
        let remedy = "write it as AURORA_<SECTION>__<KEY>, as in AURORA_MQTT__URL".to_owned();
        return refuse("is no key".to_owned(), remedy, None);
    }
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return refuse("is not UTF-8".to_owned(), "set it to UTF-8 text".to_owned(), None);
    }
    let parsed = DeValue::parse(text).ok().map(Spanned::into_inner);
    // A table would replace what the file says about the whole section, and silently at that.
    let may_be_table = key == "redis.streams" || is_option(&steps);
    if matches!(parsed, Some(DeValue::Table(_))) && !may_be_table {
        let remedy = format!("set its keys one by one, as in {variable}__<KEY>");
        return refuse("is a section, not a key".to_owned(), remedy, None);
    }
    match choose(&steps, text, parsed) {
        Ok(value) => Ok(Override { variable, key, steps, value }),
        Err(error) => {
            let wording = wording::explain(error.message(), &key);
            let Some((unknown, meant)) = wording.unknown else { return refuse(wording.what, wording.remedy, None) };
            let Some(meant) = meant else { return refuse(wording.what, wording.remedy, None) };
            let at = steps.iter().position(|step| *step == unknown).unwrap_or(steps.len() - 1);
            let mut steps = steps.clone();
            steps[at] = meant;
            let remedy = format!("did you mean AURORA_{}?", steps.join("__").to_ascii_uppercase());
            refuse(wording.what, remedy, Some(steps[..=at].join(".")))
        }
    }
}

/// `[guests.<stage>.options]`: the only keys that have no type of their own.
fn is_option(steps: &[String]) -> bool {
    steps.len() > 2 && steps[0] == "guests" && steps[2] == "options"
}

/// Text is taken as it is where the key takes text (`AURORA_SITE__ID=42`), else read as a TOML value. A guest's
/// option could be either, so there TOML comes first; quotes make it text.
fn choose<'e>(steps: &[String], text: &'e str, parsed: Option<DeValue<'e>>) -> Result<DeValue<'e>, toml::de::Error> {
    let string = DeValue::String(text.into());
    if is_option(steps) {
        return match parsed {
            Some(DeValue::Datetime(_)) | None => tried(steps, string),
            Some(value) => tried(steps, value),
        };
    }
    tried(steps, string).or_else(|error| match parsed {
        Some(value) => tried(steps, value),
        None => Err(error),
    })
}

fn tried<'e>(steps: &[String], value: DeValue<'e>) -> Result<DeValue<'e>, toml::de::Error> {
    let mut root = DeTable::new();
    set(&mut root, steps, value.clone());
    fit(root).map(|_| value)
}

/// Puts the overrides over the file.
pub(super) fn apply<'e>(overrides: &[Override<'e>], root: &mut DeTable<'e>) {
    for Override { steps, value, .. } in overrides {
        set(root, steps, value.clone());
    }
}

fn set<'e>(table: &mut DeTable<'e>, steps: &[String], value: DeValue<'e>) {
    let Some((first, rest)) = steps.split_first() else { return };
    let name = || Spanned::new(0..0, first.clone().into());
    if rest.is_empty() {
        table.insert(name(), Spanned::new(0..0, value));
        return;
    }
    let inner = table.entry(name()).or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    if !matches!(inner.get_ref(), DeValue::Table(_)) {
        *inner.get_mut() = DeValue::Table(DeTable::new());
    }
    if let DeValue::Table(inner) = inner.get_mut() {
        set(inner, rest, value);
    }
}

/// The variable that set `key`, or the list or table that it belongs to.
pub(super) fn variable_of<'o>(overrides: &'o [Override<'_>], key: &str) -> Option<&'o str> {
    std::iter::successors(Some(key), |key| parent(key))
        .find_map(|key| overrides.iter().find(|one| one.key == key))
        .map(|one| one.variable)
}
