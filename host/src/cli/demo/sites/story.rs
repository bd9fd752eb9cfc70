//! What happens, step by step, and whether it came true.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::Utc;
use serde_json::json;

use super::{
    super::screen::Screen,
    party::{Entry, Party},
};

/// Who attacks: an address that means something at every site.
const ATTACKER: &str = "45.155.205.233";

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often streams are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long nothing has to come for it to be told that nothing comes.
const QUIET: Duration = Duration::from_secs(1);

/// How it ended.
pub(super) enum Told {
    /// As it should: from what north saw to what was raised at south.
    True { raised: Duration },
    /// South's own guest has not let it in, for this reason, and nothing came of it.
    TurnedAway(String),
    /// What was wrong.
    False(String),
    /// Somebody had seen enough.
    Interrupted,
}

pub(super) struct Story<'a> {
    screen: &'a Screen,
    north: &'a Party,
    south: &'a Party,
    /// Whether south asks a guest what to do with what others send.
    judges: bool,
    step: u32,
    flow: u64,
}

impl<'a> Story<'a> {
    pub fn new(screen: &'a Screen, north: &'a Party, south: &'a Party, judges: bool) -> Self {
        Self { screen, north, south, judges, step: 0, flow: 0 }
    }

    /// Tells it.
    ///
    /// # Errors
    /// A broker or a daemon does not answer.
    pub async fn tell(&mut self) -> anyhow::Result<Told> {
        self.tell_title();
        let (north, south) = (self.north, self.south);
        self.say(&format!(
            "At south a host talks to {ATTACKER}. Nobody has told south of it, so that is of little interest."
        ));
        south.see(self.flow(3, "Outbound TLS connection")).await?;
        let Some(before) = find(south, |entry| entry.origin.is_empty()).await? else {
            return Ok(Told::False("south has not stored what its own sensor saw".to_owned()));
        };
        self.show(south, &before);
        if matches!(before.text("severity"), "high" | "critical") {
            return Ok(Told::False("it is severe already, so nothing could be raised".to_owned()));
        }

        self.say(&format!(
            "At north {ATTACKER} breaks into a server. North's policy shares the alert and the address."
        ));
        let began = Instant::now();
        north.see(self.flow(1, "Log4Shell exploit, CVE-2021-44228")).await?;
        let Some(seen) = find(north, |entry| entry.origin.is_empty()).await? else {
            return Ok(Told::False("north has not stored what its sensor saw".to_owned()));
        };
        self.show(north, &seen);
        if self.judges
            && let Some(why) = self.turned_away().await?
        {
            return Ok(Told::TurnedAway(why));
        }

        // Until it is raised, for what north tells is on its way.
        let raised = loop {
            south.see(self.flow(3, "Outbound TLS connection")).await?;
            let found = last(south, |entry| !entry.field("intel.match").is_empty()).await?;
            match found {
                Some(found) => break found,
                None if began.elapsed() > PATIENCE => {
                    let why = "what happens at south is not raised by what north has shared";
                    return Ok(Told::False(why.to_owned()));
                }
                None => {}
            }
        };
        let took = began.elapsed();

        self.say("South takes in the alert, marked with its origin and as confidential as it came …");
        let Some(inbound) = find(south, |entry| entry.origin == "north").await? else {
            return Ok(Told::False("north's alert is not in south's stream".to_owned()));
        };
        self.show(south, &inbound);
        if inbound.event["id"] != seen.event["id"] {
            return Ok(Told::False("north's alert has another id at south".to_owned()));
        }

        self.say("… and keeps the address. The same connection at south, once more: now it is an alert.");
        self.show(south, &raised);
        if !raised.field("intel.match").contains(ATTACKER) || !raised.field("intel.sources").contains("north") {
            return Ok(Told::False("it is raised, but not by what north has shared".to_owned()));
        }
        if !matches!(raised.text("severity"), "high" | "critical") {
            return Ok(Told::False("it has matched, and was not raised".to_owned()));
        }

        self.say("South tells north that it has seen the address as well. What is north's own is not sent back to it.");
        let Some(back) = find(north, |entry| entry.origin == "south").await? else {
            return Ok(Told::False("south's alert is not in north's stream".to_owned()));
        };
        self.show(north, &back);
        tokio::time::sleep(QUIET).await;
        for (party, other) in [(north, "south"), (south, "north")] {
            let alerts = party.alerts().await?;
            let ids = |entry: &&Entry| entry.origin == other;
            let mut foreign: Vec<&str> = alerts.iter().filter(ids).map(|entry| entry.text("id")).collect();
            let all = foreign.len();
            foreign.sort_unstable();
            foreign.dedup();
            if foreign.len() < all {
                return Ok(Told::False(format!("an alert of {other} is twice in the stream of {}", party.name)));
            }
            let own: Vec<&str> =
                alerts.iter().filter(|entry| entry.origin.is_empty()).map(|entry| entry.text("id")).collect();
            if foreign.iter().any(|id| own.contains(id)) {
                return Ok(Told::False(format!("an alert of {} came back to it", party.name)));
            }
        }
        let own = north.counted("aurora_federation_in_total{stream=\"AURORA\",what=\"own\"}").await?;
        self.note(&format!("north was sent {own} of its own messages, knew them, and dropped them"));
        Ok(Told::True { raised: took })
    }

