use std::fmt;

use bytes::Bytes;
use memchr::memchr;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::Refusal;

/// How a body is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One event a line.
    Line,
    /// The body is one event, whatever it holds.
    Whole,
    /// The body is one JSON value: an array is one event an element, anything else is one event.
    Json,
}

/// One event of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Its line, or its place in the array, from 1.
    pub(super) line: u64,
    /// A slice of the body: nothing is copied.
    pub(super) payload: Bytes,
}

/// Cuts a body into at most `most` events. Blank lines are no events, and neither is a blank body.
pub(super) fn cut(body: &Bytes, framing: Framing, most: usize) -> Result<Vec<Cut>, Refusal> {
    match framing {
        Framing::Line => lines(body, most),
        Framing::Json if body.trim_ascii_start().starts_with(b"[") => elements(body, most),
        Framing::Whole | Framing::Json if body.trim_ascii().is_empty() => Ok(Vec::new()),
        // Not looked into: a malformed event is for the normalizer to reject, so that it is kept as a dead letter.
        Framing::Whole | Framing::Json => Ok(vec![Cut { line: 1, payload: body.clone() }]),
    }
}

fn lines(body: &Bytes, most: usize) -> Result<Vec<Cut>, Refusal> {
    let mut cuts = Vec::new();
    let (mut start, mut line) = (0, 0);
    while start < body.len() {
        let end = memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        let text = body[start..end].strip_suffix(b"\r").unwrap_or(&body[start..end]);
        line += 1;
        if !text.trim_ascii().is_empty() {
            if cuts.len() == most {
                return Err(Refusal::TooManyEvents(most));
            }
            cuts.push(Cut { line, payload: body.slice(start..start + text.len()) });
        }
        start = end + 1;
    }
    Ok(cuts)
}

fn elements(body: &Bytes, most: usize) -> Result<Vec<Cut>, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let elements = json
        .deserialize_seq(Elements { most })
        .and_then(|elements| json.end().map(|()| elements))
        .map_err(|error| Refusal::Malformed(format!("the body is no JSON array: {error}")))?
        .ok_or(Refusal::TooManyEvents(most))?;
    let cut = |(line, element): (u64, &RawValue)| Cut { line, payload: body.slice_ref(element.get().as_bytes()) };
    Ok((1..).zip(elements).map(cut).collect())
}

/// Collects the elements' text, or nothing when there are more than `most`: a body of brackets and commas must not
/// cost many times its size.
struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.most {
            match array.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Some(elements)),
            }
        }
        let mut more = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok((!more).then_some(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &'static [u8], framing: Framing) -> Vec<(u64, Vec<u8>)> {
        let cuts = cut(&Bytes::from_static(body), framing, 100).expect("a body that can be cut");
        cuts.into_iter().map(|cut| (cut.line, cut.payload.to_vec())).collect()
    }

    #[test]
    fn numbers_lines_as_an_editor_does_and_skips_blank_ones() {
        let expected = vec![(1, b"a".to_vec()), (3, b" b\xff ".to_vec()), (5, b"c".to_vec())];
        assert_eq!(texts(b"a\r\n\n b\xff \n \t\r\nc", Framing::Line), expected);
        assert_eq!(texts(b"a\n\n b\xff \n\r\nc\n", Framing::Line), expected);
    }

    #[test]
    fn keeps_line_ends_inside_a_whole_body() {
        assert_eq!(texts(b"a\nb\n", Framing::Whole), [(1, b"a\nb\n".to_vec())]);
        assert_eq!(texts(b"[1,2]", Framing::Whole), [(1, b"[1,2]".to_vec())]);
    }

    #[test]
    fn cuts_an_array_at_its_outermost_commas() {
        let body = b" [ {\"a\": [1, \"],[\"]} , {\"b\":\"\\\"\"},3 ] \n";
        let expected = vec![(1, br#"{"a": [1, "],["]}"#.to_vec()), (2, br#"{"b":"\""}"#.to_vec()), (3, b"3".to_vec())];
        assert_eq!(texts(body, Framing::Json), expected);
    }

    #[test]
    fn leaves_a_single_value_to_the_normalizer_even_if_malformed() {
        assert_eq!(texts(b"{\"a\":", Framing::Json), [(1, b"{\"a\":".to_vec())]);
        assert_eq!(texts(b"\xff", Framing::Json), [(1, b"\xff".to_vec())]);
    }

    #[test]
    fn finds_no_event_in_an_empty_body() {
        for framing in [Framing::Line, Framing::Whole, Framing::Json] {
            assert!(texts(b"", framing).is_empty());
            assert!(texts(b" \n", framing).is_empty());
        }
        assert!(texts(b"[ ]", Framing::Json).is_empty());
    }

    #[test]
    fn refuses_an_array_that_does_not_end_or_goes_on() {
        for body in [&b"[{}"[..], b"[{},]", b"[{}] {}", b"[{}{}]", b"[\"\xff\"]"] {
            let cut = cut(&Bytes::from_static(body), Framing::Json, 100);
            assert!(matches!(cut, Err(Refusal::Malformed(_))), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn refuses_one_event_more_than_allowed() {
        for (body, framing) in [("1\n2\n3", Framing::Line), ("[1,2,3]", Framing::Json)] {
            let body = Bytes::from_static(body.as_bytes());
            assert!(matches!(cut(&body, framing, 2), Err(Refusal::TooManyEvents(2))));
            assert_eq!(cut(&body, framing, 3).expect("just as many as allowed").len(), 3);
        }
    }

    #[test]
    fn copies_nothing() {
        let body = Bytes::from_static(b"[{\"a\":1},{\"b\":2}]");
        for framing in [Framing::Line, Framing::Whole, Framing::Json] {
            for cut in cut(&body, framing, 2).expect("a body that can be cut") {
                assert!(body.as_ptr_range().contains(&cut.payload.as_ptr()));
            }
        }
    }

    #[test]
    fn survives_an_array_nested_without_end() {
        let body = Bytes::from("[".repeat(1_000_000));
        assert!(matches!(cut(&body, Framing::Json, 100), Err(Refusal::Malformed(_))));
    }
}
