use std::{fmt, net::IpAddr};

use super::OciError;
use crate::sandbox::Digest;

/// Where an artifact lies: `registry/repository@sha256:…`, or for who only asks what a tag stands for,
/// `registry/repository:tag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    inner: oci_client::Reference,
    digest: Option<Digest>,
}

impl Reference {
    /// Of this text. The registry has to be named: to take one for granted is how a guest comes from elsewhere.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, OciError> {
        let wrong = |why: &str| OciError::Reference(why.to_owned());
        let (registry, _) = text.split_once('/').ok_or_else(|| wrong("it names no registry"))?;
        let is_host = registry == "localhost" || registry.contains(['.', ':']);
        if !is_host {
            return Err(wrong("it names no registry"));
        }
        let inner: oci_client::Reference = text.parse().map_err(|error| OciError::Reference(format!("{error}")))?;
        let digest = match inner.digest() {
            None => None,
            Some(text) => Some(parse_digest(text).ok_or_else(|| wrong("its digest is no SHA-256"))?),
        };
        Ok(Self { inner, digest })
    }

    /// Digest of the artifact's manifest, if it is named by that.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same place by digest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        let (registry, repository) = (self.inner.registry().to_owned(), self.inner.repository().to_owned());
        let inner = oci_client::Reference::with_digest(registry, repository, digest.to_string());
        Self { inner, digest: Some(digest) }
    }

    /// Host, and port if there is one.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.inner.resolve_registry()
    }

    /// What a guest from there is called: the last part of the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.repository().rsplit('/').next().unwrap_or_default()
    }

    /// Whether its registry is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_loopback(self.registry())
    }

    pub(super) fn inner(&self) -> &oci_client::Reference {
        &self.inner
    }

    /// The part of a manifest's URL below the registry.
    pub(super) fn manifest_path(&self) -> String {
        let tag = self.inner.tag().unwrap_or("latest").to_owned();
        let name = self.digest.map_or(tag, |digest| digest.to_string());
        format!("/v2/{}/manifests/{name}", self.inner.repository())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

/// Whether `registry`, a host with or without a port, is this machine.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn parse_digest(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:")?;
    let (mut bytes, is_digit) = ([0; 32], |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex.len() != 64 || !hex.bytes().all(is_digit) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_named_with_its_registry_and_by_its_digest() {
        let digest = Digest::of(b"manifest");
        let named = format!("registry.site:5000/guests/acme@{digest}");
        let reference = Reference::parse(&named).unwrap();
        assert_eq!((reference.digest(), reference.registry()), (Some(digest), "registry.site:5000"));
        assert_eq!((reference.name(), reference.to_string()), ("acme", named));
        let tagged = Reference::parse("registry.site:5000/guests/acme:1").unwrap();
        assert_eq!((tagged.digest(), tagged.at(digest)), (None, reference));
        for wrong in ["", "acme", "acme:1", "guests/acme:1", "https://x.example/acme:1", "x.example/acme@sha256:00"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
        let other = format!("x.example/acme@sha512:{}", "0".repeat(128));
        assert!(Reference::parse(&other).is_err());
    }

    #[test]
    fn only_this_machine_is_local() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["localhost.example:5000", "127.0.0.1.example", "10.0.0.1:5000", "[fe80::1]:5000", "registry"] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
