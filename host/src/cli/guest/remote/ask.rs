use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::{
    cli::terminal::plain,
    config::{self, Config, Purpose},
};

/// Which daemon.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The daemon's configuration; of it only [admin] is used.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// A running daemon's admin API.
pub struct Daemon {
    client: reqwest::Client,
    address: SocketAddr,
    /// Or why it cannot be read, which whoever only looks need not care about.
    token: Result<Option<String>, String>,
}

/// Compiling a large guest takes a while, on a busy machine a long one.
const PATIENCE: Duration = Duration::from_secs(300);

impl Which {
    /// The daemon that the configuration describes. A configuration that is wrong elsewhere will do: a bad guest is when
    /// one wants to roll back.
    pub fn daemon(&self) -> anyhow::Result<Daemon> {
        let admin = match Config::load(Some(&self.config), config::environment(), Purpose::Pipe) {
            Ok(config) => config.admin,
            Err(problems) => match problems.sound("admin") {
                Some(config) => config.admin.clone(),
                None => bail!("the configuration cannot be used\n{problems}"),
            },
        };
        let mut address = admin.listen;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        // reqwest wants one even where nothing is encrypted. An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Never by a proxy, which would see the token.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().context("no HTTP client")?;
        Ok(Daemon { client, address, token: admin.token_text() })
    }
}

impl Daemon {
    /// What is at `path`, below `/v1/guests`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.request(Method::GET, path)?).await
    }

    /// Does what is at `path`.
    pub async fn change(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        self.send(self.request(method, path)?).await
    }

    /// A request that somebody else completes.
    ///
    /// # Errors
    /// Something is to be changed, and the token for that cannot be read.
    pub fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let token = match &self.token {
            Err(error) if method != Method::GET => bail!("{error}"),
            token => token.as_ref().ok().and_then(Option::as_ref),
        };
        let request = self.client.request(method, format!("http://{}/v1/guests{path}", self.address));
        Ok(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// The answer to `request`.
    ///
    /// # Errors
    /// What the daemon has against it.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await.with_context(|| format!("no daemon answers on {}", self.address))?;
        let status = response.status();
        let text = response.text().await.context("the answer was cut off")?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(answer);
        }
        match answer["error"].as_str() {
            Some(error) => bail!("{}", plain(error)),
            None => bail!("{status}: {}", plain(text.trim())),
        }
    }
}

/// A slot in a URL.
pub fn path_of(slot: &str) -> String {
    format!("/{}", slot.replace('/', ":"))
}
