use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

use crate::cli::guest::new::{Stage, name};

/// `guest.toml`: what a build needs to know of a guest that has no `Cargo.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::guest) struct Manifest {
    /// Its name, which is that of its file.
    #[serde(deserialize_with = "valid")]
    pub name: String,
    /// What it decides.
    pub stage: Stage,
    /// Whether it is built to import the empty WASI, which its site has to grant.
    #[serde(default)]
    pub wasi: bool,
}

fn valid<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    name(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl Manifest {
    /// That of the guest in `folder`; none where there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is not as it should be.
    pub(in crate::cli::guest) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join("guest.toml");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_files_and_a_stage_that_is_none_are_refused() {
        let read = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("guest.toml"), text).unwrap();
            Manifest::read(folder.path())
        };
        let sound = read("name = 'acme'\nstage = 'normalize'").unwrap().unwrap();
        assert_eq!((sound.name.as_str(), sound.stage, sound.wasi), ("acme", Stage::Normalize, false));
        for wrong in ["name = '../acme'\nstage = 'route'", "name = 'a'\nstage = 'dedup'", "name = 'a'", "stag = 1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Manifest::read(Path::new("/nowhere")).unwrap(), None);
    }
}
