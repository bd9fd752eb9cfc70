//! The codec of both MQTT versions, seen as one. Only this file names rumqttc.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttc::{
    mqttbytes::{self as bytes4, v4},
    v5::mqttbytes::{QoS as QoS5, v5},
};

use super::{Error, Subscription, Version};

/// A packet from the broker, as far as a subscriber cares.
#[derive(Debug)]
pub(super) enum Packet {
    /// CONNACK.
    Welcome(Welcome),
    /// SUBACK: packet id, and for each filter the granted QoS or why not.
    Granted(u16, Vec<Result<u8, String>>),
    /// PUBLISH.
    Publish(Publish),
    /// PUBREL.
    Release(u16),
    /// PINGRESP.
    Pong,
    /// DISCONNECT (MQTT 5).
    Farewell(Error),
    /// Something that a subscriber has no use for.
    Other,
}

/// CONNACK.
#[derive(Debug, Default)]
pub(super) struct Welcome {
    /// Why we may not come in, and what to do.
    pub refusal: Option<(String, &'static str)>,
    /// Whether the broker kept our session.
    pub session_present: bool,
    /// The keep-alive that the broker wants instead of ours, seconds.
    pub keep_alive: Option<u16>,
    /// What the broker will not do: largest QoS, session expiry in seconds, shared subscriptions.
    pub max_qos: Option<u8>,
    pub session_expiry: Option<u32>,
    pub no_shared_subscriptions: bool,
}

/// PUBLISH.
#[derive(Clone, Debug)]
pub(super) struct Publish {
    pub dup: bool,
    pub qos: u8,
    /// Packet id, 0 with QoS 0.
    pub id: u16,
    pub topic: Bytes,
    pub payload: Bytes,
    /// Bytes that the message had beyond `payload`; see [`Decoder`].
    pub cut: usize,
}

/// CONNECT.
pub(super) struct Hello<'a> {
    pub client_id: &'a str,
    pub clean: bool,
    pub keep_alive: u16,
    pub session_expiry: u32,
    pub receive_maximum: u16,
    pub login: Option<&'a (String, String)>,
}

/// Cuts packets out of a stream of bytes.
///
/// A message may be 256 MiB long. Of one that is longer than `keep` the beginning is kept and the rest is skipped as
/// it comes in, so that nobody can fill our memory and the message can still become a dead letter.
#[derive(Debug)]
pub(super) struct Decoder {
    version: Version,
    keep: usize,
    skip: usize,
    /// How many more bytes the packet under way wants.
    pub missing: usize,
}

impl Decoder {
    pub fn new(version: Version, keep: usize) -> Self {
        Self { version, keep, skip: 0, missing: 0 }
    }

    /// The next packet, if the whole of it is there.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, Error> {
        if self.skip > 0 {
            let skipped = self.skip.min(bytes.len());
            let _ = bytes.split_to(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(None);
            }
        }
        let length = match bytes4::check(bytes.iter(), usize::MAX) {
            Ok(header) => header.frame_length(),
            Err(bytes4::Error::InsufficientBytes(missing)) => {
                let enough = self.keep.max(MAX_HEADER);
                if bytes.len() < enough {
                    // No more than this is ever asked for, however long the packet says it is.
                    self.missing = missing.min(enough - bytes.len());
                    return Ok(None);
                }
                return self.beginning(bytes, missing).map(Some);
            }
            Err(error) => return Err(Error::Malformed(error.into())),
        };
        let kind = bytes[0];
        let frame = bytes.split_to(length).freeze();
        match self.version {
            Version::V3_1_1 => read4(kind, frame),
            Version::V5 => read5(kind, frame),
        }
        .map(Some)
    }

    /// The kept beginning of a long message.
    fn beginning(&mut self, bytes: &mut BytesMut, missing: usize) -> Result<Packet, Error> {
        let kind = bytes[0];
        if kind >> 4 != PUBLISH {
            return Err(Error::Malformed(format!("a packet of type {} and far too many bytes", kind >> 4).into()));
        }
        self.skip = missing;
        let frame = bytes.split().freeze();
        let mut publish = match self.version {
            Version::V3_1_1 => read4(kind, frame),
            // Properties alone may be longer than what is kept. Topic and packet id stand before them and are the same
            // in both versions, so that even such a message can be acknowledged instead of coming again for ever.
            Version::V5 => read5(kind, frame.clone()).or_else(|_| read4(kind, frame)),
        }?;
        if let Packet::Publish(publish) = &mut publish {
            publish.cut = missing;
        }
        Ok(publish)
    }
}

