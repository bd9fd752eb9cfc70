//! Failures that repeat: one is told, and the one after its window says how many there were.
//!
//! Whoever may publish on a device's topic can send thousands of answers that fail, and each would be a result and an alert,
//! here and at the sites that share them. What is not told is counted: in `aurora_attestation_failures_total`, in what
//! stage `normalize` drops, and towards the next one that is told.

use chrono::{DateTime, SecondsFormat};

use super::judge::Judged;
use crate::broker::redis_streams::Repetition;

/// What becomes of a verdict that failed.
pub(super) fn entered(judged: Judged, repetition: Repetition) -> Judged {
    let Judged::Verdict(mut verdict) = judged else { return judged };
    let Repetition { is_told, opened_ms, more, since_ms, is_shared } = repetition;
    if !is_told {
        let cause = verdict.cause.map_or("", |cause| cause.as_str());
        let whose = if is_shared { "devices that nobody enrolled" } else { "this device" };
        let told = time(opened_ms);
        let why =
            format!("one failure of {whose} by {cause} was told at {told}, this one is counted: {}", verdict.reason);
        return Judged::Repeated(verdict, why);
    }
    if more > 0 {
        let whose = if is_shared { ", of devices that nobody enrolled," } else { "" };
        let (count, since) = (grouped(more), time(since_ms));
        verdict.reason = format!("{}; and {count} more of the same cause{whose} since {since}", verdict.reason);
    }
    Judged::First(verdict, repetition)
}

/// `4999` as `4,999`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// As people read it.
pub(super) fn time(milliseconds: i64) -> String {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{Cause, Verdict};

    const REPETITION: Repetition =
        Repetition { is_told: true, opened_ms: 90_000, more: 0, since_ms: 0, is_shared: false };

    fn failed() -> Judged {
        Judged::Verdict(Verdict::failed(Cause::Replayed, "used before", None))
    }

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 7, 999, 1_000, 4_999, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "4,999", "123,456", "1,234,567"]);
    }

    #[test]
    fn the_next_one_says_how_many_were_not_told() {
        let Judged::First(first, _) = entered(failed(), REPETITION) else { panic!("it is not told") };
        assert_eq!(first.reason, "used before");
        let Judged::First(next, _) = entered(failed(), Repetition { more: 4_999, ..REPETITION }) else {
            panic!("it is not told")
        };
        assert_eq!(next.reason, "used before; and 4,999 more of the same cause since 1970-01-01T00:00:00Z");
        let Judged::Repeated(verdict, why) = entered(failed(), Repetition { is_told: false, ..REPETITION }) else {
            panic!("it is told")
        };
        assert_eq!(verdict.reason, "used before");
        assert!(why.contains("by replayed was told at 1970-01-01T00:01:30Z"), "{why}");
    }

    #[test]
    fn what_is_no_failure_stays_as_it_is() {
        let nothing = Judged::Nothing("another host has it");
        assert_eq!(entered(nothing.clone(), REPETITION), nothing);
    }
}
