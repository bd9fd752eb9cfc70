//! The step that brings results to their tickets, called as a correlator calls it, without a daemon.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aurora::{
    broker::redis_streams::{Config, Matched, Pool, Submitted, Tickets},
    event::EntryId,
};
use harness::{Make, Server};

use super::{GROUP, RESULTS, TASKS};

/// The group of the correlators.
const READERS: &str = "api-agent-results";

async fn bring(tickets: &Tickets, read: &[(EntryId, String, String)]) -> Result<Vec<Matched>> {
    Ok(tickets.bring(READERS, read).await?.into_iter().map(|(what, _)| what).collect())
}

#[tokio::test]
async fn of_two_correlators_that_have_read_the_same_results_one_brings_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = Make::Redis7.program()?.context("no Redis")?;
    let server = Server::start(&program, &folder.path().join("redis"), "").await?;
    let config: Config = toml::from_str(&format!("url = {:?}", server.url()))?;
    let minute = Duration::from_secs(60);
    let tickets = Tickets::new(&Pool::new(&config)?, &config, (TASKS, GROUP), RESULTS, minute, minute, minute);
    let fields = [("task_id", "asked"), ("agent", "errand"), ("input", "{}")];
    assert_eq!(tickets.submit("asked", "digest", &fields, 10, None).await?, Submitted::Added);

    let _: String = server.ask(&format!("XGROUP CREATE {RESULTS} {READERS} 0 MKSTREAM")).await?;
    let mut read = Vec::new();
    for task in ["asked", "nobodys"] {
        let entry: String = server.ask(&format!("XADD {RESULTS} * task_id {task} output 1")).await?;
        read.push((entry.parse::<EntryId>()?, task.to_owned(), "the first".to_owned()));
    }
    let pending: redis::Value = server.ask(&format!("XREADGROUP GROUP {READERS} one STREAMS {RESULTS} >")).await?;
    assert_ne!(pending, redis::Value::Nil);

    assert_eq!(bring(&tickets, &read).await?, [Matched::Matched, Matched::Unmatched]);
    // The other one was thought dead, and comes with what it had read. Nothing of it counts a second time.
    read.iter_mut().for_each(|(.., result)| "the second".clone_into(result));
    assert_eq!(bring(&tickets, &read).await?, [Matched::Gone, Matched::Gone]);
    assert_eq!(tickets.look("asked").await?, Some(Some("the first".to_owned())));
    Ok(())
}