const PUBLISH: u8 = 3;

/// Type, length, and the longest topic: less than this is no beginning of a message.
const MAX_HEADER: usize = 5 + 2 + 65_535 + 2;

/// Bytes of the length field at the front of `frame`, and the length.
fn length(frame: &[u8]) -> (usize, usize) {
    let mut length = 0;
    for (i, byte) in frame.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (i + 1, length);
        }
    }
    (4, length)
}

fn read4(kind: u8, frame: Bytes) -> Result<Packet, Error> {
    let (width, length) = length(&frame);
    let header = bytes4::FixedHeader::new(kind, width, length);
    let packet = match kind >> 4 {
        2 => v4::ConnAck::read(header, frame).map(|ack| {
            Packet::Welcome(Welcome {
                refusal: refusal(ack.code != v4::ConnectReturnCode::Success, &ack.code, None),
                session_present: ack.session_present,
                ..Welcome::default()
            })
        }),
        PUBLISH => v4::Publish::read(header, frame).map(|publish| {
            Packet::Publish(Publish {
                dup: publish.dup,
                qos: publish.qos as u8,
                id: publish.pkid,
                topic: publish.topic.into(),
                payload: publish.payload,
                cut: 0,
            })
        }),
        6 => v4::PubRel::read(header, frame).map(|release| Packet::Release(release.pkid)),
        9 => v4::SubAck::read(header, frame).map(|ack| {
            let grant = |code| match code {
                v4::SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                v4::SubscribeReasonCode::Failure => Err("Failure".to_owned()),
            };
            Packet::Granted(ack.pkid, ack.return_codes.into_iter().map(grant).collect())
        }),
        13 => Ok(Packet::Pong),
        _ => Ok(Packet::Other),
    };
    packet.map_err(|error| Error::Malformed(error.into()))
}

fn read5(kind: u8, frame: Bytes) -> Result<Packet, Error> {
    let (width, length) = length(&frame);
    let header = v5::FixedHeader::new(kind, width, length);
    let packet = match kind >> 4 {
        2 => v5::ConnAck::read(header, frame).map(|ack| {
            let given = ack.properties.as_ref();
            Packet::Welcome(Welcome {
                refusal: refusal(
                    ack.code != v5::ConnectReturnCode::Success,
                    &ack.code,
                    given.and_then(|given| given.reason_string.as_deref()),
                ),
                session_present: ack.session_present,
                keep_alive: given.and_then(|given| given.server_keep_alive),
                max_qos: given.and_then(|given| given.max_qos),
                session_expiry: given.and_then(|given| given.session_expiry_interval),
                no_shared_subscriptions: given.and_then(|given| given.shared_subscription_available) == Some(0),
            })
        }),
        PUBLISH => v5::Publish::read(header, frame).map(|publish| {
            Packet::Publish(Publish {
                dup: publish.dup,
                qos: publish.qos as u8,
                id: publish.pkid,
                topic: publish.topic,
                payload: publish.payload,
                cut: 0,
            })
        }),
        6 => v5::PubRel::read(header, frame).map(|release| Packet::Release(release.pkid)),
        9 => v5::SubAck::read(header, frame).map(|ack| {
            let grant = |code| match code {
                v5::SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                why => Err(format!("{why:?}")),
            };
            Packet::Granted(ack.pkid, ack.return_codes.into_iter().map(grant).collect())
        }),
        13 => Ok(Packet::Pong),
        // The codec wants a reason code; a broker may leave a normal one out.
        14 if length == 0 => Ok(farewell(v5::DisconnectReasonCode::NormalDisconnection, None)),
        14 => v5::Disconnect::read(header, frame).map(|bye| {
            farewell(bye.reason_code, bye.properties.as_ref().and_then(|given| given.reason_string.as_deref()))
        }),
        _ => Ok(Packet::Other),
    };
    packet.map_err(|error| Error::Malformed(error.into()))
}

