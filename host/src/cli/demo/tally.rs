//! What was played against what came out: the demo's only book-keeping, and the judge of its exit code.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use super::samples::{SAMPLES, Token};

/// Something that the player or one of the consumers saw.
#[derive(Debug)]
pub enum Seen {
    /// A message goes out to the MQTT broker now.
    Played {
        /// Its number.
        token: Token,
        /// Position in [`SAMPLES`].
        sample: usize,
        /// Its bytes.
        payload: String,
        /// When.
        at: Instant,
    },
    /// A consumer read an entry of a Redis stream.
    Entry {
        /// The stream.
        stream: String,
        /// The entry's id.
        id: String,
        /// The entry's fields.
        fields: HashMap<String, Vec<u8>>,
        /// When.
        at: Instant,
    },
    /// A consumer read a message of the JetStream stream.
    Message {
        /// The subject.
        subject: String,
        /// `Nats-Msg-Id`, by which JetStream knows a repeat.
        id: Option<String>,
        /// The event that it comes from.
        event: Option<String>,
    },
}

/// What became of a sample, as its first message shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in a stream of events.
    Event {
        /// Severity.
        severity: String,
        /// Title.
        title: String,
        /// The whole event, JSON.
        data: String,
    },
    /// It is a dead letter.
    DeadLetter {
        /// Where it ended.
        stage: String,
        /// Why.
        reason: String,
    },
}

/// What is known of a sample.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Messages played.
    pub played: u64,
    /// Messages that came out.
    pub arrived: u64,
    /// What came of the first.
    pub outcome: Option<Outcome>,
    /// The first one's payload.
    pub payload: String,
    /// Streams, with the entry's id, in which the first one stands.
    pub entries: Vec<(String, String)>,
    /// Subjects on which the first one and its observables left the site.
    pub subjects: Vec<String>,
    /// The first one.
    pub first: Option<Token>,
}

/// One message on its way.
#[derive(Debug)]
struct Crossing {
    sample: usize,
    at: Instant,
    streams: Vec<String>,
    /// It is high or critical, so that the stock policy shares it.
    to_share: bool,
    shared: bool,
}

/// All that was seen so far.
#[derive(Debug)]
pub struct Tally {
    /// One for each of [`SAMPLES`].
    pub rows: Vec<Row>,
    /// Entries of each Redis stream.
    pub streams: BTreeMap<String, u64>,
    /// Messages of each JetStream subject.
    pub subjects: BTreeMap<String, u64>,
    /// Entries and messages that were there already.
    pub twice: u64,
    crossings: HashMap<Token, Crossing>,
    /// Whose event an id is.
    events: HashMap<String, Token>,
    /// Subjects of events whose entry is still to be read: the two consumers do not wait for each other.
    early: HashMap<String, Vec<String>>,
    /// Each `Nats-Msg-Id` so far.
    messages: HashSet<String>,
    latencies: Vec<Duration>,
}

/// What happened to `stream` or `subject`, told in one line: an event that is not ours, which somebody tries by hand.
#[derive(Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Stream or subject.
    pub place: String,
    /// What it says.
    pub text: String,
    /// Guests that a rule chose for it, as in `normalize/acme`.
    pub guests: Vec<String>,
    /// Which event it is, where it is one.
    pub event: Option<String>,
}

impl Stranger {
    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let by = if self.guests.is_empty() { String::new() } else { format!("   by {}", self.guests.join(", ")) };
        format!("  {:<24} {}{by}", self.place, self.text)
    }
}

