use std::net::IpAddr;

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header, request::Parts},
};
use serde::Deserialize;

use super::{cut::Framing, refusal::Refusal};
use crate::event::{Context, is_device_id, is_format, is_source};

const MEDIA_TYPES: &str =
    "send `Content-Type: application/json`, `application/x-ndjson` or `text/plain`, in UTF-8 and uncompressed";

/// What a request asks for besides its body, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) context: Context,
    pub(super) framing: Framing,
    pub(super) verbose: bool,
    /// The `Idempotency-Key`.
    pub(super) key: Option<Vec<u8>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    format: Option<String>,
    source: Option<String>,
    device: Option<String>,
    framing: Option<String>,
    verbose: Option<String>,
}

impl Wanted {
    pub(super) fn of(parts: &Parts, peer: IpAddr) -> Result<Self, Refusal> {
        let (format, framing) = media_type(&parts.headers)?;
        let asked = parameters(&parts.uri)?;
        let framing = match asked.framing.as_deref() {
            None => framing,
            Some("line") => Framing::Line,
            Some("whole") => Framing::Whole,
            Some(_) => return Err(Refusal::Malformed("`framing` is `line` or `whole`".to_owned())),
        };
        let verbose = match asked.verbose.as_deref() {
            None | Some("false" | "0") => false,
            Some("" | "true" | "1") => true,
            Some(_) => return Err(Refusal::Malformed("`verbose` is `true` or `false`".to_owned())),
        };
        let context = Context {
            source: source(asked.source, &parts.headers)?,
            format: checked(asked.format, "format", "[a-z0-9_-]{1,32}", is_format)?.unwrap_or(format.to_owned()),
            device_id: checked(asked.device, "device", "[A-Za-z0-9_-]{1,64}", is_device_id)?,
            // A client behind a proxy shows the proxy's address: what a header says of it could be anybody's claim.
            source_ip: Some(peer.to_canonical().to_string()),
            ..Context::default()
        };
        Ok(Self { context, framing, verbose, key: idempotency_key(&parts.headers)? })
    }
}

/// The format and framing that the content type stands for.
fn media_type(headers: &HeaderMap) -> Result<(&'static str, Framing), Refusal> {
    let refused = |what: &str| Refusal::MediaType(format!("{what}; {MEDIA_TYPES}"));
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(refused("compressed bodies are not taken"));
    }
    let declared = headers.get(header::CONTENT_TYPE).ok_or_else(|| refused("the content type is missing"))?;
    let declared = declared.to_str().map_err(|_| refused("the content type is not ASCII"))?.to_ascii_lowercase();
    let mut pieces = declared.split(';').map(str::trim);
    let kind = pieces.next().unwrap_or_default();
    for parameter in pieces {
        let charset = parameter.strip_prefix("charset=").map(|name| name.trim_matches('"'));
        if charset.is_some_and(|name| !matches!(name, "utf-8" | "utf8" | "us-ascii")) {
            return Err(refused("this character set is not taken"));
        }
    }
    match kind {
        "application/json" => Ok(("json", Framing::Json)),
        "application/x-ndjson" | "application/ndjson" => Ok(("json", Framing::Line)),
        "text/plain" => Ok(("auto", Framing::Line)),
        _ => Err(refused("this content type is not taken")),
    }
}

fn parameters(uri: &Uri) -> Result<Parameters, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(parameters)| parameters)
        .map_err(|rejection| Refusal::Malformed(rejection.body_text()))
}

/// The name of the origin, out of the query or the header; there are clients that can set only one of them.
fn source(asked: Option<String>, headers: &HeaderMap) -> Result<String, Refusal> {
    let header = headers.get("x-aurora-source").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if asked.is_some() && header.is_some() && asked != header {
        return Err(Refusal::Malformed("`source` and `X-Aurora-Source` differ; send one of them".to_owned()));
    }
    Ok(checked(asked.or(header), "source", "[A-Za-z0-9_.-]{1,64}", is_source)?.unwrap_or_else(|| "http".to_owned()))
}

