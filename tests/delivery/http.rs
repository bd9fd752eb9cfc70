//! Events over HTTP end where events over MQTT end.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use harness::{Site, free_port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Status and body of the answer to a POST.
pub(super) async fn post(address: SocketAddr, token: &str, content_type: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.context("nobody listens")?;
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("not HTTP")?;
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

#[tokio::test]
async fn a_request_is_answered_when_its_events_are_stored() -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let plan = Site::plan().set("ingest.listen", address.to_string()).set("ingest.token", "secret").without_nats();
    let site = plan.start().await?;
    let body = "{\"title\":\"one\",\"severity\":\"low\"}\n{\"title\":\"two\"}\n{\"title\":\"cut\n";
    let (status, answer) = post(address, "secret", "application/x-ndjson", body).await?;
    assert_eq!(status, 200, "{answer}");
    // Not waited for: they must be there by now.
    assert_eq!(site.stream("aurora:alerts").await?.len(), 2);
    let letters = site.stream("aurora:dead_letter").await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].fields["payload"], b"{\"title\":\"cut");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    assert_eq!(
        (&answer["received"], &answer["published"], &answer["dead_lettered"]),
        (&3.into(), &2.into(), &1.into())
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_stores_nothing() -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let plan = Site::plan().set("ingest.listen", address.to_string()).set("ingest.token", "secret").without_nats();
    let site = plan.start().await?;
    let (status, _) = post(address, "guess", "application/json", r#"{"title":"one"}"#).await?;
    assert_eq!(status, 401);
    let (status, _) = post(address, "secret", "application/json", r#"{"title":"two"}"#).await?;
    assert_eq!(status, 200);
    let titles: Vec<_> =
        site.stream("aurora:alerts").await?.iter().map(|entry| entry.data()["title"].clone()).collect();
    assert_eq!(titles, ["two"]);
    Ok(())
}
