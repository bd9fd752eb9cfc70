//! `aurora check --connect`: whether the broker would let us in and what it would grant.

use std::{
    fmt::Write,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use super::{
    Config, Error, Subscription, Version,
    dial::Dial,
    handshake::{self, Guise},
    packet::{self, Packet, Welcome},
    session, topics,
    wire::Wire,
};

/// Longest wait for SUBACK.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects under a client id of its own, so that the daemon's session is not disturbed, subscribes, and leaves.
/// Returns what the broker grants and anything doubtful.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn probe(config: Config) -> Result<String, String> {
    tried(&config).await.map_err(|error| error.in_full())
}

async fn tried(config: &Config) -> Result<String, Error> {
    let dial = session::load(config.clone()).await?;
    let client_id = format!("{}-check-{:016x}", config.client_id, RandomState::new().build_hasher().finish());
    let guise = Guise { client_id: &client_id, clean: true };
    let (mut wire, welcome) = handshake::connect(config, &dial, &guise).await?;
    // A member of a shared subscription would take messages away from the daemon.
    let (shared, own): (Vec<_>, Vec<_>) =
        config.subscriptions.iter().partition(|wanted| wanted.topic.starts_with("$share/"));
    let grants = if own.is_empty() {
        Vec::new()
    } else {
        packet::subscribe(config.version, 1, &own, &mut wire.out)?;
        tokio::time::timeout(PATIENCE, granted(&mut wire)).await.map_err(|_| Error::Slow(PATIENCE))??
    };
    packet::disconnect(&mut wire.out);
    // The answer is in; a goodbye that fails changes nothing.
    let _ = tokio::time::timeout(PATIENCE, wire.finish()).await;
    report(config, &dial, &welcome, &own, &grants, &shared)
}

async fn granted(wire: &mut Wire) -> Result<Vec<Result<u8, String>>, Error> {
    loop {
        match wire.next()? {
            None => wire.turn(true).await?,
            Some(Packet::Granted(_, grants)) => return Ok(grants),
            Some(Packet::Farewell(error)) => return Err(error),
            // Retained messages, which a clean session takes along when it goes.
            Some(_) => {}
        }
    }
}

fn report(
    config: &Config,
    dial: &Dial,
    welcome: &Welcome,
    own: &[&Subscription],
    grants: &[Result<u8, String>],
    shared: &[&Subscription],
) -> Result<String, Error> {
    let version = match config.version {
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    };
    let mut text = format!("{} lets {} in, MQTT {version}", config.url, config.client_id);
    let mut doubts = Vec::new();
    let mut refused = Vec::new();
    for (i, Subscription { topic, qos, .. }) in own.iter().enumerate() {
        match grants.get(i) {
            Some(Ok(granted)) => {
                let _ = write!(text, "; {topic} at QoS {granted}");
                if granted < qos {
                    doubts.push(format!("{topic} should have QoS {qos}"));
                }
            }
            Some(Err(reason)) => refused.push(format!("{topic}: {reason}")),
            None => refused.push(format!("{topic}: no answer")),
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            reason: refused.join(", "),
            remedy: "check the broker's access rules for mqtt.username and mqtt.client_id",
        });
    }
    for Subscription { topic, .. } in shared {
        doubts.push(format!("{topic} is shared and was not tried, which would take messages from its group"));
        if welcome.no_shared_subscriptions {
            doubts.push("the broker has no shared subscriptions".to_owned());
        }
        if !topics::filter(topic).starts_with("$share/") && topics::filter(topic) == topic.as_str() {
            doubts.push(format!("{topic} lacks a group or a filter: $share/<group>/<filter>"));
        }
    }
    if let Some(most) = welcome.max_qos.filter(|most| own.iter().any(|wanted| wanted.qos > *most)) {
        doubts.push(format!("the broker grants QoS {most} at most"));
    }
    if config.username.is_some() && !dial.is_encrypted() {
        doubts.push("the password goes over the network unencrypted; use mqtts://".to_owned());
    }
    if config.version == Version::V5 && config.session_expiry.as_secs() == 0 {
        doubts.push("mqtt.session_expiry is 0: what comes while the host is away is lost".to_owned());
    }
    for doubt in doubts {
        let _ = write!(text, "; doubtful: {doubt}");
    }
    Ok(text)
}
