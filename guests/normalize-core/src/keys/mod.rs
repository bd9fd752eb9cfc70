//! What is known of a field by its key alone: whether its value can hold observables, and which product's shape it
//! betrays. One lookup a field, in a table made at compile time, so that a fresh instance has nothing to build.

mod table;

use aurora_guest::{ObservableType, same};

use table::KEYS;

/// What to look for in a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treat {
    /// Anything, anywhere in it.
    Scan,
    /// Nothing: a number, a time, an identifier.
    Skip,
    /// It is, as a whole, one of these.
    As(ObservableType),
    /// `MD5=…,SHA256=…`, as Sysmon writes hashes.
    Hashes,
    /// Ids of MITRE ATT&CK techniques.
    Techniques,
}

/// What the table says of a key.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What to look for in the value.
    pub treat: Treat,
    /// One of [`marks`], or 0.
    pub mark: u32,
}

/// Bits that tell which products' keys an event has.
pub mod marks {
    pub const SURICATA: u32 = 1;
    pub const ZEEK: u32 = 1 << 1;
    pub const WAZUH: u32 = 1 << 2;
    pub const WINDOWS: u32 = 1 << 3;
    /// Windows, in any shape that nests it.
    pub const WINLOGBEAT: u32 = 1 << 4;
    pub const VELOCIRAPTOR: u32 = 1 << 5;
    pub const OCSF: u32 = 1 << 6;
    pub const ECS: u32 = 1 << 7;
    pub const CLOUDTRAIL: u32 = 1 << 8;
    pub const OKTA: u32 = 1 << 9;
    pub const SENTINEL: u32 = 1 << 10;
}

/// A hash of a key, for this table and for [`crate::draft`]'s. Word by word over the whole key: flattened arrays give
/// keys that differ only in the middle.
#[must_use]
pub const fn hash(key: &str) -> u32 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut rest = key.as_bytes();
    let mut hash = (rest.len() as u64).wrapping_mul(K);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(K);
        rest = after;
    }
    let mut word = 0;
    if let (Some(low), Some(high)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        word = u32::from_le_bytes(*low) as u64 | (u32::from_le_bytes(*high) as u64) << 32;
    } else if !rest.is_empty() {
        word = rest[0] as u64 | (rest[rest.len() / 2] as u64) << 8 | (rest[rest.len() - 1] as u64) << 16;
    }
    hash = (hash.rotate_left(23) ^ word).wrapping_mul(K);
    (hash >> 32) as u32
}

