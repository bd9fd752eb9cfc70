//! From the names that a configuration, a router or a log uses to the keys in Redis.
//!
//! A commit is one step, and in a cluster one step can only touch keys of one hash slot. A slot is chosen by what stands
//! between the first pair of braces of a key, so every key of ours carries the same hash tag there.

use std::collections::BTreeSet;

use super::Config;

/// Hash tag in a cluster for which none is configured.
const TAG: &str = "aurora";

impl Config {
    /// The hash tag of all keys; none outside a cluster, unless one is configured.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.hash_tag.as_deref().or(self.cluster.then_some(TAG))
    }

    /// Key of the stream `name`: with the hash tag `aurora`, `aurora:alerts` is `{aurora}:alerts` and `site:x` is
    /// `{aurora}:site:x`.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        match self.tag() {
            Some(tag) => tagged(tag, name),
            None => name.to_owned(),
        }
    }

    /// Keys of all streams that commits write to.
    #[must_use]
    pub fn stream_keys(&self) -> Vec<String> {
        let own = [&self.dead_letter, &self.audit, &self.outbox];
        let names: BTreeSet<_> = self.streams.keys().chain(own).collect();
        names.into_iter().map(|name| self.key(name)).collect()
    }

    /// Key of something that the host remembers, beside the streams.
    #[must_use]
    pub fn state_key(&self, name: &str) -> String {
        self.key(&format!("{}:{name}", self.state))
    }
}

/// What keys begin with that have a hash tag.
pub(super) fn tag(key: &str) -> Option<&str> {
    Some(key.strip_prefix('{')?.split_once('}')?.0)
}

pub(super) fn tagged(tag: &str, name: &str) -> String {
    match name.strip_prefix(tag) {
        Some(rest) => format!("{{{tag}}}{rest}"),
        // Written with its braces already.
        None if name.strip_prefix('{').and_then(|name| name.strip_prefix(tag)).is_some_and(|r| r.starts_with('}')) => {
            name.to_owned()
        }
        None => format!("{{{tag}}}:{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis finds the part of a key that chooses the slot.
    fn hashed(key: &str) -> &str {
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
    }

    #[test]
    fn every_key_of_a_cluster_lies_in_one_slot() {
        let config = Config { cluster: true, ..Config::default() };
        for (name, key) in [
            ("aurora:alerts", "{aurora}:alerts"),
            ("aurora", "{aurora}"),
            ("aurora}:x", "{aurora}}:x"),
            ("site:telemetry", "{aurora}:site:telemetry"),
            ("{site}:telemetry", "{aurora}:{site}:telemetry"),
            ("{aurora}:alerts", "{aurora}:alerts"),
            ("{}", "{aurora}:{}"),
            ("", "{aurora}:"),
        ] {
            assert_eq!(config.key(name), key);
            assert_eq!(hashed(&config.key(name)), "aurora");
        }
        assert_eq!(config.state_key("dedup"), "{aurora}:state:dedup");
    }

    #[test]
    fn names_are_keys_outside_a_cluster() {
        let config = Config::default();
        assert_eq!(config.key("aurora:alerts"), "aurora:alerts");
        assert_eq!(config.key("site:x"), "site:x");
        assert_eq!(config.state_key("dedup"), "aurora:state:dedup");
    }

    #[test]
    fn a_configured_tag_is_used_with_and_without_a_cluster() {
        for cluster in [true, false] {
            let config = Config { cluster, hash_tag: Some("plant".to_owned()), ..Config::default() };
            assert_eq!(config.key("aurora:alerts"), "{plant}:aurora:alerts");
            assert_eq!(config.key("plant:alerts"), "{plant}:alerts");
        }
    }
}
