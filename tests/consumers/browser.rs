//! A real browser without a window, told what to do over its own protocol.

use std::{io, io::Write as _, process::Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use harness::PATIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// A browser with one page.
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    number: u64,
    /// What the page complained of.
    pub complaints: Vec<String>,
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; none where it is not installed, which is said aloud.
    pub async fn start() -> Result<Option<Self>> {
        let profile = tempfile::tempdir()?;
        let mut command = Command::new("chromium");
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]);
        command.args(["--no-first-run", "--remote-debugging-port=0", "about:blank"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Not by a macro, whose text is only shown of tests that fail.
                writeln!(io::stderr(), "PASSED OVER: chromium is not there; `.ci/browser` installs it")?;
                return Ok(None);
            }
            Err(error) => return Err(error).context("cannot start chromium"),
        };
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let address = timeout(PATIENCE, async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    return Ok(address.to_owned());
                }
                said += &(line + "\n");
            }
            bail!("chromium ended: {said}")
        });
        let address = address.await.context("chromium does not come up")??;
        // It must not wait for somebody to read what it complains of.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = connect_async(address).await?;
        let mut browser =
            Self { socket, session: None, number: 0, complaints: Vec::new(), _child: child, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(Some(browser))
    }

    /// A window of this size.
    pub async fn window(&mut self, width: u32, height: u32, is_phone: bool) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": if is_phone { 2 } else { 1 }, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// What a person has set who does not like things to move.
    pub async fn reduce_motion(&mut self) -> Result<()> {
        let features = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.call("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Opens a page.
    pub async fn open(&mut self, url: &str) -> Result<()> {
        let opened = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(opened.get("errorText").is_none(), "{opened}");
        Ok(())
    }

    /// What an expression is worth in the page.
    pub async fn value(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked).await?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// A picture of what is seen, as PNG.
    pub async fn picture(&mut self) -> Result<Vec<u8>> {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        Ok(BASE64_STANDARD.decode(picture["data"].as_str().context("no picture")?)?)
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.number += 1;
        let mut call = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::Text(call.to_string().into())).await?;
        let answer = timeout(PATIENCE, async {
            loop {
                let Message::Text(text) = self.socket.next().await.context("chromium is gone")?? else { continue };
                let said: Value = serde_json::from_str(&text)?;
                match said["method"].as_str() {
                    Some("Runtime.exceptionThrown") => self.complaints.push(said["params"].to_string()),
                    Some("Log.entryAdded") if said["params"]["entry"]["level"] == "error" => {
                        self.complaints.push(said["params"]["entry"].to_string());
                    }
                    _ if said["id"] == self.number => return Ok(said),
                    _ => {}
                }
            }
        });
        let answer: Result<Value> = answer.await.with_context(|| format!("no answer to {method}"))?;
        let answer = answer?;
        ensure!(answer.get("error").is_none(), "{method}: {answer}");
        Ok(answer["result"].clone())
    }
}
