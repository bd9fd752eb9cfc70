//! Registry keys and names of mutexes.

use aurora_guest::ObservableType;

use super::class::WORD;
use super::class::{byte, class};
use super::component;
use super::scan::Scan;

/// The hives, long and short. `\REGISTRY\…` is how the kernel spells them.
const HIVES: &[&[u8]] = &[
    b"HKEY_LOCAL_MACHINE",
    b"HKEY_CURRENT_USER",
    b"HKEY_CLASSES_ROOT",
    b"HKEY_USERS",
    b"HKEY_CURRENT_CONFIG",
    b"HKEY_PERFORMANCE_DATA",
    b"HKLM",
    b"HKCU",
    b"HKCR",
    b"HKU",
    b"HKCC",
];
const KERNEL: &[u8] = b"REGISTRY";

/// How long the rest of a line may be to belong to a key that began the line.
const REST_OF_LINE: usize = 64;

/// Whether a registry key may begin at `at`.
pub(super) fn begins(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 3).is_some_and(|head| head[..2].eq_ignore_ascii_case(b"HK") && head[2].is_ascii_alphabetic())
        && HIVES.iter().any(|hive| {
            bytes.get(at..at + hive.len()).is_some_and(|word| word.eq_ignore_ascii_case(hive))
                && matches!(byte(bytes, at + hive.len()), b'\\' | b':')
        })
}

impl Scan<'_> {
    /// The key whose hive is the word `start..at`: `HKLM\…`, `HKLM:\…`, `<HKLM>\…`, `\REGISTRY\…`.
    pub(super) fn registry(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let hive = &bytes[start..at];
        let kernel = hive.eq_ignore_ascii_case(KERNEL) && start > 0 && bytes[start - 1] == b'\\';
        if !kernel
            && (hive.len() < 3 || hive[0] | 0x20 != b'h' || !HIVES.iter().any(|known| hive.eq_ignore_ascii_case(known)))
        {
            return None;
        }
        let slash = at + usize::from(matches!(bytes[at], b':' | b'>'));
        if byte(bytes, slash) != b'\\' {
            return None;
        }
        let start = start - usize::from(kernel);
        let end = self.key_end(start, slash, to)?;
        if slash == at {
            self.push_path(ObservableType::RegistryKey, start, end);
        } else {
            let from = self.scratch.len();
            self.scratch.push_str(&self.text[start..at]);
            self.scratch.push_str(&self.text[slash..end]);
            let scope = self.exact_scope(&self.scratch[from..]);
            self.push_scratch(ObservableType::RegistryKey, scope, from, self.scratch.len());
        }
        Some(end)
    }

    fn key_end(&self, start: usize, slash: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let mut at = slash;
        let first = loop {
            let mut first = at;
            while byte(bytes, first) == b'\\' && first < at + 2 {
                first += 1;
            }
            match component::component_end(bytes, first, b'\\') {
                Some(end) => at = end,
                None => break first,
            }
        };
        let mut end = first;
        let mut braces = 0u32;
        while end < to && end < first + 255 {
            match bytes[end] {
                b'{' => braces += 1,
                b'}' if braces > 0 => braces -= 1,
                // A placeholder that was never closed makes the rest a guess.
                b'<' => return None,
                0..=0x20 | b'"' | b'\'' | b',' | b';' | b'>' | b'|' | b'\\' | b')' | b'}' | b']' | b'`' => break,
                0x80.. if super::class::wide_punctuation(bytes, end).is_some() => break,
                _ => {}
            }
            end += 1;
        }
        // A key with spaces that has a line to itself: `…\Shell Extensions`.
        if byte(bytes, end) == b' ' && begins_line(bytes, start) {
            let line = bytes[end..].iter().take(REST_OF_LINE).position(|&b| matches!(b, b'\n' | b'\r'));
            let line = line.map(|at| end + at).or((to - end < REST_OF_LINE).then_some(to));
            if let Some(line) = line
                && is_rest_of_name(&bytes[end..line])
            {
                end += bytes[end..line].trim_ascii_end().len();
            }
        }
        while end > first && matches!(bytes[end - 1], b'.' | b':' | b'!' | b'?') {
            end -= 1;
        }
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        if end <= first {
            // `HKLM\Software\` and nothing more.
            end = at;
        }
        (end > slash + 1).then_some(end)
    }

    /// A named kernel object: `Global\…` or `Local\…`, whose first word is `start..at`.
    pub(super) fn mutex(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let word = &bytes[start..at];
        let objects = word == b"BaseNamedObjects";
        if !objects && word != b"Global" && word != b"Local" {
            return None;
        }
        if start > 0 && bytes[start - 1] == b'\\' && !objects {
            return None;
        }
        let first = at + if byte(bytes, at + 1) == b'\\' { 2 } else { 1 };
        let mut end = first;
        while end < to
            && end < first + 260
            && (class(bytes, end) & WORD != 0
                || matches!(bytes[end], b'{' | b'}' | b'!' | b'#' | b'$' | b'+' | b'~' | b':' | b'@'))
        {
            end += 1;
        }
        while end > first && matches!(bytes[end - 1], b'.' | b':' | b'!') {
            end -= 1;
        }
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        // `Local\Temp\x.exe` is the tail of a path.
        if end < first + 2 || byte(bytes, end) == b'\\' && !objects {
            return None;
        }
        self.push_path(ObservableType::Mutex, if objects { first } else { start }, end);
        Some(end)
    }
}

/// Whether all of the few words in `rest` have a capital: `Shell Extensions` is a name, `Run was added` is prose.
fn is_rest_of_name(rest: &[u8]) -> bool {
    let words = rest.trim_ascii().split(|&b| b == b' ');
    words.clone().count() <= 2
        && words
            .into_iter()
            .all(|word| word.first().is_some_and(u8::is_ascii_uppercase) && word.iter().all(u8::is_ascii_alphanumeric))
}

fn begins_line(bytes: &[u8], start: usize) -> bool {
    bytes[..start].iter().rev().take(16).find(|&&b| b != b' ' && b != b'\t').is_none_or(|&b| matches!(b, b'\n' | b'\r'))
}
