//! An MQTT 3.1.1 client that only publishes, as cheaply as it can: it shares the cores with what is measured.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context as _, Result, ensure};

use crate::sample;

/// Messages sent and not yet acknowledged. mosquitto looks for each packet of QoS 2 among all that are under way, so
/// with many of them it would be the broker that is measured.
const WINDOW: [u64; 2] = [2000, 200];

/// Messages that are written at once.
const GROUP: u64 = 50;

/// A connected client.
pub struct Publisher {
    stream: TcpStream,
    /// Acknowledgements that have come in part.
    rest: Vec<u8>,
    answers: Vec<u8>,
}

impl Publisher {
    /// Connects to the broker at `port` of this machine.
    pub fn connect(port: u16) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect to mosquitto")?;
        stream.set_nodelay(true)?;
        // MQTT 3.1.1, clean session, no keep-alive, client id `load`.
        stream.write_all(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04load")?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        ensure!(connack == [0x20, 2, 0, 0], "{connack:02x?} instead of a CONNACK");
        Ok(Self { stream, rest: Vec::new(), answers: Vec::new() })
    }

    /// Publishes the sample's events below `count`, as fast as the broker takes them, and waits until it has them all.
    pub fn publish(&mut self, count: u64, qos: u8) -> Result<()> {
        let (mut sent, mut done) = (0, 0);
        let window = WINDOW[usize::from(qos == 2)];
        let mut packets = Vec::with_capacity(GROUP as usize * 360);
        while done < count {
            if sent < count && sent - done <= window - GROUP {
                packets.clear();
                let group = sent..(sent + GROUP).min(count);
                sent = group.end;
                group.for_each(|index| encode(index, qos, &mut packets));
                self.stream.write_all(&packets)?;
            } else {
                done += self.acknowledged()?;
            }
        }
        Ok(())
    }

    /// Publishes one event at QoS 1 and waits for nothing.
    pub fn publish_one(&mut self, index: u64) -> Result<()> {
        let mut packet = Vec::with_capacity(360);
        encode(index, 1, &mut packet);
        Ok(self.stream.write_all(&packet)?)
    }

    /// Where acknowledgements come from, for somebody else to read them.
    pub fn acknowledgements(&self) -> Result<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Reads what has come, waiting for something; answers PUBREC, and returns how many messages are done.
    fn acknowledged(&mut self) -> Result<u64> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        ensure!(read > 0, "mosquitto closed the publisher's connection");
        self.rest.extend_from_slice(&buffer[..read]);
        let mut done = 0;
        let whole = self.rest.len() - self.rest.len() % 4;
        for packet in self.rest[..whole].chunks_exact(4) {
            match packet[..2] {
                // PUBACK, PUBCOMP
                [0x40 | 0x70, 2] => done += 1,
                // PUBREC
                [0x50, 2] => self.answers.extend_from_slice(&[0x62, 2, packet[2], packet[3]]),
                _ => anyhow::bail!("{packet:02x?} instead of an acknowledgement"),
            }
        }
        self.rest.drain(..whole);
        self.stream.write_all(&self.answers)?;
        self.answers.clear();
        Ok(done)
    }
}

/// PUBLISH. Its packet id is never 0, and comes round long after it was acknowledged.
fn encode(index: u64, qos: u8, out: &mut Vec<u8>) {
    let (topic, payload) = (sample::topic(index), sample::alert(index));
    let length = 2 + topic.len() + 2 + payload.len();
    // Two bytes of length reach to 16,383.
    out.extend_from_slice(&[0x30 | qos << 1, length as u8 | 0x80, (length >> 7) as u8]);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&((index % 65_535) as u16 + 1).to_be_bytes());
    out.extend_from_slice(&payload);
}
