//! Who is enrolled: a file that belongs to the site's configuration, and Redis, which commands write.
//!
//! Where both know a device the file decides, except that a revocation in Redis holds until the file has another key for it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use serde::Deserialize;

use super::{Form, Key, KeyError, Record, hex, record::Awaiting};
use crate::{broker::redis_streams::Known, event::is_device_id};

/// The enrolled devices of the file, as it is now. Shared.
#[derive(Debug, Default)]
pub struct Registry {
    path: Option<PathBuf>,
    devices: RwLock<Arc<HashMap<String, Listed>>>,
    /// The file that `devices` is of: its time and length.
    read: Mutex<Option<(SystemTime, u64)>>,
}

/// A device of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// SHA-256 of each firmware that it may run, in lower-case hexadecimal; none: those of `attestation.firmware`.
    pub firmware: Vec<String>,
    /// The form of its messages; none: that of `attestation.message`.
    pub form: Option<Form>,
    /// Whether nothing that it says is valid any more.
    pub revoked: bool,
}

/// How a device stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Its key is known.
    Enrolled {
        /// The key, and what goes with it.
        device: Listed,
        /// Whether the file says so.
        by_file: bool,
    },
    /// The gate is open.
    Awaiting(Awaiting),
    /// Nothing that it says is valid.
    Revoked,
    /// Nobody has enrolled it.
    Unknown,
    /// Its record in Redis makes no sense: what.
    Unreadable(String),
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML, or has other keys.
    #[error("{path} does not list devices")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A device of it cannot be used.
    #[error("{path}: device {device:?} {what}")]
    Device {
        /// Which file.
        path: PathBuf,
        /// Which device.
        device: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "device")]
    devices: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    public_key: String,
    #[serde(default)]
    firmware: Vec<String>,
    message: Option<Form>,
    #[serde(default)]
    revoked: bool,
}

