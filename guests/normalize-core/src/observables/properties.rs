//! What must hold for every text: no panic, sound spans, the same answer twice, and defanging undone.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{AllowList, Extractor, Found, ObservableType, Value};

const DOTS: &[&str] =
    &["[.]", "(.)", "{.}", "<.>", "[dot]", "(dot)", "[DOT]", "(punto)", "\\.", "^.", "[.", "].[", " [.] "];
const ATS: &[&str] = &["@", "[@]", "(at)", "[at]", "{at}", "(arroba)", " [at] ", " @ "];
const SCHEMES: &[(&str, &str)] = &[
    ("http", "hxxp://"),
    ("http", "hXXp://"),
    ("https", "hxxps://"),
    ("http", "http[:]//"),
    ("https", "https[://]"),
    ("http", "meow://"),
    ("https", "xxxxs://"),
    ("http", "http:\\/\\/"),
    ("ftp", "fxp://"),
    ("http", "h**p://"),
];
/// What the readers look out for, so that random texts reach into them.
const PIECES: &[&str] = &[
    "http",
    "hxxps",
    "://",
    ":",
    "/",
    "//",
    "\\",
    "\\\\",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    ".",
    "[.]",
    "dot",
    "at",
    "@",
    " ",
    "%",
    "%3A%2F%2F",
    "%2e",
    "www",
    "example",
    "com",
    "co.uk",
    "é",
    "。",
    "“",
    "中国",
    "1",
    "255",
    "1.2.3.4",
    "::",
    "fe80",
    "C:",
    "HKLM",
    "Global",
    "Mozilla/5",
    "CVE",
    "-2021-44228",
    "etc",
    "~",
    "'",
    "\"",
    ",",
    ";",
    "=",
    "&",
    "?",
    "#",
    "_",
    "-",
    "\n",
    "\t",
    "\0",
    "*",
    "^",
    "d41d8cd98f00b204e9800998ecf8427e",
    "DOT",
    "AT",
    "TEMP",
    "..",
    "exe",
    "0x7f",
    "ipv6:",
];

/// `a.b.c` with each dot spelled as `picks` says.
fn defanged(text: &str, picks: &[usize]) -> String {
    let mut out = String::new();
    let mut picks = picks.iter().cycle();
    for c in text.chars() {
        match c {
            '.' => out += DOTS[picks.next().copied().unwrap_or(0) % DOTS.len()],
            _ => out.push(c),
        }
    }
    out
}

fn found(text: &str, kind: ObservableType) -> Vec<String> {
    let allow = AllowList::default();
    let (mut extractor, mut found) = (Extractor::new(&allow), Vec::new());
    extractor.free_text(text, &mut found);
    found.iter().filter(|found| found.kind == kind).map(|found| extractor.value(text, found).to_owned()).collect()
}

fn sound(text: &str, read: impl Fn(&mut Extractor<'_>, &mut Vec<Found>)) -> Result<(), TestCaseError> {
    let allow = AllowList::default();
    let (mut first, mut second) = (Extractor::new(&allow), Extractor::new(&allow));
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    read(&mut first, &mut once);
    read(&mut second, &mut twice);
    prop_assert_eq!(&once, &twice);
    for found in &once {
        if let Value::Span { start, end } = found.value {
            prop_assert!(text.get(start as usize..end as usize).is_some(), "{:?} cuts a character", found);
        }
        prop_assert!(!first.value(text, found).is_empty(), "{:?} is empty", found);
        prop_assert_eq!(first.value(text, found), second.value(text, found));
    }
    Ok(())
}

fn name() -> impl Strategy<Value = String> {
    (
        "[a-z][a-z0-9]{1,8}(-[a-z0-9]{1,4})?",
        "[a-z][a-z0-9]{2,9}",
        prop::sample::select(vec!["com", "net", "org", "ru", "co.uk", "info", "xyz"]),
    )
        .prop_map(|(host, site, tld)| format!("{host}.{site}.{tld}"))
        .prop_filter("an endings of its own", |name| !name.contains("dot") && !name.starts_with("www"))
}

const KINDS: [ObservableType; 12] = [
    ObservableType::Ip,
    ObservableType::Domain,
    ObservableType::Url,
    ObservableType::Email,
    ObservableType::HashMd5,
    ObservableType::HashSha1,
    ObservableType::HashSha256,
    ObservableType::Cve,
    ObservableType::FilePath,
    ObservableType::RegistryKey,
    ObservableType::Mutex,
    ObservableType::UserAgent,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_soundly(text in any::<String>()) {
        sound(&text, |extractor, found| extractor.free_text(&text, found))?;
    }

    #[test]
    fn any_mixture_of_marks_is_read_soundly(pieces in vec(prop::sample::select(PIECES), 0..24)) {
        let text = pieces.concat();
        sound(&text, |extractor, found| extractor.free_text(&text, found))?;
        for kind in KINDS {
            sound(&text, |extractor, found| extractor.typed(kind, &text, found))?;
        }
    }

    #[test]
    fn a_defanged_address_comes_back(octets in any::<[u8; 4]>(), picks in vec(0..DOTS.len(), 3)) {
        let plain = std::net::Ipv4Addr::from(octets).to_string();
        let text = format!("seen {} twice", defanged(&plain, &picks));
        prop_assert_eq!(found(&text, ObservableType::Ip), [plain], "{}", text);
    }

    #[test]
    fn any_ipv6_address_that_has_a_digit_is_found(groups in any::<[u16; 8]>()) {
        let plain = std::net::Ipv6Addr::from(groups).to_string();
        let meant = super::address::v6_is_plain(plain.as_bytes());
        prop_assert_eq!(found(&format!("to [{plain}]:443"), ObservableType::Ip).len(), usize::from(meant));
    }

    #[test]
    fn a_defanged_domain_comes_back(name in name(), picks in vec(0..DOTS.len(), 4)) {
        let text = format!("seen {} twice", defanged(&name, &picks));
        prop_assert_eq!(found(&text, ObservableType::Domain), [name], "{}", text);
    }

    #[test]
    fn a_defanged_mail_address_comes_back(local in "[a-z][a-z0-9]{2,8}", name in name(), at in prop::sample::select(ATS), picks in vec(0..DOTS.len(), 4)) {
        let text = format!("seen {local}{at}{} twice", defanged(&name, &picks));
        prop_assert_eq!(found(&text, ObservableType::Email), [format!("{local}@{name}")], "{}", text);
    }

    #[test]
    fn a_defanged_url_comes_back(
        scheme in prop::sample::select(SCHEMES), name in name(), port in prop::option::of(1u16..),
        path in "(/[a-z0-9_-]{1,6}){0,3}(/[a-z]{1,5}(\\?[a-z]{1,3}=[a-z0-9]{1,5})?)?", picks in vec(0..DOTS.len(), 4),
    ) {
        let tail = port.map_or_else(String::new, |port| format!(":{port}")) + &path;
        let text = format!("seen {}{}{tail} twice", scheme.1, defanged(&name, &picks));
        prop_assert_eq!(found(&text, ObservableType::Url), [format!("{}://{name}{tail}", scheme.0)], "{}", text);
        prop_assert!(found(&text, ObservableType::Domain).contains(&name));
    }
}
