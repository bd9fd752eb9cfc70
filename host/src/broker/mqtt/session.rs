//! The task that holds the session: connects, and connects again whatever happens.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{
        mpsc::{self, Receiver, Sender, channel},
        oneshot,
    },
    time::Instant,
};
use tracing::{debug, info, warn};

use super::{
    Config, Error, Version, connection,
    dial::Dial,
    handshake::{self, Guise},
    packet::Welcome,
    publishing::Outgoings,
    standing::{Chunks, Standing},
    wire::Wire,
};
use crate::{
    admin::Readiness,
    broker::backoff,
    event::{Intake, Stop},
    telemetry::Metrics,
};

/// The session at the broker. [`Session::run`] is the task; it owns the socket.
pub struct Session<I> {
    standing: Standing<I>,
    stop: Stop,
}

/// Longest time for the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

impl<I: Intake> Session<I> {
    /// A session that hands deliveries to `intake`. Once a connection, at an instant at which nothing is under way and
    /// before anything new is taken, it asks `quiet` to note that all it ever handed on is acknowledged. A connection
    /// that is never at rest has no such instant. What `outgoings` brings is published over the same connection.
    ///
    /// # Errors
    /// When the URL, a certificate or the password file cannot be used. They are read again for each connection.
    pub fn new(
        config: Config,
        intake: Arc<I>,
        metrics: &Metrics,
        readiness: Readiness,
        stop: Stop,
        quiet: Option<mpsc::Sender<oneshot::Sender<()>>>,
        outgoings: Option<Outgoings>,
    ) -> Result<Self, Error> {
        Dial::load(&config)?;
        let reading = stop.reading.clone();
        Ok(Self { standing: Standing::new(config, intake, metrics, readiness, reading, quiet, outgoings), stop })
    }

    /// Runs until [`Stop::connection`] is cancelled or the intake is closed. Returns the number of deliveries taken
    /// and not acknowledged, which the broker will deliver again.
    pub async fn run(self) -> usize {
        let Self { mut standing, stop } = self;
        // One chunk may wait while another one is handed on; then we stop reading.
        let (chunks, waiting) = channel(1);
        let intake = Arc::clone(&standing.intake);
        let source = standing.source.clone();
        let left = tokio::select! {
            left = hold(&mut standing, &chunks, &stop) => left,
            // Beside the connections and not inside them: a lane may be full for longer than a connection lasts.
            never = hand_on(&*intake, waiting, &source) => match never {},
        };
        standing.broker.connected.set(0);
        standing.broker.in_flight.set(0);
        left
    }
}

/// Holds a connection, one after the other.
async fn hold<I: Intake>(standing: &mut Standing<I>, chunks: &Sender<Chunks>, stop: &Stop) -> usize {
    let mut pauses = backoff(standing.config.reconnect_max);
    let mut told = String::new();
    let mut connections = 0_u64;
    loop {
        let opened = tokio::select! {
            opened = open(standing, connections) => opened,
            () = stop.connection.cancelled() => return standing.window.in_flight(),
        };
        connections += u64::from(opened.is_ok());
        let started = Instant::now();
        let error = match opened {
            Ok((wire, welcome)) => match connection::run(standing, wire, &welcome, chunks, &stop.connection).await {
                Ok(wire) => return say_goodbye(standing, wire).await,
                Err(error) => error,
            },
            Err(error) => error,
        };
        standing.down(&error);
        let _ = standing.enter();
        if matches!(error, Error::NoIntake(_)) {
            warn!(error = %error, "mqtt ends");
            return standing.window.in_flight();
        }
        // A connection that lasted was good; one that did not, two hosts with one client id for example, was not.
        if started.elapsed() > standing.config.reconnect_max {
            pauses = backoff(standing.config.reconnect_max);
            told.clear();
        }
        let pause = pauses.next().unwrap_or(standing.config.reconnect_max);
        let said = error.in_full();
        if said == told {
            debug!(error = said, ?pause, "mqtt is still away");
        } else {
            warn!(error = said, url = standing.config.url, ?pause, "mqtt lost, connecting again");
            told = said;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.connection.cancelled() => return standing.window.in_flight(),
        }
    }
}

/// Connects, resumes the session, and asks for the subscriptions.
async fn open<I: Intake>(standing: &mut Standing<I>, before: u64) -> Result<(Wire, Welcome), Error> {
    let config = &standing.config;
    let dial = load(config.clone()).await?;
    let guise = Guise { client_id: &config.client_id, clean: false, lasting: true };
    let (mut wire, welcome) = handshake::connect(config, &dial, &guise).await?;
    info!(url = config.url, session_present = welcome.session_present, "mqtt connected");
    if let Some(seconds) =
        welcome.session_expiry.filter(|&seconds| u64::from(seconds) < config.session_expiry.as_secs())
    {
        warn!(seconds, "the broker keeps the session for less than mqtt.session_expiry");
    }
    standing.window.connect(welcome.session_present);
    // MQTT 5 is told to bring them for new subscriptions only.
    standing.knows_retained = welcome.session_present && config.version == Version::V3_1_1;
    // What settled meanwhile; nothing of this connection can have been given up yet.
    standing.enter()?;
    // The first connection of a process asks for all: the section may have changed since the session was made.
    let kept = welcome.session_present && before > 0;
    standing.subscribing.connect(&standing.config.subscriptions, kept, &mut wire.out)?;
    standing.publishing.connect(welcome.session_present, &mut wire.out)?;
    standing.up();
    if before > 0 {
        standing.broker.reconnects.inc();
    }
    Ok((wire, welcome))
}

/// Reads files off the runtime's threads.
pub(super) async fn load(config: Config) -> Result<Dial, Error> {
    tokio::task::spawn_blocking(move || Dial::load(&config)).await.map_err(|error| Error::Certificates(error.into()))?
}

async fn say_goodbye<I: Intake>(standing: &mut Standing<I>, mut wire: Wire) -> usize {
    let _ = standing.enter();
    standing.window.acknowledge(&mut wire.out);
    let left = standing.window.in_flight();
    super::packet::disconnect(&mut wire.out);
    match tokio::time::timeout(GOODBYE, wire.finish()).await {
        Ok(Ok(())) => info!(left, "mqtt disconnected"),
        Ok(Err(error)) => warn!(%error, left, "mqtt broke while disconnecting, the last acknowledgements may be lost"),
        Err(_) => warn!(left, "mqtt does not close, the last acknowledgements may be lost"),
    }
    left
}

/// Hands chunks on, waiting while lanes are full. Ends by being dropped; when the intake closes it takes no more, and
/// the session sees that in its sender.
async fn hand_on<I: Intake>(
    intake: &I,
    mut waiting: Receiver<Chunks>,
    source: &crate::telemetry::StageMetrics,
) -> std::convert::Infallible {
    'open: while let Some(chunks) = waiting.recv().await {
        for (lane, chunk) in chunks {
            let events = chunk.len();
            if intake.send(lane, chunk).await.is_err() {
                break 'open;
            }
            source.sent.inc_by(events as u64);
            source.queue.sub(i64::try_from(events).unwrap_or(i64::MAX));
        }
    }
    drop(waiting);
    std::future::pending().await
}
