//! MQTT packets as they stand in a stream of bytes, as far as the bench has to read and write them itself.

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    read: usize,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type and flags.
    pub head: u8,
    /// All after the length.
    pub body: Vec<u8>,
}

/// Packet types, as the upper half of the first byte has them.
pub mod kind {
    #![allow(missing_docs)] // Their names are the standard's own.
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
}

impl Frames {
    /// Appends what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.read));
        self.bytes.extend_from_slice(bytes);
    }
}

impl Iterator for Frames {
    type Item = Frame;

    /// The next packet that has come as a whole.
    fn next(&mut self) -> Option<Frame> {
        let rest = self.bytes.get(self.read..)?;
        let (length, size) = varint(rest.get(1..)?)?;
        let body = rest.get(1 + size..1 + size + length)?.to_vec();
        let head = *rest.first()?;
        self.read += 1 + size + length;
        Some(Frame { head, body })
    }
}

impl Frame {
    /// Its type, one of [`kind`].
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.head >> 4
    }

    /// QoS of a PUBLISH.
    #[must_use]
    pub fn qos(&self) -> u8 {
        self.head >> 1 & 3
    }

    /// Whether a PUBLISH is marked as a repeat.
    #[must_use]
    pub fn dup(&self) -> bool {
        self.head & 8 != 0
    }

    /// Packet id of an acknowledgement.
    #[must_use]
    pub fn id(&self) -> u16 {
        number(&self.body).unwrap_or_default()
    }

    /// Packet id (0 with QoS 0) and payload of a PUBLISH; `properties` with MQTT 5.
    #[must_use]
    pub fn message(&self, properties: bool) -> Option<(u16, &[u8])> {
        let mut rest = self.body.get(2 + usize::from(number(&self.body)?)..)?;
        let mut id = 0;
        if self.qos() > 0 {
            id = number(rest)?;
            rest = &rest[2..];
        }
        if properties {
            let (length, size) = varint(rest)?;
            rest = rest.get(size + length..)?;
        }
        Some((id, rest))
    }
}

/// Appends a CONNECT of MQTT 3.1.1 for a session that ends with the connection.
pub fn connect(client_id: &str, out: &mut Vec<u8>) {
    // Protocol name and level, clean session, no keep-alive.
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    text(client_id, &mut body);
    frame(kind::CONNECT << 4, &body, out);
}

/// Appends a PUBLISH of MQTT 3.1.1, QoS 1 or 2.
pub fn publish(topic: &str, qos: u8, id: u16, payload: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(topic, &mut body);
    body.extend(id.to_be_bytes());
    body.extend(payload);
    frame(kind::PUBLISH << 4 | qos << 1, &body, out);
}

/// Appends a PUBREL.
pub fn pubrel(id: u16, out: &mut Vec<u8>) {
    frame(kind::PUBREL << 4 | 2, &id.to_be_bytes(), out);
}

fn frame(head: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(head);
    let mut length = body.len();
    loop {
        let more = u8::from(length > 127) << 7;
        out.push((length & 127) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    out.extend(body);
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
}

/// A length and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 127) << (7 * position);
        if byte & 128 == 0 {
            return Some((value, position + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_whole_however_the_bytes_come_in() {
        let mut bytes = Vec::new();
        publish("a/b", 2, 7, &[b'x'; 300], &mut bytes);
        pubrel(7, &mut bytes);
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for byte in &bytes {
            frames.push(&[*byte]);
            seen.extend(frames.by_ref());
        }
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].kind(), seen[0].qos(), seen[0].dup()), (kind::PUBLISH, 2, false));
        assert_eq!(seen[0].message(false), Some((7, [b'x'; 300].as_slice())));
        assert_eq!((seen[1].kind(), seen[1].id()), (kind::PUBREL, 7));
    }

    #[test]
    fn the_properties_of_mqtt_5_are_no_payload() {
        let frame = Frame { head: kind::PUBLISH << 4 | 2, body: b"\x00\x01t\x00\x09\x02\x01\x01pay".to_vec() };
        assert_eq!(frame.message(true), Some((9, b"pay".as_slice())));
    }
}