    /// Why south's guest has not let north's alert in; none if it has.
    async fn turned_away(&mut self) -> anyhow::Result<Option<String>> {
        self.say("South asks your guest whether it comes in.");
        let (south, began) = (self.south, Instant::now());
        let mut dropped = None::<Instant>;
        loop {
            if let Some(entry) = south.alerts().await?.into_iter().find(|entry| entry.origin == "north") {
                self.note(&format!("it does: {}", entry.judged));
                return Ok(None);
            }
            if let Some(refused) = south.refused().await?.into_iter().find(|refused| refused.channel == "alert") {
                return Ok(Some(refused.reason));
            }
            // That is counted and no more; other messages of north may have been dropped, and the alert be on its way.
            if dropped.is_none()
                && south.passages().await?.iter().any(|(what, count)| what == "dropped" && *count > 0.0)
            {
                dropped = Some(Instant::now());
            }
            if dropped.is_some_and(|since| since.elapsed() > QUIET) {
                return Ok(Some("dropped".to_owned()));
            }
            ensure!(began.elapsed() < PATIENCE, "south has neither stored nor turned away what north has shared");
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell_title(&self) {
        let paint = self.screen.paint();
        self.screen.say(&[
            String::new(),
            format!(
                "{} · two sites, each with MQTT, Redis and a daemon of its own, one NATS",
                paint.bold("aurora demo --sites 2")
            ),
        ]);
    }

    /// A step.
    fn say(&mut self, text: &str) {
        self.step += 1;
        let number = self.screen.paint().bold(&format!("{}.", self.step));
        self.screen.say(&[String::new(), format!("{number} {text}")]);
    }

    /// What an event became.
    fn show(&self, party: &Party, entry: &Entry) {
        let paint = self.screen.paint();
        let severity = entry.text("severity");
        let what = format!("{}: {}", entry.text("category"), entry.text("title"));
        let mut lines = vec![format!(
            "   {:<6} {}  {what}  → aurora:alerts",
            party.name,
            paint.severity(severity, &format!("{severity:<8}"))
        )];
        if !entry.origin.is_empty() {
            lines.push(paint.dim(&format!("          origin {}, TLP:{}", entry.origin, entry.text("tlp"))));
        }
        let matched = entry.field("intel.match");
        if !matched.is_empty() {
            let (sources, raised) = (entry.field("intel.sources"), entry.field("intel.raised"));
            lines.push(paint.dim(&format!("          matches {matched}, told by {sources}; raised from {raised}")));
        }
        self.screen.say(&lines);
    }

    fn note(&self, text: &str) {
        self.screen.say(&[self.screen.paint().dim(&format!("          {text}"))]);
    }

    /// What a sensor reports of the attacker, different each time.
    fn flow(&mut self, severity: u8, signature: &str) -> String {
        self.flow += 1;
        json!({
            "timestamp": Utc::now().to_rfc3339(), "flow_id": self.flow, "event_type": "alert",
            "src_ip": "10.20.4.17", "src_port": 49_812, "dest_ip": ATTACKER, "dest_port": 443, "proto": "TCP",
            "alert": { "signature_id": 9_000_001, "signature": signature, "category": "Misc activity", "severity": severity },
        })
        .to_string()
    }
}

/// The first alert of a site that is `wanted`, once it is there.
async fn find(party: &Party, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Option<Entry>> {
    let began = Instant::now();
    loop {
        let found = party.alerts().await?.into_iter().find(&wanted);
        if found.is_some() || began.elapsed() > PATIENCE {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The last alert of a site that is `wanted`, if it is there soon.
async fn last(party: &Party, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Option<Entry>> {
    tokio::time::sleep(LOOK).await;
    Ok(party.alerts().await?.into_iter().rev().find(&wanted))
}
