use super::config::overlap;

/// The subjects that may be shared to: patterns as NATS writes them, `*` for one token and `>` for the rest.
#[derive(Clone, Debug, Default)]
pub struct Subjects(Vec<String>);

impl Subjects {
    /// Of these patterns.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.to_vec())
    }

    /// Whether `subject` is one of them, and plain: each token `[A-Za-z0-9_-]+`, so that what an event says can never
    /// steer a message to somebody else's subject.
    #[must_use]
    pub fn allow(&self, subject: &str) -> bool {
        subject.len() <= 255
            && subject.split('.').all(is_plain)
            && self.0.iter().any(|pattern| matches(pattern, subject))
    }

    /// Whether any subject that `wanted`, a pattern, matches is one of them.
    #[must_use]
    pub(crate) fn meet(&self, wanted: &str) -> bool {
        self.0.iter().any(|pattern| overlap(pattern, wanted))
    }

    /// Whether `pattern` matches everything that `wanted`, a pattern itself, matches.
    pub(super) fn covers(pattern: &str, wanted: &str) -> bool {
        // A `*` in `wanted` is a token that only a wildcard matches, and `>` one that only `>` matches.
        let mut tokens = wanted.split('.');
        for expected in pattern.split('.') {
            match (expected, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(token)) if token != ">" => {}
                (expected, Some(token)) if expected == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for expected in pattern.split('.') {
        match (expected, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(token)) if expected == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::Subjects;

    #[test]
    fn a_pattern_covers_another_that_matches_nothing_else() {
        for (pattern, wanted) in
            [("a.>", "a.b"), ("a.>", "a.>"), ("a.>", "a.*"), (">", "a.>"), ("a.*", "a.*"), ("a.*", "a.b")]
        {
            assert!(Subjects::covers(pattern, wanted), "{pattern} {wanted}");
        }
        for (pattern, wanted) in [("a.*", "a.>"), ("a.b", "a.*"), ("a.>", "a"), ("a", "a.b"), ("a.b.>", "a.>")] {
            assert!(!Subjects::covers(pattern, wanted), "{pattern} {wanted}");
        }
    }

    #[test]
    fn patterns_meet_another_where_one_subject_matches_both() {
        let subjects = Subjects::new(&["aurora.soar.block_ip", "AURORA.*"].map(str::to_owned));
        assert!(subjects.meet("aurora.soar.*") && subjects.meet("AURORA.audit"));
        assert!(!subjects.meet("aurora.alerts.*") && !Subjects::new(&[]).meet("AURORA.audit"));
    }

    #[test]
    fn only_plain_subjects_within_the_patterns_are_allowed() {
        let subjects = Subjects::new(&["aurora.alerts.>", "aurora.*.x", "AURORA.audit"].map(str::to_owned));
        for allowed in ["aurora.alerts.cps", "aurora.alerts.a.b", "aurora.q.x", "AURORA.audit"] {
            assert!(subjects.allow(allowed), "{allowed}");
        }
        for refused in [
            "aurora.alerts",
            "aurora.alerts.",
            "aurora.alerts.*",
            "aurora.alerts.a b",
            "other.x",
            "aurora.q.x.y",
            "aurora.alerts.>",
            "aurora.alerts.a..b",
            "$JS.API.STREAM.DELETE.AURORA",
            "aurora.audit",
            "",
        ] {
            assert!(!subjects.allow(refused), "{refused}");
        }
    }
}
