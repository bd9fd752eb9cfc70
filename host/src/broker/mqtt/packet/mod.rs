//! The codec of both MQTT versions, seen as one. Only this folder names rumqttc.

mod read;
mod write;

use bytes::{Bytes, BytesMut};
use read::{PUBLISH, read4, read5};
use rumqttc::mqttbytes as bytes4;

pub(super) use self::write::{connect, disconnect, ping, puback, pubcomp, publish, pubrec, subscribe};
use super::{Error, Version};

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
    /// PUBACK: packet id, and why the broker did not take the message.
    Acknowledged(u16, Result<(), String>),
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
    /// Whether it is there because of a new subscription, and not because somebody has published it now.
    pub retain: bool,
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
            Err(bytes4::Error::InsufficientBytes(missing)) => bytes.len() + missing,
            Err(error) => return Err(Error::Malformed(error.into())),
        };
        // No more than this is ever asked for, however long the packet says it is, and no more is kept however much
        // has come: a redelivery must look the same.
        let kept = length.min(self.keep.max(MAX_HEADER));
        if bytes.len() < kept {
            self.missing = kept - bytes.len();
            return Ok(None);
        }
        let kind = bytes[0];
        let frame = bytes.split_to(kept).freeze();
        if kept < length {
            self.skip = length - kept;
            return self.beginning(kind, frame).map(Some);
        }
        match self.version {
            Version::V3_1_1 => read4(kind, frame),
            Version::V5 => read5(kind, frame),
        }
        .map(Some)
    }

    /// The kept beginning of a long message.
    fn beginning(&self, kind: u8, frame: Bytes) -> Result<Packet, Error> {
        if kind >> 4 != PUBLISH {
            return Err(Error::Malformed(format!("a packet of type {} and far too many bytes", kind >> 4).into()));
        }
        let mut packet = match self.version {
            Version::V3_1_1 => read4(kind, frame),
            // Properties alone may be longer than what is kept. Topic and packet id stand before them and are the same
            // in both versions, so that even such a message can be acknowledged instead of coming again for ever.
            Version::V5 => read5(kind, frame.clone()).or_else(|_| read4(kind, frame)),
        }?;
        if let Packet::Publish(publish) = &mut packet {
            publish.cut = self.skip;
        }
        Ok(packet)
    }
}

/// Type, length, and the longest topic: less than this is no beginning of a message.
const MAX_HEADER: usize = 5 + 2 + 65_535 + 2;

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use rumqttc::{
        mqttbytes::v4,
        v5::mqttbytes::{QoS as QoS5, v5},
    };

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
            for size in [4096, 99_999, usize::MAX] {
                let mut decoder = Decoder::new(version, 100_000);
                let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
                for piece in stream.chunks(size) {
                    buffer.extend_from_slice(piece);
                    while let Some(Packet::Publish(packet)) = decoder.next(&mut buffer).expect("no error") {
                        assert!(packet.payload.len() <= 100_000 && packet.id == 7);
                        seen.push((packet.payload.len() + packet.cut, packet.cut > 0));
                    }
                }
                assert_eq!(seen, [(300_000, true), (3, false)]);
            }
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
