use std::error::Error as _;

use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self, ErrorCode,
        context::{self, PublishAckFuture, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::Connection;

/// What is published.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Where to.
    pub subject: &'a str,
    /// `Nats-Msg-Id`: JetStream drops a second message with the same one within its window.
    pub id: &'a str,
    /// `Aurora-Event-Id`: the event that it is or belongs to.
    pub event: &'a str,
    /// `Aurora-Site`: where it comes from.
    pub site: &'a str,
    /// `Aurora-Provenance`: which guests made it, and why it is shared, as JSON; none if it is empty.
    pub provenance: &'a str,
    /// The payload.
    pub data: Bytes,
}

const EVENT: HeaderName = HeaderName::from_static("Aurora-Event-Id");
pub(super) const SITE: HeaderName = HeaderName::from_static("Aurora-Site");
const PROVENANCE: HeaderName = HeaderName::from_static("Aurora-Provenance");

/// Longest id.
const MOST_ID: usize = 255;

impl Message<'_> {
    /// What is wrong with it whoever it is sent to: outside text that cannot be a header.
    #[must_use]
    pub fn flaw(&self) -> Option<Refusal> {
        if self.subject.is_empty() {
            return Some(Refusal::NoSubject);
        }
        // Visible ASCII: a line break would end the header, and the server cuts spaces off its ends. What was no UTF-8
        // is not ASCII either, so two ids that differ never become one.
        let is_sound =
            self.id.len() <= MOST_ID && self.id.bytes().all(|b| b.is_ascii_graphic()) && !self.event.is_empty();
        (!is_sound).then_some(Refusal::Id)
    }

    /// Its size as JetStream counts it: with its headers, as they are on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        let header =
            |(name, value): (HeaderName, &str)| name.to_string().len() + ": ".len() + value.len() + "\r\n".len();
        let headers: usize = self.values().map(header).sum();
        "NATS/1.0\r\n".len() + headers + "\r\n".len() + self.data.len()
    }

    fn headers(&self) -> Result<HeaderMap, PublishError> {
        let refused = |_| PublishError::Refused(Refusal::Id);
        let mut headers = HeaderMap::new();
        // Parsed: the client's conversions panic at what is no header.
        for (name, value) in self.values() {
            headers.insert(name, value.parse::<HeaderValue>().map_err(refused)?);
        }
        Ok(headers)
    }

    fn values(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        // It comes out of Redis, where anybody may have written it: what can be no header is left out.
        let provenance = Some(self.provenance).filter(|text| !text.is_empty() && !text.contains(['\r', '\n']));
        let provenance = provenance.map(|text| (PROVENANCE, text));
        [(NATS_MESSAGE_ID, self.id), (EVENT, self.event), (SITE, self.site)].into_iter().chain(provenance)
    }
}

/// JetStream did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Because of the message: the same one will not be taken later either, unless somebody changes the stream.
    #[error("JetStream does not take the message: {0}")]
    Refused(Refusal),
    /// Because of the moment: no connection, no answer, no leader, no space.
    #[error("JetStream did not acknowledge")]
    Again(#[source] context::PublishError),
    /// No answer in time.
    #[error("JetStream did not acknowledge in time")]
    Silent,
}

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It cannot be sent anywhere.
    #[error("its entry in the outbox has no subject")]
    NoSubject,
    /// Its id names no event, or cannot be a header.
    #[error("its id is empty, longer than 255 characters with that of its entry, or not all visible ASCII")]
    Id,
    /// The stream has no such subject.
    #[error("the stream does not take this subject")]
    Subject,
    /// We may not publish there.
    #[error("the NATS user may not publish to this subject")]
    Forbidden,
    /// Larger than the server's `max_payload`.
    #[error("larger than the NATS server's max_payload")]
    LargerThanServer,
    /// Larger than the stream's `max_msg_size`.
    #[error("larger than the JetStream stream's max_msg_size")]
    LargerThanStream,
    /// Another stream has the subject now, and took it.
    #[error("it went to the JetStream stream {0} instead, which has this subject now")]
    Elsewhere(String),
    /// Anything else that is wrong with it: the server's number and words.
    #[error("{1} (error {0})")]
    Other(u64, String),
}

impl Refusal {
    /// Whether nothing but another message would help: no change of the stream, of the server, or of our rights.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoSubject | Self::Id)
    }
}

/// A message on its way.
pub struct Sent(PublishAckFuture);

