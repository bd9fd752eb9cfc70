//! Keys about events over HTTP.

use std::{net::SocketAddr, path::PathBuf};

use bytesize::ByteSize;
use serde::Deserialize;

use super::{Secret, findings::Findings};

/// `[ingest]`: events over HTTP. Without this section nothing listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// File that holds the bearer token. One of `token_file` and `token` is required.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_INGEST__TOKEN`.
    pub token: Option<Secret>,
    /// Largest request body.
    pub max_body: ByteSize,
    /// Largest single event; larger ones become dead letters.
    pub max_payload: ByteSize,
    /// Events taken and not yet stored, over all requests. Beyond it a request is answered with 429.
    pub max_in_flight: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            token_file: None,
            token: None,
            max_body: ByteSize::mib(16),
            max_payload: ByteSize::mib(1),
            max_in_flight: 8192,
        }
    }
}

impl Ingest {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let file = findings.given("ingest.token_file", self.token_file.is_some());
        let token = findings.given("ingest.token", self.token.is_some());
        let remedy = "set `ingest.token_file`, or AURORA_INGEST__TOKEN, but not both";
        if !file && !token {
            findings.problem("ingest.token_file", "is missing: without a token anybody could send events", remedy);
        } else if file && token {
            findings.problem("ingest.token", "is set beside `ingest.token_file`", remedy);
        }
        if let Some(Secret(token)) = &self.token
            && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let remedy = "choose printable ASCII without spaces, as an HTTP header needs";
            findings.problem("ingest.token", "is empty, or holds spaces or other characters", remedy);
        }
        let sizes = (ByteSize::b(1), ByteSize::gib(1));
        findings.range("ingest.max_body", self.max_body, sizes, ("1 byte", "\"1GiB\""));
        findings.range("ingest.max_payload", self.max_payload, sizes, ("1 byte", "\"1GiB\""));
        findings.range("ingest.max_in_flight", self.max_in_flight, (1, 1 << 20), ("1", "1048576"));
    }
}
