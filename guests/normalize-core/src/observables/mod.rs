//! Observables: what in an event's text may be an indicator of compromise.
//!
//! One pass over each text, no regular expressions, no table that must be built first (the guest lives for one batch),
//! no allocation per text. Time is linear in the text whatever it holds.
//!
//! # What is found
//!
//! | type | in running text | value |
//! |---|---|---|
//! | `ip` | dotted quads without leading zeros; IPv6, compressed or not, with an IPv4 tail | as written; port, prefix length, brackets and zone cut |
//! | `domain` | names below a public suffix, or set aside (`.local`, `.onion`, …); see `words` for endings that need evidence | lower case |
//! | `url` | `scheme://…`; without a scheme where a path follows a sure domain (`example.com/a`) | refanged; scheme and host in lower case |
//! | `email` | `local@domain`, `local@[address]` | refanged, lower case |
//! | `hash_*` | 32, 40 or 64 hexadecimal digits between other characters, not all decimal, not named as another digest (`IMPHASH=`, `ja3=`) | lower case |
//! | `cve` | `CVE-2021-44228`, `cve 2021-44228`, `CVE_2021_44228`, years 1999 to 2099; the end of a sentence or of a file's name may follow | `CVE-2021-44228` |
//! | `file_path` | `C:\…`, `\\host\share\…`, `%VAR%\…`, `..\a\b`, `../a/b`, `~/…`, `/etc/…` and other known roots | doubled backslashes made single |
//! | `registry_key` | `HKLM\…`, `HKEY_LOCAL_MACHINE\…`, `HKLM:\…`, `<HKLM>\…`, `\REGISTRY\…` | without the decoration |
//! | `mutex` | `Global\…`, `Local\…`, `\BaseNamedObjects\…` | as written |
//! | `user_agent` | `Mozilla/…`, `Opera/…`; nothing inside it is looked at | as written |
//!
//! Where case means nothing the value is in lower case: what one site shares the next one looks up byte by byte.
//!
//! A URL gives its host too, and what its tail holds: hashes, addresses, e-mail addresses, the hosts of further URLs, and
//! domains that fill a segment or parameter. A host in the manner of `inet_aton` (`http://0x7f000001/`) gives the
//! address that it means. An e-mail address gives its domain; a UNC path its host.
//!
//! # Defanged spellings
//!
//! * Dots: `[.]` `(.)` `{.}` `<.>` `[dot]` `(punto)` `[punkt]` `[,]` `\.` `^.` `].[` `[.` ` [.] ` ` DOT ` `-dot-`
//!   `fooDOTcom` `dot]`, and brackets piled up or half lost.
//! * At signs: `[@]` `(at)` `[et]` `(arroba)` ` @ ` ` AT ` `fooATexample.com`.
//! * Schemes: `hxxp` `h**p` `hXXps` `xxxx` `meow` `fxp` and the like, with `://` `[:]//` `[://]` `:///` `//` ` ://`
//!   `:\/\/` `%3A%2F%2F` or, after http, `__` behind them.
//! * In paths: `[/]` `[.]` `[@]` `[?]` `\/`.
//!
//! A spelling alone proves nothing: what comes out must be an address or lie below a public suffix.
//!
//! # Escapes
//!
//! In a text that is escaped (`see\nplant.com`, `\u003cplant.com\u003e`) an escape is no part of the name behind it. One
//! that stands for a letter is, and such a name is not read. See `escape` for how such a text is told from one with paths.
//!
//! # Where the known extractors disagree
//!
//! Read against the test suites of ioc-finder, iocextract, ioc-fanger, cacador and msticpy:
//!
//! * `a.b.c.d/24`: the address counts (ioc-finder), the network does not make it nothing (iocextract).
//! * `01.1.1.1` is no address (ioc-finder reads it as decimal or octal): what it means depends on who reads it.
//! * `1,2,3,4` is no address (ioc-fanger says so): logs are full of numbers with commas.
//! * `.1.2.3.4` and `1.2.3.4.5` are none (ioc-finder); `words1.2.3.4words` is none either (iocextract takes it).
//! * A bare `setup.py` is a file (ioc-finder says domain), `evil.py` with a scheme or defanged a domain.
//! * `example[.]com` alone is a domain (ioc-finder), not a URL (iocextract); with a path it is a URL and a domain.
//! * URLs with private addresses count and are marked (ioc-finder has lists of both opinions).
//! * `root@10.0.0.5` is a login, not an e-mail address (iocextract takes it); the address counts.
//! * A name inside a URL's tail counts where it is a whole segment or parameter (ioc-finder takes any).
//! * `foo[.com` is defanged (iocextract), not left alone (ioc-fanger).
//! * `0x` and 40 digits is an account of a block chain (ioc-finder says SHA-1).
//! * `CVE-1928-1004` is none (cacador), however well formed (ioc-finder).
//! * `foo"bar@example.com` is `bar@example.com`; quoted local parts and comments are not read.
//! * URLs in base64 or hexadecimal (iocextract) are not decoded: that is a detection's work, not a normalizer's.
//!
//! # Scope
//!
//! An observable is `allow-listed` where the site's [`AllowList`] has it, its domain or its network; `reserved` where
//! it means nothing elsewhere (special-purpose address ranges, names without a public suffix, names set aside by RFC
//! 2606, 6761, 6762 and 8375); else `public`. URLs and e-mail addresses take the scope of their host.

