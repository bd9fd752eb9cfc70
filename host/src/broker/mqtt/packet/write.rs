//! What we send.

use bytes::{BufMut, BytesMut};
use rumqttc::{
    mqttbytes::{self as bytes4, v4},
    v5::mqttbytes::{self as bytes5, v5},
};

use super::{
    super::{Subscription, Version},
    Error, Hello,
};

/// Writes CONNECT. `out` must be empty, which the codec relies on.
pub(in super::super) fn connect(version: Version, hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), Error> {
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
pub(in super::super) fn subscribe(
    version: Version,
    id: u16,
    to: &[&Subscription],
    out: &mut BytesMut,
) -> Result<(), Error> {
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
                let qos = bytes5::qos(wanted.qos.min(2)).unwrap_or(bytes5::QoS::ExactlyOnce);
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

/// Writes PUBLISH with QoS 1. With MQTT 5 it expires in `expiry` seconds wherever it is kept.
pub(in super::super) fn publish(
    version: Version,
    id: u16,
    dup: bool,
    topic: &str,
    payload: &[u8],
    expiry: u32,
    out: &mut BytesMut,
) -> Result<(), Error> {
    let written = match version {
        Version::V3_1_1 => {
            let mut packet = v4::Publish::new(topic, bytes4::QoS::AtLeastOnce, payload);
            (packet.pkid, packet.dup) = (id, dup);
            packet.write(out).map_err(|error| Error::Malformed(error.into()))
        }
        Version::V5 => {
            let properties =
                v5::PublishProperties { message_expiry_interval: Some(expiry), ..v5::PublishProperties::default() };
            let mut packet = v5::Publish::new(topic, bytes5::QoS::AtLeastOnce, payload.to_vec(), Some(properties));
            (packet.pkid, packet.dup) = (id, dup);
            packet.write(out).map_err(|error| Error::Malformed(error.into()))
        }
    };
    written.map(drop)
}

/// Writes PUBACK; like the three below it is the same four bytes in both versions, success needing no reason code.
pub(in super::super) fn puback(id: u16, out: &mut BytesMut) {
    short(0x40, id, out);
}

/// Writes PUBREC.
pub(in super::super) fn pubrec(id: u16, out: &mut BytesMut) {
    short(0x50, id, out);
}

/// Writes PUBCOMP.
pub(in super::super) fn pubcomp(id: u16, out: &mut BytesMut) {
    short(0x70, id, out);
}

fn short(kind: u8, id: u16, out: &mut BytesMut) {
    let [high, low] = id.to_be_bytes();
    out.put_slice(&[kind, 2, high, low]);
}

/// Writes PINGREQ.
pub(in super::super) fn ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// Writes DISCONNECT: normal, the session stays.
pub(in super::super) fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xe0, 0]);
}
