//! `--guest STAGE=FILE`: guests of one's own. In the demo they stand beside the stock ones, for the events of
//! topics of their own, so that the demo's samples still come out as they should.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::ensure;

use crate::{config::Grants, sandbox};

/// `--guest STAGE=FILE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    stage: String,
    path: PathBuf,
    name: String,
    grants: Grants,
}

/// Topics of all such events.
const ALL: &str = "site/+/events";

/// The stage whose guests judge what other sites send.
const INBOUND: &str = "inbound";

impl FromStr for Own {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((stage, path)) = text.split_once('=') else {
            return Err("expected STAGE=FILE, as in normalize=target/guests/acme.wasm".to_owned());
        };
        if !matches!(stage, "normalize" | "route" | "federate" | INBOUND) {
            return Err(format!("{stage:?} is no stage; there are normalize, route, federate and inbound"));
        }
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        if !path.is_file() {
            return Err(format!("there is no file {}; aurora guest build makes it", path.display()));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let wasm = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let grants = sandbox::needs(&wasm);
        Ok(Self { stage: stage.to_owned(), name: stem.chars().map(plain).collect(), path, grants })
    }
}

impl Own {
    /// Its stage and its file.
    pub(in crate::cli) fn place(&self) -> (&str, &Path) {
        (&self.stage, &self.path)
    }

    /// What it imports and what a site would have to grant it; here it is granted.
    pub(in crate::cli) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Says so, that nobody wonders why a daemon refuses what works here.
    pub(in crate::cli) fn tell_grants(&self) {
        if !self.grants.is_empty() {
            eprintln!("{}/{} is granted here what a site must grant it: {}", self.stage, self.name, self.grants);
        }
    }

    /// The rule that gives it these events and no others. To stand behind the stage's own guest.
    pub(super) fn rule(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        // What a normalizer of one's own takes also goes to a router and a policy of one's own.
        let topic = if self.is_normalizer() { self.topic() } else { ALL.to_owned() };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[guests.{}.rule]]\nname = {}\npath = {}\n{}\ntopic = [{}]\n",
            self.stage,
            quoted(&self.name),
            quoted(&self.path.display().to_string()),
            self.grants,
            quoted(&topic),
        );
        text
    }

    /// Whether it judges what other sites send.
    pub(super) fn is_judge(&self) -> bool {
        self.stage == INBOUND
    }

    /// The section that has it judge all of that.
    pub(super) fn section(&self) -> String {
        let path = toml::Value::from(self.path.display().to_string());
        format!("\n[guests.{}]\npath = {path}\n{}\n", self.stage, self.grants)
    }

    fn is_normalizer(&self) -> bool {
        self.stage == "normalize"
    }

    fn topic(&self) -> String {
        format!("site/{}/events", self.name)
    }
}

/// The topics that these guests' events are published to, each with its source: one for each normalizer, or one for all
/// where the stock normalizer reads them.
pub(super) fn topics(own: &[Own]) -> Vec<(String, &str)> {
    let of = |own: &'_ Own| own.topic();
    let normalizers: Vec<_> = own.iter().filter(|own| own.is_normalizer()).collect();
    let chosen = if normalizers.is_empty() { own.iter().take(1).collect() } else { normalizers };
    chosen.into_iter().map(|own| (of(own), own.name.as_str())).collect()
}

/// Whether they can stand beside each other.
///
/// # Errors
/// Two would take the same events.
pub(super) fn check(own: &[Own]) -> anyhow::Result<()> {
    for (at, guest) in own.iter().enumerate() {
        let same = |other: &&Own| other.stage == guest.stage && (!other.is_normalizer() || other.name == guest.name);
        if let Some(other) = own[..at].iter().find(same) {
            let (stage, name) = (&guest.stage, &guest.name);
            ensure!(other.name != *name, "--guest {stage}=… names two guests {name}; rename the file of one");
            anyhow::bail!("--guest {stage}=… names {} and {name}, and only one can take the events", other.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(folder: &Path, stage: &str, file: &str) -> Own {
        let path = folder.join(file);
        std::fs::write(&path, "").unwrap();
        format!("{stage}={}", path.display()).parse().unwrap()
    }

    #[test]
    fn names_the_guest_by_its_file_and_refuses_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let guest = own(folder.path(), "normalize", "My_Acme.wasm");
        assert_eq!(topics(std::slice::from_ref(&guest)), [("site/my-acme/events".to_owned(), "my-acme")]);
        assert!(guest.rule().contains("[[guests.normalize.rule]]\nname = \"my-acme\""), "{}", guest.rule());
        let judge = own(folder.path(), "inbound", "mine.wasm");
        assert!(judge.is_judge() && !guest.is_judge());
        assert!(judge.section().contains("[guests.inbound]\npath = "), "{}", judge.section());
        for wrong in ["acme.wasm", "normalise=acme.wasm", "route=/nowhere/acme.wasm"] {
            assert!(wrong.parse::<Own>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_router_takes_what_a_normalizer_of_the_same_visitor_made() {
        let folder = tempfile::tempdir().unwrap();
        let (acme, mine) = (own(folder.path(), "normalize", "acme.wasm"), own(folder.path(), "route", "mine.wasm"));
        assert_eq!(topics(std::slice::from_ref(&mine)), [("site/mine/events".to_owned(), "mine")]);
        assert_eq!(topics(&[mine.clone(), acme]), [("site/acme/events".to_owned(), "acme")]);
        assert!(mine.rule().contains("topic = [\"site/+/events\"]"), "{}", mine.rule());
    }

    #[test]
    fn two_guests_do_not_take_the_same_events() {
        let folder = tempfile::tempdir().unwrap();
        let of = |stage, file| own(folder.path(), stage, file);
        assert!(check(&[of("normalize", "a.wasm"), of("normalize", "b.wasm"), of("route", "a.wasm")]).is_ok());
        for pair in [("route", "a.wasm", "b.wasm"), ("normalize", "a.wasm", "A.wasm")] {
            assert!(check(&[of(pair.0, pair.1), of(pair.0, pair.2)]).is_err(), "{pair:?}");
        }
    }
}
