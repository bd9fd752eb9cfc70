//! Endings that are real top-level domains and mean something else in most logs.
//!
//! A name that ends in one of these counts as a domain only with evidence: a scheme, `www.`, an e-mail address, a
//! defanged spelling, a field that is known to hold a domain, or a public suffix of two labels (`co.id`).

/// Extensions of files. `setup.py` is a file even though Paraguay is a country.
const FILES: &[&str] = &[
    "ps", "py", "pl", "pm", "rs", "sh", "so", "md", "do", "mk", "cab", "zip", "mov", "app", "java", "bat", "bin", "cpl",
];

/// Words that stand behind a dot in code and in the names of fields: `process.name`, `window.open`, `user.id`.
const CODE: &[&str] = &[
    "id",
    "name",
    "date",
    "call",
    "open",
    "read",
    "host",
    "run",
    "search",
    "select",
    "link",
    "map",
    "click",
    "page",
    "data",
    "download",
    "network",
    "domains",
    "email",
    "new",
    "now",
    "pub",
    "prof",
    "build",
    "support",
    "tools",
    "services",
    "systems",
    "security",
    "media",
    "parts",
    "exchange",
    "express",
    "foundation",
    "engine",
    "events",
    "group",
    "place",
    "play",
    "post",
    "report",
    "reports",
    "review",
    "reviews",
    "save",
    "show",
    "spot",
    "tel",
    "top",
    "version",
    "video",
    "watch",
    "win",
    "zone",
    "active",
    "as",
    "is",
    "in",
    "it",
    "to",
    "at",
    "be",
    "am",
    "my",
    "no",
    "us",
];

/// First labels of package and class names: `com.example.app`, `java.lang.String`.
const PACKAGES: &[&str] = &[
    "com",
    "org",
    "net",
    "java",
    "javax",
    "jdk",
    "sun",
    "android",
    "androidx",
    "kotlin",
    "scala",
    "system",
    "microsoft",
    "windows",
];

/// Programs of DOS and Windows that end in `.com`, and products spelled like domains.
const PROGRAMS: &[&str] = &[
    "chcp.com",
    "command.com",
    "diskcomp.com",
    "diskcopy.com",
    "edit.com",
    "format.com",
    "graftabl.com",
    "mode.com",
    "more.com",
    "tree.com",
    "win.com",
    "asp.net",
    "vb.net",
    "ado.net",
    "ml.net",
];

/// Top-level names that RFC 6761, 6762, 7686, 8375 and ICANN set aside, and those that sites use inside because they
/// were never delegated. All but `onion` mean nothing outside.
const SPECIAL: &[&str] = &[
    "local",
    "internal",
    "localhost",
    "test",
    "example",
    "invalid",
    "onion",
    "lan",
    "corp",
    "intranet",
    "localdomain",
    "home",
    "private",
];

pub(super) fn is_file_extension(tld: &str) -> bool {
    FILES.contains(&tld)
}

pub(super) fn is_code_word(tld: &str) -> bool {
    // Two-letter words of `CODE` are countries first; they are words only where code or prose gives itself away.
    tld.len() > 2 && CODE.contains(&tld) || tld == "id"
}

pub(super) fn is_short_word(tld: &str) -> bool {
    tld.len() == 2 && CODE.contains(&tld)
}

pub(super) fn begins_package(label: &str) -> bool {
    PACKAGES.contains(&label)
}

pub(super) fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

pub(super) fn is_special(tld: &str) -> bool {
    SPECIAL.contains(&tld)
}