impl Registry {
    /// Reads the file, if there is one to read.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn load(path: Option<&Path>) -> Result<Self, RegistryError> {
        let registry = Self { path: path.map(Path::to_owned), ..Self::default() };
        registry.refresh()?;
        Ok(registry)
    }

    /// Reads the file again if it has changed. Whether it had. Blocks.
    ///
    /// # Errors
    /// [`RegistryError`]; the devices are those of before then.
    pub fn refresh(&self) -> Result<bool, RegistryError> {
        let Some(path) = &self.path else { return Ok(false) };
        let unread = |source| RegistryError::Read { path: path.clone(), source };
        let about = std::fs::metadata(path).map_err(unread)?;
        let stamp = Some((about.modified().map_err(unread)?, about.len()));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == stamp {
            return Ok(false);
        }
        // Also when it cannot be used: it is said once.
        *read = stamp;
        let devices = Arc::new(parse(path, &std::fs::read_to_string(path).map_err(unread)?)?);
        *self.devices.write().unwrap_or_else(PoisonError::into_inner) = devices;
        Ok(true)
    }

    /// The devices of the file.
    #[must_use]
    pub fn listed(&self) -> Arc<HashMap<String, Listed>> {
        Arc::clone(&self.devices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How `device` stands, of which this is `known`: if not all of that can be read nothing that it says is valid.
    #[must_use]
    pub fn standing_of(&self, device: &str, known: &Known) -> Standing {
        match &known.unreadable {
            Some(what) => Standing::Unreadable(what.clone()),
            None => self.standing(device, known.record.as_deref()),
        }
    }

    /// How `device` stands, whose record in Redis is `record`.
    #[must_use]
    pub fn standing(&self, device: &str, record: Option<&str>) -> Standing {
        let listed = self.listed().get(device).cloned();
        let record = match record.map(Record::read).transpose() {
            Ok(record) => record,
            Err(what) => return Standing::Unreadable(what),
        };
        match (listed, record) {
            (Some(listed), Some(Record::Revoked(revoked))) if revoked.holds(&listed.key) => Standing::Revoked,
            (None, Some(Record::Revoked(_))) => Standing::Revoked,
            (Some(listed), _) if listed.revoked => Standing::Revoked,
            (Some(device), _) => Standing::Enrolled { device, by_file: true },
            (None, Some(Record::Awaiting(gate))) => Standing::Awaiting(gate),
            (None, Some(Record::Enrolled(enrolled))) => match Key::read(&enrolled.key) {
                Ok(key) => Standing::Enrolled {
                    device: Listed { key, firmware: enrolled.firmware, form: enrolled.message, revoked: false },
                    by_file: false,
                },
                Err(error) => Standing::Unreadable(format!("its key {error}")),
            },
            (None, None) => Standing::Unknown,
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<HashMap<String, Listed>, RegistryError> {
    let file: File = toml::from_str(text)
        .map_err(|source| RegistryError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    let mut devices = HashMap::with_capacity(file.devices.len());
    for written in file.devices {
        let id = written.id.clone();
        let wrong = |what: String| RegistryError::Device { path: path.to_owned(), device: id.clone(), what };
        if !is_device_id(&written.id) {
            return Err(wrong("has an id that does not match [A-Za-z0-9_-]{1,64}".to_owned()));
        }
        let key = Key::read(&written.public_key)
            .map_err(|error: KeyError| wrong(format!("has a public_key that {error}")))?;
        let firmware = written.firmware.iter().map(|hash| {
            hex::sha256(hash).ok_or_else(|| wrong(format!("has a firmware {hash:?} that is not 64 hexadecimal digits")))
        });
        let firmware = firmware.collect::<Result<_, _>>()?;
        let listed = Listed { key, firmware, form: written.message, revoked: written.revoked };
        if devices.insert(written.id, listed).is_some() {
            return Err(wrong("is there twice".to_owned()));
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{Enrolled, record::Revoked};

    const KEY: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                       4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    fn of(text: &str) -> Result<Registry, RegistryError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Registry::load(Some(file.path()))
    }

    fn listed(more: &str) -> String {
        format!("[[device]]\nid = \"a\"\npublic_key = \"{KEY}\"\n{more}\n")
    }

    fn enrolled() -> String {
        let key = KEY.to_owned();
        Record::Enrolled(Enrolled { key, firmware: vec![], message: None, since_ms: 0, by_answer: false }).json()
    }

    #[test]
    fn says_which_device_of_a_file_is_wrong_and_why() {
        for (text, said) in [
            (listed("firmware = ['x']"), "firmware \"x\" that is not 64"),
            (listed("colour = 1"), "does not list devices"),
            (format!("{}{}", listed(""), listed("")), "is there twice"),
            (listed("").replace("\"a\"", "\"a b\""), "has an id"),
            (listed("").replace("046b", "046c"), "has a public_key that is not a point"),
        ] {
            let error = of(&text).expect_err("unusable").to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(Registry::load(Some(Path::new("/nonexistent/devices.toml"))).is_err());
        assert!(Registry::load(None).expect("nothing to read").listed().is_empty());
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_broken_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let registry = Registry::load(Some(file.path())).expect("an empty file");
        assert!(registry.listed().is_empty() && !registry.refresh().expect("readable"));
        std::fs::write(file.path(), listed("")).expect("written");
        assert!(registry.refresh().expect("readable"));
        std::fs::write(file.path(), "[[device]]").expect("written");
        assert!(registry.refresh().is_err());
        assert!(registry.listed().contains_key("a"), "those of before");
        assert!(!registry.refresh().expect("said once"));
    }

    #[test]
    fn the_file_decides_and_a_revocation_holds_in_any_case_for_the_keys_that_it_names() {
        let registry = of(&listed("")).expect("a file");
        let revoked = |keys| Record::Revoked(Revoked { since_ms: 0, keys }).json();
        let own = Key::read(KEY).expect("a key").fingerprint();
        let gate =
            Record::Awaiting(Awaiting { until_ms: 9, fingerprint: None, firmware: vec![], message: None }).json();
        let enrolled = enrolled();
        let standing = |device: &str, record: Option<&str>| registry.standing(device, record);
        assert!(matches!(standing("a", Some(&enrolled)), Standing::Enrolled { by_file: true, .. }));
        assert!(matches!(standing("a", Some(&gate)), Standing::Enrolled { by_file: true, .. }));
        for keys in [vec![], vec![own.clone()], vec!["00".into(), own.clone()]] {
            assert!(matches!(standing("a", Some(&revoked(keys))), Standing::Revoked));
        }
        // The file has another key by now. Where it has none, no other can have come.
        let others = revoked(vec!["00".into()]);
        assert!(matches!(standing("a", Some(&others)), Standing::Enrolled { by_file: true, .. }));
        assert!(matches!(standing("b", Some(&others)), Standing::Revoked));
        assert!(matches!(standing("b", Some(&enrolled)), Standing::Enrolled { by_file: false, .. }));
        assert!(matches!(standing("b", Some(&gate)), Standing::Awaiting(_)));
        assert!(matches!(standing("b", None), Standing::Unknown));
        assert!(matches!(standing("b", Some("{}")), Standing::Unreadable(_)));
        let spoilt = Known { record: Some(enrolled.clone()), unreadable: Some("x".into()), ..Known::default() };
        assert!(matches!(registry.standing_of("a", &spoilt), Standing::Unreadable(_)));
        assert!(matches!(registry.standing_of("b", &Known::default()), Standing::Unknown));
        let none = of(&listed("revoked = true")).expect("a file");
        assert!(matches!(none.standing("a", Some(&enrolled)), Standing::Revoked));
        assert!(matches!(none.standing("a", Some(&others)), Standing::Revoked));
    }
}
