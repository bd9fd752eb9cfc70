//! Who we are to a registry. Credentials belong to one registry and go to no other.

use std::{fs, io, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

use super::OciError;
use crate::config;

/// What to say to `registry`: what is configured for it, else what `docker login` has left in `auth_file`.
pub(super) fn login(config: &config::Registry, registry: &str) -> Result<RegistryAuth, OciError> {
    if config.host.as_deref() == Some(registry)
        && let (Some(username), Some(path)) = (&config.username, &config.password_file)
    {
        let password = read(path, "guests.registry.password_file")?;
        return Ok(RegistryAuth::Basic(username.clone(), password.trim().to_owned()));
    }
    let Some(path) = &config.auth_file else { return Ok(RegistryAuth::Anonymous) };
    of_docker(&read(path, "guests.registry.auth_file")?, registry).map_err(|what| {
        let what = format!("guests.registry.auth_file {} cannot be used", path.display()) + ": " + what;
        OciError::Configuration { what, source: io::Error::from(io::ErrorKind::InvalidData) }
    })
}

fn read(path: &Path, key: &str) -> Result<String, OciError> {
    fs::read_to_string(path)
        .map_err(|source| OciError::Configuration { what: format!("cannot read {key} {}", path.display()), source })
}

/// Of Docker's `config.json`: `{"auths": {"<registry>": {"auth": "<base64 of user:password>"}}}`.
fn of_docker(text: &str, registry: &str) -> Result<RegistryAuth, &'static str> {
    let file: Value = serde_json::from_str(text).map_err(|_| "it is no JSON")?;
    let entry = &file["auths"][registry];
    if let Some(auth) = entry["auth"].as_str().filter(|auth| !auth.is_empty()) {
        let pair = STANDARD.decode(auth).map_err(|_| "an entry is not base64")?;
        let pair = String::from_utf8(pair).map_err(|_| "an entry is not UTF-8")?;
        let (user, password) = pair.split_once(':').ok_or("an entry is not user:password")?;
        return Ok(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned()));
    }
    let helper = file["credHelpers"][registry].is_string() || (!entry.is_null() && file["credsStore"].is_string());
    if helper {
        return Err("it leaves this registry to a credential helper, which is another program and is not run");
    }
    Ok(RegistryAuth::Anonymous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_their_own_registry_only() {
        let folder = tempfile::tempdir().unwrap();
        let (password_file, auth_file) = (folder.path().join("password"), folder.path().join("config.json"));
        fs::write(&password_file, "secret\n").unwrap();
        let auth = STANDARD.encode("me:other");
        fs::write(&auth_file, format!(r#"{{"auths": {{"b.example": {{"auth": "{auth}"}}}}}}"#)).unwrap();
        let config = config::Registry {
            host: Some("a.example:5000".to_owned()),
            username: Some("aurora".to_owned()),
            password_file: Some(password_file),
            auth_file: Some(auth_file),
            ..config::Registry::default()
        };
        let basic = |user: &str, password: &str| RegistryAuth::Basic(user.to_owned(), password.to_owned());
        for (registry, expected) in [
            ("a.example:5000", basic("aurora", "secret")),
            ("b.example", basic("me", "other")),
            ("a.example", RegistryAuth::Anonymous),
        ] {
            assert_eq!(login(&config, registry).unwrap(), expected, "{registry}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_no_reason_to_go_without() {
        for text in [
            "nonsense",
            r#"{"auths": {"a.example": {"auth": "%"}}}"#,
            r#"{"auths": {"a.example": {"auth": "bWU="}}}"#,
            r#"{"credHelpers": {"a.example": "pass"}}"#,
            r#"{"auths": {"a.example": {}}, "credsStore": "pass"}"#,
        ] {
            assert!(of_docker(text, "a.example").is_err(), "{text}");
        }
        assert_eq!(of_docker("{}", "a.example"), Ok(RegistryAuth::Anonymous));
    }
}
