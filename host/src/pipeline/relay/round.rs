use std::time::{Duration, Instant};

use super::{BLOCK, Error, Relay, aside::Aside, known::Known};
use crate::{
    broker::{
        backoff,
        jetstream::{Adopted, Connection, Message, PublishError, Refusal},
        redis_streams::{Outbox, Waiting, group_is_gone},
    },
    pipeline::{dead_letter::Effect, leaving::is_again},
    telemetry::{Broker, Stage},
};

/// What one connection sends, until something fails.
pub(super) struct Round<'a> {
    pub relay: &'a Relay,
    pub connection: Connection,
    pub outbox: Outbox,
    /// The stream as it was when it was last asked for.
    pub stream: Adopted,
    pub known: &'a mut Known,
    aside: Aside,
    /// What is to be buried, why, and after how many tries.
    condemned: Vec<(Waiting, Refusal, u32)>,
}

/// How often a look is taken at the stream's settings, and for entries that nobody works on.
const LOOK: Duration = Duration::from_secs(15);

/// Messages that wait in memory may take so many bytes before no more are taken out of the outbox.
const MOST_ASIDE: usize = 64 << 20;

impl<'a> Round<'a> {
    pub fn new(
        relay: &'a Relay,
        connection: Connection,
        outbox: Outbox,
        stream: Adopted,
        known: &'a mut Known,
    ) -> Self {
        Self { relay, connection, outbox, stream, known, aside: Aside::default(), condemned: Vec::new() }
    }