fn checked(
    value: Option<String>,
    name: &str,
    pattern: &str,
    valid: fn(&str) -> bool,
) -> Result<Option<String>, Refusal> {
    match value {
        Some(value) if !valid(&value) => Err(Refusal::Malformed(format!("`{name}` does not match {pattern}"))),
        value => Ok(value),
    }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    if !(1..=255).contains(&key.len()) {
        return Err(Refusal::Malformed("`Idempotency-Key` is 1 to 255 bytes long".to_owned()));
    }
    Ok(Some(key.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn wanted(query: &str, headers: &[(&str, &str)]) -> Result<Wanted, Refusal> {
        let mut request = Request::post(format!("/v1/events{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Wanted::of(&parts, IpAddr::from([10, 1, 2, 3]))
    }

    const TEXT: (&str, &str) = ("content-type", "text/plain; charset=UTF-8");

    #[test]
    fn takes_format_and_framing_from_the_content_type() {
        for (kind, format, framing) in [
            ("application/json", "json", Framing::Json),
            ("Application/JSON; charset=\"utf-8\"", "json", Framing::Json),
            ("application/x-ndjson", "json", Framing::Line),
            ("text/plain", "auto", Framing::Line),
        ] {
            let wanted = wanted("", &[("content-type", kind)]).expect("a content type we take");
            assert_eq!((wanted.context.format.as_str(), wanted.framing), (format, framing), "{kind}");
        }
    }

    #[test]
    fn lets_the_query_override_the_content_type() {
        let query = "?format=cef&framing=whole&source=fw.edge-1&device=esp32s3_gw_01&verbose";
        let wanted = wanted(query, &[TEXT]).expect("a good query");
        assert_eq!(wanted.framing, Framing::Whole);
        assert!(wanted.verbose);
        let expected = Context {
            source: "fw.edge-1".to_owned(),
            format: "cef".to_owned(),
            device_id: Some("esp32s3_gw_01".to_owned()),
            source_ip: Some("10.1.2.3".to_owned()),
            ..Context::default()
        };
        assert_eq!(wanted.context, expected);
    }

    #[test]
    fn names_the_origin_by_header_or_http() {
        let named = wanted("", &[TEXT, ("x-aurora-source", "zeek")]).expect("a good header");
        assert_eq!(named.context.source, "zeek");
        assert_eq!(wanted("", &[TEXT]).expect("nothing is needed").context.source, "http");
        assert!(wanted("?source=zeek", &[TEXT, ("x-aurora-source", "wazuh")]).is_err());
    }

    #[test]
    fn refuses_parameters_that_are_malformed_or_unknown() {
        for query in [
            "?source=a%20b",
            "?source=",
            "?source=a/b",
            "?device=a.b",
            "?device=%2B",
            "?format=CEF",
            "?format=",
            "?framing=lines",
            "?verbose=maybe",
            "?sauce=zeek",
            "?format=cef&format=leef",
        ] {
            assert!(matches!(wanted(query, &[TEXT]), Err(Refusal::Malformed(_))), "{query}");
        }
        assert!(matches!(wanted("", &[TEXT, ("x-aurora-source", "a\tb")]), Err(Refusal::Malformed(_))));
        let long = "k".repeat(256);
        assert!(matches!(wanted("", &[TEXT, ("idempotency-key", &long)]), Err(Refusal::Malformed(_))));
        assert!(matches!(wanted("", &[TEXT, ("idempotency-key", "")]), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn refuses_bodies_it_cannot_read() {
        for headers in [
            &[][..],
            &[("content-type", "application/xml")],
            &[("content-type", "text/plain; charset=utf-16")],
            &[TEXT, ("content-encoding", "gzip")],
        ] {
            assert!(matches!(wanted("", headers), Err(Refusal::MediaType(_))), "{headers:?}");
        }
        assert!(wanted("", &[TEXT, ("content-encoding", "identity")]).is_ok());
    }
}
