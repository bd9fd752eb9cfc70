use std::{ops::Range, time::Duration};

/// What a search has found out about a part of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T, E> {
    /// The part's answer.
    Answer(T),
    /// The part is one event, and the call fails on it alone.
    Blamed(E),
    /// Nothing: the search ended before.
    GivenUp,
}

/// What a search has found out about a range, in order.
pub(super) type Parts<T, E> = Vec<(Range<usize>, Found<T, E>)>;

/// Whoever pays for a search.
pub(super) trait Patience<E> {
    /// How long one more call, for `events` events, may take; none: there is to be none.
    fn grants(&mut self, events: usize) -> Option<Duration>;
    /// Hears how a call for `events` events went.
    fn hear(&mut self, events: usize, fault: Option<&E>);
    /// Into how many parts a range is cut on which a call has failed, 2 or more. In more of them fewer calls fail until an
    /// event is blamed, and more pass.
    fn parts(&self) -> usize {
        2
    }
}

/// Calls `call` on the whole of `range`; where that fails, on its halves, or as many parts as `patience` says, down to the
/// single events at fault, for as long as it grants calls. The parts come out in order and make up the range.
///
/// One culprit among n costs about 2·log₂ n more calls, and the events beside it get the answer that they would have got
/// without it.
pub(super) fn bisect<T, E>(
    range: Range<usize>,
    patience: &mut impl Patience<E>,
    call: &mut impl FnMut(Range<usize>, Duration) -> Result<T, E>,
    found: &mut Parts<T, E>,
) {
    if range.is_empty() {
        return;
    }
    let Some(within) = patience.grants(range.len()) else {
        match found.last_mut() {
            Some((given_up, Found::GivenUp)) if given_up.end == range.start => given_up.end = range.end,
            _ => found.push((range, Found::GivenUp)),
        }
        return;
    };
    let answer = call(range.clone(), within);
    patience.hear(range.len(), answer.as_ref().err());
    match answer {
        Ok(answer) => found.push((range, Found::Answer(answer))),
        Err(fault) if range.len() == 1 => found.push((range, Found::Blamed(fault))),
        Err(_) => {
            let parts = patience.parts().clamp(2, range.len());
            let cut = |part: usize| range.start + range.len() * part / parts;
            for part in 0..parts {
                bisect(cut(part)..cut(part + 1), patience, call, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lasts for so many calls, and cuts into so many parts.
    struct Calls(usize, usize);

    impl Patience<()> for Calls {
        fn grants(&mut self, _events: usize) -> Option<Duration> {
            (self.0 > 0).then_some(Duration::ZERO)
        }

        fn hear(&mut self, _events: usize, _fault: Option<&()>) {
            self.0 -= 1;
        }

        fn parts(&self) -> usize {
            self.1
        }
    }

    fn searched(calls: usize, parts: usize, culprits: &[usize]) -> (usize, Parts<(), ()>) {
        let (mut patience, mut found) = (Calls(calls, parts), Vec::new());
        let fails = |range: &Range<usize>| culprits.iter().any(|culprit| range.contains(culprit));
        bisect(0..256, &mut patience, &mut |range, _| if fails(&range) { Err(()) } else { Ok(()) }, &mut found);
        (calls - patience.0, found)
    }

    #[test]
    fn only_the_culprits_pay() {
        for (parts, most) in [(2, 1 + 2 * 2 * 8), (16, 1 + 16 + 2 * 16), (7, 1000)] {
            let (calls, found) = searched(1000, parts, &[17, 200]);
            let of =
                |wanted| found.iter().filter(move |(_, part)| *part == wanted).flat_map(|(range, _)| range.clone());
            assert_eq!(of(Found::Blamed(())).collect::<Vec<_>>(), [17, 200]);
            let innocent: Vec<_> = (0..256).filter(|i| *i != 17 && *i != 200).collect();
            assert_eq!(of(Found::Answer(())).collect::<Vec<_>>(), innocent);
            assert!(calls <= most, "{calls} calls in {parts} parts");
        }
    }

    #[test]
    fn what_is_given_up_is_named_once_and_in_its_place() {
        // Down to 0 in nine calls, and 1 by the tenth.
        let (calls, found) = searched(10, 2, &(0..256).collect::<Vec<_>>());
        assert_eq!(calls, 10);
        assert_eq!(found, [(0..1, Found::Blamed(())), (1..2, Found::Blamed(())), (2..256, Found::GivenUp)]);
    }
}
