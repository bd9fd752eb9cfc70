//! `/ws/alerts` and `/ws/audit`, with a client of its own over a real Redis.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use harness::{PATIENCE, Plan, Site, connect_redis, free_port};
use redis::AsyncTypedCommands as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

const PUMP: &str = "aurora/sensors/pump_1/alerts";
const TOKEN: &str = "viewers-token";

/// A site that broadcasts, and the port of it.
async fn site(more: impl FnOnce(Plan) -> Plan) -> Result<(Site, u16)> {
    let port = free_port()?;
    let plan = Site::plan().without_nats().set("broadcast.listen", format!("127.0.0.1:{port}"));
    let site = more(plan.set("broadcast.token", TOKEN)).start().await?;
    Ok((site, port))
}

/// What stands in the request besides.
type Headers<'a> = &'a [(&'static str, &'a str)];

const BEARER: Headers = &[("authorization", "Bearer viewers-token")];

struct Viewer(WebSocketStream<TcpStream>);

/// Opens a feed, or says with what status it was refused.
async fn open(port: u16, path: &str, headers: Headers<'_>) -> Result<Result<Viewer, u16>> {
    let socket = TcpSocket::new_v4()?;
    // So that little lies between the daemon and who does not read.
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse()?);
    }
    match client_async(request, stream).await {
        Ok((stream, answer)) => {
            let offered = headers.iter().any(|(name, _)| *name == "sec-websocket-protocol");
            let chosen = answer.headers().get("sec-websocket-protocol").map(|value| value.as_bytes().to_vec());
            ensure!(chosen.is_some() == offered && chosen.is_none_or(|chosen| chosen == b"aurora.v1"), "{answer:?}");
            Ok(Ok(Viewer(stream)))
        }
        Err(tungstenite::Error::Http(answer)) => Ok(Err(answer.status().as_u16())),
        Err(error) => Err(error.into()),
    }
}

async fn watch(port: u16, path: &str) -> Result<Viewer> {
    match open(port, path, BEARER).await? {
        Ok(viewer) => Ok(viewer),
        Err(status) => bail!("refused with {status}"),
    }
}

impl Viewer {
    async fn frame(&mut self) -> Result<Message> {
        let frame = timeout(PATIENCE, self.0.next()).await.context("no frame came")?;
        Ok(frame.context("the connection ended")??)
    }

    /// The next message. What comes between is answered by the client itself.
    async fn message(&mut self) -> Result<Value> {
        loop {
            match self.frame().await? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("{other:?}"),
            }
        }
    }

    async fn title(&mut self) -> Result<String> {
        let message = self.message().await?;
        Ok(message["event"]["title"].as_str().with_context(|| message.to_string())?.to_owned())
    }

    /// How it is sent away, after any number of messages.
    async fn sent_away(&mut self) -> Result<CloseFrame> {
        loop {
            if let Message::Close(frame) = self.frame().await? {
                return frame.context("a close without a code");
            }
        }
    }
}

