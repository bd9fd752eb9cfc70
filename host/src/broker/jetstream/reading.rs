//! What the settings of a stream that is read, and of its durable consumer, mean for what comes in, for
//! `aurora check --connect`.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{self, AckPolicy, pull},
    stream::{self, RetentionPolicy},
};

use super::{Subjects, Wanted, consume::is_as};
use crate::broker::Finding;

/// A mirror that has not heard of its origin for this long has lost it.
const SILENT: Duration = Duration::from_secs(60);

/// What of a stream keeps messages from coming in; `is_known`: our consumer is there.
pub(super) fn judge_stream(info: &stream::Info, wanted: &Wanted<'_>, is_known: bool) -> Vec<Finding> {
    let mut findings = judge_settings(&info.config, wanted, is_known, info.state.consumer_count);
    if let Some(mirror) = &info.mirror
        && mirror.active.is_none_or(|since| since > SILENT)
    {
        let since = mirror.active.map_or_else(|| "never".to_owned(), |since| format!("not for {} s", since.as_secs()));
        findings.push(Finding::warning(format!(
            "{} is a mirror of {} and has {since} heard of it: see that the link stands, and that its domain is right",
            info.config.name, mirror.name
        )));
    }
    findings
}

fn judge_settings(found: &stream::Config, wanted: &Wanted<'_>, is_known: bool, consumers: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut problem = |holds: bool, text: String| findings.extend(holds.then(|| Finding::problem(text)));
    let name = &found.name;
    problem(
        found.retention == RetentionPolicy::WorkQueue,
        format!(
            "{name} forgets what one reader has taken (workqueue), so a site takes it away from the others; read a \
             mirror of it instead, or make it anew with --retention limits"
        ),
    );
    let takes = Subjects::new(&found.subjects);
    let is_copy = found.mirror.is_some() || found.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    problem(
        !is_copy && !wanted.subjects.iter().any(|subject| takes.meet(subject)),
        format!("{name} takes none of federation.in.subjects, so nothing ever comes in; name another stream"),
    );
    let most = usize::try_from(found.max_consumers).ok().filter(|most| *most > 0);
    problem(
        !is_known && most.is_some_and(|most| consumers >= most),
        format!(
            "{name} has all the consumers that it may have ({consumers}): nats stream edit {name} --max-consumers=-1"
        ),
    );
    findings
}

/// What of the consumer that is there keeps messages from coming in, or is not as `wanted`; whether the server lets us
/// change that.
pub(super) fn judge_consumer(
    found: &consumer::Config,
    wanted: &pull::Config,
    stream: &str,
    can_change: bool,
) -> Vec<Finding> {
    let name = wanted.durable_name.as_deref().unwrap_or_default();
    let remove = format!("nats consumer rm {stream} {name}; it is made anew, and what was stored is known again");
    let mut findings = Vec::new();
    let mut problem = |holds: bool, what: &str| {
        findings.extend(holds.then(|| Finding::problem(format!("the consumer {name} {what}: {remove}"))));
    };
    problem(found.deliver_subject.is_some(), "pushes its messages, so they cannot be asked for");
    problem(
        found.ack_policy != AckPolicy::Explicit,
        "does not wait for each message to be acknowledged, so those in hand are lost with the daemon",
    );
    problem(found.headers_only, "gives headers and no messages");
    if !findings.is_empty() {
        return findings;
    }
    let mut warn = |holds: bool, text: String| findings.extend(holds.then(|| Finding::warning(text)));
    warn(
        found.max_deliver > 0,
        format!(
            "the consumer {name} delivers a message {} times at the most: while Redis is away for longer, messages are \
             lost; nats consumer edit {stream} {name} --max-deliver=-1",
            found.max_deliver
        ),
    );
    warn(
        !found.inactive_threshold.is_zero(),
        format!(
            "the consumer {name} goes when it was not used for {} s, and what comes after that may be older than \
             federation.in.backlog; {remove}",
            found.inactive_threshold.as_secs()
        ),
    );
    if !is_as(found, wanted) {
        let what = format!("the consumer {name} differs from the configuration: {}", differences(found, wanted));
        findings.push(match can_change {
            true => Finding::note(format!("{what}; the daemon changes it")),
            false => Finding::warning(format!("{what}; nats-server before 2.10 may not change it; {remove}")),
        });
    }
    findings
}