impl Tally {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: vec![Row::default(); SAMPLES.len()],
            streams: BTreeMap::new(),
            subjects: BTreeMap::new(),
            twice: 0,
            crossings: HashMap::new(),
            events: HashMap::new(),
            early: HashMap::new(),
            messages: HashSet::new(),
            latencies: Vec::new(),
        }
    }

    /// Takes note. Returns what the demo did not play itself.
    pub fn note(&mut self, seen: Seen) -> Option<Stranger> {
        match seen {
            Seen::Played { token, sample, payload, at } => {
                let row = &mut self.rows[sample];
                row.played += 1;
                if row.first.is_none() {
                    (row.first, row.payload) = (Some(token), payload);
                }
                let crossing = Crossing { sample, at, streams: vec![], to_share: false, shared: false };
                self.crossings.insert(token, crossing);
                None
            }
            Seen::Entry { stream, id, fields, at } => self.entry(stream, id, &fields, at),
            Seen::Message { subject, id, event } => self.message(subject, id, event),
        }
    }

    fn entry(
        &mut self,
        stream: String,
        id: String,
        fields: &HashMap<String, Vec<u8>>,
        at: Instant,
    ) -> Option<Stranger> {
        *self.streams.entry(stream.clone()).or_default() += 1;
        let token = fields.values().find_map(|value| Token::find(value));
        let Some((token, crossing)) = token.and_then(|token| Some((token, self.crossings.get_mut(&token)?))) else {
            let event = fields.get("data").and_then(|data| serde_json::from_slice::<Id>(data).ok());
            let (text, guests) = (describe(fields), chosen(fields));
            return Some(Stranger { place: stream, text, guests, event: event.map(|event| event.id) });
        };
        if crossing.streams.contains(&stream) {
            self.twice += 1;
            return None;
        }
        let severity = text(fields, "severity");
        crossing.to_share |= severity == "high" || severity == "critical";
        let row = &mut self.rows[crossing.sample];
        if crossing.streams.is_empty() {
            self.latencies.push(at.saturating_duration_since(crossing.at));
            row.arrived += 1;
        }
        crossing.streams.push(stream.clone());
        if row.first == Some(token) {
            row.outcome.get_or_insert_with(|| outcome(&stream, severity, fields));
            row.entries.push((stream, id));
        }
        if let Some(event) = fields.get("data").and_then(|data| serde_json::from_slice::<Id>(data).ok()) {
            for subject in self.early.remove(&event.id).unwrap_or_default() {
                self.leaves(token, subject);
            }
            self.events.insert(event.id, token);
        }
        None
    }

    fn message(&mut self, subject: String, id: Option<String>, event: Option<String>) -> Option<Stranger> {
        *self.subjects.entry(subject.clone()).or_default() += 1;
        self.twice += u64::from(id.is_some_and(|id| !self.messages.insert(id)));
        let event = event?;
        if let Some(&token) = self.events.get(&event) {
            self.leaves(token, subject);
            return None;
        }
        self.early.entry(event).or_default().push(subject.clone());
        Some(Stranger { place: subject, text: "for the other sites".to_owned(), guests: Vec::new(), event: None })
    }

    fn leaves(&mut self, token: Token, subject: String) {
        let Some(crossing) = self.crossings.get_mut(&token) else { return };
        crossing.shared = true;
        let row = &mut self.rows[crossing.sample];
        if row.first == Some(token) && !row.subjects.contains(&subject) {
            row.subjects.push(subject);
        }
    }

    /// Messages played so far.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.rows.iter().map(|row| row.played).sum()
    }

    /// Messages on all subjects.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.subjects.values().sum()
    }

    /// Whether everything played has come out, and has left the site where it should.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let here = |crossing: &Crossing| !crossing.streams.is_empty();
        let there = |crossing: &Crossing| !crossing.to_share || crossing.shared;
        self.crossings.values().all(|crossing| here(crossing) && there(crossing))
    }

    /// Latency below which `percent` of the messages stayed.
    #[must_use]
    pub fn latency(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        let place = (sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?);
        Some(*sorted.select_nth_unstable(place).1)
    }

    /// What is wrong with the outcome, a line for each; none if all is well.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.played() == 0 {
            faults.push("nothing was played".to_owned());
        }
        for (sample, row) in SAMPLES.iter().zip(&self.rows) {
            let missing = row.played - row.arrived;
            if missing > 0 {
                faults.push(format!("{}: {missing} of {} messages came out nowhere", sample.name, row.played));
            }
            match &row.outcome {
                Some(Outcome::DeadLetter { stage, reason }) if !sample.bad => {
                    faults.push(format!("{}: became a dead letter ({stage}: {reason})", sample.name));
                }
                Some(Outcome::Event { .. }) if sample.bad => {
                    faults.push(format!("{}: should have become a dead letter", sample.name));
                }
                _ => {}
            }
        }
        let kept = self.crossings.values().filter(|crossing| crossing.to_share && !crossing.shared).count();
        if kept > 0 {
            faults.push(format!("{kept} high or critical events are not in JetStream"));
        }
        if self.played() > 0 && self.shared() == 0 {
            faults.push("nothing is in JetStream".to_owned());
        }
        if self.twice > 0 {
            faults.push(format!("{} entries are there twice", self.twice));
        }
        faults
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// The beginning of a normalized event.
#[derive(serde::Deserialize)]
struct Id {
    id: String,
}

