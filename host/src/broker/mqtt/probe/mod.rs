//! `aurora check --connect`: whether the broker would let us in and what it would grant.

mod telling;

use std::{
    fmt::Write,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use self::telling::Telling;
use super::{
    Config, Error, Subscription, Version,
    dial::Dial,
    handshake::{self, Guise},
    packet::{self, Packet, Welcome},
    session, topics,
    wire::Wire,
};
use crate::broker::{Finding, Probed};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects under a client id of its own, so that the daemon's session is not disturbed, subscribes, and leaves
/// nothing behind. Returns what the broker grants and anything doubtful.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn probe(config: Config) -> Result<Probed, String> {
    tried(&config).await.map_err(|error| error.in_full())
}

async fn tried(config: &Config) -> Result<Probed, Error> {
    let dial = session::load(config.clone()).await?;
    let client_id = format!("{}-check-{:016x}", config.client_id, RandomState::new().build_hasher().finish());
    let expiry = match config.version {
        Version::V5 => asked_for_a_session(config, &dial, &client_id).await?,
        Version::V3_1_1 => None,
    };
    // Ends the session that was asked for, too.
    let guise = Guise { client_id: &client_id, clean: true, lasting: false };
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
    let told = tokio::time::timeout(PATIENCE, Telling::of(config, &mut wire)).await;
    // A broker may end the connection of a client that listens where it must not; that takes nothing from the rest.
    let told = told.ok().and_then(Result::ok).unwrap_or_default();
    packet::disconnect(&mut wire.out);
    // The answer is in; a goodbye that fails changes nothing.
    let _ = tokio::time::timeout(PATIENCE, wire.finish()).await;
    let mut probed = report(config, &dial, &Welcome { session_expiry: expiry, ..welcome }, &own, &grants, &shared)?;
    if let Some(version) = &told.version {
        let _ = write!(probed.said, "; {version}");
    }
    let highest = config.subscriptions.iter().map(|wanted| wanted.qos).max().unwrap_or_default();
    probed.findings.extend(told.findings(highest));
    probed.findings.sort_by_key(|finding| finding.weight);
    Ok(probed)
}

/// Asks for a session as the daemon does, without subscribing to anything. Returns how long the broker would keep it,
/// if that is not what was asked for.
async fn asked_for_a_session(config: &Config, dial: &Dial, client_id: &str) -> Result<Option<u32>, Error> {
    let guise = Guise { client_id, clean: true, lasting: true };
    let (mut wire, welcome) = handshake::connect(config, dial, &guise).await?;
    packet::disconnect(&mut wire.out);
    let _ = tokio::time::timeout(PATIENCE, wire.finish()).await;
    Ok(welcome.session_expiry)
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
) -> Result<Probed, Error> {
    let version = match config.version {
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    };
    let mut text = format!("{} lets {} in, MQTT {version}", config.url, config.client_id);
    let mut findings = Vec::new();
    let mut refused = Vec::new();
    for (i, Subscription { topic, qos, .. }) in own.iter().enumerate() {
        match grants.get(i) {
            Some(Ok(granted)) => {
                let _ = write!(text, "; {topic} at QoS {granted}");
                if granted < qos {
                    findings.push(Finding::warning(format!("{topic} should have QoS {qos}")));
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
    for Subscription { topic, .. } in config.subscriptions.iter().filter(|wanted| wanted.qos == 0) {
        findings.push(Finding::warning(format!("{topic} has QoS 0, with which events are lost on the way; use 1")));
    }
    for Subscription { topic, .. } in shared {
        let what = format!("{topic} is shared and was not tried, which would take messages from its group");
        findings.push(Finding::note(what));
        if welcome.no_shared_subscriptions {
            findings.push(Finding::warning("the broker has no shared subscriptions".to_owned()));
        }
        if !topics::filter(topic).starts_with("$share/") && topics::filter(topic) == topic.as_str() {
            findings.push(Finding::warning(format!("{topic} lacks a group or a filter: $share/<group>/<filter>")));
        }
    }
    if let Some(most) = welcome.max_qos.filter(|most| own.iter().any(|wanted| wanted.qos > *most)) {
        findings.push(Finding::warning(format!("the broker grants QoS {most} at most")));
    }
    if config.username.is_some() && !dial.is_encrypted() {
        findings.push(Finding::warning("the password goes over the network unencrypted; use mqtts://".to_owned()));
    }
    if config.version == Version::V5 && config.session_expiry.as_secs() == 0 {
        findings
            .push(Finding::warning("mqtt.session_expiry is 0: what comes while the host is away is lost".to_owned()));
    }
    if let Some(seconds) = welcome.session_expiry.filter(|&given| u64::from(given) < config.session_expiry.as_secs()) {
        findings.push(Finding::warning(format!(
            "the broker keeps our session for {seconds} s, less than mqtt.session_expiry; what comes after that while the \
             host is away is lost"
        )));
    }
    Ok(Probed { said: text, findings })
}
