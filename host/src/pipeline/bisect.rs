use std::ops::Range;

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
    /// Whether one more call may be made.
    fn lasts(&mut self) -> bool;
    /// Hears how a call for `events` events went.
    fn hear(&mut self, events: usize, fault: Option<&E>);
}

/// Calls `call` on the whole of `range`; where that fails, on its halves, down to the single events at fault, for as
/// long as `patience` lasts. The parts come out in order and make up the range.
///
/// One culprit among n costs about 2·log₂ n more calls, and the events beside it get the answer that they would have got
/// without it.
pub(super) fn bisect<T, E>(
    range: Range<usize>,
    patience: &mut impl Patience<E>,
    call: &mut impl FnMut(Range<usize>) -> Result<T, E>,
    found: &mut Parts<T, E>,
) {
    if range.is_empty() {
        return;
    }
    if !patience.lasts() {
        match found.last_mut() {
            Some((given_up, Found::GivenUp)) if given_up.end == range.start => given_up.end = range.end,
            _ => found.push((range, Found::GivenUp)),
        }
        return;
    }
    let answer = call(range.clone());
    patience.hear(range.len(), answer.as_ref().err());
    match answer {
        Ok(answer) => found.push((range, Found::Answer(answer))),
        Err(fault) if range.len() == 1 => found.push((range, Found::Blamed(fault))),
        Err(_) => {
            let middle = range.start + range.len() / 2;
            bisect(range.start..middle, patience, call, found);
            bisect(middle..range.end, patience, call, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lasts for so many calls.
    struct Calls(usize);

    impl Patience<()> for Calls {
        fn lasts(&mut self) -> bool {
            self.0 > 0
        }

        fn hear(&mut self, _events: usize, _fault: Option<&()>) {
            self.0 -= 1;
        }
    }

    fn searched(calls: usize, culprits: &[usize]) -> (usize, Parts<(), ()>) {
        let (mut patience, mut found) = (Calls(calls), Vec::new());
        let fails = |range: &Range<usize>| culprits.iter().any(|culprit| range.contains(culprit));
        bisect(0..256, &mut patience, &mut |range| if fails(&range) { Err(()) } else { Ok(()) }, &mut found);
        (calls - patience.0, found)
    }

    #[test]
    fn only_the_culprits_pay() {
        let (calls, found) = searched(1000, &[17, 200]);
        let of = |wanted| found.iter().filter(move |(_, part)| *part == wanted).flat_map(|(range, _)| range.clone());
        assert_eq!(of(Found::Blamed(())).collect::<Vec<_>>(), [17, 200]);
        let innocent: Vec<_> = (0..256).filter(|i| *i != 17 && *i != 200).collect();
        assert_eq!(of(Found::Answer(())).collect::<Vec<_>>(), innocent);
        assert!(calls <= 1 + 2 * 2 * 8, "{calls} calls");
    }

    #[test]
    fn what_is_given_up_is_named_once_and_in_its_place() {
        // Down to 0 in nine calls, and 1 by the tenth.
        let (calls, found) = searched(10, &(0..256).collect::<Vec<_>>());
        assert_eq!(calls, 10);
        assert_eq!(found, [(0..1, Found::Blamed(())), (1..2, Found::Blamed(())), (2..256, Found::GivenUp)]);
    }
}
