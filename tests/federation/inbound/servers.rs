//! NATS servers that are joined: as a cluster, or as leaf nodes with domains of their own.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{
    self,
    stream::{self, External, Source},
};
use harness::{Child, PATIENCE, Proxy, free_port, wait_until};

/// A server with a folder of its own. It ends when this is dropped.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    folder: std::path::PathBuf,
    child: Child,
}

impl Server {
    fn start(folder: &Path, name: &'static str, port: u16, domain: &str, lines: &str) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).context("cannot make the server's folder")?;
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: {name}\n\
             jetstream {{ store_dir: \"{}\", max_file: 64GB{domain} }}\n{lines}\n",
            folder.display()
        );
        std::fs::write(folder.join("nats.conf"), text).context("cannot write the server's configuration")?;
        let child = launch(&folder)?;
        Ok(Self { name, port, folder, child })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill();
    }

    pub fn restart(&mut self) -> Result<()> {
        self.child = launch(&self.folder)?;
        Ok(())
    }

    /// JetStream there, once it answers.
    pub async fn jetstream(&self) -> Result<jetstream::Context> {
        wait_until(&format!("JetStream of {}", self.name), PATIENCE, async || -> Result<_> {
            let jetstream = jetstream::new(async_nats::connect(self.url()).await?);
            // Not the client's own way, which cannot read what old servers say.
            let answer = jetstream.client().request("$JS.API.INFO", "".into()).await?;
            let answer = String::from_utf8_lossy(&answer.payload).into_owned();
            ensure!(answer.contains("\"limits\""), "{answer}");
            Ok(jetstream)
        })
        .await
        .with_context(|| self.child.log())
    }
}

fn launch(folder: &Path) -> Result<Child> {
    let arguments = ["-c".into(), folder.join("nats.conf")];
    Ok(Child::start("nats-server", Path::new("nats-server"), arguments, &folder.join("nats.log"))?)
}

/// Three servers that are one.
pub async fn cluster(folder: &Path) -> Result<Vec<Server>> {
    let names = ["one", "two", "three"];
    let routes = [free_port()?, free_port()?, free_port()?];
    let mut servers = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        let all = routes.map(|port| format!("\"nats-route://127.0.0.1:{port}\"")).join(", ");
        let lines = format!("cluster {{ name: plant, listen: \"127.0.0.1:{}\", routes: [{all}] }}", routes[place]);
        servers.push(Server::start(folder, name, free_port()?, "", &lines)?);
    }
    for server in &servers {
        server.jetstream().await?;
    }
    Ok(servers)
}

/// The stream that all sites share, on all three servers.
pub async fn shared_stream(servers: &[Server]) -> Result<()> {
    let jetstream = servers[0].jetstream().await?;
    wait_until("the stream is made on all servers", PATIENCE, async || {
        jetstream.get_or_create_stream(stream::Config { num_replicas: servers.len(), ..stream("AURORA") }).await
    })
    .await?;
    Ok(())
}

/// Name of the server that leads the stream.
pub async fn leader(servers: &[Server]) -> Result<String> {
    let stream = servers[0].jetstream().await?.get_stream("AURORA").await?;
    let cluster = stream.cached_info().cluster.clone().context("it is in no cluster")?;
    cluster.leader.context("it has no leader")
}

/// The stream of a site, as Aurora makes it.
pub fn stream(name: &str) -> stream::Config {
    stream::Config {
        name: name.to_owned(),
        subjects: aurora::broker::jetstream::Config::default().subjects,
        max_bytes: 1 << 30,
        ..stream::Config::default()
    }
}

/// A hub and its leaf nodes, each with a domain of JetStream of its own, and a [`Proxy`] before the hub that all links go
/// through. What is published at one is not passed on by the links: only what a mirror or a source asks for is.
pub async fn leaves(folder: &Path, names: &[&'static str]) -> Result<(Vec<Server>, Proxy)> {
    let (first, others) = names.split_first().context("no names")?;
    let hub_leaves = free_port()?;
    let proxy = Proxy::start(hub_leaves).await?;
    let (domain, port) = (|name: &str| format!(", domain: {name}"), proxy.port());
    // A hub tells its leaf nodes where it is: told its own address, they would go round the proxy once that cuts them off.
    let lines = format!("leafnodes {{ listen: \"127.0.0.1:{hub_leaves}\", advertise: \"127.0.0.1:{port}\" }}");
    let mut servers = vec![Server::start(folder, first, free_port()?, &domain(first), &lines)?];
    for name in others {
        let lines = format!(
            "leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats-leaf://127.0.0.1:{port}\", \
             deny_imports: [\"aurora.>\", \"AURORA.>\"], deny_exports: [\"aurora.>\", \"AURORA.>\"] }} ] }}"
        );
        servers.push(Server::start(folder, name, free_port()?, &domain(name), &lines)?);
    }
    for server in &servers {
        let jetstream = server.jetstream().await?;
        jetstream.create_stream(stream("AURORA")).await?;
    }
    Ok((servers, proxy))
}

fn of(other: &Server) -> Source {
    let external = External { api_prefix: format!("$JS.{}.API", other.name), delivery_prefix: None };
    Source { name: "AURORA".to_owned(), external: Some(external), ..Source::default() }
}

/// Has `at` hold a copy of the stream of `other`, under its name in capitals. Returns that name.
pub async fn mirror(at: &Server, other: &Server) -> Result<String> {
    let name = other.name.to_uppercase();
    let config = stream::Config { subjects: Vec::new(), mirror: Some(of(other)), ..stream(&name) };
    at.jetstream().await?.create_stream(config).await?;
    Ok(name)
}

/// Sends all that is in the stream of `from` to that of `to`, as servers do that are joined carelessly: JetStream there
/// does not know it again.
pub async fn carry(from: &Server, to: &Server) -> Result<()> {
    let jetstream = to.jetstream().await?;
    for message in harness::read_jetstream(&from.url(), "AURORA").await? {
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in message.headers.iter().filter(|(name, _)| *name != "Nats-Msg-Id") {
            headers.insert(name.as_str(), value.as_str());
        }
        jetstream.publish_with_headers(message.subject, headers, message.payload.into()).await?.await?;
    }
    Ok(())
}

/// How many messages a stream has.
pub async fn messages(at: &Server, stream: &str) -> Result<u64> {
    let stream = at.jetstream().await?.get_stream(stream).await?;
    Ok(stream.cached_info().state.messages)
}

/// Waits until a link stands, or does not.
pub async fn linked(hub: &Server, is_up: bool) -> Result<()> {
    let jetstream = hub.jetstream().await?;
    let ask = format!("$JS.{}.API.INFO", "south");
    wait_until(&format!("the link stands: {is_up}"), PATIENCE, async || {
        let answer = jetstream.client().request(ask.clone(), "".into()).await;
        ensure!(answer.is_ok() == is_up, "{answer:?}");
        Ok(())
    })
    .await
}
