//! A whole record, as `commit.lua` reads it.

use super::{Fields, KnownBy, OWN, Part, What, pairs};

/// What entries have in common, as `commit.lua` has it.
struct Form<'a> {
    is_event: bool,
    /// Whether the event is of another site.
    is_foreign: bool,
    stream: String,
    /// Severity, source and category, or subject and kind.
    texts: [&'a [u8]; 3],
    provenance: &'a [u8],
}

/// A whole record while it is read.
pub(super) struct Reading<'a> {
    /// From the layout on.
    arguments: &'a [&'a [u8]],
    streams: Vec<String>,
    is_first_layout: bool,
    forms: Vec<Form<'a>>,
    keys: Vec<[u8; 16]>,
    /// Where the operations end.
    end: usize,
}

/// Where the operations begin.
const OPERATIONS: usize = 8;

impl<'a> Reading<'a> {
    /// None if it is of no layout that this version knows.
    pub fn begin(strings: &'a [&'a [u8]]) -> Option<Self> {
        // The name of the command, the script, the number of keys, the keys.
        let count = number(strings.get(2)?)?;
        let keys = strings.get(3..count.checked_add(3)?)?;
        let streams = keys.get(OWN..)?.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        let arguments = &strings[3 + count..];
        let is_first_layout = match *arguments.first()? {
            b"1" => true,
            b"2" => false,
            _ => return None,
        };
        let behind = |back: usize| Some(*arguments.get(arguments.len().checked_sub(back)?)?);
        let (forms_count, keys_count) = (number(behind(2)?)?, number(behind(3)?)?);
        let size = if is_first_layout { 5 } else { 6 };
        let first_key = arguments.len().checked_sub(7)?.checked_sub(keys_count)?;
        let end = first_key.checked_sub(forms_count.checked_mul(size)?)?;
        let mut reading = Self { arguments, streams, is_first_layout, forms: Vec::new(), keys: Vec::new(), end };
        for form in arguments[end..first_key].chunks_exact(size) {
            reading.forms.push(Form {
                is_event: form[0] == b"e" || form[0] == b"f",
                is_foreign: form[0] == b"f",
                stream: reading.stream(form[1])?,
                texts: [form[2], form[3], form[4]],
                provenance: form.get(5).copied().unwrap_or_default(),
            });
        }
        for key in &arguments[first_key..first_key + keys_count] {
            reading.keys.push((*key).try_into().ok()?);
        }
        (end >= OPERATIONS).then_some(reading)
    }

    pub fn parts(&self) -> Option<Vec<Part>> {
        let (mut parts, mut at, mut entries, mut keys) = (Vec::new(), OPERATIONS, 0, 0);
        let mut entry = |stream: String, what: What| {
            entries += 1;
            Part::Entry { position: entries - 1, stream: Some(stream), what }
        };
        while at < self.end {
            let argument = |offset: usize| self.arguments[..self.end].get(at + offset).copied();
            let known = |known_by| Some(Part::Delivery { position: Some(number(argument(1)?)?), known_by });
            let operation = str::from_utf8(argument(0)?).ok()?;
            at += match operation {
                "n" => {
                    parts.push(Part::Delivery { position: None, known_by: None });
                    1
                }
                "m" => {
                    parts.push(known(None)?);
                    3
                }
                "k" => {
                    let (line, digest) = str::from_utf8(argument(3)?).ok()?.split_once(':')?;
                    let (key, line) = (unhex(argument(2)?)?, line.parse().ok()?);
                    parts.push(known(Some(KnownBy::Request { key, line, digest: unhex(digest.as_bytes())? }))?);
                    4
                }
                "j" | "t" => {
                    let (day, mark) = (number(argument(2)?)?, argument(3)?.try_into().ok()?);
                    let (day, life) = (u32::try_from(day).ok()?, number(argument(4)?)? as u64);
                    parts.push(known(Some(KnownBy::Message { mark, day, life, away: operation == "t" }))?);
                    5
                }
                "a" | "c" => {
                    let [group, id] =
                        [argument(3)?, argument(4)?].map(|text| String::from_utf8_lossy(text).into_owned());
                    let (stream, remove) = (self.stream(argument(2)?)?, operation == "a");
                    parts.push(known(Some(KnownBy::Entry { stream, group, id, remove }))?);
                    5
                }
                // What is taken out by hand never waits in the spool.
                "x" => 4,
                "w" => {
                    let key = *self.keys.get(number(argument(1)?)?.checked_sub(1)?)?;
                    parts.push(Part::Event { key: Some(key) });
                    3
                }
                "l" => {
                    let (delivery, events) = (number(argument(1)?)?, number(argument(3)?)?);
                    let (fields, length) = self.fields(at.checked_add(4)?.checked_add(events)?)?;
                    parts.push(entry(self.stream(argument(2)?)?, What::Letter { delivery, fields }));
                    4 + events + length
                }
                "g" => {
                    let (fields, length) = self.fields(at + 2)?;
                    parts.push(entry(self.stream(argument(1)?)?, What::Other(fields)));
                    2 + length
                }
                of_form => {
                    let (form, begins) = match of_form.as_bytes()[..] {
                        [b'v', ..] => (&of_form[1..], Some(true)),
                        [b'u', ..] => (&of_form[1..], Some(false)),
                        _ => (of_form, None),
                    };
                    if let Some(has_key) = begins {
                        let key = if has_key { Some(*self.keys.get(keys)?) } else { None };
                        keys += usize::from(has_key);
                        parts.push(Part::Event { key });
                    }
                    let form = self.forms.get(form.parse::<usize>().ok()?.checked_sub(1)?)?;
                    let (what, length) = self.of_form(form, [argument(1), argument(2), argument(3), argument(4)])?;
                    parts.push(entry(form.stream.clone(), what));
                    length
                }
            };
        }
        (at == self.end).then_some(parts)
    }

    /// An entry of a form, with how many arguments it takes.
    fn of_form(&self, form: &Form<'_>, values: [Option<&[u8]>; 4]) -> Option<(What, usize)> {
        let ([a, b, c], provenance) = (form.texts, ("provenance", form.provenance));
        if !form.is_event {
            let (id, data) = (values[0]?, values[1]?);
            let fields = [("subject", a), ("id", id), ("kind", b), ("data", data), provenance];
            return Some((What::Message(pairs(fields)), 3));
        }
        let (data, length) = (values[0]?, if self.is_first_layout { 2 } else { 4 });
        let (raw, topic) = if self.is_first_layout { (&b""[..], &b""[..]) } else { (values[1]?, values[2]?) };
        let fields = [
            ("data", data),
            ("severity", a),
            ("source", b),
            ("category", c),
            ("raw", raw),
            ("topic", topic),
            provenance,
        ];
        if form.is_foreign {
            let fields = fields.into_iter().chain([("origin", values[3]?)]);
            return Some((What::Normalized(pairs(fields)), length + 1));
        }
        Some((What::Normalized(pairs(fields)), length))
    }

    /// The number of values at `at`, and names and values behind it; with how many arguments all of that takes.
    fn fields(&self, at: usize) -> Option<(Fields, usize)> {
        let count = number(self.arguments.get(at)?)?;
        let values = self.arguments[..self.end].get(at + 1..(at + 1).checked_add(count)?)?;
        let named = values.chunks_exact(2).map(|pair| Some((str::from_utf8(pair[0]).ok()?, pair[1])));
        Some((pairs(named.collect::<Option<Vec<_>>>()?), count + 1))
    }

    fn stream(&self, place: &[u8]) -> Option<String> {
        self.streams.get(number(place)?.checked_sub(1)?).cloned()
    }
}

fn number(text: &[u8]) -> Option<usize> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (mut bytes, text) = ([0; N], str::from_utf8(text).ok()?);
    (text.len() == 2 * N && text.is_ascii()).then_some(())?;
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}