impl Connection {
    /// Sends; what comes back has to be waited for with [`Connection::ack`].
    ///
    /// # Errors
    /// If it cannot be sent.
    pub async fn publish(&self, message: &Message<'_>) -> Result<Sent, PublishError> {
        let publish = PublishMessage::build().headers(message.headers()?).payload(message.data.clone());
        match self.jetstream.send_publish(message.subject.to_owned(), publish).await {
            Ok(ack) => Ok(Sent(ack)),
            Err(error) => Err(judge(error)),
        }
    }

    /// Waits until `deadline` for JetStream to say that `stream` has a message that was sent to `subject` at `since` or
    /// later, or for the server to say that we may not send there.
    ///
    /// # Errors
    /// If it says anything else, or nothing; then the message may have been stored nonetheless.
    pub async fn ack(
        &self,
        sent: Sent,
        (stream, subject): (&str, &str),
        since: std::time::Instant,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let answer = tokio::select! {
            // In this order: an ack is certain, and a complaint may be about an earlier message.
            biased;
            answer = timeout_at(deadline, sent.0.into_future()) => answer,
            () = self.forbidden(subject, since) => return Err(PublishError::Refused(Refusal::Forbidden)),
        };
        match answer {
            Ok(Ok(ack)) if ack.stream == stream => Ok(()),
            Ok(Ok(ack)) => Err(PublishError::Refused(Refusal::Elsewhere(ack.stream))),
            Ok(Err(error)) => Err(judge(error)),
            Err(_) => Err(PublishError::Silent),
        }
    }
}

fn judge(error: context::PublishError) -> PublishError {
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return PublishError::Refused(Refusal::LargerThanServer);
    }
    let refusal = error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>()).and_then(refusal);
    refusal.map_or(PublishError::Again(error), PublishError::Refused)
}

/// JetStream's numbers follow those of HTTP: 4xx is about the request, 5xx about the server. The exceptions are faults
/// of the stream or of the account: they would turn everything into dead letters, and be gone one day.
fn refusal(error: &jetstream::Error) -> Option<Refusal> {
    match error.error_code() {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Some(Refusal::LargerThanStream),
        ErrorCode::STREAM_SEALED
        | ErrorCode::STREAM_NOT_FOUND
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED
        | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT
        | ErrorCode::STREAM_TOO_MANY_REQUESTS => None,
        code if (400..500).contains(&error.code()) => Some(Refusal::Other(code.0, error.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: usize, number: u64) -> Option<Refusal> {
        let json = format!(r#"{{"code":{code},"err_code":{number},"description":"d"}}"#);
        refusal(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn an_id_that_cannot_be_a_header_is_refused_and_never_panics() {
        fn of<'a>(id: &'a str, site: &'a str) -> Message<'a> {
            Message { subject: "a.b", id, event: id, site, provenance: "", data: Bytes::new() }
        }
        let long = "x".repeat(MOST_ID + 1);
        for id in ["", "a\nb", "a\rb", "a\0b", " a", "a b", "ü", "\u{fffd}", &long] {
            assert_eq!(of(id, "s").flaw(), Some(Refusal::Id), "{id:?}");
        }
        for id in ["a", "0b8e1c1e-0000-5000-8000-000000000000:ioc:12", &long[1..]] {
            assert_eq!(of(id, "s").flaw(), None, "{id:?}");
            assert!(of(id, "s").headers().is_ok());
        }
        for (id, site) in [("a\r\nNats-Rollup: all", "s"), ("a", "s\nx")] {
            assert!(matches!(of(id, site).headers(), Err(PublishError::Refused(Refusal::Id))));
        }
        assert_eq!(Message { subject: "", ..of("a", "s") }.flaw(), Some(Refusal::NoSubject));
    }

    #[test]
    fn what_is_wrong_with_the_message_is_told_from_what_is_wrong_with_the_moment() {
        assert_eq!(of(400, 10054), Some(Refusal::LargerThanStream));
        // Headers larger than the server allows.
        assert!(matches!(of(400, 10097), Some(Refusal::Other(10097, _))));
        for (code, number, what) in [
            (503, 10077, "the stream is full"),
            (503, 10023, "no resources"),
            (500, 10047, "no storage"),
            (400, 10002, "the account has no storage left"),
            (400, 10109, "sealed"),
            (404, 10059, "no such stream"),
            (503, 10008, "no leader"),
            (503, 10076, "JetStream is off"),
            (409, 10158, "the same message is just being stored"),
        ] {
            assert_eq!(of(code, number), None, "{what}");
        }
    }
}
