//! What would run, in a few lines.

use std::{fmt, time::Duration};

use super::{Config, redacted_url};
use crate::broker::mqtt::Version;

/// One line a section, without secrets.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site       {}", self.site.id)?;
        if let Some(mqtt) = &self.mqtt {
            let version = match mqtt.version {
                Version::V3_1_1 => "3.1.1",
                Version::V5 => "5",
            };
            let count = mqtt.subscriptions.len();
            let url = redacted_url(&mqtt.url);
            write!(f, "\nmqtt       {url}, MQTT {version}, client id {}, {count} subscriptions", mqtt.client_id)?;
        }
        if let Some(ingest) = &self.ingest {
            write!(f, "\ningest     http://{}", ingest.listen)?;
        }
        if let Some(raw) = &self.raw {
            let consumer = raw.consumer(self);
            write!(f, "\nraw        {}, group {}, consumer {consumer}", raw.stream, raw.group)?;
        }
        if let Some(attestation) = &self.attestation {
            let asked = match attestation.interval.is_zero() {
                true => "asked on demand".to_owned(),
                false => format!("asked every {}", shown(attestation.interval)),
            };
            write!(f, "\nattest     devices {asked}, {} to answer", shown(attestation.answer_within))?;
        }
        if let Some(intel) = &self.intel {
            write!(f, "\nintel      indicators live {}, {} at most", shown(intel.ttl), intel.max)?;
        }
        match self.lanes.count {
            0 => write!(f, "\nlanes      one a core")?,
            count => write!(f, "\nlanes      {count}")?,
        }
        write!(f, ", batches of {}, linger {}", self.lanes.batch, shown(self.lanes.linger))?;
        for (slot, guest) in self.guests.all() {
            if guest.is_named() {
                let (place, deadline) = (guest.place(), shown(guest.deadline));
                let place = place.display();
                write!(f, "\n{:<10} {place}, {} at most, {deadline} a call", slot.as_str(), guest.memory)?;
                if !guest.grants.is_empty() {
                    write!(f, ", {}", guest.grants)?;
                }
            }
        }
        if let Some(redis) = &self.redis {
            write!(
                f,
                "\nredis      {}{}, {} streams, pool of {}",
                redacted_url(&redis.url),
                if redis.cluster { ", a cluster" } else { "" },
                redis.streams.len(),
                redis.pool
            )?;
        }
        if let Some(spool) = &self.spool {
            let (path, after) = (spool.path.display(), shown(spool.after));
            write!(f, "\nspool      {path}, {} at most, when Redis is away for {after}", spool.max_bytes)?;
        }
        match &self.nats {
            Some(nats) => {
                write!(
                    f,
                    "\nnats       {}, stream {}, {} subjects",
                    redacted_url(&nats.url),
                    nats.stream,
                    nats.subjects.len()
                )?;
                let federation = &self.federation;
                let (least, most) = (federation.ceiling.min_severity.as_str(), federation.ceiling.max_tlp.as_str());
                let sets: Vec<_> = federation.sets.iter().map(|set| set.as_str()).collect();
                write!(f, "\nfederation subjects of {}; alerts from {least} on, up to TLP:{most}", sets.join(" and "))?;
                for offer in &federation.share {
                    write!(f, ", {}", offer.as_str())?;
                }
                if let Some(inbound) = &federation.inbound {
                    let (streams, age) = (inbound.streams(nats).join(" "), shown(inbound.max_age));
                    write!(f, "\ntakes in   {} subjects of {streams}, not older than {age}", inbound.subjects.len())?;
                }
            }
            None => write!(f, "\nnats       none: nothing leaves the site")?,
        }
        if let Some(tasks) = &self.tasks {
            let (stream, group, workers) = (&tasks.stream, &tasks.group, tasks.workers);
            write!(f, "\ntasks      {stream}, group {group}, {workers} at a time")?;
            for (name, agent) in &tasks.agents {
                let (guest, deadline) = (agent.guest(), shown(agent.deadline));
                let place = guest.place();
                write!(f, "\nagent      {name}: {}, {} at most, {deadline} a task", place.display(), agent.memory)?;
                if !agent.grants.is_empty() {
                    write!(f, ", {}", agent.grants)?;
                }
            }
        }
        if let Some(broadcast) = &self.broadcast {
            let most = broadcast.max_clients;
            write!(f, "\nbroadcast  ws://{}, {most} viewers at most", broadcast.listen)?;
        }
        write!(f, "\nadmin      http://{}", self.admin.listen)
    }
}

fn shown(duration: Duration) -> impl fmt::Display {
    humantime_serde::re::humantime::format_duration(duration)
}
