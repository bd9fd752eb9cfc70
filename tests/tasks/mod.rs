//! Tasks for agents, over a real Redis: exactly one result for each, whoever does it and whoever dies; clients and workers
//! in Python beside; and asked for over HTTP.

mod asked;
mod brought;
mod again;
mod failing;
mod deaths;
mod python;
mod apart;
mod grants;
mod swapped;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use harness::{Entry, Plan, Site, built_guest, connect_redis, free_port};
use redis::{AsyncCommands as _, aio::MultiplexedConnection, streams::StreamPendingCountReply};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TASKS: &str = "aurora:agent:tasks";
const GROUP: &str = "aurora-agents";
const RESULTS: &str = "aurora:agent:results";
const LETTERS: &str = "aurora:agent:dead_letter";

/// A site whose agent `errand` does what its tasks tell it to.
fn plan() -> Result<Plan> {
    let guest = built_guest("tests/errand", "errand")?;
    let plan = Site::plan().without_nats().set("tasks.agents.errand.path", guest.display().to_string());
    let plan = plan.set("tasks.agents.errand.grants", vec!["log"]);
    Ok(plan.set("tasks.backoff", "20ms").set("tasks.stale", "2s").set("tasks.patience", "100ms"))
}

/// The same, where tasks can be asked for, and where.
fn plan_with_desk() -> Result<(Plan, Desk)> {
    let desk = Desk(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
    Ok((plan()?.set("ingest.listen", desk.0.to_string()).set("ingest.token", "secret"), desk))
}

/// Where tasks are asked for.
#[derive(Clone, Copy)]
struct Desk(SocketAddr);

/// Status, head and body of an answer.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Desk {
    async fn send(self, line: &str, headers: &str, body: &str) -> Result<Answer> {
        let mut stream = TcpStream::connect(self.0).await.context("nobody listens")?;
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.0,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("not HTTP")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("not HTTP")?;
        let body = serde_json::from_str(body).with_context(|| format!("no JSON: {body}"))?;
        Ok(Answer { status, head: head.to_owned(), body })
    }

    async fn ask(self, task: &str) -> Result<Answer> {
        self.ask_with("", task).await
    }

    async fn ask_with(self, headers: &str, task: &str) -> Result<Answer> {
        let headers = format!("authorization: Bearer secret\r\ncontent-type: application/json\r\n{headers}");
        self.send("POST /v1/tasks", &headers, task).await
    }

    async fn look(self, path: &str) -> Result<Answer> {
        self.send(&format!("GET /v1/tasks/{path}"), "authorization: Bearer secret\r\n", "").await
    }
}

/// A connection of its own to the site's Redis.
struct Client(MultiplexedConnection);

impl Client {
    async fn of(site: &Site) -> Result<Self> {
        Ok(Self(connect_redis(&site.redis.url()).await?))
    }

    /// Adds a task for `errand`.
    async fn add(&mut self, id: &str, input: &str) -> Result<String> {
        self.add_fields(&[("task_id", id), ("agent", "errand"), ("input", input)]).await
    }

    async fn add_fields<V: redis::ToRedisArgs + Sync + Send>(&mut self, fields: &[(&str, V)]) -> Result<String> {
        Ok(self.0.xadd(TASKS, "*", fields).await?)
    }

    /// Entries that are pending, each with its consumer and the number of its deliveries.
    async fn pending(&mut self) -> Result<Vec<(String, usize)>> {
        let reply: StreamPendingCountReply = self.0.xpending_count(TASKS, GROUP, "-", "+", 10_000).await?;
        Ok(reply.ids.into_iter().map(|one| (one.consumer, one.times_delivered)).collect())
    }
}

/// Waits for `count` results; then each task has exactly one, and nothing is pending.
async fn exactly(site: &Site, client: &mut Client, count: usize) -> Result<Vec<Entry>> {
    site.stream_of(RESULTS, count).await?;
    site.wait_until("nothing pending", async || {
        let pending = client.pending().await?;
        ensure!(pending.is_empty(), "{pending:?}");
        Ok(())
    })
    .await?;
    let results = site.stream(RESULTS).await?;
    let mut tasks: Vec<_> = results.iter().map(|result| result.text("task_id")).collect();
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!((results.len(), tasks.len()), (count, count), "{tasks:?}");
    Ok(results)
}
