//! What a guest says of messages of other sites, checked.

use super::{
    Severity,
    answer::{at, cut},
    bindings::exports::aurora::inbound::judge::{Disposition, Verdicts},
    events::expect_length,
};

/// What becomes of a message of another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is stored.
    Accepted {
        /// With this severity.
        severity: Severity,
        /// Why.
        reason: String,
    },
    /// It becomes a dead letter.
    Refused(String),
    /// It is gone.
    Dropped(String),
}

/// Checks the answer to a batch of `messages`. Its marking no answer speaks of, so none can open it.
///
/// # Errors
/// What makes no sense in it.
pub fn check(raw: Verdicts, messages: usize) -> Result<Vec<Judgement>, String> {
    expect_length("disposition", raw.disposition.len(), messages)?;
    expect_length("reason", raw.reason.len(), messages)?;
    let accepted = raw.disposition.iter().filter(|one| matches!(one, Disposition::Accepted)).count();
    expect_length("severity", raw.severity.len(), accepted)?;
    let reasons: Vec<_> = raw.reasons.into_iter().map(cut).collect();
    let mut severities = raw.severity.into_iter();
    let judgement = |(disposition, reason): (Disposition, u32)| -> Result<_, String> {
        let reason = at("reason", &reasons, reason)?.clone();
        Ok(match disposition {
            Disposition::Accepted => {
                let severity = severities.next().ok_or("fewer severities than accepted messages")?;
                Judgement::Accepted { severity, reason }
            }
            Disposition::Refused => Judgement::Refused(reason),
            Disposition::Dropped => Judgement::Dropped(reason),
        })
    };
    raw.disposition.into_iter().zip(raw.reason).map(judgement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(disposition: &[Disposition], reason: &[u32], severity: &[Severity]) -> Verdicts {
        Verdicts {
            disposition: disposition.to_vec(),
            reasons: vec!["known".to_owned(), "unknown".to_owned()],
            reason: reason.to_vec(),
            severity: severity.to_vec(),
        }
    }

    #[test]
    fn each_message_gets_its_own_verdict_and_each_accepted_one_its_severity() {
        use Disposition::{Accepted, Dropped, Refused};
        let raw = verdicts(&[Refused, Accepted, Dropped, Accepted], &[1, 0, 1, 0], &[Severity::Low, Severity::High]);
        let accepted = |severity| Judgement::Accepted { severity, reason: "known".to_owned() };
        let unknown = || "unknown".to_owned();
        let expected = vec![
            Judgement::Refused(unknown()),
            accepted(Severity::Low),
            Judgement::Dropped(unknown()),
            accepted(Severity::High),
        ];
        assert_eq!(check(raw, 4), Ok(expected));
    }

    #[test]
    fn an_answer_that_leaves_something_open_is_none() {
        use Disposition::{Accepted, Refused};
        for (raw, what) in [
            (verdicts(&[Accepted], &[0], &[Severity::Low]), "disposition has 1"),
            (verdicts(&[Accepted, Refused], &[0], &[Severity::Low]), "reason has 1"),
            (verdicts(&[Accepted, Refused], &[0, 2], &[Severity::Low]), "reason 2 of a table of 2"),
            (verdicts(&[Accepted, Accepted], &[0, 0], &[Severity::Low]), "severity has 1"),
            (verdicts(&[Refused, Refused], &[0, 0], &[Severity::Low]), "severity has 1"),
        ] {
            let why = check(raw, 2).unwrap_err();
            assert!(why.contains(what), "{why}");
        }
    }
}
