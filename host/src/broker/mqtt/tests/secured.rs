//! Certificates, passwords, and what the probe says of them.

use std::{fs, path::Path, process::Command};

use super::{
    super::probe,
    BOTH, Config, Version, config,
    lanes::{Lanes, Running, Then},
    mosquitto::{Mosquitto, free_port},
    proxy::Proxy,
    publisher::publish,
    wait_until,
};
use crate::broker::{Probed, Weight};

fn run(folder: &Path, program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate authority with a server and a client certificate, and another authority that signed nothing.
fn certificates(folder: &Path) {
    for name in ["ca", "other"] {
        run(
            folder,
            "openssl",
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
            ),
        );
    }
    fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n").unwrap();
    fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        run(
            folder,
            "openssl",
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        );
        run(
            folder,
            "openssl",
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile {name}.ext"
            ),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_lets_in_who_has_the_certificate() {
    // The publisher speaks no TLS, so it gets a listener of its own.
    let plain = free_port();
    let lines = format!(
        "allow_anonymous true\ncafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/server.key\n\
         require_certificate true\nlistener {plain} 127.0.0.1\n"
    );
    let broker = Mosquitto::with(&lines, certificates).await;
    let file = |name: &str| Some(broker.folder.path().join(name));
    for version in BOTH {
        let good = Config {
            url: format!("mqtts://127.0.0.1:{}", broker.port),
            ca: file("ca.pem"),
            cert: file("client.pem"),
            key: file("client.key"),
            ..config(broker.port, version, 1)
        };
        let lanes = Lanes::new(Then::Settle);
        let session = Running::start(good.clone(), &lanes);
        wait_until(|| session.is_connected()).await;
        publish(plain, 1, (0..5000).map(|i| format!("{i:0>300}"))).await;
        wait_until(|| lanes.has(5000)).await;
        wait_until(|| session.is_idle()).await;
        assert_eq!((session.stop().await, lanes.repeated()), (0, vec![]));
        let Probed { said, findings } = probe(good.clone()).await.expect("it lets us in");
        assert!(said.contains("aurora/sensors/+/alerts at QoS 1") && said.contains("mosquitto version 2"), "{said}");
        let weights: Vec<_> = findings.iter().map(|finding| finding.weight).collect();
        assert_eq!(weights, [Weight::Note], "{findings:?}");

        let said =
            probe(Config { ca: file("other.pem"), ..good.clone() }).await.expect_err("an authority unknown to us");
        assert!(said.contains("mqtt.ca"), "{said}");
        probe(Config { cert: None, key: None, ..good.clone() }).await.expect_err("it wants a certificate");
        let said =
            probe(Config { url: format!("mqtt://127.0.0.1:{}", broker.port), ..good }).await.expect_err("no TLS");
        assert!(said.contains("not encrypted"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_tried_again_until_they_are_right() {
    let broker = Mosquitto::with("allow_anonymous false\npassword_file DIR/passwords\n", |folder| {
        run(folder, "mosquitto_passwd", "-b -c passwords host right");
    })
    .await;
    for version in BOTH {
        let proxy = Proxy::start(broker.port).await;
        let password_file = broker.folder.path().join("password");
        fs::write(&password_file, "wrong\n").unwrap();
        let config = Config {
            username: Some("host".to_owned()),
            password_file: Some(password_file.clone()),
            ..config(proxy.port, version, 1)
        };
        let said = probe(config.clone()).await.expect_err("a wrong password");
        assert!(said.contains("mqtt.password_file") && !said.contains("wrong"), "{said}");
        let session = Running::start(config.clone(), &Lanes::new(Then::Settle));
        wait_until(|| if proxy.connections() >= 4 { Ok(()) } else { Err(proxy.connections()) }).await;
        assert_eq!(session.is_connected(), Err(0));
        fs::write(&password_file, "right\n").unwrap();
        wait_until(|| session.is_connected()).await;
        assert_eq!(session.stop().await, 0);
        let findings = probe(config).await.expect("it lets us in").findings;
        assert!(findings[0].text.contains("unencrypted"), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_disturbs_no_session_and_takes_no_message() {
    let broker = Mosquitto::start().await;
    let lanes = Lanes::new(Then::Settle);
    let mut config = config(broker.port, Version::V5, 2);
    config.subscriptions[0].topic = "$share/hosts/aurora/sensors/+/alerts".to_owned();
    let session = Running::start(config.clone(), &lanes);
    wait_until(|| session.is_connected()).await;
    for _ in 0..3 {
        let findings = probe(config.clone()).await.expect("it lets us in").findings;
        assert!(findings.iter().any(|finding| finding.text.contains("was not tried")), "{findings:?}");
    }
    publish(broker.port, 2, (0..100).map(|i| i.to_string())).await;
    wait_until(|| lanes.has(100)).await;
    assert_eq!(session.metrics.broker(crate::telemetry::Broker::Mqtt).reconnects.get(), 0);
    assert_eq!(session.stop().await, 0);
}

#[tokio::test]
async fn the_probe_says_when_nobody_listens() {
    let port = free_port();
    let said = probe(config(port, Version::V5, 1)).await.expect_err("nobody listens");
    assert!(said.contains("cannot connect") && said.contains("check mqtt.url"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_tells_that_the_broker_has_dropped_messages() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_queued_messages 10\nsys_interval 1\n", |_| {}).await;
    for version in BOTH {
        let config = config(broker.port, version, 1);
        let session = Running::start(config.clone(), &Lanes::new(Then::Settle));
        wait_until(|| session.is_connected()).await;
        assert_eq!(session.stop().await, 0);
        publish(broker.port, 1, (0..100).map(|i| i.to_string())).await;
        // The broker counts once a second.
        let mut found = Vec::new();
        for _ in 0..200 {
            found = probe(config.clone()).await.expect("it lets us in").findings;
            if found.iter().any(|finding| finding.text.contains("has dropped")) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(found[0].weight, Weight::Warning, "{found:?}");
        assert!(found[0].text.contains("max_queued_messages 0"), "{found:?}");
    }
}
