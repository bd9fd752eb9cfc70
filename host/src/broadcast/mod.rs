//! Live events for people who watch: `/ws/alerts` and `/ws/audit`, over WebSockets, on a listener of their own.
//!
//! The listener is not the admin one. Viewers are more and other people than operators: what they are given must not
//! open what changes guests, and a hundred of them must not stand in the way of `/livez`. So it has its own address, its
//! own token and its own limits.
//!
//! # The way of a message
//!
//! Redis stream → consumer group (`api-ws-alerts`, `api-ws-thoughts`) → [`hub`] → one ring for all viewers → each
//! [`viewer`]'s filter → its socket. An entry is acknowledged once it is in the ring: a broadcaster stores nothing, and
//! whoever was not there has missed it. What was read and not acknowledged when the daemon or Redis went away is given
//! out after it, once.
//!
//! The ring is bounded. Whoever falls out of it is sent away with a reason, and nobody else notices.
//!
//! # Several daemons
//!
//! A group gives each entry to one of its consumers. Daemons that share one would each show their viewers a part, and
//! look well. So each of several has `broadcast.host`, which makes the groups its own; a daemon that finds another one in
//! its group, at the start or within seconds of that one's, says so in `/readyz` and in its log.

mod config;
mod probe;
mod message;
mod filter;
mod hub;
mod viewer;
mod door;

use std::{fmt, sync::Arc};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, broadcast, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::{config::Config, probe::probe};
use self::{door::Door, hub::Hub, message::Message, viewer::Viewer};
use crate::{
    admin::Readiness,
    broker::redis_streams::{self, GroupReader, Pool},
    listen,
    telemetry::{FeedMetrics, Metrics},
};

/// What can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Normalized events.
    Alerts,
    /// What the daemon and agents did.
    Audit,
}

impl Feed {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Alerts, Self::Audit];

    /// As in paths and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The task behind the section.
pub struct Broadcast {
    config: Config,
    hubs: Vec<Hub>,
    door: Door,
    viewers: mpsc::Receiver<Viewer>,
}

impl Broadcast {
    /// The task, which reads as `consumer`.
    ///
    /// # Errors
    /// The token cannot be read.
    pub fn new(
        config: &Config,
        redis: &Pool,
        redis_config: &redis_streams::Config,
        consumer: &str,
        readiness: &Readiness,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let token = config.token()?;
        let (entrants, viewers) = mpsc::channel(config.max_clients);
        let (mut hubs, mut rings) = (Vec::new(), Vec::new());
        for feed in Feed::ALL {
            let (streams, group) = match feed {
                Feed::Alerts => (&config.alerts, &config.alerts_group),
                Feed::Audit => (&config.audit, &config.audit_group),
            };
            let keys = streams.iter().map(|name| redis_config.key(name)).collect();
            let group = config.group(group);
            let (ring, _) = broadcast::channel(config.queue);
            rings.push((feed, ring.clone(), metrics.feed(feed)));
            hubs.push(Hub {
                feed,
                reader: GroupReader::new(redis, keys, group.clone(), consumer.to_owned(), redis_config.timeout),
                streams: streams.clone(),
                group,
                beside: Vec::new(),
                ring,
                most: usize::try_from(config.max_message.as_u64()).unwrap_or(usize::MAX),
                reconnect_max: redis_config.reconnect_max,
                readiness: readiness.clone(),
                metrics: metrics.feed(feed),
            });
        }
        let door = Door {
            token,
            origins: config.origins.clone(),
            places: Arc::new(Semaphore::new(config.max_clients)),
            rings,
            entrants,
            ping: config.ping,
        };
        Ok(Self { config: config.clone(), hubs, door, viewers })
    }

    /// Serves viewers until `stop`, and then sends them away.
    pub async fn run(mut self, listener: TcpListener, stop: CancellationToken) {
        tracing::info!(listen = %self.config.listen, "viewers are served");
        let mut tasks = JoinSet::new();
        for hub in self.hubs {
            tasks.spawn(hub.run(stop.clone()));
        }
        // As many as there may be viewers may knock at a time; an upgraded connection counts as a viewer only.
        let limits = listen::Limits { connections: self.config.max_clients.max(16), ..listen::Limits::default() };
        tasks.spawn(listen::serve(listener, door::router(self.door), limits, stop.clone()));
        // Each viewer ends by itself at `stop`.
        let mut present = JoinSet::new();
        loop {
            tokio::select! {
                Some(viewer) = self.viewers.recv() => { present.spawn(viewer.attend(stop.clone())); }
                Some(_) = present.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        while present.join_next().await.is_some() {}
        while tasks.join_next().await.is_some() {}
    }
}

/// What viewers receive.
type Ring = broadcast::Sender<Arc<Message>>;

/// A place that they receive it at.
type Seat = broadcast::Receiver<Arc<Message>>;

/// A feed, what it sends, and what it counts.
type Watched = (Feed, Ring, FeedMetrics);
