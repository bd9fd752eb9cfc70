use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::lock;

// `FILES`: path in the repository and content, in order.
include!(concat!(env!("OUT_DIR"), "/kit.rs"));

const TEMPLATES: &str = "guests/templates/";

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub name: &'a str,
    pub stage: &'a str,
    /// Folder of the stage's contract in `wit/`.
    pub wit: &'a str,
    pub world: &'a str,
}

/// What belongs into the folder of a new guest; nothing where the language has no template of the stage.
pub(super) fn files(language: &str, words: &Words<'_>) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let of_stage = format!("{TEMPLATES}{language}/{}/", words.stage);
    if !FILES.iter().any(|(path, _)| path.starts_with(&of_stage)) {
        return Ok(files);
    }
    let [every, cases] = ["every", words.stage].map(|stage| format!("{TEMPLATES}every/{stage}/"));
    for prefix in [every, cases, format!("{TEMPLATES}{language}/every/"), of_stage] {
        for (path, content) in below(&prefix) {
            files.insert(PathBuf::from(fill(path, words)?), filled(content, words)?);
        }
    }
    let vendored: &[&str] = if language == "rust" { &["wit/", "guests/sdk/"] } else { &["wit/"] };
    for prefix in vendored {
        let copies =
            below(prefix).map(|(path, content)| (Path::new("aurora").join(prefix).join(path), content.to_vec()));
        files.extend(copies);
    }
    if language == "rust" {
        files.insert(".cargo/config.toml".into(), file(".cargo/config.toml")?.to_vec());
        files.insert("Cargo.lock".into(), lock::of_guest(text("Cargo.lock")?)?.into_bytes());
    }
    Ok(files)
}

/// The languages that have a template of `stage`.
pub(super) fn languages(stage: &str) -> Vec<&'static str> {
    let parts = FILES.iter().filter_map(|(path, _)| path.strip_prefix(TEMPLATES)?.split_once('/'));
    let languages = parts
        .filter(|(language, _)| *language != "every")
        .filter(|(_, rest)| rest.split('/').next() == Some(stage))
        .map(|(language, _)| language);
    languages.collect::<BTreeSet<_>>().into_iter().collect()
}

fn below(prefix: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, content)| Some((path.strip_prefix(prefix)?, *content)))
}

fn file(path: &str) -> anyhow::Result<&'static [u8]> {
    let found = FILES.iter().find(|(known, _)| *known == path);
    found.map(|(_, content)| *content).with_context(|| format!("this program was built without {path}"))
}

fn text(path: &str) -> anyhow::Result<&'static str> {
    Ok(str::from_utf8(file(path)?)?)
}

fn filled(content: &[u8], words: &Words<'_>) -> anyhow::Result<Vec<u8>> {
    match str::from_utf8(content) {
        Ok(text) => Ok(fill(text, words)?.into_bytes()),
        Err(_) => Ok(content.to_vec()),
    }
}

/// `text` with its places filled; `guests/templates/README.md` lists them.
fn fill(text: &str, words: &Words<'_>) -> anyhow::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((place, behind)) = behind.split_once("}}") else { break };
        out.push_str(before);
        match place {
            "name" => out.push_str(words.name),
            "ident" => out.push_str(&words.name.replace('-', "_")),
            "stage" => out.push_str(words.stage),
            "wit" => out.push_str(words.wit),
            "world" => out.push_str(words.world),
            _ => match place.split_once(':') {
                Some(("package", key)) => out.push_str(&of_workspace("package", key)?),
                Some(("dependency", key)) => out.push_str(&of_workspace("dependencies", key)?),
                _ => bail!("a template has a place {{{{{place}}}}} that nothing fills"),
            },
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// A value of this repository's own manifest, so that guests are built with the versions that it is tested with.
fn of_workspace(table: &str, key: &str) -> anyhow::Result<String> {
    let manifest: toml::Table = text("Cargo.toml")?.parse()?;
    let value = manifest.get("workspace").and_then(|workspace| workspace.get(table)).and_then(|table| table.get(key));
    Ok(value.with_context(|| format!("[workspace.{table}] has no {key}"))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_nothing_fills_is_an_error() {
        let words = Words { name: "a-b", stage: "route", wit: "router", world: "router" };
        assert_eq!(fill("{{name}} {{ident}} {{stage}} }} {{", &words).unwrap(), "a-b a_b route }} {{");
        assert!(fill("{{nothing}}", &words).is_err());
        assert!(fill("{{dependency:nothing}}", &words).is_err());
        assert!(fill("{{dependency:wit-bindgen}}", &words).unwrap().starts_with('{'));
    }
}
