//! Reads the file: its syntax, its keys and the types of their values.

use std::collections::HashSet;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error, ValueDeserializer},
};

use super::{
    Config,
    outline::{self, Node, Outline, Step},
    wording,
};

/// A problem with its line and column.
#[derive(Debug)]
pub(super) struct Misfit {
    pub key: String,
    pub position: Option<(usize, usize)>,
    pub what: String,
    pub remedy: String,
}

/// Reads the syntax. There is only ever one problem with it: what follows it cannot be trusted.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Misfit> {
    let (root, errors) = DeTable::parse_recoverable(text);
    // The parser goes over the text more than once, so the first error that it reports may not stand first.
    match errors.iter().min_by_key(|error| error.span().map_or(text.len(), |span| span.start)) {
        None => Ok(root.into_inner()),
        Some(error) => Err(syntax_error(text, error)),
    }
}

/// A syntax error, at the key that it spoils.
fn syntax_error(text: &str, error: &Error) -> Misfit {
    let start = error.span().map_or(text.len(), |span| span.start);
    let (line, column) = outline::position(text, start);
    Misfit {
        key: key_near(text, line),
        position: Some((line, column)),
        what: format!("not valid TOML at column {column}: {}", error.message()),
        remedy: match error.message().starts_with("duplicate") {
            true => "every key and every section may appear once".to_owned(),
            false => "strings need quotes, lists and sections their closing bracket".to_owned(),
        },
    }
}

/// The key that is being written on `line`, read by eye: the parser has given up.
fn key_near(text: &str, line: usize) -> String {
    let header = |text: &str| {
        text.trim().strip_prefix('[')?.split(']').next().map(|name| name.trim_start_matches('[').trim().to_owned())
    };
    let section = text.lines().take(line).filter_map(header).last().unwrap_or_default();
    let current = text.lines().nth(line - 1).unwrap_or_default();
    match current.split_once('=') {
        Some((key, _)) if !current.trim_start().starts_with(['[', '#']) => {
            if section.is_empty() {
                key.trim().to_owned()
            } else {
                format!("{section}.{}", key.trim())
            }
        }
        _ => section,
    }
}

/// Takes out of `root` what does not fit into [`Config`], until the rest does, and says what it took. Also notes in
/// `misfits` which keys that concerns, so that nobody calls them missing.
pub(super) fn cut_misfits(root: &mut DeTable<'_>, outline: &Outline, misfits: &mut HashSet<String>) -> Vec<Misfit> {
    let mut found = cut_listed_sections(root, outline, misfits);
    while let Err(error) = fit(root.clone()) {
        let node = error.span().and_then(|span| outline.at(&span));
        let key = node.map_or("", |node| &node.key);
        let wording = wording::explain(error.message(), key);
        misfits.insert(key.to_owned());
        if let Some((_, Some(meant))) = &wording.unknown {
            let meant = outline::parent(key).map_or_else(|| meant.clone(), |above| format!("{above}.{meant}"));
            if !outline.sets(&meant) {
                misfits.insert(meant);
            }
        }
        found.push(Misfit {
            key: key.to_owned(),
            position: node.map(|node| node.position),
            what: wording.what,
            remedy: wording.remedy,
        });
        // Each round makes the tree smaller, so this ends; an error without a place ends it at once.
        if !node.is_some_and(|node| cut(root, &node.steps)) {
            root.clear();
        }
    }
    found
}

