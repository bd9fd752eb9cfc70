//! Which rule takes a raw event.

use crate::{broker::mqtt::topic_matches, config::Rule, event::Context};

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
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters. Never looks at a byte more often than
/// there are stars.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
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
}
