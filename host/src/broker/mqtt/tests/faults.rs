//! Lost connections, lost brokers, lanes that are full or fail.

use std::time::Duration;

use super::{
    BOTH, config,
    lanes::{Lanes, Running, Then},
    mosquitto::Mosquitto,
    proxy::Proxy,
    publisher::publish,
    wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_loses_nothing_and_hands_nothing_on_twice() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        for qos in [1, 2] {
            let proxy = Proxy::start(broker.port).await;
            let lanes = Lanes::new(Then::Hold);
            let mut config = config(proxy.port, version, qos);
            config.client_id = format!("host-{version:?}-{qos}");
            config.reconnect_max = Duration::from_millis(4);
            let session = Running::start(config, &lanes);
            wait_until(|| session.is_connected()).await;
            let publishing = tokio::spawn(publish(broker.port, qos, (0..20_000).map(|i| format!("{i}"))));
            let mut cut_at = proxy.to_client();
            // Cuts every 40 kB, so that it happens with messages unread, on their way, and acknowledged in vain. Not
            // for ever: each new connection begins with all that is not acknowledged.
            wait_until(|| {
                if proxy.to_client() > cut_at + 40_000 && proxy.connections() < 50 {
                    cut_at = proxy.to_client();
                    proxy.cut();
                }
                lanes.settle_held();
                lanes.has(20_000).map_err(|seen| (seen, proxy.connections()))
            })
            .await;
            publishing.await.expect("no panic");
            lanes.then(Then::Settle);
            wait_until(|| {
                lanes.settle_held();
                session.is_idle()
            })
            .await;
            assert!(proxy.connections() > 5, "{} connections", proxy.connections());
            assert_eq!((session.stop().await, lanes.repeated()), (0, vec![]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_broker_is_no_loss() {
    let mut broker = Mosquitto::start().await;
    for version in BOTH {
        let lanes = Lanes::new(Then::Hold);
        let mut config = config(broker.port, version, 2);
        config.client_id = format!("host-{version:?}");
        let session = Running::start(config, &lanes);
        wait_until(|| session.is_connected()).await;
        publish(broker.port, 2, (0..500).map(|i| i.to_string())).await;
        wait_until(|| lanes.has(500)).await;
        broker.restart().await;
        lanes.settle_held();
        lanes.then(Then::Settle);
        wait_until(|| session.is_connected()).await;
        publish(broker.port, 2, (500..1000).map(|i| i.to_string())).await;
        wait_until(|| lanes.has(1000)).await;
        wait_until(|| session.is_idle()).await;
        assert_eq!((session.stop().await, lanes.repeated()), (0, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_subscribed_anew() {
    let mut broker = Mosquitto::with("allow_anonymous true\n", |_| {}).await;
    let lanes = Lanes::new(Then::Settle);
    let session = Running::start(config(broker.port, BOTH[1], 1), &lanes);
    wait_until(|| session.is_connected()).await;
    let file = broker.folder.path().join("mosquitto.conf");
    let without = std::fs::read_to_string(&file).unwrap().replace("persistence true", "persistence false");
    std::fs::write(&file, without).unwrap();
    broker.restart().await;
    // Each is lost until the subscription stands again.
    let mut number = 0;
    while lanes.seen() == 0 {
        publish(broker.port, 1, [number.to_string()]).await;
        number += 1;
    }
    assert_eq!(session.metrics.broker(crate::telemetry::Broker::Mqtt).reconnects.get(), 1);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_comes_again_and_nothing_else_does() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        for qos in [1, 2] {
            let lanes = Lanes::new(Then::Hold);
            let mut config = config(broker.port, version, qos);
            config.client_id = format!("host-{version:?}-{qos}");
            let session = Running::start(config, &lanes);
            wait_until(|| session.is_connected()).await;
            publish(broker.port, qos, (0..100).map(|i| i.to_string())).await;
            wait_until(|| lanes.has(100)).await;
            let given_up = lanes.held.lock().unwrap().remove(50);
            let payload = String::from_utf8_lossy(&given_up.payload).into_owned();
            drop(given_up);
            let repeated = wait_until(|| match lanes.repeated() {
                none if none.is_empty() => Err(none),
                some => Ok(some),
            })
            .await;
            assert_eq!(repeated, [(payload, 2)]);
            lanes.settle_held();
            wait_until(|| session.is_idle()).await;
            assert_eq!(lanes.repeated().len(), 1);
            assert_eq!(session.stop().await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_lanes_stop_the_reading_and_not_the_pings() {
    let broker = Mosquitto::start().await;
    for version in BOTH {
        let proxy = Proxy::start(broker.port).await;
        let lanes = Lanes::new(Then::Settle);
        let mut config = config(proxy.port, version, 1);
        config.client_id = format!("host-{version:?}");
        config.keep_alive = Duration::from_secs(1);
        config.max_in_flight = 100;
        let session = Running::start(config, &lanes);
        wait_until(|| session.is_connected()).await;
        lanes.fill();
        publish(broker.port, 1, (0..5000).map(|i| format!("{i:0>300}"))).await;
        // Three pings of two bytes each and nothing else: twice what the broker would stand without.
        let before = proxy.to_broker();
        wait_until(|| if proxy.to_broker() >= before + 6 { Ok(()) } else { Err(proxy.to_broker()) }).await;
        assert_eq!((proxy.to_broker() - before) % 2, 0);
        assert!(session.in_flight() <= 100 && session.in_flight() > 0, "{}", session.in_flight());
        lanes.open();
        wait_until(|| lanes.has(5000)).await;
        assert_eq!(proxy.connections(), 1);
        assert_eq!((session.stop().await, lanes.repeated()), (0, vec![]));
    }
}
