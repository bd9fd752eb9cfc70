//! Endings that are real top-level domains and mean something else in most logs.
//!
//! A name that ends in one of these counts as a domain only with evidence: a scheme, `www.`, an e-mail address, a
//! defanged spelling, a field that is known to hold a domain, or a public suffix of two labels (`co.id`). Endings that
//! attackers like as much as programmers do (`.top`, `.click`, `.zone`, `.host`, `.cc`) are left out on purpose.

/// A label in lower case, without an allocation. Longer ones are none of the words here, and are empty.
#[derive(Clone, Copy)]
pub(super) struct Short {
    bytes: [u8; 16],
    length: usize,
}

impl Short {
    pub(super) fn lower(label: &[u8]) -> Self {
        let mut bytes = [0; 16];
        if label.len() > bytes.len() {
            return Self { bytes, length: 0 };
        }
        for (to, from) in bytes.iter_mut().zip(label) {
            *to = from.to_ascii_lowercase();
        }
        Self { bytes, length: label.len() }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.get() == word
    }

    /// Extension of files. `setup.py` is a file even though Paraguay is a country, and
    /// `network.target` a unit of systemd.
    pub(super) fn is_file_extension(&self) -> bool {
        matches!(
            self.get(),
            b"ps"
                | b"py"
                | b"pl"
                | b"pm"
                | b"rs"
                | b"sh"
                | b"so"
                | b"md"
                | b"do"
                | b"mk"
                | b"cab"
                | b"zip"
                | b"mov"
                | b"app"
                | b"pub"
                | b"inc"
                | b"java"
                | b"dot"
                | b"cat"
                | b"properties"
                | b"target"
        )
    }

    /// Of those, the ones with so many domains below them that three labels are more likely a host than a file.
    pub(super) fn is_popular(&self) -> bool {
        matches!(self.get(), b"pl" | b"app" | b"cat")
    }

    /// Word that stands behind a dot in code and in the names of fields: `process.name`, `user.id`, `window.open`.
    pub(super) fn is_code_word(&self) -> bool {
        matches!(
            self.get(),
            b"id"
                | b"name"
                | b"call"
                | b"open"
                | b"read"
                | b"new"
                | b"now"
                | b"save"
                | b"select"
                | b"search"
                | b"show"
                | b"build"
                | b"active"
                | b"prof"
                | b"tel"
                | b"prod"
                | b"style"
                | b"next"
                | b"case"
                | b"total"
        )
    }

    /// Two-letter word of English: a country first, a word where code or prose gives itself away.
    pub(super) fn is_short_word(&self) -> bool {
        matches!(self.get(), b"as" | b"is" | b"in" | b"it" | b"to" | b"at" | b"be" | b"am" | b"my" | b"no" | b"us")
    }

    /// First label of package and class names: `com.example.app`, `java.lang.String`.
    pub(super) fn begins_package(&self) -> bool {
        matches!(
            self.get(),
            b"com"
                | b"org"
                | b"net"
                | b"java"
                | b"javax"
                | b"jdk"
                | b"sun"
                | b"android"
                | b"androidx"
                | b"kotlin"
                | b"scala"
        )
    }

    /// Top-level name that a maker keeps for itself: seen in the names of products, not in anybody's domain.
    pub(super) fn is_brand(&self) -> bool {
        matches!(
            self.get(),
            b"aws"
                | b"azure"
                | b"windows"
                | b"microsoft"
                | b"google"
                | b"android"
                | b"chrome"
                | b"apple"
                | b"amazon"
                | b"office"
                | b"oracle"
                | b"cisco"
                | b"dell"
                | b"intel"
        )
    }

    /// Program of DOS and Windows that ends in `.com`, or product spelled like a domain.
    pub(super) fn is_program(&self) -> bool {
        matches!(
            self.get(),
            b"chcp.com"
                | b"command.com"
                | b"diskcomp.com"
                | b"diskcopy.com"
                | b"edit.com"
                | b"format.com"
                | b"graftabl.com"
                | b"mode.com"
                | b"more.com"
                | b"tree.com"
                | b"win.com"
                | b"asp.net"
                | b"vb.net"
                | b"ado.net"
                | b"ml.net"
        )
    }

    /// Top-level name that RFC 6761, 6762 or 7686 or ICANN set aside, or that sites use inside because it was never
    /// delegated. All but `onion` mean nothing outside.
    pub(super) fn is_special(&self) -> bool {
        matches!(
            self.get(),
            b"local" | b"internal" | b"onion" | b"lan" | b"intranet" | b"localdomain" | b"localhost" | b"invalid"
        ) || self.is_special_word()
    }

    /// Those among them that are words first.
    pub(super) fn is_special_word(&self) -> bool {
        matches!(self.get(), b"home" | b"private" | b"corp" | b"test" | b"example")
    }
}
