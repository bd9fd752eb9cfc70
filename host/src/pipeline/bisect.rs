use std::ops::Range;

/// Calls `call` on the whole of `range`; where that fails, on its halves, down to the single events at fault. `call`
/// gets a part of the range and returns its answer or its fault; `done` gets the parts in order.
///
/// One culprit among n costs about 2·log₂ n more calls, and the events beside it get the answer that they would have got
/// without it.
pub(super) fn bisect<T, E>(
    range: Range<usize>,
    call: &mut impl FnMut(Range<usize>) -> Result<T, E>,
    done: &mut impl FnMut(Range<usize>, Result<T, E>),
) {
    if range.is_empty() {
        return;
    }
    match call(range.clone()) {
        Err(_) if range.len() > 1 => {
            let middle = range.start + range.len() / 2;
            bisect(range.start..middle, call, done);
            bisect(middle..range.end, call, done);
        }
        answer => done(range, answer),
    }
}

#[cfg(test)]
mod tests {
    use super::bisect;

    #[test]
    fn only_the_culprits_pay() {
        let (mut calls, mut good, mut bad) = (0, Vec::new(), Vec::new());
        bisect(
            0..256,
            &mut |range| {
                calls += 1;
                if range.contains(&17) || range.contains(&200) { Err(()) } else { Ok(()) }
            },
            &mut |range, answer| if answer.is_ok() { good.extend(range) } else { bad.extend(range) },
        );
        assert_eq!(bad, [17, 200]);
        assert_eq!(good, (0..256).filter(|i| *i != 17 && *i != 200).collect::<Vec<_>>());
        assert!(calls <= 1 + 2 * 2 * 8, "{calls} calls");
    }
}