fn text(fields: &HashMap<String, Vec<u8>>, key: &str) -> String {
    fields.get(key).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn title(data: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    event["title"].as_str().unwrap_or_default().to_owned()
}

fn outcome(stream: &str, severity: String, fields: &HashMap<String, Vec<u8>>) -> Outcome {
    if stream == "aurora:dead_letter" {
        return Outcome::DeadLetter { stage: text(fields, "stage"), reason: text(fields, "reason") };
    }
    let data = text(fields, "data");
    Outcome::Event { severity, title: title(&data), data }
}

/// The guests of its `provenance` that a rule chose, without their digests.
fn chosen(fields: &HashMap<String, Vec<u8>>) -> Vec<String> {
    let provenance: serde_json::Value =
        fields.get("provenance").and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    let guests = provenance["guests"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let slots = guests.filter_map(|guest| guest.split('@').next()).filter(|slot| slot.contains('/'));
    slots.map(str::to_owned).collect()
}

/// An entry in one line, whatever stream it is from.
fn describe(fields: &HashMap<String, Vec<u8>>) -> String {
    if fields.contains_key("data") {
        return format!("{} \"{}\"", text(fields, "severity"), title(&text(fields, "data")));
    }
    if fields.contains_key("reason") {
        return format!("{}: {}", text(fields, "stage"), text(fields, "reason"));
    }
    ["agent", "action", "details"].map(|key| text(fields, key)).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE_ALERT: usize = 0;
    const CUT_SHORT: usize = 11;

    fn play(tally: &mut Tally, number: u32, sample: usize) {
        let at = Instant::now();
        tally.note(Seen::Played { token: Token(number), sample, payload: format!("{}", Token(number)), at });
    }

    fn enter(tally: &mut Tally, number: u32, stream: &str, severity: &str) -> Option<Stranger> {
        let data = format!(r#"{{"id":"{number}","title":"Door","fields":{{"trace":"{}"}}}}"#, Token(number));
        let fields = HashMap::from([
            ("data".to_owned(), data.into_bytes()),
            ("severity".to_owned(), severity.as_bytes().to_vec()),
        ]);
        tally.note(Seen::Entry { stream: stream.to_owned(), id: "1-0".to_owned(), fields, at: Instant::now() })
    }

    fn share(tally: &mut Tally, number: u32) {
        let (id, event) = (Some(format!("alert-{number}")), Some(number.to_string()));
        tally.note(Seen::Message { subject: "aurora.alerts.cps".to_owned(), id, event });
    }

    #[test]
    fn all_is_well_when_everything_came_out_once() {
        let mut tally = Tally::new();
        play(&mut tally, 1, DEVICE_ALERT);
        assert!(!tally.is_complete());
        enter(&mut tally, 1, "aurora:cps:alerts", "high");
        assert!(!tally.is_complete(), "a high event is still to be shared");
        share(&mut tally, 1);
        assert!(tally.is_complete());
        assert_eq!(tally.faults(), Vec::<String>::new());
        assert!(tally.latency(99).is_some());
    }

    #[test]
    fn a_lost_message_is_a_fault() {
        let mut tally = Tally::new();
        for number in [1, 2] {
            play(&mut tally, number, DEVICE_ALERT);
        }
        enter(&mut tally, 1, "aurora:cps:alerts", "high");
        share(&mut tally, 1);
        assert_eq!(tally.faults(), ["device alert: 1 of 2 messages came out nowhere"]);
    }

    #[test]
    fn a_double_is_a_fault() {
        let mut tally = Tally::new();
        play(&mut tally, 1, DEVICE_ALERT);
        for _ in 0..2 {
            enter(&mut tally, 1, "aurora:cps:alerts", "high");
            share(&mut tally, 1);
        }
        assert_eq!(tally.faults(), ["2 entries are there twice"]);
    }

    #[test]
    fn a_message_read_before_its_entry_counts() {
        let mut tally = Tally::new();
        play(&mut tally, 1, DEVICE_ALERT);
        share(&mut tally, 1);
        enter(&mut tally, 1, "aurora:cps:alerts", "high");
        assert!(tally.is_complete());
        assert_eq!(tally.rows[DEVICE_ALERT].subjects, ["aurora.alerts.cps"]);
    }

    #[test]
    fn nothing_played_is_no_success() {
        assert!(!Tally::new().faults().is_empty());
    }

    #[test]
    fn a_broken_sample_must_not_pass_for_an_event() {
        let mut tally = Tally::new();
        play(&mut tally, 1, CUT_SHORT);
        enter(&mut tally, 1, "aurora:alerts", "medium");
        assert!(tally.faults().contains(&"cut short: should have become a dead letter".to_owned()));
    }

    #[test]
    fn an_event_of_somebody_else_is_told_and_not_counted() {
        let mut tally = Tally::new();
        let stranger = enter(&mut tally, 77, "aurora:alerts", "low").unwrap();
        assert_eq!(stranger.line(), format!("  {:<24} low \"Door\"", "aurora:alerts"));
        assert_eq!(stranger.event.as_deref(), Some("77"));
        assert!(tally.rows.iter().all(|row| row.arrived == 0));
    }

    #[test]
    fn the_guests_that_a_rule_chose_are_named() {
        let provenance = r#"{"guests":["normalize/acme@0123456789abcdef","route@0123456789abcdef"],"route":"x"}"#;
        let fields = HashMap::from([("provenance".to_owned(), provenance.as_bytes().to_vec())]);
        assert_eq!(chosen(&fields), ["normalize/acme"]);
    }
}
