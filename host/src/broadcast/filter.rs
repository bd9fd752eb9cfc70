use super::{Feed, message::Message};

/// What one viewer wants to see: of each key that is given one of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<(Key, Vec<String>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Severity,
    Category,
    Source,
    Device,
    Agent,
    Action,
}

/// Values of a key.
const VALUES: usize = 64;

impl Key {
    fn of(name: &str, feed: Feed) -> Option<Self> {
        Some(match (feed, name) {
            (Feed::Alerts, "severity") => Self::Severity,
            (Feed::Alerts, "category") => Self::Category,
            (Feed::Alerts, "source") => Self::Source,
            (Feed::Alerts, "device") => Self::Device,
            (Feed::Audit, "agent") => Self::Agent,
            (Feed::Audit, "action") => Self::Action,
            _ => return None,
        })
    }

    /// The values that there are; none of a key that takes any.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Severity => &["critical", "high", "medium", "low", "info"],
            Self::Category => &["cps", "network", "endpoint", "identity", "cloud"],
            _ => &[],
        }
    }

    fn value(self, message: &Message) -> &str {
        match self {
            Self::Severity => &message.severity,
            Self::Category => &message.category,
            Self::Source => &message.source,
            Self::Device => &message.device,
            Self::Agent => &message.agent,
            Self::Action => &message.action,
        }
    }
}

impl Filter {
    /// Out of a query as in `severity=high,critical&device=pump_1`.
    ///
    /// # Errors
    /// What is wrong with it: a filter with a slip in it must not look like a site where nothing happens.
    pub fn of(feed: Feed, query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let keys = match feed {
                Feed::Alerts => "severity, category, source, device",
                Feed::Audit => "agent, action",
            };
            let key = Key::of(&name, feed).ok_or_else(|| format!("no filter {name:?}; there is: {keys}"))?;
            let values: Vec<String> = value.split(',').map(str::trim).map(str::to_owned).collect();
            if values.iter().any(String::is_empty) {
                return Err(format!("{name} has an empty value; leave it out"));
            }
            if let Some(unknown) =
                values.iter().find(|value| !key.known().is_empty() && !key.known().contains(&&***value))
            {
                return Err(format!("{unknown:?} is no {name}; there is: {}", key.known().join(", ")));
            }
            match filter.0.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => known.extend(values),
                None => filter.0.push((key, values)),
            }
        }
        if filter.0.iter().any(|(_, values)| values.len() > VALUES) {
            return Err(format!("more than {VALUES} values"));
        }
        Ok(filter)
    }

    /// Whether this viewer wants `message`.
    pub fn takes(&self, message: &Message) -> bool {
        self.0.iter().all(|(key, values)| values.iter().any(|value| value == key.value(message)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::message::tests::alert, *};

    #[test]
    fn takes_what_every_key_is_true_of() {
        let data = br#"{"device_id":"pump_1"}"#;
        let message = alert(&[b"data", data, b"severity", b"high", b"category", b"cps", b"source", b"a b"]);
        for (query, takes) in [
            ("", true),
            ("severity=high", true),
            ("severity=low,%20high&category=cps", true),
            ("severity=low&severity=high", true),
            ("severity=low", false),
            ("device=pump_1&source=a+b", true),
            ("device=pump_2", false),
        ] {
            assert_eq!(Filter::of(Feed::Alerts, query).unwrap().takes(&message), takes, "{query}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (feed, query) in [
            (Feed::Alerts, "sevrity=high"),
            (Feed::Alerts, "severity=urgent"),
            (Feed::Alerts, "category="),
            (Feed::Alerts, "agent=x"),
            (Feed::Audit, "severity=high"),
            (Feed::Audit, "action=a,,b"),
        ] {
            assert!(Filter::of(feed, query).is_err(), "{query}");
        }
        let many = vec!["x"; 65].join(",");
        assert!(Filter::of(Feed::Audit, &format!("agent={many}")).is_err());
    }
}
