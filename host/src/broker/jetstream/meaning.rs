//! What the settings of a stream mean for what Aurora promises, for `aurora check --connect`.

use std::time::Duration;

use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};

use super::{Config, Subjects};
use crate::broker::Finding;

/// With less, a short outage of the relay is enough to have it read the stream before it sends.
const SHORT: Duration = Duration::from_secs(2 * 60);

/// What of `found` breaks a promise or costs something, each with a remedy.
pub(super) fn judge(found: &stream::Config, config: &Config) -> Vec<Finding> {
    let mut findings = problems(found, config);
    findings.extend(doubts(found, config).into_iter().map(Finding::warning));
    findings
}

/// With which nothing, or not all of what may be shared, ever leaves the site.
fn problems(found: &stream::Config, config: &Config) -> Vec<Finding> {
    let mut problems = Vec::new();
    let mut problem = |holds: bool, text: String| problems.extend(holds.then(|| Finding::problem(text)));
    let name = &found.name;
    let missing: Vec<_> = config.subjects.iter().filter(|subject| !covered(subject, &found.subjects)).collect();
    problem(
        !missing.is_empty(),
        format!(
            "{name} does not take {}, what is shared there becomes a dead letter; add them ({}) or remove them from \
             nats.subjects",
            missing.iter().map(|subject| subject.as_str()).collect::<Vec<_>>().join(" "),
            edit(name, "--subjects …"),
        ),
    );
    problem(
        found.no_ack,
        format!("{name} acknowledges nothing, so nothing is ever known to be sent; {}", edit(name, "--ack")),
    );
    problem(found.sealed, format!("{name} is sealed and takes nothing more; name another in nats.stream"));
    problems
}

/// With which a promise breaks when something else goes wrong, or that cost something.
fn doubts(found: &stream::Config, config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut doubt = |holds: bool, text: String| doubts.extend(holds.then_some(text));
    let name = &found.name;
    let edit = |option: &str| edit(name, option);
    doubt(
        found.storage == StorageType::Memory,
        format!("{name} is kept in memory and lost with nats-server; make it anew with --storage file"),
    );
    doubt(
        found.num_replicas <= 1,
        format!("{name} is on one server and lost with its disk; in a cluster: {}", edit("--replicas 3")),
    );
    doubt(
        found.retention != RetentionPolicy::Limits,
        format!(
            "{name} forgets messages once they are consumed ({:?}), so a relay that was away longer than the duplicate \
             window cannot see what it has sent and may send it twice; make it anew with --retention limits",
            found.retention
        ),
    );
    let window = found.duplicate_window;
    doubt(
        window < config.duplicate_window || window < SHORT,
        format!(
            "{name} remembers message ids for {}; a relay that was away for half of that reads the stream before it \
             sends; {}",
            humantime(window),
            edit(&format!("--dupe-window {}", humantime(config.duplicate_window.max(SHORT))))
        ),
    );
    doubt(
        found.discard == DiscardPolicy::New,
        format!(
            "{name} takes nothing more when it is full (discard new): what is shared then waits in the outbox, without \
             a limit; {} drops the oldest instead",
            edit("--discard old")
        ),
    );
    doubt(
        !found.max_age.is_zero() && found.max_age < config.duplicate_window.max(Duration::from_secs(24 * 3600)),
        format!(
            "{name} drops messages after {}: sites that are away longer miss them, and so does a relay that looks for \
             what it has sent; {}",
            humantime(found.max_age),
            edit("--max-age 7d")
        ),
    );
    doubt(
        found.max_messages > 0,
        format!(
            "{name} keeps {} messages, a flood pushes out what other sites have not read; {} and limit bytes instead",
            found.max_messages,
            edit("--max-msgs=-1")
        ),
    );
    doubt(
        found.max_messages_per_subject > 0,
        format!(
            "{name} keeps {} messages of a subject, a flood pushes out what other sites have not read; {}",
            found.max_messages_per_subject,
            edit("--max-msgs-per-subject=-1")
        ),
    );
    doubt(
        (1..1 << 20).contains(&found.max_message_size),
        format!(
            "{name} takes messages of {} bytes at most, larger events become dead letters; {}",
            found.max_message_size,
            edit("--max-msg-size=-1")
        ),
    );
    doubts
}

fn edit(name: &str, option: &str) -> String {
    format!("nats stream edit {name} {option}")
}

/// Whether the patterns of a stream take all that `wanted` stands for.
fn covered(wanted: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| Subjects::covers(pattern, wanted))
}

fn humantime(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s >= 3600.0 && s % 3600.0 == 0.0 => format!("{}h", s / 3600.0),
        s if s >= 60.0 && s % 60.0 == 0.0 => format!("{}m", s / 60.0),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Weight;

    fn sound() -> stream::Config {
        let config = Config::default();
        stream::Config {
            name: "AURORA".to_owned(),
            subjects: config.subjects,
            num_replicas: 3,
            max_messages: -1,
            max_message_size: -1,
            max_messages_per_subject: -1,
            duplicate_window: config.duplicate_window,
            ..stream::Config::default()
        }
    }

    #[test]
    fn a_replicated_stream_as_configured_raises_no_doubt() {
        assert_eq!(judge(&sound(), &Config::default()), []);
        let wider = stream::Config { subjects: vec!["aurora.>".to_owned(), "AURORA.*".to_owned()], ..sound() };
        assert_eq!(judge(&wider, &Config::default()), []);
    }

    #[test]
    fn each_setting_that_breaks_a_promise_is_named_with_a_remedy() {
        let cases = [
            (stream::Config { storage: StorageType::Memory, ..sound() }, "kept in memory"),
            (stream::Config { num_replicas: 1, ..sound() }, "--replicas 3"),
            (stream::Config { retention: RetentionPolicy::WorkQueue, ..sound() }, "--retention limits"),
            (stream::Config { duplicate_window: Duration::from_secs(30), ..sound() }, "ids for 30s"),
            (stream::Config { discard: DiscardPolicy::New, ..sound() }, "--discard old"),
            (stream::Config { max_age: Duration::from_secs(3600), ..sound() }, "after 1h"),
            (stream::Config { max_messages: 1000, ..sound() }, "keeps 1000 messages"),
            (stream::Config { max_messages_per_subject: 5, ..sound() }, "5 messages of a subject"),
            (stream::Config { max_message_size: 1024, ..sound() }, "1024 bytes at most"),
        ];
        assert_found(cases, Weight::Warning);
    }

    #[test]
    fn a_stream_that_does_not_take_what_may_be_shared_is_a_problem() {
        let cases = [
            (stream::Config { no_ack: true, ..sound() }, "acknowledges nothing"),
            (stream::Config { sealed: true, ..sound() }, "is sealed"),
            (
                stream::Config { subjects: vec!["aurora.alerts.*".to_owned()], ..sound() },
                "aurora.alerts.> aurora.intel.>",
            ),
        ];
        assert_found(cases, Weight::Problem);
    }

    fn assert_found(cases: impl IntoIterator<Item = (stream::Config, &'static str)>, expected: Weight) {
        for (found, words) in cases {
            let findings = judge(&found, &Config::default());
            let [Finding { weight, text }] = &findings[..] else { panic!("{words}: {findings:?}") };
            assert!(*weight == expected && text.contains(words), "{words}: {findings:?}");
        }
    }
}
