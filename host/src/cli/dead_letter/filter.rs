use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::{
    broker::{mqtt::topic_matches, redis_streams::Span},
    pipeline::{Effect, Letter},
    telemetry::Stage,
};

/// Which letters. All that is given must be true of a letter.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Stage that it failed in.
    #[arg(long, value_parser = stages())]
    stage: Option<String>,
    /// Text that the reason contains, in capitals or not.
    #[arg(long, value_name = "TEXT", value_parser = text)]
    reason: Option<String>,
    /// Origin.
    #[arg(long, value_parser = text)]
    source: Option<String>,
    /// Device id.
    #[arg(long, value_name = "ID", value_parser = text)]
    device: Option<String>,
    /// Topic or topic filter (with + and #); of stage relay, the subject.
    #[arg(long, value_parser = text)]
    topic: Option<String>,
    /// Digest of the guest that had it, or its beginning.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    guest: Option<String>,
    /// What became of the event nonetheless.
    #[arg(long, value_parser = effects())]
    effect: Option<String>,
    /// Kept since then: a time ago ("90m", "7d") or a date and time as in RFC 3339.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<u64>,
    /// Kept until then; likewise.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<u64>,
}

fn stages() -> PossibleValuesParser {
    PossibleValuesParser::new(Stage::ALL.into_iter().filter(|&stage| stage != Stage::Dedup).map(Stage::as_str))
}

fn effects() -> PossibleValuesParser {
    PossibleValuesParser::new([Effect::NotPublished, Effect::DefaultRoute, Effect::NotShared].map(Effect::as_str))
}

/// A filter that says nothing is a slip, such as a variable of a script that is not set. Some would be true of every
/// letter, and `discard --reason "" --yes` would leave none.
fn text(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it says nothing; leave the filter out, or use --all for all letters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The beginning of a digest, with or without its algorithm, which says as little as nothing.
fn digest(digest: &str) -> Result<String, String> {
    text(bare(digest)).map(|_| digest.to_owned())
}

fn bare(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// Milliseconds since 1970-01-01 UTC.
pub(in crate::cli) fn when(text: &str) -> Result<u64, String> {
    let date = chrono::DateTime::parse_from_rfc3339(text).map(|date| date.timestamp_millis());
    let ago = || {
        humantime_serde::re::humantime::parse_duration(text).map(|ago: Duration| {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            chrono::Utc::now().timestamp_millis().saturating_sub(ago)
        })
    };
    let wrong = |_| "write a time ago, as in 90m or 7d, or a date, as in 2026-03-01T12:00:00Z".to_owned();
    date.or_else(|_| ago()).map(|ms| u64::try_from(ms).unwrap_or(0)).map_err(wrong)
}

impl Filter {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.describe().is_empty()
    }

    /// When the letters were kept.
    pub fn span(&self) -> Span {
        Span { since: self.since, until: self.until }
    }

    /// Whether `letter`, which is of the span, is one of them.
    pub fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        let contains = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
        };
        let (digest, guest) = (bare(&letter.guest), self.guest.as_deref().map(bare));
        let topic = letter.context.topic.as_deref().unwrap_or_default();
        is(&self.stage, &letter.stage)
            && contains(&self.reason, &letter.reason)
            && is(&self.source, &letter.context.source)
            && is(&self.device, letter.context.device_id.as_deref().unwrap_or_default())
            && self.topic.as_ref().is_none_or(|filter| filter == topic || topic_matches(filter, topic))
            && guest.is_none_or(|guest| !digest.is_empty() && digest.starts_with(guest))
            && is(&self.effect, &letter.effect)
    }

    /// As in a command line.
    pub fn describe(&self) -> String {
        let date = |ms: Option<u64>| {
            let date = ms.and_then(|ms| chrono::DateTime::from_timestamp_millis(i64::try_from(ms).ok()?));
            date.map(|date| date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        };
        let given = [
            ("stage", self.stage.clone()),
            ("reason", self.reason.clone()),
            ("source", self.source.clone()),
            ("device", self.device.clone()),
            ("topic", self.topic.clone()),
            ("guest", self.guest.clone()),
            ("effect", self.effect.clone()),
            ("since", date(self.since)),
            ("until", date(self.until)),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some(format!("--{name} {:?}", value?)));
        given.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryId;

    fn letter() -> Letter {
        let fields = [
            ("stage", "normalize"),
            ("reason", "Trap: unreachable"),
            ("guest", "sha256:abcd"),
            ("source", "mqtt"),
            ("topic", "aurora/sensors/d/alerts"),
            ("device_id", "d"),
            ("effect", "not-published"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Letter::new(EntryId { ms: 1, sequence: 0 }, fields.into())
    }

    #[test]
    fn takes_what_everything_is_true_of() {
        let some = |text: &str| Some(text.to_owned());
        let fits = [
            Filter::default(),
            Filter { stage: some("normalize"), reason: some("trap"), ..Filter::default() },
            Filter { guest: some("sha256:ab"), device: some("d"), ..Filter::default() },
            Filter { guest: some("abc"), topic: some("aurora/+/d/#"), ..Filter::default() },
        ];
        for filter in fits {
            assert!(filter.takes(&letter()), "{filter:?}");
        }
        let others = [
            Filter { stage: some("normalize"), reason: some("output"), ..Filter::default() },
            Filter { guest: some("b"), ..Filter::default() },
            Filter { topic: some("aurora/sensors/e/alerts"), ..Filter::default() },
            Filter { effect: some("not-shared"), ..Filter::default() },
        ];
        for filter in others {
            assert!(!filter.takes(&letter()), "{filter:?}");
        }
    }

    #[test]
    fn a_filter_that_says_nothing_is_refused() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            filter: Filter,
        }
        let parse = |name: &str, value: &str| <Line as clap::Parser>::try_parse_from(["line", name, value]);
        for name in
            ["--stage", "--reason", "--source", "--device", "--topic", "--guest", "--effect", "--since", "--until"]
        {
            assert!(parse(name, "").is_err() && parse(name, " ").is_err(), "{name}");
        }
        assert!(parse("--guest", "sha256:").is_err() && parse("--guest", "sha256:a").is_ok());
        assert!(parse("--reason", " of ").is_ok_and(|line| line.filter.reason.as_deref() == Some(" of ")));
    }

    #[test]
    fn a_time_is_a_date_or_a_while_ago() {
        assert_eq!(when("1970-01-01T00:00:01Z"), Ok(1000));
        let hour_ago = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap() - 3_600_000;
        assert!(when("1h").unwrap().abs_diff(hour_ago) < 60_000);
        assert!(when("yesterday").is_err() && when("").is_err());
    }

    #[test]
    fn describes_itself_as_it_was_given() {
        let filter = Filter { stage: Some("relay".to_owned()), since: Some(1000), ..Filter::default() };
        assert_eq!(filter.describe(), r#"--stage "relay" --since "1970-01-01T00:00:01.000Z""#);
    }
}
