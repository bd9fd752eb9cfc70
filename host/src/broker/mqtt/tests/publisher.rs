//! A publisher that shares no code with the session: rumqttc's own client.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};

/// Publishes alerts of ten devices and returns when the broker has acknowledged all of them.
pub(super) async fn publish(port: u16, qos: u8, payloads: impl IntoIterator<Item = String>) {
    let topics = (0..).map(|i| format!("aurora/sensors/device_{}/alerts", i % 10));
    publish_to(port, qos, topics.zip(payloads.into_iter().map(String::into_bytes)).collect()).await;
}

/// Publishes payloads to topics.
pub(super) async fn publish_to(port: u16, qos: u8, messages: Vec<(String, Vec<u8>)>) {
    let mut options = MqttOptions::new(format!("publisher-{:p}", &messages), "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(60)).set_inflight(1000).set_max_packet_size(1 << 28, 1 << 28);
    let (client, mut events) = AsyncClient::new(options, 100);
    let number = messages.len();
    let sent = tokio::spawn(async move {
        let qos = rumqttc::qos(qos).expect("a QoS");
        for (topic, payload) in messages {
            client.publish(topic, qos, false, payload).await.expect("a running client");
        }
        client
    });
    let mut done = 0;
    while done < number {
        match events.poll().await.expect("a broker that stays") {
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => done += 1,
            Event::Outgoing(Outgoing::Publish(_)) if qos == 0 => done += 1,
            _ => {}
        }
    }
    let client = sent.await.expect("no panic");
    // What follows in order has a QoS of its own, so that its answer shows that the rest has arrived.
    client.publish("last", QoS::AtLeastOnce, false, "").await.expect("a running client");
    while !matches!(events.poll().await, Ok(Event::Incoming(Packet::PubAck(_))) | Err(_)) {}
    client.disconnect().await.expect("a running client");
    while events.poll().await.is_ok() {}
}
