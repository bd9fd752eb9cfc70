//! `--send FILE` with two sites: what further sites send to south, a message a line, as it stands in the cases of a guest of
//! `inbound`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::{HeaderMap, jetstream};
use chrono::Utc;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Builder;

use super::{
    super::{brokers::Broker, screen::Screen},
    party::Party,
};
use crate::{federation::inbound::Sort, trial::Foreign};

/// How long south may take for a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// A visitor's messages, read before anything is started.
#[derive(Debug)]
pub(in crate::cli::demo) struct Messages(Vec<Message>);

/// One of them, as its site sends it.
#[derive(Debug, PartialEq)]
struct Message {
    site: String,
    subject: String,
    /// What it is, for a person.
    title: String,
    /// By which it is known again.
    id: String,
    payload: Value,
}

impl Messages {
    /// The lines of the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, one of them is no message, or there are none.
    pub(in crate::cli::demo) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut all = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let message = message(line, number);
            all.push(message.map_err(|what| anyhow::anyhow!("{}, line {}: {what}", path.display(), number + 1))?);
        }
        anyhow::ensure!(!all.is_empty(), "there is no message in {}", path.display());
        Ok(Self(all))
    }

    /// Sends one after the other, and tells what south makes of each.
    ///
    /// # Errors
    /// NATS does not take one, or south does not answer.
    pub(super) async fn send(&self, nats: &Broker, south: &Party, screen: &Screen) -> anyhow::Result<()> {
        let jetstream = jetstream::new(async_nats::connect(nats.url()).await.context("cannot reach NATS")?);
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        screen.say(&[String::new(), format!("{count} message{s} of your own, sent to south:")]);
        for message in &self.0 {
            let before = south.passages().await?;
            let mut headers = HeaderMap::new();
            headers.insert("Aurora-Site", message.site.as_str());
            let payload = message.payload.to_string();
            let sent = jetstream.publish_with_headers(message.subject.clone(), headers, payload.into()).await;
            sent.context("cannot reach NATS")?.await.context("NATS does not take a message")?;
            let became = became(south, &before, message).await?;
            screen.say(&[format!("  {:<8} {:<24} \"{}\"  {became}", message.site, message.subject, message.title)]);
        }
        Ok(())
    }
}

/// What became of `message` at south, whose counters were at `before` when it was sent.
async fn became(south: &Party, before: &[(String, f64)], message: &Message) -> anyhow::Result<String> {
    let began = Instant::now();
    let passage = loop {
        let now = south.passages().await?;
        let known = |what: &str| before.iter().find(|(name, _)| name == what).map_or(0.0, |(_, count)| *count);
        if let Some((what, _)) = now.iter().find(|(what, count)| *count > known(what)) {
            break what.clone();
        }
        if began.elapsed() > PATIENCE {
            return Ok("nothing came of it; see the log".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    };
    Ok(match passage.as_str() {
        "stored" => match south.stored(&message.id).await? {
            Some((stream, severity, why)) => format!("→ {stream}, {severity}: {why}"),
            None => "→ recorded".to_owned(),
        },
        "dead_letter" => match south.refused().await?.pop() {
            Some(refused) => format!("→ dead letter of {}: {}", refused.stage, refused.reason),
            None => "→ dead letter".to_owned(),
        },
        "dropped" => "dropped".to_owned(),
        other => format!("passed over: {other}"),
    })
}

/// The message that a line of a case writes. Its number tells it from others of the same moment.
fn message(line: &str, number: usize) -> Result<Message, String> {
    let now = Utc::now();
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let message = Foreign::read(value, now.timestamp_millis())?;
    let subject = message.origin.context.topic.clone().unwrap_or_default();
    let sort = Sort::of(&subject).ok_or_else(|| format!("{subject:?} is no subject that has a meaning"))?;
    let event = &message.origin.event;
    let digest: [u8; 32] = Sha256::digest(format!("{now:?} {number} {line}")).into();
    let id = Builder::from_custom_bytes(std::array::from_fn(|index| digest[index])).into_uuid().to_string();
    let (title, mut payload) = match sort {
        Sort::Indicator(_) | Sort::Sighting(_) => {
            let (kind, _, value) = event.observables.first().ok_or("it tells of no indicator, for `iocs` is empty")?;
            let payload = json!({ "type": kind.as_str(), "value": value, "event_id": id });
            (format!("{} {value}", kind.as_str()), payload)
        }
        Sort::Attestation => {
            let of = |name: &str| event.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let (status, reason) = (of("attestation.status"), of("attestation.reason"));
            let status = status.unwrap_or("valid");
            let (device, reason) = (&event.device_id, reason.unwrap_or_default());
            let payload = json!({ "device_id": device, "status": status, "reason": reason, "event_id": id });
            (format!("{device} is {status}"), payload)
        }
        Sort::Alert | Sort::AgentResult | Sort::Audit | Sort::Soar => {
            let mut payload = message.written();
            payload["id"] = id.as_str().into();
            payload["timestamp_ms"] = now.timestamp_millis().into();
            (event.title.clone(), payload)
        }
    };
    payload["site"] = message.site.as_str().into();
    payload["tlp"] = message.tlp.as_str().into();
    payload["timestamp"] = now.to_rfc3339().into();
    Ok(Message { site: message.site, subject, title, id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        federation::inbound::{Rules, context},
    };

    #[test]
    fn a_line_of_a_case_becomes_a_message_that_a_site_takes() {
        let rules = Rules::new(&Config::default(), &["aurora:alerts".to_owned()]);
        for (line, title) in [
            (
                r#"{"site":"north","severity":"high","title":"Beacon","iocs":[{"type":"ip","value":"45.155.205.233"}]}"#,
                "Beacon",
            ),
            (r#"{"title":"Agent","subject":"AURORA.agent_results","tlp":"GREEN"}"#, "Agent"),
            (
                r#"{"subject":"aurora.intel.ioc.ip","iocs":[{"type":"ip","value":"45.155.205.233"}]}"#,
                "ip 45.155.205.233",
            ),
            (r#"{"subject":"aurora.cps.attestation.door_1","device_id":"door_1"}"#, "door_1 is valid"),
        ] {
            let message = message(line, 1).unwrap();
            assert_eq!(message.title, title);
            let context = context(Some(&message.site), Sort::of(&message.subject).unwrap(), &message.subject);
            let payload = message.payload.to_string();
            let read = rules.read(&context, payload.as_bytes(), Utc::now().timestamp_millis());
            assert_eq!(read.map(|read| read.origin.id.to_string()), Ok(message.id), "{payload}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"title\":\"x\"}\n\n{\"subject\":\"aurora.intel.ioc.ip\"}\n").unwrap();
        let error = Messages::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 3: it tells of no indicator"), "{error}");
        fs::write(file.path(), "\n").unwrap();
        assert!(Messages::read(file.path()).is_err());
    }
}