/// Takes out `[[site]]` and its like: the deserializer would read a list as the section's values in order.
fn cut_listed_sections(root: &mut DeTable<'_>, outline: &Outline, misfits: &mut HashSet<String>) -> Vec<Misfit> {
    let is_section = |node: &&Node| match node.steps.as_slice() {
        [Step::Key(section)] => takes_table(&[section]),
        [Step::Key(section), Step::Key(key)] => takes_table(&[section, key]),
        [Step::Key(section), Step::Key(key), Step::Key(below)] => takes_table(&[section, key, below]),
        [.., Step::Element(_)] => node.key.starts_with("mqtt.subscriptions["),
        _ => false,
    };
    let listed: Vec<_> = outline.nodes().iter().filter(|node| node.is_list).filter(is_section).collect();
    let one = |node: &Node| {
        misfits.insert(node.key.clone());
        cut(root, &node.steps);
        Misfit {
            key: node.key.clone(),
            position: Some(node.position),
            what: "is a list, expected a table".to_owned(),
            remedy: match node.steps.last() {
                Some(Step::Element(_)) => "write it as { topic = \"…\", qos = 1 }".to_owned(),
                _ => format!("write [{}], with single brackets, and its keys below", node.key),
            },
        }
    };
    listed.into_iter().map(one).collect()
}

fn takes_table(path: &[&str]) -> bool {
    let empty = |name: &str, inner| {
        let mut table = DeTable::new();
        table.insert(Spanned::new(0..0, name.to_owned().into()), Spanned::new(0..0, DeValue::Table(inner)));
        table
    };
    fit(path.iter().rfold(DeTable::new(), |inner, name| empty(name, inner))).is_ok()
}

/// Reads a configuration out of a tree.
pub(super) fn fit(root: DeTable<'_>) -> Result<Config, Error> {
    Config::deserialize(ValueDeserializer::from(Spanned::new(0..0, DeValue::Table(root))))
}

/// Removes the key at the end of `steps`; of a list, which must keep its numbering, all of it.
fn cut(root: &mut DeTable<'_>, steps: &[Step]) -> bool {
    let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Key(_))) else { return false };
    let Step::Key(name) = &steps[last] else { return false };
    let Some(Step::Key(first)) = steps.first() else { return false };
    if last == 0 {
        return root.remove(first.as_str()).is_some();
    }
    let mut here = root.get_mut(first.as_str()).map(Spanned::get_mut);
    for step in &steps[1..last] {
        here = match (here, step) {
            (Some(DeValue::Table(table)), Step::Key(key)) => table.get_mut(key.as_str()).map(Spanned::get_mut),
            (Some(DeValue::Array(list)), Step::Element(index)) => list.get_mut(*index).map(Spanned::get_mut),
            _ => None,
        };
    }
    let Some(DeValue::Table(table)) = here else { return false };
    table.remove(name.as_str()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(text: &str) -> Misfit {
        parse(text).unwrap_err()
    }

    #[test]
    fn a_syntax_error_names_the_key_that_it_spoils() {
        let found = syntax("[site]\nid = 'a'\n[mqtt]\nurl = mqtt://host\n");
        assert_eq!((found.key.as_str(), found.position), ("mqtt.url", Some((4, 7))));
        let found = syntax("[site]\nid = 'a'\n[mqtt\nurl = 'x'\n");
        assert_eq!(found.position.unwrap().0, 3);
        let found = syntax("[site]\nid = 'a'\nid = 'b'\n");
        assert_eq!((found.key.as_str(), found.position), ("site.id", Some((3, 1))));
    }

    #[test]
    fn cuts_every_misfit_and_keeps_the_rest() {
        let text = "[site]\nid = 7\n[lanes]\nbatch = 'x'\ncount = 3\n[[mqtt.subscriptions]]\ntopic = 'a'\nqos = 'x'\n\
                    tpoic = 1\n[log]\nformat = 'yaml'\n";
        let mut root = DeTable::parse(text).unwrap().into_inner();
        let outline = Outline::of(text, &root);
        let mut found = cut_misfits(&mut root, &outline, &mut HashSet::new());
        found.sort_by_key(|misfit| misfit.position);
        let places: Vec<_> = found.iter().map(|f| (f.key.as_str(), f.position.unwrap().0)).collect();
        let expected = [
            ("site.id", 2),
            ("lanes.batch", 4),
            ("mqtt.subscriptions[0].qos", 8),
            ("mqtt.subscriptions[0].tpoic", 9),
            ("log.format", 11),
        ];
        assert_eq!(places, expected);
        assert_eq!(fit(root).unwrap().lanes.count, 3);
    }
}
