//! Records of the Linux audit daemon: `type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e …`.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    kv,
    meaning::{About, title},
    time,
};

/// Whether pairs are an audit record.
#[must_use]
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("type").is_some() && event.get("msg").is_some_and(|msg| msg.starts_with("audit("))
}

/// Reads the pairs that a user-space record holds in quotes, and says what the record means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    // `msg='op=login acct="root" exe="…" addr=192.0.2.1 res=failed'` is the second field of that name.
    if let Some(inner) = event.get("msg.1").map(str::to_owned) {
        kv::within(&inner, 0, event);
    }
    let kind = event.get("type").unwrap_or_default();
    let _ = write!(words.title, "audit {kind}");
    let what = event.first(&["op", "exe", "comm", "name", "proctitle", "unit", "key"]);
    if let Some(what) = what {
        let _ = write!(words.title, ": {}", title::line(what.trim_matches('"')));
    }
    for key in ["exe", "comm", "auid", "uid", "acct", "addr", "success", "res", "key"] {
        if let Some(value) = event.get(key) {
            let _ = write!(words.description, "{key}={value} ");
        }
    }
    words.description.truncate(words.description.as_str().trim_end().len());
    let failed = event.get("res") == Some("failed") || event.get("success") == Some("no");
    let severity = match kind {
        "ANOM_ABEND" | "AVC" | "SECCOMP" | "ANOM_PROMISCUOUS" | "ANOM_LOGIN_FAILURES" => Severity::Medium,
        _ if failed => Severity::Low,
        _ => Severity::Info,
    };
    let identity = ["USER_", "CRED_", "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "LOGIN", "ACCT_"];
    let category =
        if identity.iter().any(|begin| kind.starts_with(begin)) { Category::Identity } else { Category::Endpoint };
    let stamp = event.get("msg").and_then(|msg| msg.strip_prefix("audit(")).and_then(|msg| msg.split(':').next());
    let timestamp_ms = stamp.and_then(|stamp| time::read(stamp, about.clock)).unwrap_or_else(|| about.time([]));
    Meaning { kind: Kind::Alert, severity, category, timestamp_ms, device: None }
}
