//! Every message, once, whatever the version and QoS.

use super::{
    BOTH, Config, config,
    lanes::{Lanes, Running, Then},
    mosquitto::Mosquitto,
    publisher::{publish, publish_to},
    wait_until,
};
use crate::event::{Identity, Settlement};

fn numbered(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|i| format!("{{\"number\":{i}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn hands_on_every_message_once_at_each_qos_and_version() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        for qos in 0..=2 {
            let lanes = Lanes::new(Then::Settle);
            let config = named(config(broker.port, version, qos), qos);
            let session = Running::start(config.clone(), &lanes);
            wait_until(|| session.is_connected()).await;
            publish(broker.port, qos, numbered(0..5000)).await;
            wait_until(|| lanes.has(5000)).await;
            wait_until(|| session.is_idle()).await;
            assert_eq!((session.stop().await, lanes.repeated()), (0, vec![]));

            // Everything was acknowledged: the broker has nothing left for the next start, or it would come first.
            let lanes = Lanes::new(Then::Settle);
            let session = Running::start(config, &lanes);
            wait_until(|| session.is_connected()).await;
            publish(broker.port, qos, ["last".to_owned()]).await;
            wait_until(|| lanes.has(1)).await;
            assert_eq!(session.stop().await, 0);
        }
    }
}

/// A session of its own for each round of a test.
fn named(mut config: Config, round: u8) -> Config {
    config.client_id = format!("host-{:?}-{round}", config.version);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledges_only_what_is_settled_and_has_the_rest_again_after_a_crash() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        for qos in [1, 2] {
            let lanes = Lanes::new(Then::Hold);
            let config = named(config(broker.port, version, qos), qos);
            let session = Running::start(config.clone(), &lanes);
            wait_until(|| session.is_connected()).await;
            publish(broker.port, qos, numbered(0..100)).await;
            wait_until(|| lanes.has(100)).await;
            let mut before = identities(&lanes);
            session.crash().await;

            let lanes = Lanes::new(Then::Hold);
            let session = Running::start(config, &lanes);
            wait_until(|| lanes.has(100)).await;
            let mut after = identities(&lanes);
            before.sort_unstable();
            after.sort_unstable();
            assert_eq!(before, after, "the same delivery has the same identity");
            lanes.settle_held();
            assert_eq!(session.stop().await, 0);
        }
    }
}

/// Client and packet id of what is held, with its bytes.
fn identities(lanes: &Lanes) -> Vec<(u64, u16, Vec<u8>)> {
    let held = lanes.held.lock().unwrap();
    let packets = held.iter().map(|delivery| match delivery.identity {
        Identity::Packet { client, id, .. } => (client, id, delivery.payload.to_vec()),
        other => panic!("{other:?} is no packet"),
    });
    packets.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_in_two_steps_and_leaves_the_rest_to_the_broker() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        let lanes = Lanes::new(Then::Hold);
        let config = named(config(broker.port, version, 2), 0);
        let session = Running::start(config.clone(), &lanes);
        wait_until(|| session.is_connected()).await;
        publish(broker.port, 2, numbered(0..10)).await;
        wait_until(|| lanes.has(10)).await;
        session.stop.reading.cancel();
        publish(broker.port, 2, numbered(10..15)).await;
        let settled: Vec<_> = lanes.held.lock().unwrap().drain(..7).collect();
        for delivery in settled {
            delivery.duty.settle(Settlement::Published(1));
        }
        wait_until(|| if session.in_flight() == 3 { Ok(()) } else { Err(session.in_flight()) }).await;
        assert_eq!(session.stop().await, 3);
        assert_eq!(lanes.seen(), 10, "nothing was handed on after the first step");

        let lanes = Lanes::new(Then::Settle);
        let session = Running::start(config, &lanes);
        wait_until(|| lanes.has(8)).await;
        assert_eq!(session.stop().await, 0);
        assert!(lanes.repeated().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfit_messages_come_with_their_reason_and_delay_nobody() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        let lanes = Lanes::new(Then::Settle);
        let mut config = named(config(broker.port, version, 1), 1);
        config.max_payload = bytesize::ByteSize::kib(4);
        config.max_in_flight_bytes = bytesize::ByteSize::kib(256);
        let session = Running::start(config, &lanes);
        wait_until(|| session.is_connected()).await;
        let good = "aurora/sensors/a/alerts".to_owned();
        let messages = vec![
            (good.clone(), vec![b'1'; 4096]),
            (good.clone(), vec![b'2'; 4097]),
            ("aurora/sensors/a b/alerts".to_owned(), b"3".to_vec()),
            (good.clone(), vec![b'4'; 3_000_000]),
            (good.clone(), Vec::new()),
            (good, b"5".to_vec()),
        ];
        publish_to(broker.port, 1, messages).await;
        wait_until(|| lanes.has(6)).await;
        let unfit = lanes.unfit.lock().unwrap().clone();
        let firsts: Vec<_> = unfit.iter().map(|(first, _, _)| *first).collect();
        assert_eq!(firsts, *b"234");
        assert_eq!(unfit[0].1, 4097, "kept whole");
        assert!(unfit[0].2.contains("4097 bytes is larger than mqtt.max_payload (4096)"), "{}", unfit[0].2);
        assert!(unfit[1].2.contains("device id `a b` in topic `aurora/sensors/a b/alerts`"), "{}", unfit[1].2);
        assert!(unfit[2].1 <= 256 * 1024 && unfit[2].2.contains("3000000 bytes"), "{:?}", (unfit[2].1, &unfit[2].2));
        assert_eq!(session.stop().await, 0);
    }
}