fn refusal(refused: bool, code: &dyn std::fmt::Debug, said: Option<&str>) -> Option<(String, &'static str)> {
    let code = format!("{code:?}");
    let remedy = match code.as_str() {
        "BadUserNamePassword" | "NotAuthorized" | "Banned" => {
            "check mqtt.username, mqtt.password_file, and what the broker allows mqtt.client_id"
        }
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" => "set mqtt.version to the one that the broker speaks",
        "BadClientId" | "ClientIdentifierNotValid" => "set another mqtt.client_id",
        _ => "see the broker's log",
    };
    refused.then(|| (with(code, said), remedy))
}

fn farewell(code: v5::DisconnectReasonCode, said: Option<&str>) -> Packet {
    let remedy = match code {
        v5::DisconnectReasonCode::SessionTakenOver => "let no other client use mqtt.client_id",
        v5::DisconnectReasonCode::NotAuthorized => "check what the broker allows mqtt.client_id and mqtt.username",
        _ => "",
    };
    Packet::Farewell(Error::Ended { reason: with(format!("{code:?}"), said), remedy })
}

fn with(code: String, said: Option<&str>) -> String {
    match said {
        Some(said) => format!("{code} ({})", said.escape_debug()),
        None => code,
    }
}

/// Writes CONNECT. `out` must be empty, which the codec relies on.
pub(super) fn connect(version: Version, hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), Error> {
    let written = match version {
        Version::V3_1_1 => {
            let mut packet = v4::Connect::new(hello.client_id);
            packet.clean_session = hello.clean;
            packet.keep_alive = hello.keep_alive;
            packet.login = hello.login.map(|(user, password)| v4::Login::new(user, password));
            packet.write(out).map_err(|error| Error::Malformed(error.into()))
        }
        Version::V5 => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(hello.session_expiry);
            properties.receive_maximum = Some(hello.receive_maximum);
            let packet = v5::Connect {
                keep_alive: hello.keep_alive,
                client_id: hello.client_id.to_owned(),
                clean_start: hello.clean,
                properties: Some(properties),
            };
            let login = hello.login.map(|(user, password)| v5::Login::new(user, password));
            packet.write(&None, &login, out).map_err(|error| Error::Malformed(error.into()))
        }
    };
    written.map(drop)
}

/// Writes SUBSCRIBE.
pub(super) fn subscribe(version: Version, id: u16, to: &[&Subscription], out: &mut BytesMut) -> Result<(), Error> {
    let written = match version {
        Version::V3_1_1 => {
            let filters = to.iter().map(|wanted| {
                let qos = bytes4::qos(wanted.qos.min(2)).unwrap_or(bytes4::QoS::ExactlyOnce);
                v4::SubscribeFilter::new(wanted.topic.clone(), qos)
            });
            let mut packet = v4::Subscribe::new_many(filters);
            packet.pkid = id;
            packet.write(out).map_err(|error| Error::Malformed(error.into()))
        }
        Version::V5 => {
            let filters = to.iter().map(|wanted| {
                let qos = rumqttc::v5::mqttbytes::qos(wanted.qos.min(2)).unwrap_or(QoS5::ExactlyOnce);
                let mut filter = v5::Filter::new(wanted.topic.clone(), qos);
                // A renewed subscription must not bring every retained message again.
                filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                filter
            });
            let mut packet = v5::Subscribe::new_many(filters, None);
            packet.pkid = id;
            packet.write(out).map_err(|error| Error::Malformed(error.into()))
        }
    };
    written.map(drop)
}

