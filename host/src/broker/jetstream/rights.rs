//! Whether we may do there what the daemon does. NATS judges what is sent by its subject, whatever is in it, and complains
//! of what is not allowed. So each right is tried with what nobody can make anything of: a request that is no JSON and asks
//! for no answer, or a message that is meant for a stream that does not exist, which no other stream takes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Request, header::NATS_EXPECTED_STREAM};

use super::{Config, Connection, Wanted};
use crate::{broker::Finding, telemetry::Chain};

/// Something that the daemon sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    /// The subjects, as in the table of `deploy/README.md`.
    subjects: String,
    /// One of them, on which it is tried.
    tried: String,
    /// Whether it is a message for the stream, and not a request.
    is_message: bool,
}

/// Stands for any token.
const ANY: &str = "aurora-check";

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server has said stands in its line before the answer, but is read by another task.
const GRACE: Duration = Duration::from_millis(200);

impl Right {
    fn request(subjects: String) -> Self {
        Self { tried: one_of(&subjects), subjects, is_message: false }
    }
}

/// A subject that the pattern `subjects` matches.
fn one_of(subjects: &str) -> String {
    fn one(token: &str) -> &str {
        if matches!(token, "*" | ">") { ANY } else { token }
    }
    subjects.split('.').map(one).collect::<Vec<_>>().join(".")
}

/// To send what leaves the site, and to see what the stream has of it already, with consumers of the names `lookers`: with
/// those of everybody one could end, or read away, what another site reads.
pub(super) fn of_sending(config: &Config, lookers: &[String]) -> Vec<Right> {
    let message = |subjects: &String| Right { is_message: true, ..Right::request(subjects.clone()) };
    let stream = &config.stream;
    let mut requests = vec![format!("$JS.API.STREAM.INFO.{stream}")];
    for name in lookers {
        let of = |what: &str| format!("$JS.API.CONSUMER.{what}.{stream}.{name}");
        // The subject that is looked for stands in that of the request.
        requests.push(format!("{}.>", of("CREATE")));
        requests.extend([of("INFO"), of("MSG.NEXT"), of("DELETE")]);
    }
    config.subjects.iter().map(message).chain(requests.into_iter().map(Right::request)).collect()
}

/// To make the stream.
pub(super) fn of_making(config: &Config) -> Vec<Right> {
    vec![Right::request(format!("$JS.API.STREAM.CREATE.{}", config.stream))]
}

/// To take in what is in a stream.
pub(super) fn of_reading(wanted: &Wanted<'_>) -> Vec<Right> {
    let of = |what: &str| Right::request(format!("$JS.API.CONSUMER.{what}.{}.{}", wanted.stream, wanted.name));
    let mut rights = vec![
        Right::request(format!("$JS.API.STREAM.INFO.{}", wanted.stream)),
        of("INFO"),
        of("CREATE"),
        of("MSG.NEXT"),
        Right::request(format!("$JS.ACK.{}.{}.>", wanted.stream, wanted.name)),
    ];
    // A single subject stands in that of the request.
    if let [subject] = wanted.subjects {
        let create = of("CREATE");
        let tried = format!("{}.{subject}", create.tried);
        rights.push(Right { tried, subjects: format!("{}.>", create.subjects), ..create });
    }
    rights
}

/// Tries `rights` of something about `stream`. An error means that NATS could not be asked.
pub(super) async fn rehearse(connection: &Connection, stream: &str, rights: &[Right]) -> Result<Vec<Finding>, String> {
    let (client, since) = (connection.client(), Instant::now());
    for right in rights {
        let sent = match right.is_message {
            false => client.publish(right.tried.clone(), "{".into()).await,
            true => {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_EXPECTED_STREAM, ANY);
                client.publish_with_headers(right.tried.clone(), headers, "".into()).await
            }
        };
        sent.map_err(|error| format!("{}; NATS went away while it was looked at", Chain(&error)))?;
    }
    // Everything before it was judged once it is answered.
    let last = format!("$JS.API.STREAM.INFO.{stream}");
    let ask = client.send_request(last.clone(), Request::new().timeout(Some(PATIENCE)));
    let is_heard = tokio::select! {
        answer = ask => answer.is_ok(),
        () = connection.forbidden(&last, since) => true,
    };
    tokio::time::sleep(GRACE).await;
    let forbidden = connection.forbidden_since(since);
    let refused: Vec<_> = rights.iter().filter(|right| forbidden.contains(&right.tried)).collect();
    Ok(match (refused.as_slice(), is_heard) {
        ([], true) => Vec::new(),
        ([], false) => vec![Finding::problem(format!(
            "no answer to {last}; see that JetStream is on (-js), and that the user of nats.url may subscribe to _INBOX.>"
        ))],
        (refused, _) => {
            let subjects: Vec<_> = refused.iter().map(|right| right.subjects.as_str()).collect();
            let text =
                "the user of nats.url may not publish to {}; deploy/README.md has the table of rights that it needs";
            vec![Finding::problem(text.replace("{}", &subjects.join(", ")))]
        }
    })
}

impl Connection {
    /// Subjects of which the server has said since then that we may not publish to them.
    fn forbidden_since(&self, since: Instant) -> BTreeSet<String> {
        let forbidden = self.all_forbidden();
        forbidden.iter().filter(|(_, said)| **said >= since).map(|(subject, _)| subject.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::jetstream::Looker;

    #[test]
    fn the_documented_table_has_these_subjects_and_no_other() {
        let readme = include_str!("../../../../deploy/README.md");
        let (_, text) = readme.split_once("\n## Rights in NATS\n").unwrap();
        let section = text.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| for"));
        // Of the second column.
        let cells = rows.filter_map(|row| row.split('|').nth(2));
        let documented: BTreeSet<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();

        let config = Config::default();
        let wanted = Wanted {
            stream: "<stream>",
            name: "site-<site.id>",
            subjects: &config.subjects[..1],
            since_ms: None,
            ack_wait: PATIENCE,
            max_pending: 1,
        };
        let lookers = Looker::ALL.map(|looker| looker.consumer("<site.id>", "<nats.host>"));
        let all = [of_sending(&config, &lookers), of_making(&config), of_reading(&wanted)].concat();
        let needed: BTreeSet<_> = all.iter().map(|right| right.subjects.as_str()).collect();
        assert_eq!(documented, needed);
    }

    #[test]
    fn a_right_is_tried_where_nothing_comes_of_it() {
        let rights = of_sending(&Config::default(), &["n".to_owned()]);
        let tried = |subjects: &str| rights.iter().find(|right| right.subjects == subjects).map(|right| &*right.tried);
        assert_eq!(tried("aurora.alerts.>"), Some("aurora.alerts.aurora-check"));
        let create = "$JS.API.CONSUMER.CREATE.AURORA.n";
        assert_eq!(tried(&format!("{create}.>")), Some(&*format!("{create}.aurora-check")));
        let subjects = ["aurora.alerts.>".to_owned()];
        let wanted =
            Wanted { stream: "S", name: "n", subjects: &subjects, since_ms: None, ack_wait: PATIENCE, max_pending: 1 };
        let made = of_reading(&wanted).pop().unwrap();
        // As the client sends it, with the wildcard in it.
        assert_eq!(made.tried, "$JS.API.CONSUMER.CREATE.S.n.aurora.alerts.>");
        assert_eq!(made.subjects, "$JS.API.CONSUMER.CREATE.S.n.>");
    }
}
