use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    Client, ConnectOptions, Event, ReconnectToServer, ServerAddr, ServerError,
    jetstream::{Context, context::ContextBuilder},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Config;
use crate::config::urls;

/// Makes connections to NATS, one after the other.
#[derive(Debug)]
pub struct Dial {
    config: Config,
    servers: Vec<ServerAddr>,
    /// Members of the cluster that the last server told of.
    discovered: Vec<ServerAddr>,
}

/// A connection to NATS, until it is lost: it is never mended, so nothing that was given to it can arrive over another
/// one, behind what was sent over that. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) jetstream: Context,
    lost: CancellationToken,
    forbidden: Arc<watch::Sender<Forbidden>>,
}

/// Subjects to which we may not publish, each with when the server last said so.
type Forbidden = BTreeMap<String, Instant>;

/// NATS cannot be used as configured, or not now.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The credentials file cannot be read.
    #[error("cannot read nats.credentials {path}")]
    Credentials {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An address is none.
    #[error("nats.url is no address of a NATS server; it looks like nats://host:4222")]
    Url(#[source] std::io::Error),
    /// No server lets us in.
    #[error("cannot connect to NATS")]
    Connect(#[from] async_nats::ConnectError),
    /// It was lost before it could be used.
    #[error("the connection to NATS was lost at once")]
    Lost,
}

/// An address on which nobody can listen.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// More subjects than this are not remembered as forbidden. So many messages can be under way.
const MOST_FORBIDDEN: usize = 65_536;

/// For how long they are, where there are as many.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Dial {
    /// As `config` says. Nothing is connected yet.
    ///
    /// # Errors
    /// If the configuration is unusable.
    pub async fn new(config: &Config) -> Result<Self, ConnectionError> {
        // Read again for each connection, so that a file that is exchanged is noticed; now only to complain early.
        options(config).await?;
        let servers = urls::split(&config.url).into_iter().map(str::parse).collect::<Result<_, _>>();
        Ok(Self { config: config.clone(), servers: servers.map_err(ConnectionError::Url)?, discovered: Vec::new() })
    }

    /// A new connection, to any of the servers.
    ///
    /// # Errors
    /// If none lets us in.
    pub async fn connect(&mut self) -> Result<Connection, ConnectionError> {
        let mut servers = self.servers.clone();
        servers.extend(self.discovered.iter().filter(|server| !self.servers.contains(server)).cloned());
        let (lost, forbidden) = (CancellationToken::new(), Arc::new(watch::Sender::default()));
        let connected = Arc::new(AtomicBool::new(false));
        let options = options(&self.config)
            .await?
            .max_reconnects(servers.len())
            .reconnect_delay_callback(|_| Duration::ZERO)
            // The client would mend a lost connection and then send what had been given to it meanwhile: later
            // messages of a subject before those that died with the old socket. It cannot be told to end instead, so
            // it is given, once it is connected, no server but one on which nobody can listen; there its attempts are
            // used up at once, and it ends, and everybody who waits for an answer hears of it.
            .reconnect_to_server_callback({
                let connected = Arc::clone(&connected);
                move |servers, _| {
                    let nowhere = servers.into_iter().next().filter(|_| connected.load(Ordering::Relaxed));
                    let to = nowhere.map(|server| ReconnectToServer { addr: server.addr, delay: Some(Duration::ZERO) });
                    async move { to }
                }
            })
            .event_callback({
                let (lost, forbidden) = (lost.clone(), Arc::clone(&forbidden));
                move |event| {
                    hear(&event, &lost, &forbidden);
                    async {}
                }
            });
        let client = options.connect(servers).await?;
        client.set_server_pool(NOWHERE).await.map_err(|_| ConnectionError::Lost)?;
        connected.store(true, Ordering::Relaxed);
        // Lost before the pool was changed, and mended since: a fresh one is surely whole.
        if lost.is_cancelled() {
            return Err(ConnectionError::Lost);
        }
        let told = client.server_info().connect_urls;
        self.discovered = told.iter().filter_map(|address| address.parse().ok()).collect();
        let jetstream = ContextBuilder::new()
            .timeout(self.config.ack_timeout)
            // All that are sent before the first ack is waited for.
            .max_ack_inflight(self.config.max_in_flight)
            .build(client);
        Ok(Connection { jetstream, lost, forbidden })
    }
}

impl Connection {
    /// The client, for what is not JetStream's.
    pub(super) fn client(&self) -> Client {
        self.jetstream.client()
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Waits until the server says that we may not publish to `subject`, or has said so after `since`: what it said
    /// before may not hold any more. It says so beside the message, which is never answered.
    pub(super) async fn forbidden(&self, subject: &str, since: Instant) {
        heard(&self.forbidden, subject, since).await;
    }

    /// All subjects of which it said so, each with when it last did.
    pub(super) fn all_forbidden(&self) -> BTreeMap<String, Instant> {
        self.forbidden.borrow().clone()
    }

    /// Whether it said so of making consumers or reading with them.
    pub(super) fn forbids_consumers(&self) -> bool {
        let forbidden = self.forbidden.borrow();
        forbidden.keys().any(|subject| subject.starts_with('$') && subject.contains(".API.CONSUMER."))
    }
}

fn hear(event: &Event, lost: &CancellationToken, forbidden: &watch::Sender<Forbidden>) {
    match event {
        Event::Disconnected | Event::Closed => lost.cancel(),
        Event::ServerError(ServerError::Other(text)) => {
            let mut is_new = true;
            if let Some(subject) = forbidden_subject(text) {
                forbidden.send_modify(|forbidden| is_new = remember(forbidden, subject, Instant::now()));
            }
            // It says so of each message, and a flood of them is told once.
            if is_new {
                tracing::warn!(error = text, "NATS complains");
            }
        }
        other => tracing::debug!(event = %other, "NATS says"),
    }
}

/// Waits until `subject` is forbidden since `since` or later.
async fn heard(forbidden: &watch::Sender<Forbidden>, subject: &str, since: Instant) {
    let is_it = |forbidden: &Forbidden| forbidden.get(subject).is_some_and(|said| *said >= since);
    if forbidden.subscribe().wait_for(is_it).await.is_err() {
        // Nobody would say so any more.
        std::future::pending().await
    }
}

/// Notes that `subject` is forbidden; whether it is one more.
fn remember(forbidden: &mut Forbidden, subject: &str, now: Instant) -> bool {
    if let Some(said) = forbidden.get_mut(subject) {
        *said = now;
        return false;
    }
    if forbidden.len() >= MOST_FORBIDDEN {
        forbidden.retain(|_, said| now.saturating_duration_since(*said) < REMEMBERED);
    }
    if forbidden.len() < MOST_FORBIDDEN {
        forbidden.insert(subject.to_owned(), now);
    }
    true
}

/// Out of `Permissions Violation for Publish to "subject"`.
fn forbidden_subject(text: &str) -> Option<&str> {
    const BEGINS: &str = "permissions violation for publish to ";
    let begins = text.get(..BEGINS.len())?;
    let subject = text[BEGINS.len()..].trim().trim_matches('"');
    (begins.eq_ignore_ascii_case(BEGINS) && !subject.is_empty()).then_some(subject)
}

pub(super) async fn options(config: &Config) -> Result<ConnectOptions, ConnectionError> {
    let mut options = ConnectOptions::new().name("aurora");
    if let Some(path) = &config.credentials {
        options = options
            .credentials_file(path)
            .await
            .map_err(|source| ConnectionError::Credentials { path: path.display().to_string(), source })?;
    }
    if let Some(ca) = &config.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(match login(&config.url) {
        Some((user, Some(password))) => options.user_and_password(user, password),
        // A name alone is a token, as NATS has it.
        Some((token, None)) => options.token(token),
        None => options,
    })
}

/// User and password of the first address that has any: the client does not take them out of an address itself.
fn login(addresses: &str) -> Option<(String, Option<String>)> {
    let addresses = urls::split(addresses).into_iter().filter_map(|address| Url::parse(address).ok());
    let url = addresses.into_iter().find(|url| !url.username().is_empty())?;
    Some((decoded(url.username()), url.password().map(decoded)))
}

/// Without percent encoding.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| (digit as char).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push((hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default()) as u8);
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_login_of_an_address_is_found_and_decoded() {
        let login = |address: &str| login(address).map(|(user, password)| (user, password.unwrap_or_default()));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login("nats://host:4222"), None);
        assert_eq!(login("nats://u:p%40%2f%%41@host"), pair("u", "p@/%A"));
        assert_eq!(login("nats://token@host"), pair("token", ""));
        assert_eq!(login("nats://a,tls://u:p@b"), pair("u", "p"));
    }

    #[test]
    fn what_is_forbidden_is_heard_of_and_only_what_was_said_since() {
        let (forbidden, before) = (watch::Sender::default(), Instant::now());
        let is_heard = |subject, since| heard(&forbidden, subject, since).now_or_never().is_some();
        let text = "Permissions Violation for Publish to \"a\"".to_owned();
        assert!(!is_heard("a", before));
        hear(&Event::ServerError(ServerError::Other(text)), &CancellationToken::new(), &forbidden);
        assert!(is_heard("a", before) && !is_heard("b", before));
        assert!(!is_heard("a", Instant::now() + Duration::from_millis(1)));
    }

    #[test]
    fn of_too_many_forbidden_subjects_the_old_ones_are_forgotten() {
        let (mut forbidden, first) = (Forbidden::new(), Instant::now());
        for number in 0..MOST_FORBIDDEN {
            assert!(remember(&mut forbidden, &number.to_string(), first));
        }
        assert!(!remember(&mut forbidden, "0", first + REMEMBERED));
        assert!(remember(&mut forbidden, "one more", first + REMEMBERED));
        assert_eq!(forbidden.keys().collect::<Vec<_>>(), ["0", "one more"]);
    }

    #[test]
    fn a_forbidden_subject_is_read_out_of_the_complaint() {
        assert_eq!(forbidden_subject("Permissions Violation for Publish to \"a.b\""), Some("a.b"));
        assert_eq!(forbidden_subject("Permissions Violation for Subscription to \"a.b\""), None);
        assert_eq!(forbidden_subject("permissions violation for publish to \"\""), None);
        assert_eq!(forbidden_subject("ü"), None);
    }
}
