//! What broker addresses have in common.

use url::Url;

use super::findings::Findings;

/// Checks one broker address: it parses, has one of `schemes`, and names a host.
pub(crate) fn check(findings: &mut Findings, key: &str, address: &str, schemes: [&str; 2]) -> Option<Url> {
    let remedy = || format!("write it like \"{}://host:port\" or \"{}://host:port\"", schemes[0], schemes[1]);
    let shown = redacted_url(address);
    if address.trim().is_empty() {
        findings.problem(key, "is missing or empty", remedy());
        return None;
    }
    let url = match Url::parse(address) {
        Ok(url) => url,
        Err(error) => {
            findings.problem(key, format!("{shown:?} is not a URL: {error}"), remedy());
            return None;
        }
    };
    if !schemes.contains(&url.scheme()) || !address.contains("://") {
        findings.problem(key, format!("{shown:?} has the wrong scheme"), remedy());
        return None;
    }
    if url.host_str().is_none_or(str::is_empty) {
        findings.problem(key, format!("{shown:?} names no host"), remedy());
        return None;
    }
    if url.port() == Some(0) {
        findings.problem(key, format!("{shown:?} has port 0"), remedy());
        return None;
    }
    Some(url)
}

/// `address`, one or several, without what is secret in it: the password, or a name without one, which to NATS is a
/// token. Works on what does not parse as well, and hides rather too much.
#[must_use]
pub fn redacted_url(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for (index, one) in split(address).into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let (scheme, rest) = one.find("://").map_or(("", one), |at| one.split_at(at + 3));
        out.push_str(scheme);
        // An unescaped `/` or `@` in a password is common, so the last `@` ends it.
        let Some((user, host)) = rest.rsplit_once('@') else {
            out.push_str(rest);
            continue;
        };
        if let Some((name, _)) = user.split_once(':') {
            out.push_str(name);
            out.push(':');
        }
        out.push_str("***@");
        out.push_str(host);
    }
    out
}

/// The addresses of a list. Only a comma before a scheme separates; any other may belong to a password.
pub(crate) fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (comma, _) in list.match_indices(',') {
        let next = list[comma + 1..].trim_start();
        let scheme = next.find("://").map(|end| &next[..end]);
        if scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphabetic())) {
            parts.push(list[start..comma].trim());
            start = comma + 1;
        }
    }
    parts.push(list[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_an_address_shows_its_secret() {
        for (address, shown) in [
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://user:secret@host", "redis://user:***@host"),
            ("redis://:secret@host", "redis://:***@host"),
            ("nats://secret@host", "nats://***@host"),
            ("nats://u:secret@a,tls://v:secret@b", "nats://u:***@a,tls://v:***@b"),
            ("nats://u:sec,ret@a,nats://b", "nats://u:***@a,nats://b"),
            ("redis://u:sec@ret/x#y@host", "redis://u:***@host"),
            ("u:secret@host", "u:***@host"),
            ("redis://u:secret@host:notaport", "redis://u:***@host:notaport"),
        ] {
            assert_eq!(redacted_url(address), shown);
        }
    }
}
