//! Which rule takes a raw event.

use crate::{
    broker::mqtt::{filters_overlap, topic_matches},
    config::Rule,
    event::Context,
};

/// The conditions of a rule: each kind that is given has to hold, by one of its patterns.
#[derive(Clone, Debug)]
pub struct Conditions {
    topic: Vec<String>,
    source: Vec<String>,
    format: Vec<String>,
}

impl From<&Rule> for Conditions {
    fn from(rule: &Rule) -> Self {
        Self { topic: rule.topic.clone(), source: rule.source.clone(), format: rule.format.clone() }
    }
}

impl Conditions {
    /// Whether all hold for events of this context.
    #[must_use]
    pub fn hold(&self, context: &Context) -> bool {
        let any = |patterns: &[String], value: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern.as_bytes(), value.as_bytes()))
        };
        any(&self.format, &context.format)
            && any(&self.source, &context.source)
            && (self.topic.is_empty()
                || context
                    .topic
                    .as_ref()
                    .is_some_and(|topic| self.topic.iter().any(|filter| topic_matches(filter, topic))))
    }

    /// Whether they hold wherever `other` does. May say no where it is so, never yes where it is not.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        let all = |ours: &[String], theirs: &[String], covers: fn(&str, &str) -> bool| {
            let covered = |theirs: &String| ours.iter().any(|ours| covers(ours, theirs));
            ours.is_empty() || !theirs.is_empty() && theirs.iter().all(covered)
        };
        // A star of the other pattern is a byte that only a star takes.
        let globs = |ours: &str, theirs: &str| glob(ours.as_bytes(), theirs.as_bytes());
        all(&self.topic, &other.topic, filter_covers)
            && all(&self.source, &other.source, globs)
            && all(&self.format, &other.format, globs)
    }

    /// Whether one event can fit both.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> bool {
        let any = |ours: &[String], theirs: &[String], overlap: fn(&str, &str) -> bool| {
            let overlaps = |ours: &String| theirs.iter().any(|theirs| overlap(ours, theirs));
            ours.is_empty() || theirs.is_empty() || ours.iter().any(overlaps)
        };
        any(&self.topic, &other.topic, filters_overlap)
            && any(&self.source, &other.source, globs_overlap)
            && any(&self.format, &other.format, globs_overlap)
    }
}

/// Whether the filter `ours` matches every topic that `theirs` does.
fn filter_covers(ours: &str, theirs: &str) -> bool {
    if theirs.starts_with('$') && ours.starts_with(['+', '#']) {
        return false;
    }
    let (mut ours, mut theirs) = (ours.split('/'), theirs.split('/'));
    loop {
        match (ours.next(), theirs.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether some text matches both patterns.
fn globs_overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Of the rests of `b`: whether one has a text in common with the rest of `a` that is looked at, shortest first.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut here = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            here[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), _) => below[j] || j < b.len() && here[j + 1],
                (_, Some(b'*')) => here[j + 1] || i < a.len() && below[j],
                (Some(x), Some(y)) => x == y && below[j + 1],
                _ => false,
            };
        }
        below = here;
    }
    below[0]
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters. Never looks at a byte more often than
/// there are stars.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last star, and how much of the text it has taken.
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(source: &str, format: &str, topic: Option<&str>) -> Context {
        Context {
            source: source.to_owned(),
            format: format.to_owned(),
            topic: topic.map(str::to_owned),
            ..Context::default()
        }
    }

    fn conditions(topic: &[&str], source: &[&str], format: &[&str]) -> Conditions {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Conditions { topic: owned(topic), source: owned(source), format: owned(format) }
    }

    #[test]
    fn each_kind_that_is_given_has_to_hold_by_one_of_its_patterns() {
        let rule = conditions(&["acme/+/events", "acme/all"], &["acme-*"], &["cef"]);
        for (source, format, topic, expected) in [
            ("acme-1", "cef", Some("acme/7/events"), true),
            ("acme-1", "cef", Some("acme/all"), true),
            ("acme", "cef", Some("acme/all"), false),
            ("acme-1", "json", Some("acme/all"), false),
            ("acme-1", "cef", Some("acme/7/status"), false),
            ("acme-1", "cef", None, false),
        ] {
            assert_eq!(rule.hold(&context(source, format, topic)), expected, "{source} {format} {topic:?}");
        }
        assert!(conditions(&[], &[], &["cef"]).hold(&context("x", "cef", None)));
    }

    #[test]
    fn a_star_stands_for_any_characters_and_for_none() {
        for (pattern, text, expected) in [
            ("acme-*", "acme-", true),
            ("acme-*", "acme", false),
            ("*", "", true),
            ("*-fw-*", "site-fw-1", true),
            ("*-fw-*", "site-fw1", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("acme", "acme2", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_covers_what_it_always_takes_first() {
        let wide = conditions(&["acme/#"], &["acme-*"], &[]);
        assert!(wide.cover(&conditions(&["acme/+/events", "acme/all"], &["acme-*", "acme-1"], &["cef"])));
        for narrow in [
            conditions(&["acme/all", "other/#"], &["acme-1"], &[]),
            conditions(&["acme/all"], &["*"], &[]),
            conditions(&["acme/all"], &[], &[]),
            conditions(&[], &["acme-1"], &[]),
        ] {
            assert!(!wide.cover(&narrow), "{narrow:?}");
        }
        assert!(!filter_covers("a/+", "a/#") && filter_covers("a/#", "a/+/b") && filter_covers("a/#", "a"));
        assert!(!filter_covers("#", "$SYS/x"));
    }

    #[test]
    fn patterns_overlap_where_one_text_matches_both() {
        for (a, b) in [("a*", "*b"), ("*", "x"), ("a*c", "ab*"), ("x", "x"), ("*a*", "*b*"), ("a*", "a")] {
            assert!(globs_overlap(a, b) && globs_overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("a*", "b*"), ("a", "ab"), ("*a", "*b"), ("a*c", "ab"), ("", "a")] {
            assert!(!globs_overlap(a, b) && !globs_overlap(b, a), "{a} {b}");
        }
        let rule = |topic: &[&str], format: &[&str]| conditions(topic, &[], format);
        assert!(rule(&["a/+"], &[]).overlap(&rule(&["+/b"], &["cef"])));
        assert!(!rule(&["a/+"], &["leef"]).overlap(&rule(&["+/b"], &["cef"])));
    }
}