/// What is known of the field `key`, whose [`hash`] is `hash`.
#[must_use]
pub fn known(key: &str, hash: u32) -> Option<Known> {
    let mut slot = hash as usize % SLOTS;
    loop {
        let entry = TABLE[slot] as usize;
        if entry == 0 {
            return None;
        }
        let (name, treat, mark) = KEYS[entry - 1];
        if same(name, key) {
            return Some(Known { treat, mark });
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Whether a key that is not in the table speaks of ATT&CK techniques: `mitre`, `attack`, `technique` in any case.
#[must_use]
pub fn names_techniques(key: &str) -> bool {
    const MITRE: u32 = u32::from_le_bytes(*b"itre");
    const ATTACK: u32 = u32::from_le_bytes(*b"ttac");
    const TECHNIQUE: u32 = u32::from_le_bytes(*b"chni");
    key.as_bytes().windows(4).any(|four| {
        let four = u32::from_le_bytes([four[0], four[1], four[2], four[3]]) | 0x2020_2020;
        four == MITRE || four == ATTACK || four == TECHNIQUE
    })
}

/// Whether a key that is not in the table names a version, whose numbers look like addresses.
#[must_use]
pub fn names_version(key: &str) -> bool {
    key.as_bytes().last_chunk::<6>().is_some_and(|end| end.eq_ignore_ascii_case(b"ersion"))
        || key.ends_with("_ver")
        || key.ends_with("Ver")
}

/// Whether a key that is not in the table names a person, whose name looks like a domain (`joe.black`).
#[must_use]
pub fn names_user(key: &str) -> bool {
    let ends = |end: &[u8]| {
        let at = key.len().wrapping_sub(end.len());
        key.as_bytes().get(at..).is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    ends(b"user") || ends(b"username") || ends(b"user_name") || ends(b"user.name")
}

/// Whether a key that is not in the table names something by a number of its own, which may look like a digest: `trace_id`,
/// `requestId`, `x-amz-request-id`, `etag`, also an element of several.
#[must_use]
pub fn names_id(key: &str) -> bool {
    // Those that are written together; of other words many end so (`valid`, `grid`).
    const OF: &[&str] = &[
        "trace",
        "span",
        "request",
        "session",
        "correlation",
        "transaction",
        "message",
        "event",
        "record",
        "user",
        "device",
        "client",
        "tenant",
        "account",
        "object",
        "resource",
        "operation",
        "activity",
        "process",
        "instance",
        "container",
        "image",
    ];
    const WHOLE: &[&str] = &["id", "uid", "guid", "uuid", "etag", "traceparent", "ifmatch", "ifnonematch"];
    let key = key.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    let name = key.rsplit('.').next().unwrap_or(key);
    let name = name.strip_suffix(['s', 'S']).unwrap_or(name);
    let whole = |words: &[&str]| {
        let letters = || name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        words.iter().any(|word| {
            letters().count() == word.len() && letters().zip(word.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b))
        })
    };
    let ends = |end: &str| {
        let at = name.len().wrapping_sub(end.len());
        name.as_bytes().get(at..).is_some_and(|last| last.eq_ignore_ascii_case(end.as_bytes()))
    };
    if whole(WHOLE) || ends("guid") || ends("uuid") {
        return true;
    }
    let Some(before) = name.len().checked_sub(2).filter(|_| ends("id")).and_then(|at| name.get(..at)) else {
        return ends("-etag") || ends("_etag");
    };
    let (last, is_capital) = (before.bytes().last(), name.as_bytes()[before.len()] == b'I');
    let before = before.strip_suffix(['u', 'U']).filter(|rest| rest.ends_with(['-', '_'])).unwrap_or(before);
    before.ends_with(['-', '_'])
        || is_capital && last.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        || OF.iter().any(|of| before.eq_ignore_ascii_case(of))
}

/// Whether the value of an id says nothing but that: no address, name, path or number of a vulnerability is in it.
#[must_use]
pub fn is_opaque(value: &str) -> bool {
    let value = value.strip_prefix("W/").unwrap_or(value);
    let telling = |byte: u8| matches!(byte, b'.' | b'@' | b':' | b'/' | b'\\') || !byte.is_ascii();
    !value.bytes().any(telling) && !value.as_bytes().windows(3).any(|three| three.eq_ignore_ascii_case(b"cve"))
}

const SLOTS: usize = 2048;

static TABLE: [u16; SLOTS] = {
    let mut table = [0_u16; SLOTS];
    let mut index = 0;
    while index < KEYS.len() {
        let mut slot = hash(KEYS[index].0) as usize % SLOTS;
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u16 + 1;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_key_of_the_table_once() {
        for (index, (key, treat, _)) in KEYS.iter().enumerate() {
            assert_eq!(known(key, hash(key)).map(|k| k.treat), Some(*treat), "{key}");
            assert!(KEYS[..index].iter().all(|(other, ..)| other != key), "{key} stands twice");
        }
    }

    #[test]
    fn knows_nothing_of_other_keys() {
        assert!(known("src_ipx", hash("src_ipx")).is_none());
        assert!(known("", hash("")).is_none());
    }

    #[test]
    fn knows_who_is_a_person() {
        for key in ["data.win.eventdata.user", "SourceUser", "a.UserName", "user_name", "x.user.name"] {
            assert!(names_user(key), "{key}");
        }
        assert!(!names_user("user_agent") && !names_user("ser") && !names_user("users"));
    }

    #[test]
    fn knows_an_id_by_its_key() {
        for key in [
            "trace_id",
            "traceId",
            "traceid",
            "http.request.id",
            "x-amz-request-id",
            "X-Request-ID",
            "RequestID",
            "a.span_ids.3",
            "ProcessGuid2",
            "session_uid",
            "etag",
            "ETag",
            "response.e-tag",
            "If-None-Match",
            "s3_etag",
        ] {
            assert!(names_id(key), "{key}");
        }
        for key in
            ["valid", "grid", "file_hash", "digest", "hash.md5", "fluid", "GRID", "id.digest", "", "s", ".1", "stage"]
        {
            assert!(!names_id(key), "{key}");
        }
    }

    #[test]
    fn an_id_may_still_say_who_or_where() {
        for value in ["4bf92f3577b34da6a3ce929d0e0e4736", "W/\"d41d8cd98f00b204e9800998ecf8427e\"", "Root=1-5759e988"] {
            assert!(is_opaque(value), "{value}");
        }
        for value in ["joe@evil.net", "evil.net", "10.0.0.1", "fe80::1", r"C:\x", "cve-2021-44228", "bücher"] {
            assert!(!is_opaque(value), "{value}");
        }
    }

    #[test]
    fn hears_of_techniques_in_any_spelling() {
        for key in ["MitreTechnique", "threat.tactic.Attack", "x_mitre_ids", "ATTACK"] {
            assert!(names_techniques(key), "{key}");
        }
        assert!(!names_techniques("attic"));
    }
}
