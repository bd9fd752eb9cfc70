//! A broker that breaks the rules, played byte by byte.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    super::Version,
    config,
    lanes::{Lanes, Running, Then},
    wait_until,
};

/// A broker that the test plays itself.
struct Played {
    listener: TcpListener,
    port: u16,
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
const RESUMED: [u8; 4] = [0x20, 2, 1, 0];

impl Played {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        Self { listener, port }
    }

    /// Takes the next connection, reads its CONNECT and answers.
    async fn accept(&self, connack: &[u8]) -> TcpStream {
        let (mut stream, _) = self.listener.accept().await.expect("a client");
        let connect = packet(&mut stream).await;
        assert_eq!(connect[0], 0x10, "{connect:?}");
        stream.write_all(connack).await.expect("an open connection");
        stream
    }

    /// As `accept`, and reads the SUBSCRIBE and grants it.
    async fn subscribed(&self, connack: &[u8]) -> TcpStream {
        let mut stream = self.accept(connack).await;
        let subscribe = packet(&mut stream).await;
        assert_eq!(subscribe[0], 0x82, "{subscribe:?}");
        stream.write_all(&[0x90, 3, subscribe[2], subscribe[3], 2]).await.expect("an open connection");
        stream
    }
}

/// The next packet that is no PINGREQ.
async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    loop {
        let packet = any_packet(stream).await;
        if packet[0] != 0xc0 {
            return packet;
        }
    }
}

/// The next packet; all that a client sends here is short.
async fn any_packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 2];
    let read = async {
        stream.read_exact(&mut bytes).await?;
        assert!(bytes[1] < 0x80, "a long packet");
        let mut rest = vec![0; bytes[1].into()];
        stream.read_exact(&mut rest).await?;
        bytes.extend(rest);
        std::io::Result::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("an answer").expect("an open connection");
    bytes
}

/// PUBLISH of one byte to `aurora/sensors/a/alerts`.
fn publish(qos: u8, dup: bool, id: u8, payload: u8) -> Vec<u8> {
    let topic = b"aurora/sensors/a/alerts";
    let mut bytes = vec![0x30 | qos << 1 | u8::from(dup) << 3, topic.len() as u8 + 5, 0, topic.len() as u8];
    bytes.extend(topic);
    bytes.extend([0, id, payload]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_an_unknown_id_is_answered_and_the_session_goes_on() {
    let broker = Played::start().await;
    let lanes = Lanes::new(Then::Settle);
    let session = Running::start(config(broker.port, Version::V3_1_1, 2), &lanes);
    let mut stream = broker.subscribed(&RESUMED).await;
    stream.write_all(&[0x62, 2, 0, 77]).await.unwrap();
    assert_eq!(packet(&mut stream).await, [0x70, 2, 0, 77]);
    stream.write_all(&publish(2, false, 1, b'x')).await.unwrap();
    assert_eq!(packet(&mut stream).await, [0x50, 2, 0, 1]);
    stream.write_all(&[0x62, 2, 0, 1]).await.unwrap();
    assert_eq!(packet(&mut stream).await, [0x70, 2, 0, 1]);
    assert_eq!(lanes.seen(), 1);
    session.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_never_reaches_another_message_of_the_same_id() {
    let broker = Played::start().await;
    let lanes = Lanes::new(Then::Hold);
    let session = Running::start(config(broker.port, Version::V3_1_1, 1), &lanes);
    let mut stream = broker.subscribed(&ACCEPTED).await;
    stream.write_all(&publish(1, false, 1, b'x')).await.unwrap();
    wait_until(|| lanes.has(1)).await;
    drop(stream);

    // The session is lost and the id means another message.
    let mut stream = broker.subscribed(&ACCEPTED).await;
    stream.write_all(&publish(1, true, 1, b'y')).await.unwrap();
    stream.write_all(&publish(1, false, 2, b'z')).await.unwrap();
    wait_until(|| lanes.has(3)).await;
    let mut held: Vec<_> = lanes.held.lock().unwrap().drain(..).collect();
    for payload in [b"x", b"z", b"y"] {
        let index = held.iter().position(|delivery| &delivery.payload[..] == payload).expect("held");
        held.remove(index).duty.settle(crate::event::Settlement::Published(1));
    }
    assert_eq!(packet(&mut stream).await, [0x40, 2, 0, 1]);
    assert_eq!(packet(&mut stream).await, [0x40, 2, 0, 2]);
    session.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_broker_sends_the_session_connects_again() {
    let broker = Played::start().await;
    let lanes = Lanes::new(Then::Settle);
    let session = Running::start(config(broker.port, Version::V5, 2), &lanes);
    let v5 = |connack: &[u8]| [&[0x20, connack.len() as u8 + 1], connack, &[0]].concat();
    for answer in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0x20, 2, 0, 1],
        v5(&[0, 0x86]),
        v5(&[0, 0xff]),
        vec![0xe0, 0],
        vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff],
        [v5(&[0, 0]), v5(&[0, 0])].concat(),
        [v5(&[0, 0]), vec![0xe0, 2, 0x8e, 0]].concat(),
        [v5(&[0, 0]), vec![0x36, 3, 0, 0, 0]].concat(),
        Vec::new(),
    ] {
        let mut stream = broker.accept(&answer).await;
        if answer.is_empty() {
            continue;
        }
        // Ours is the side that ends it.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{answer:?} did not end the connection");
    }
    let mut stream = broker.accept(&v5(&[0, 0])).await;
    let subscribe = packet(&mut stream).await;
    assert_eq!(subscribe[0], 0x82);
    assert_eq!(session.is_connected(), Err(0), "not before the subscription stands");
    stream.write_all(&[0x90, 4, subscribe[2], subscribe[3], 0, 2]).await.unwrap();
    wait_until(|| session.is_connected()).await;
    session.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subscription_is_asked_for_again() {
    let broker = Played::start().await;
    let session = Running::start(config(broker.port, Version::V3_1_1, 1), &Lanes::new(Then::Settle));
    let mut stream = broker.accept(&ACCEPTED).await;
    for _ in 0..3 {
        let subscribe = packet(&mut stream).await;
        assert_eq!(subscribe[0], 0x82);
        stream.write_all(&[0x90, 3, subscribe[2], subscribe[3], 0x80]).await.unwrap();
    }
    session.crash().await;
}