    /// Sends until something fails, or until the relay is to stop.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut looked = None::<Instant>;
        while !self.relay.stop.is_cancelled() {
            if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                if looked.is_some() {
                    self.stream = self.relay.adopt(&self.connection, self.known).await?;
                }
                self.left_over().await?;
                self.take_over().await?;
                looked = Some(Instant::now());
            }
            if let Some(messages) = self.aside.take_due() {
                self.retry(messages.into()).await?;
                continue;
            }
            let wait = self.aside.wait().map_or(BLOCK, |wait| wait.min(BLOCK));
            // More behind what waits would be too much to remember, so the outbox remembers it.
            if self.aside.len() >= self.relay.config.max_in_flight || self.aside.bytes() >= MOST_ASIDE {
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = self.connection.lost() => return Err(Error::Lost),
                    () = self.relay.stop.cancelled() => return Ok(()),
                }
            }
            match self.next(wait).await? {
                Some(page) => self.send_all(page).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// New entries; none after a while without any, nothing when the relay is to stop.
    async fn next(&mut self, wait: Duration) -> Result<Option<Vec<Waiting>>, Error> {
        let next = self.outbox.next(self.known.page.min(self.known.window), wait);
        tokio::pin!(next);
        tokio::select! {
            page = &mut next => Ok(Some(self.known.read(page).inspect_err(tell_of_a_lost_group)?)),
            () = self.connection.lost() => {
                // Not dropped: what Redis hands out now must be handed out before the next round asks what it has.
                self.known.read(next.await)?;
                Err(Error::Lost)
            }
            () = self.relay.stop.cancelled() => Ok(None),
        }
    }

    /// What this host has taken and not cleared: in the beginning what the last round left; later on only what Redis
    /// handed out to a read whose answer was lost.
    async fn left_over(&mut self) -> Result<(), Error> {
        let mut after = "0".to_owned();
        loop {
            let page = self.outbox.left_over(&after, self.known.page).await;
            let mut page = self.known.read(page)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.entry);
            page.retain(|message| !self.aside.has(message));
            self.resume(page).await?;
        }
    }

    /// What hosts have left that have gone away.
    async fn take_over(&mut self) -> Result<(), Error> {
        let mut cursor = "0-0".to_owned();
        loop {
            let page = self.outbox.take_over(&cursor, self.known.page).await;
            let (next, mut page) = self.known.read(page)?;
            page.retain(|message| !self.aside.has(message));
            if !page.is_empty() {
                tracing::info!(entries = page.len(), "takes over what another host left in the outbox");
                self.resume(page).await?;
            }
            if next == "0-0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Tries a refused message again, alone, and, unless it is refused again, what waits behind it.
    async fn retry(&mut self, messages: Vec<Waiting>) -> Result<(), Error> {
        // Perhaps somebody has mended it.
        self.stream = self.relay.adopt(&self.connection, self.known).await?;
        // They may have waited for longer than JetStream remembers what an earlier round sent of them.
        let mut messages = self.sift(messages).await?;
        let Some(subject) = messages.first().map(|message| message.subject.clone()) else { return Ok(()) };
        let behind = messages.split_off(1);
        self.send(messages).await?;
        if !self.aside.holds(&subject) {
            return self.send_all(behind).await;
        }
        for message in behind {
            self.aside.put(message, Duration::ZERO);
        }
        Ok(())
    }

    /// Publishes all of `page`, as many at a time as may be under way.
    pub async fn send_all(&mut self, page: Vec<Waiting>) -> Result<(), Error> {
        let mut rest = page.into_iter();
        loop {
            let some: Vec<_> = rest.by_ref().take(self.known.window).collect();
            if some.is_empty() {
                return Ok(());
            }
            self.send(some).await?;
        }
    }

    /// Publishes all of `page`, waits for the acks, and clears what JetStream has taken. All are sent in order, so
    /// after an error the next round begins with the first that is not known to be stored.
    async fn send(&mut self, page: Vec<Waiting>) -> Result<(), Error> {
        let (stage, broker) = (self.relay.metrics.stage(Stage::Relay), self.relay.metrics.broker(Broker::Nats));
        let begun = Instant::now();
        stage.received.inc_by(page.len() as u64);
        stage.batch.observe(page.len() as f64);
        broker.in_flight.set(page.len() as i64);
        let failure = self.publish(page).await;
        broker.in_flight.set(0);
        stage.seconds.observe(begun.elapsed().as_secs_f64());
        match failure {
            Some(_) => self.known.narrow(),
            None => self.known.widen(),
        }
        self.known.clear(&mut self.outbox).await.inspect_err(tell_of_a_lost_group)?;
        for (message, refusal, tries) in std::mem::take(&mut self.condemned) {
            self.bury(&message, &refusal, tries).await?;
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Notes of each message of `page` what became of it. Returns what is wrong with the moment, if anything is.
    async fn publish(&mut self, page: Vec<Waiting>) -> Option<PublishError> {
        let (mut sent, mut failure) = (Vec::with_capacity(page.len()), None);
        let began = Instant::now();
        for message in page {
            if message.is_deleted {
                self.known.acked.push(message.entry);
                continue;
            }
            if self.aside.holds(&message.subject) {
                self.aside.put(message, Duration::ZERO);
                continue;
            }
            let (id, site) = (message.message_id(), &self.relay.target.site);
            let (subject, event) = (&message.subject, message.event_id());
            let (provenance, data) = (&*message.provenance, message.data.clone());
            let of = Message { subject, id: &id, event, site, provenance, data };
            if let Some(refusal) = self.foreseen(&of) {
                self.refuse(message, refusal);
                continue;
            }
            match self.connection.publish(&of).await {
                Ok(ack) => sent.push((message, ack)),
                Err(PublishError::Refused(refusal)) => self.refuse(message, refusal),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let deadline = tokio::time::Instant::now() + self.relay.config.ack_timeout;
        let stage = self.relay.metrics.stage(Stage::Relay);
        for (message, ack) in sent {
            let to = (self.relay.config.stream.as_str(), message.subject.as_str());
            match self.connection.ack(ack, to, began, deadline).await {
                Ok(()) => {
                    stage.sent.inc();
                    if message.kind == "alert" {
                        self.relay.metrics.events_federated.inc();
                    }
                    // The same in the second set is not told twice.
                    if !is_again(&message.id) {
                        self.relay.metrics.federation_out.count(&message.kind);
                    }
                    self.known.forget(&message.entry);
                    self.known.acked.push(message.entry);
                }
                Err(PublishError::Refused(refusal)) => self.refuse(message, refusal),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure
    }

    /// Why `message` would be refused, where that is known without sending it.
    fn foreseen(&self, message: &Message<'_>) -> Option<Refusal> {
        if let Some(flaw) = message.flaw() {
            return Some(flaw);
        }
        if !self.stream.subjects.allow(message.subject) {
            return Some(Refusal::Subject);
        }
        // Foreseen, because what was under way with it would be stored before it.
        if self.stream.max_message_size.is_some_and(|most| message.size() > most) {
            return Some(Refusal::LargerThanStream);
        }
        // The server says so only when it is tried, and the wait for an answer costs everybody.
        self.known.is_spent(message.subject, &Refusal::Forbidden, Instant::now()).then_some(Refusal::Forbidden)
    }

    fn refuse(&mut self, message: Waiting, refusal: Refusal) {
        let (tries, now) = (self.known.refused(&message.entry), Instant::now());
        if refusal.is_final() {
            self.condemned.push((message, refusal, tries));
        } else if tries <= self.relay.config.retries && !self.known.is_spent(&message.subject, &refusal, now) {
            let most = self.relay.config.reconnect_max;
            let wait = backoff(most).nth(tries.clamp(1, 16) as usize - 1).unwrap_or(most);
            tracing::debug!(subject = message.subject, reason = %refusal, tries, "refused, will be tried again");
            self.relay.metrics.stage(Stage::Relay).retried.inc();
            self.aside.put(message, wait);
        } else {
            self.known.spend(&message.subject, &refusal, now);
            self.condemned.push((message, refusal, tries));
        }
    }

    /// Keeps a message that JetStream will not take as a dead letter. Its event is in the streams of this site.
    async fn bury(&mut self, message: &Waiting, refusal: &Refusal, tries: u32) -> Result<(), Error> {
        let reason = format!("JetStream stream {}: {refusal}", self.relay.config.stream);
        let time = chrono::DateTime::from_timestamp_millis(message.made_ms()).unwrap_or_default().to_rfc3339();
        let attempts = tries.to_string();
        let fields: [(&str, &[u8]); 12] = [
            ("stage", Stage::Relay.as_str().as_bytes()),
            ("reason", reason.as_bytes()),
            ("guest", b""),
            ("payload", &message.data),
            ("source", b"outbox"),
            ("topic", message.subject.as_bytes()),
            // When it was shared; the entry of the dead letter says since when it is one.
            ("time", time.as_bytes()),
            ("attempts", attempts.as_bytes()),
            ("effect", Effect::NotShared.as_str().as_bytes()),
            // With these it can be shared again.
            ("id", message.id.as_bytes()),
            ("kind", message.kind.as_bytes()),
            ("provenance", message.provenance.as_bytes()),
        ];
        let (layout, stream) = (&self.relay.target.layout, self.relay.target.dead_letter);
        let dead_letter = (layout.key(stream), layout.length(stream));
        if self.outbox.bury(&message.entry, dead_letter, &fields).await? {
            self.relay.metrics.stage(Stage::Relay).dead_lettered.inc();
            tracing::warn!(
                subject = message.subject,
                bytes = message.data.len(),
                attempts = tries,
                reason,
                "JetStream does not take a message, it is kept as a dead letter"
            );
        }
        self.known.forget(&message.entry);
        Ok(())
    }
}

fn tell_of_a_lost_group(error: &redis::RedisError) {
    if group_is_gone(error) {
        tracing::warn!("the outbox was emptied by somebody else");
    }
}
