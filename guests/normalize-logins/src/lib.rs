//! An example of a guest that remembers: logins of OpenSSH, where many failed ones of one account within a time are worse
//! than each of them. It reads the lines that `sshd` writes about passwords and keys, and drops what else it writes.
//!
//! How many there were is counted for each account under `failed:<account>`; the window opens with the first one. While
//! what it remembers cannot be reached it says so in the field `failed` and decides on the event alone.

use std::{net::IpAddr, time::Duration};

use aurora_guest::{
    Category, Failure, Kind, Normalized, Normalizing, ObservableType, RawEvents, Scope, Severity, Summary, Text,
    settings,
    state::{self, Increment},
};

#[cfg(target_family = "wasm")]
mod component;

/// A login that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Login<'a> {
    is_accepted: bool,
    account: &'a str,
    address: &'a str,
}

/// Normalizes a batch: one verdict for each raw event, in order.
///
/// # Errors
/// If the settings are wrong.
pub fn normalize(input: &RawEvents) -> Result<Normalized, Failure> {
    let worse_from = number("failed", 5)?;
    let within = Duration::from_secs(number("within_seconds", 300)?.unsigned_abs());
    let logins: Vec<_> = input.iter().map(|raw| str::from_utf8(raw.payload).ok().and_then(Login::of)).collect();
    // One question for the whole batch: each costs as much as it takes to ask Redis.
    let failed = || {
        let of_batch = logins.iter().enumerate().filter_map(|(event, login)| Some((event, (*login)?)));
        of_batch.filter(|(_, login)| !login.is_accepted)
    };
    let counted = state::increment_many(failed().map(|(event, login)| {
        let account: String = login.account.chars().take(50).collect();
        Increment::of_event(event, format!("failed:{account}"), within)
    }));
    let mut counted = counted.ok().map(Vec::into_iter);
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    for (raw, login) in input.iter().zip(&logins) {
        let Some(login) = login else {
            out.drop_event("not about a login");
            continue;
        };
        let count = match &mut counted {
            _ if login.is_accepted => None,
            None => Some(None),
            Some(counted) => Some(counted.next()),
        };
        write(login, count, worse_from, raw.received_ms, &mut out);
    }
    Ok(out.finish())
}

/// A whole number out of the settings.
fn number(key: &str, default: i64) -> Result<i64, Failure> {
    let Some(json) = settings::get(key) else { return Ok(default) };
    let positive = json.parse().ok().filter(|number| *number > 0);
    positive.ok_or_else(|| Failure::InvalidSettings(format!("option `{key}` is {json}, expected a number above 0")))
}

impl<'a> Login<'a> {
    /// `… Failed password for invalid user ada from 203.0.113.7 port 4242 ssh2`
    fn of(line: &'a str) -> Option<Self> {
        let ways = [("Failed ", false), ("Accepted ", true)];
        let (rest, is_accepted) = ways.iter().find_map(|(word, is)| Some((line.split_once(word)?.1, *is)))?;
        let (_, rest) = rest.split_once(" for ")?;
        let rest = rest.strip_prefix("invalid user ").unwrap_or(rest);
        // An account's name is what somebody typed: it may be anything, " from " too.
        let (account, rest) = rest.rsplit_once(" from ")?;
        let address = rest.split(' ').next().filter(|address| !address.is_empty())?;
        Some(Self { is_accepted, account, address })
    }
}

/// `count`: how many have failed with it, if it has; none of that where nobody knows.
fn write(login: &Login<'_>, count: Option<Option<i64>>, worse_from: i64, received_ms: i64, out: &mut Normalizing) {
    let Login { is_accepted, account, address } = login;
    let mut event = out.event();
    event.field("account", account);
    event.field("src_ip", address);
    match count {
        Some(Some(count)) => event.field("failed", &count.to_string()),
        Some(None) => event.field("failed", "unknown"),
        None => {}
    }
    if let Ok(address) = address.parse::<IpAddr>() {
        event.observable(ObservableType::Ip, Scope::of_address(address), &address.to_string());
    }
    let is_many = count.flatten().is_some_and(|count| count >= worse_from);
    if is_many {
        event.technique("T1110");
    }
    let (severity, title) = match (is_accepted, is_many) {
        (true, _) => (Severity::Info, format!("Login of {account}")),
        (false, false) => (Severity::Low, format!("Failed login of {account}")),
        (false, true) => (Severity::High, format!("Many failed logins of {account}")),
    };
    event.finish(&Summary {
        kind: Kind::Alert,
        severity,
        category: Category::Identity,
        timestamp_ms: received_ms,
        source: Text::Str(""),
        device_id: Text::Str(""),
        dedup_key: Text::Str(""),
        title: Text::Str(&title),
        description: Text::Str(&format!("{title} from {address}")),
    });
    out.accept();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_may_be_named_like_a_sentence() {
        let line = "sshd[9]: Failed password for invalid user x from 10.0.0.1 port 1 from 203.0.113.7 port 4242 ssh2";
        let login = Login { is_accepted: false, account: "x from 10.0.0.1 port 1", address: "203.0.113.7" };
        assert_eq!(Login::of(line), Some(login));
        assert_eq!(Login::of("sshd[9]: Connection closed by 203.0.113.7 port 4242"), None);
    }
}