fn alert(severity: &str, title: &str) -> String {
    format!(r#"{{"severity":"{severity}","title":"{title}"}}"#)
}

async fn redis<T: redis::FromRedisValue>(site: &Site, words: &[&str]) -> Result<T> {
    let mut command = redis::Cmd::new();
    command.arg(words);
    Ok(command.query_async(&mut connect_redis(&site.redis.url()).await?).await?)
}

#[tokio::test]
async fn events_reach_viewers_by_their_filters_and_are_acknowledged() -> Result<()> {
    let (site, port) = site(|plan| plan.set("lag.every", "1s")).await?;
    let mut all = watch(port, "/ws/alerts").await?;
    let mut some = watch(port, "/ws/alerts?severity=critical,high&device=pump_1").await?;
    let mut audit = watch(port, "/ws/audit?action=poke").await?;
    site.publish(PUMP, 1, [alert("low", "Door ajar"), alert("critical", "Pump stops")]).await?;
    site.publish("aurora/sensors/pump_2/alerts", 1, [alert("high", "Valve open")]).await?;
    let first = all.message().await?;
    assert_eq!((&first["type"], &first["stream"]), (&"alert".into(), &"aurora:cps:alerts".into()));
    assert_eq!((&first["event"]["title"], &first["event"]["device_id"]), (&"Door ajar".into(), &"pump_1".into()));
    let mut rest = [all.title().await?, all.title().await?];
    rest.sort();
    assert_eq!(rest, ["Pump stops", "Valve open"]);
    assert_eq!(some.title().await?, "Pump stops");

    redis::<String>(&site, &["XADD", "aurora:audit", "*", "agent", "tester", "action", "other"]).await?;
    let details = ["XADD", "aurora:audit", "*", "agent", "tester", "action", "poke", "details", "twice"];
    redis::<String>(&site, &details).await?;
    let entry = audit.message().await?;
    assert_eq!(
        (&entry["type"], &entry["agent"], &entry["details"]),
        (&"audit".into(), &"tester".into(), &"twice".into())
    );

    site.wait_until("nothing is pending or behind", async || {
        let scrape = site.scrape().await?;
        for (stream, group) in [("aurora:cps:alerts", "api-ws-alerts"), ("aurora:audit", "api-ws-thoughts")] {
            for what in ["lag", "pending"] {
                let series = format!("aurora_stream_group_{what}{{group=\"{group}\",stream=\"{stream}\"}}");
                ensure!(scrape.get(&series)? == 0.0, "{series}");
            }
        }
        ensure!(scrape.get("aurora_broadcast_clients{feed=\"alerts\"}")? == 2.0, "{}", scrape.0);
        ensure!(scrape.get("aurora_broadcast_sent_total{feed=\"alerts\"}")? == 4.0, "{}", scrape.0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_who_may_watches_and_not_too_many() -> Result<()> {
    let origins = toml::Value::from(vec!["https://soc.example.org"]);
    let (site, port) = site(|plan| plan.set("broadcast.max_clients", 2).set("broadcast.origins", origins)).await?;
    let browser = |token| [("sec-websocket-protocol", token), ("origin", "https://soc.example.org")];
    let wrong_page = [BEARER[0], ("origin", "https://evil.example")];
    for (path, headers, status) in [
        ("/ws/alerts", &[][..], 401),
        ("/ws/alerts", &[("authorization", "Bearer viewers-toke")], 401),
        ("/ws/alerts", &browser("aurora.v1, aurora.bearer.wrong"), 401),
        ("/ws/alerts?token=viewers-token", &[], 401),
        ("/ws/alerts", &wrong_page, 403),
        ("/ws/alerts?severity=urgent", BEARER, 400),
        ("/ws/audit?severity=high", BEARER, 400),
        ("/ws/other", BEARER, 404),
    ] {
        assert_eq!(open(port, path, headers).await?.err(), Some(status), "{path} {headers:?}");
    }
    let page = open(port, "/ws/alerts", &browser("aurora.v1, aurora.bearer.viewers-token")).await?;
    let first = page.map_err(|status| anyhow::anyhow!("{status}"))?;
    let mut second = watch(port, "/ws/audit").await?;
    assert_eq!(open(port, "/ws/alerts", BEARER).await?.err(), Some(503));
    drop(first);
    site.wait_until("the place of who has gone is free", async || {
        open(port, "/ws/alerts", BEARER).await?.map_err(|status| anyhow::anyhow!("{status}"))
    })
    .await?;
    // One who talks is not understood.
    second.0.send(Message::Text("subscribe".into())).await?;
    let frame = second.sent_away().await?;
    assert_eq!(u16::from(frame.code), 1003, "{frame}");
    Ok(())
}

#[tokio::test]
async fn who_does_not_keep_up_is_sent_away_and_nobody_else_notices() -> Result<()> {
    let (site, port) = site(|plan| plan.set("broadcast.queue", 16)).await?;
    let mut slow = watch(port, "/ws/alerts").await?;
    let mut connection = connect_redis(&site.redis.url()).await?;
    let mut fast = watch(port, "/ws/alerts").await?;
    // More than the buffers of a connection that nobody reads.
    let data = format!(r#"{{"title":"{}"}}"#, "x".repeat(60_000));
    for number in 0..400 {
        let mut add = redis::cmd("XADD");
        add.arg("aurora:alerts").arg("*").arg("data").arg(&data).arg("severity").arg("high").arg("number").arg(number);
        add.query_async::<String>(&mut connection).await?;
        fast.message().await.with_context(|| format!("the fast one, message {number}"))?;
    }
    let frame = slow.sent_away().await?;
    ensure!(u16::from(frame.code) == 1013 && frame.reason.contains("too slow"), "{frame}");
    site.series_of("aurora_broadcast_closed_total{feed=\"alerts\",reason=\"slow\"}", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn who_answers_no_ping_is_sent_away() -> Result<()> {
    let (_site, port) = site(|plan| plan.set("broadcast.ping", "1s")).await?;
    // A connection on which nobody answers: only its bytes are read.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!(
        "GET /ws/alerts HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, async {
        let mut part = [0; 1024];
        // A close frame: its code is 1008.
        while !bytes.windows(2).any(|pair| pair == 1008_u16.to_be_bytes()) {
            let read = stream.read(&mut part).await?;
            ensure!(read > 0, "it ended without a word: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&part[..read]);
        }
        Ok(())
    });
    ended.await.context("it is still there")??;
    ensure!(bytes.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&bytes));
    // A page that is open in a browser answers by itself and stays.
    let mut viewer = watch(port, "/ws/alerts").await?;
    let staying = async {
        let mut pings = 0;
        while pings < 4 {
            pings += usize::from(matches!(viewer.frame().await?, Message::Ping(_)));
        }
        Ok::<_, anyhow::Error>(())
    };
    timeout(PATIENCE, staying).await.context("no pings")?
}

#[tokio::test]
async fn viewers_outlast_redis_and_hear_when_the_daemon_ends() -> Result<()> {
    let (mut site, port) = site(|plan| plan).await?;
    let mut viewer = watch(port, "/ws/alerts").await?;
    site.publish(PUMP, 1, [alert("high", "before")]).await?;
    assert_eq!(viewer.title().await?, "before");
    site.redis.restart().await?;
    site.publish(PUMP, 1, [alert("high", "after")]).await?;
    assert_eq!(viewer.title().await?, "after");
    site.terminate(Duration::from_secs(30)).await?;
    let frame = viewer.sent_away().await?;
    assert_eq!((u16::from(frame.code), &*frame.reason), (1001, "the daemon ends"));
    Ok(())
}

#[tokio::test]
async fn two_daemons_need_a_name_each_and_say_so() -> Result<()> {
    let (first, port) = site(|plan| plan).await?;
    let beside = |plan: Plan| plan.set("redis.url", first.redis.url()).set("mqtt.client_id", "beside");
    let (second, _) = site(beside).await?;
    let shared = async |site: &Site, is_shared: bool| {
        site.wait_until(&format!("it says that it shares a group: {is_shared}"), async || {
            let report = site.readiness().await?;
            let is_said = report.contains("broadcast alerts") && report.contains("set broadcast.host");
            ensure!(is_said == is_shared, "{report}");
            Ok(())
        })
        .await
    };
    shared(&second, true).await?;
    // Also the one that had the group to itself until then, and soon.
    timeout(Duration::from_secs(10), shared(&first, true)).await.context("the first one does not notice")??;
    // And they go on saying so while nothing comes, for both are seen at each look, of which there are some in the time
    // that makes one gone.
    let (began, mut connection) = (Instant::now(), connect_redis(&first.redis.url()).await?);
    let mut seen = BTreeMap::<String, (usize, u32)>::new();
    first
        .wait_until("both are seen again and again on a quiet stream", async || {
            let consumers = connection.xinfo_consumers("aurora:alerts", "api-ws-alerts").await?.consumers;
            for one in consumers {
                let (idle, times) = seen.entry(one.name).or_default();
                *times += u32::from(one.idle < *idle);
                *idle = one.idle;
            }
            ensure!(seen.len() == 2 && seen.values().all(|(_, times)| *times >= 3), "{seen:?}");
            ensure!(began.elapsed() > Duration::from_secs(12), "too soon to say");
            Ok(())
        })
        .await?;
    for site in [&first, &second] {
        let report = site.readiness().await?;
        ensure!(report.contains("broadcast alerts"), "it is not noticed any more: {report}");
    }
    drop(second);
    shared(&first, false).await?;
    let (named, other) = site(|plan| beside(plan).set("broadcast.host", "b")).await?;
    let mut viewers = [watch(port, "/ws/alerts").await?, watch(other, "/ws/alerts").await?];
    first.publish(PUMP, 1, [alert("high", "for both")]).await?;
    for viewer in &mut viewers {
        assert_eq!(viewer.title().await?, "for both");
    }
    let report = named.readiness().await?;
    ensure!(!report.contains("broadcast alerts"), "{report}");
    Ok(())
}