/// Writes PUBACK; like the three below it is the same four bytes in both versions, success needing no reason code.
pub(super) fn puback(id: u16, out: &mut BytesMut) {
    short(0x40, id, out);
}

/// Writes PUBREC.
pub(super) fn pubrec(id: u16, out: &mut BytesMut) {
    short(0x50, id, out);
}

/// Writes PUBCOMP.
pub(super) fn pubcomp(id: u16, out: &mut BytesMut) {
    short(0x70, id, out);
}

fn short(kind: u8, id: u16, out: &mut BytesMut) {
    let [high, low] = id.to_be_bytes();
    out.put_slice(&[kind, 2, high, low]);
}

/// Writes PINGREQ.
pub(super) fn ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// Writes DISCONNECT: normal, the session stays.
pub(super) fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xe0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(version: Version, payload: usize) -> BytesMut {
        let mut bytes = BytesMut::new();
        match version {
            Version::V3_1_1 => {
                let mut packet = v4::Publish::new("a/b", bytes4::QoS::AtLeastOnce, vec![b'x'; payload]);
                packet.pkid = 7;
                packet.write(&mut bytes).expect("a valid packet");
            }
            Version::V5 => {
                let mut packet = v5::Publish::new("a/b", QoS5::AtLeastOnce, vec![b'x'; payload], None);
                packet.pkid = 7;
                packet.write(&mut bytes).expect("a valid packet");
            }
        }
        bytes
    }

    #[test]
    fn waits_for_the_whole_packet() {
        for version in [Version::V3_1_1, Version::V5] {
            let whole = publish(version, 1000);
            let mut decoder = Decoder::new(version, 1 << 20);
            for end in 0..whole.len() {
                let mut part = BytesMut::from(&whole[..end]);
                assert!(decoder.next(&mut part).expect("no error").is_none(), "{end}");
            }
            let mut part = whole.clone();
            assert!(
                matches!(decoder.next(&mut part), Ok(Some(Packet::Publish(packet))) if packet.payload.len() == 1000)
            );
        }
    }

    #[test]
    fn keeps_the_beginning_of_a_message_that_is_far_too_long_and_goes_on_after_it() {
        for version in [Version::V3_1_1, Version::V5] {
            let mut stream = publish(version, 300_000);
            stream.extend_from_slice(&publish(version, 3));
            let mut decoder = Decoder::new(version, 100_000);
            let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(4096) {
                buffer.extend_from_slice(piece);
                while let Some(Packet::Publish(packet)) = decoder.next(&mut buffer).expect("no error") {
                    seen.push((packet.id, packet.payload.len() + packet.cut, packet.cut > 0));
                }
                assert!(buffer.len() <= 110_000, "{}", buffer.len());
            }
            assert_eq!(seen, [(7, 300_000, true), (7, 3, false)]);
        }
    }

    #[test]
    fn malformed_bytes_are_errors_and_never_panics() {
        // A small generator is enough here: every type byte with every short body out of a fixed sequence.
        let mut state = 1_u32;
        for kind in 0..=255_u8 {
            for length in 0..40_u8 {
                let mut bytes = BytesMut::from(&[kind, length][..]);
                for _ in 0..length {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes.put_u8((state >> 24) as u8 >> (state >> 8 & 7));
                }
                for version in [Version::V3_1_1, Version::V5] {
                    let _ = Decoder::new(version, 1 << 20).next(&mut bytes.clone());
                }
            }
        }
        let endless = &mut BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(Decoder::new(Version::V5, 1 << 20).next(endless), Err(Error::Malformed(_))));
    }

    #[test]
    fn reads_a_disconnect_without_a_reason() {
        let mut bytes = BytesMut::from(&[0xe0, 0][..]);
        let packet = Decoder::new(Version::V5, 1 << 20).next(&mut bytes);
        assert!(matches!(packet, Ok(Some(Packet::Farewell(Error::Ended { .. })))), "{packet:?}");
    }
}