mod class;
mod refang;
mod words;
mod address;
mod name;
mod hash;
mod allow;
mod scan;
mod escape;
mod word;
mod report;
mod host;
mod url;
mod join;
mod component;
mod path;
mod registry;
mod agent;
mod typed;

use aurora_guest::{ObservableType, Scope};

pub use allow::AllowList;
use scan::Scan;

/// Reads observables out of an event's texts. One serves a whole batch.
#[derive(Debug)]
pub struct Extractor<'o> {
    allow: &'o AllowList,
    /// Values that do not stand in the text as they are meant.
    scratch: String,
}

/// One observable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: ObservableType,
    /// Whether it means anything outside the site.
    pub scope: Scope,
    /// Where its value is; ask [`Extractor::value`].
    pub value: Value,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// These bytes of the text that was read.
    Span {
        /// First byte.
        start: u32,
        /// Byte behind the last.
        end: u32,
    },
    /// These bytes of the extractor's own store, until it is cleared.
    Refanged {
        /// First byte.
        start: u32,
        /// Byte behind the last.
        end: u32,
    },
}

impl Value {
    fn span(start: usize, end: usize) -> Self {
        Self::Span { start: start as u32, end: end as u32 }
    }

    fn refanged(start: usize, end: usize) -> Self {
        Self::Refanged { start: start as u32, end: end as u32 }
    }
}

impl<'o> Extractor<'o> {
    /// An extractor that marks what `allow` has.
    #[must_use]
    pub fn new(allow: &'o AllowList) -> Self {
        Self { allow, scratch: String::new() }
    }

    /// Appends what running text holds, repetitions included. There may be one in every seven bytes; how many of them
    /// are worth keeping is the caller's decision.
    pub fn free_text(&mut self, text: &str, found: &mut Vec<Found>) {
        // `::1` is the shortest there is.
        if text.len() > 2 {
            self.scan(text, found).run(0, text.len());
        }
    }

    /// Appends the value of a field that is known to hold a `kind`, if it is one. What it is part of or brings with it
    /// (a URL's host) is appended too.
    pub fn typed(&mut self, kind: ObservableType, text: &str, found: &mut Vec<Found>) {
        self.scan(text, found).typed(kind);
    }

    /// The value of `found`, which was read from `text`.
    #[must_use]
    pub fn value<'a>(&'a self, text: &'a str, found: &Found) -> &'a str {
        let (of, start, end) = match found.value {
            Value::Span { start, end } => (text, start, end),
            Value::Refanged { start, end } => (self.scratch.as_str(), start, end),
        };
        of.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Forgets the values of the event before. Call it once an event.
    pub fn clear(&mut self) {
        self.scratch.clear();
    }

    fn scan<'s>(&'s mut self, text: &'s str, found: &'s mut Vec<Found>) -> Scan<'s> {
        Scan {
            text,
            bytes: text.as_bytes(),
            allow: self.allow,
            scratch: &mut self.scratch,
            found,
            inside: false,
            escaped: false,
            escapes: None,
            begun: 0,
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