fn differences(found: &consumer::Config, wanted: &pull::Config) -> String {
    let subjects = |one: &str, several: &[String]| match (one, several) {
        ("", []) => "all".to_owned(),
        ("", several) => several.join(" "),
        (one, _) => one.to_owned(),
    };
    let all = [
        (
            "subjects",
            subjects(&found.filter_subject, &found.filter_subjects),
            subjects(&wanted.filter_subject, &wanted.filter_subjects),
        ),
        ("ack_wait", format!("{:?}", found.ack_wait), format!("{:?}", wanted.ack_wait)),
        ("max_ack_pending", found.max_ack_pending.to_string(), wanted.max_ack_pending.to_string()),
    ];
    let differs = all.iter().filter(|(_, found, wanted)| found != wanted);
    differs.map(|(what, found, wanted)| format!("{what} is {found}, wanted is {wanted}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Weight;

    fn wanted(subjects: &[String]) -> Wanted<'_> {
        let ack_wait = Duration::from_secs(30);
        Wanted { stream: "NORTH", name: "site-south", subjects, since_ms: None, ack_wait, max_pending: 10 }
    }

    fn assert_found(findings: &[Finding], expected: Option<(Weight, &str)>) {
        match (findings, expected) {
            ([], None) => {}
            ([Finding { weight, text }], Some((expected, words))) if *weight == expected && text.contains(words) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_from_which_nothing_can_come_is_a_problem() {
        let subjects = ["aurora.alerts.>".to_owned()];
        let taking = |subject: &str| stream::Config {
            name: "NORTH".to_owned(),
            subjects: vec![subject.to_owned()],
            max_consumers: -1,
            ..stream::Config::default()
        };
        let mirror = stream::Config { mirror: Some(stream::Source::default()), ..taking("x") };
        let full = stream::Config { max_consumers: 2, ..taking("aurora.>") };
        let queue = stream::Config { retention: RetentionPolicy::WorkQueue, ..taking("aurora.>") };
        for (found, is_known, expected) in [
            (taking("aurora.>"), false, None),
            (taking("site.>"), false, Some("takes none of")),
            (mirror, false, None),
            (full.clone(), true, None),
            (full, false, Some("--max-consumers")),
            (queue, false, Some("workqueue")),
        ] {
            let findings = judge_settings(&found, &wanted(&subjects), is_known, 2);
            assert_found(&findings, expected.map(|words| (Weight::Problem, words)));
        }
    }

    #[test]
    fn a_consumer_that_is_not_as_wanted_is_told_of_as_far_as_it_matters() {
        let as_wanted = pull::Config {
            durable_name: Some("site-south".to_owned()),
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 10,
            ..pull::Config::default()
        };
        let sound = consumer::Config {
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 10,
            max_deliver: -1,
            ..consumer::Config::default()
        };
        let narrow = consumer::Config { filter_subject: "aurora.cps.>".to_owned(), ..sound.clone() };
        for (found, can_change, expected) in [
            (sound.clone(), true, None),
            (
                consumer::Config { deliver_subject: Some("x".to_owned()), ..sound.clone() },
                true,
                Some((Weight::Problem, "pushes")),
            ),
            (
                consumer::Config { ack_policy: AckPolicy::None, ..sound.clone() },
                true,
                Some((Weight::Problem, "rm NORTH site-south")),
            ),
            (consumer::Config { headers_only: true, ..sound.clone() }, true, Some((Weight::Problem, "headers"))),
            (consumer::Config { max_deliver: 3, ..sound.clone() }, true, Some((Weight::Warning, "3 times"))),
            (
                consumer::Config { inactive_threshold: Duration::from_secs(60), ..sound },
                true,
                Some((Weight::Warning, "not used for 60 s")),
            ),
            (
                narrow.clone(),
                true,
                Some((Weight::Note, "subjects is aurora.cps.>, wanted is all; the daemon changes it")),
            ),
            (narrow, false, Some((Weight::Warning, "before 2.10"))),
        ] {
            assert_found(&judge_consumer(&found, &as_wanted, "NORTH", can_change), expected);
        }
    }
}
