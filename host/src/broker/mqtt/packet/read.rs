//! Whole packets of each version.

use bytes::Bytes;
use rumqttc::{
    mqttbytes::{self as bytes4, v4},
    v5::mqttbytes::v5,
};

use super::{Error, Packet, Publish, Welcome};

/// Type of a PUBLISH.
pub(super) const PUBLISH: u8 = 3;

/// Reads a packet of MQTT 3.1.1, whose first byte is `kind`.
pub(super) fn read4(kind: u8, frame: Bytes) -> Result<Packet, Error> {
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
                retain: publish.retain,
                qos: publish.qos as u8,
                id: publish.pkid,
                topic: publish.topic.into(),
                payload: publish.payload,
                cut: 0,
            })
        }),
        4 => v4::PubAck::read(header, frame).map(|ack| Packet::Acknowledged(ack.pkid, Ok(()))),
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

/// Reads a packet of MQTT 5.
pub(super) fn read5(kind: u8, frame: Bytes) -> Result<Packet, Error> {
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
                retain: publish.retain,
                qos: publish.qos as u8,
                id: publish.pkid,
                topic: publish.topic,
                payload: publish.payload,
                cut: 0,
            })
        }),
        4 => v5::PubAck::read(header, frame).map(|ack| {
            let taken = match ack.reason {
                // Nobody listens there now. The message was published all the same.
                v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers => Ok(()),
                why => Err(format!("{why:?}")),
            };
            Packet::Acknowledged(ack.pkid, taken)
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
