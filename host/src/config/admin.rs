//! Keys about where the daemon is looked at, and who may tell it something there.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{Ingest, Secret, findings::Findings};
use crate::ingest::Token;

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of the page, `/livez`, `/readyz`, `/metrics` and `/v1/guests`.
    pub listen: SocketAddr,
    /// File that holds the bearer token for changing guests, and for seeing what events say. Without one they and figures
    /// can only be looked at.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_ADMIN__TOKEN`.
    pub token: Option<Secret>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), token_file: None, token: None }
    }
}

impl Admin {
    pub(super) fn validate(&self, findings: &mut Findings) {
        if self.token_file.is_some() && self.token.is_some() {
            let remedy = "set `admin.token_file`, or AURORA_ADMIN__TOKEN, but not both";
            findings.problem("admin.token", "is set beside `admin.token_file`", remedy);
        }
        if let Some(Secret(token)) = &self.token
            && Token::of(token).is_none()
        {
            let remedy = "choose printable ASCII without spaces, as an HTTP header needs";
            findings.problem("admin.token", "is empty, or holds spaces or other characters", remedy);
        }
    }

    /// The token; none where none is set.
    ///
    /// # Errors
    /// Its file cannot be read, or holds none that could be sent.
    pub fn token(&self) -> Result<Option<Token>, String> {
        let wrong = "the token of `admin` is empty, or not visible ASCII without spaces";
        self.token_text()?.map(|text| Token::of(&text).ok_or_else(|| wrong.to_owned())).transpose()
    }

    /// The same as text, for who shows it.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn token_text(&self) -> Result<Option<String>, String> {
        match (&self.token_file, &self.token) {
            (Some(path), _) => {
                let failed = |error| format!("cannot read `admin.token_file` {}: {error}", path.display());
                Ok(Some(std::fs::read_to_string(path).map_err(failed)?.trim().to_owned()))
            }
            (None, token) => Ok(token.clone().map(|Secret(token)| token)),
        }
    }

    pub(super) fn validate_beside(&self, ingest: &Ingest, findings: &mut Findings) {
        let (ours, theirs) = (self.listen, ingest.listen);
        // Linux binds [::] to IPv4 as well. Port 0 is a new port each time.
        let same_host = ours.ip() == theirs.ip() || ours.ip().is_unspecified() || theirs.ip().is_unspecified();
        if ours.port() != 0 && ours.port() == theirs.port() && same_host {
            let what = format!("{theirs} is also the address of `admin.listen`");
            findings.problem("ingest.listen", what, "choose another port");
        }
    }
}
