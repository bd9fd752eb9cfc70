//! What was sent against what is there: every number, at both ends.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use harness::{Site, walk_jetstream, walk_stream};

use super::{
    events::{Kind, Sent, device, number_in},
    table::Row,
};

/// Stream of readings.
pub const TELEMETRY: &str = "site:telemetry";
/// Streams of alerts.
pub const ALERTS: [&str; 2] = ["aurora:cps:alerts", "aurora:alerts"];

/// What is there in the end.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Alerts in the order of their stream: number, and when Redis took it, milliseconds since 1970-01-01 UTC.
    pub alerts: Vec<(u32, i64)>,
    /// Numbered readings in the order of their stream.
    pub readings: Vec<u32>,
    /// Readings of each device that are all the same, in the order of their stream: the id of each.
    pub alike: BTreeMap<String, Vec<String>>,
    /// Messages in JetStream, in order.
    pub jetstream: Vec<u32>,
    /// Dead letters: of which number, and what they say.
    pub letters: Vec<(Option<u32>, String)>,
    /// What nobody sent.
    pub strange: Vec<String>,
}

/// What a broker forgot or repeated by itself, so that nobody could have known better, or what a case spoiled on purpose.
#[derive(Clone, Debug, Default)]
pub struct Excused {
    /// Lost there.
    pub lost: HashSet<u32>,
    /// Delivered again as another message, so often.
    pub repeated: HashMap<u32, u32>,
}

impl Found {
    /// Reads everything.
    pub async fn of(site: &Site) -> Result<Self> {
        let mut found = Self::default();
        for stream in ALERTS {
            walk_stream(&site.redis.url(), stream, |entry| match number_in(&entry.text("data")) {
                Some(number) => found.alerts.push((number, milliseconds(&entry.id))),
                None => found.strange.push(format!("{stream}: {}", entry.text("data"))),
            })
            .await?;
        }
        walk_stream(&site.redis.url(), TELEMETRY, |entry| {
            if let Some(number) = number_in(&entry.text("data")) {
                return found.readings.push(number);
            }
            let data = entry.data();
            let [device, id] = ["device_id", "id"].map(|key| data[key].as_str().unwrap_or_default().to_owned());
            found.alike.entry(device).or_default().push(id);
        })
        .await?;
        walk_stream(&site.redis.url(), "aurora:dead_letter", |entry| {
            let said = format!("{}: {}", entry.text("stage"), entry.text("reason"));
            found.letters.push((number_in(&entry.text("payload")), said));
        })
        .await?;
        if let Some(nats) = &site.nats {
            walk_jetstream(&nats.url(), "AURORA", |message| {
                // Observables of the hostile guest go out beside its events.
                if message.subject.starts_with("aurora.alerts.") {
                    match number_in(&String::from_utf8_lossy(&message.payload)) {
                        Some(number) => found.jetstream.push(number),
                        None => found.strange.push(message.subject),
                    }
                }
            })
            .await?;
        }
        Ok(found)
    }
}

fn milliseconds(entry: &str) -> i64 {
    entry.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default()
}

/// How often each number is there, and how many stand after a later one of the same device. A repeat is counted as
/// such and not as disorder too.
fn tally(sent: &[Sent], numbers: impl Iterator<Item = u32>) -> (Vec<u32>, u64) {
    let (mut times, mut disorder, mut last) = (vec![0; sent.len()], 0, HashMap::new());
    for number in numbers {
        let Some(event) = sent.get(number as usize) else { continue };
        times[number as usize] += 1;
        if times[number as usize] == 1 {
            let last = last.entry(event.device).or_insert(number);
            disorder += u64::from(number < *last);
            *last = number.max(*last);
        }
    }
    (times, disorder)
}

/// How many of `numbers` stand after a later one of the same device.
pub fn disorder(sent: &[Sent], numbers: impl Iterator<Item = u32>) -> u64 {
    tally(sent, numbers).1
}

/// As many readings of one device cannot come before the packet ids of MQTT, of which an id is made, come round: there
/// are 65,535, and one event in eight is such a reading.
const CYCLE: usize = 4_096;

/// How many readings have the id of one shortly before them, which is to say that they are the same one again.
fn repeats(ids: &[String]) -> u64 {
    let mut last = HashMap::new();
    let again = |(place, id)| last.insert(id, place).is_some_and(|before| place - before < CYCLE);
    ids.iter().enumerate().map(again).filter(|&again| again).count() as u64
}

/// Compares. `shares` tells whether there is a JetStream at all.
pub fn judge(sent: &[Sent], found: &Found, excused: &Excused, shares: bool) -> Row {
    let mut row = Row { sent: sent.len() as u64, ..Row::default() };
    let (redis, disorder) = tally(sent, found.alerts.iter().map(|(number, _)| *number));
    let (jetstream, disorder_outside) = tally(sent, found.jetstream.iter().copied());
    let (numbered, disorder_of_readings) = tally(sent, found.readings.iter().copied());
    row.disorder = disorder + disorder_outside + disorder_of_readings;
    if row.disorder > 0 {
        row.remarks.push(format!(
            "out of order: {disorder} alerts, {disorder_of_readings} readings, {disorder_outside} in JetStream"
        ));
    }
    row.redis = (found.alerts.len() + found.readings.len() + found.alike.values().map(Vec::len).sum::<usize>()) as u64;
    row.jetstream = found.jetstream.len() as u64;

    let mut letters: HashMap<u32, u32> = HashMap::new();
    for (number, said) in &found.letters {
        match number.filter(|number| matches!(sent.get(*number as usize), Some(Sent { kind: Kind::Poison, .. }))) {
            Some(number) => *letters.entry(number).or_default() += 1,
            None => row.problem(format!("a dead letter of {number:?}: {said}")),
        }
    }
    let (mut some_lost, mut some_twice) = (Vec::new(), Vec::new());
    let mut alike: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (number, event) in (0_u32..).zip(sent) {
        let index = number as usize;
        let acked = event.acked_ms.is_some();
        row.doubt += u64::from(!acked);
        let here = match event.kind {
            Kind::Telemetry { numbered: true } => numbered[index],
            Kind::Telemetry { numbered: false } => {
                let (least, most) = alike.entry(device(event.device)).or_default();
                *least += u64::from(acked);
                *most += 1;
                continue;
            }
            Kind::Poison if redis[index] > 0 => {
                row.problem(format!("{number} made the guest trap and was published"));
                continue;
            }
            Kind::Poison => letters.get(&number).copied().unwrap_or_default(),
            Kind::Alert { .. } => redis[index],
        };
        let forgotten = excused.lost.contains(&number);
        let repeats = excused.repeated.get(&number).copied().unwrap_or_default();
        let there = jetstream[index];
        // What leaves is in the outbox in one step with the entry here: one without the other is as wrong as none.
        let leaves = shares && matches!(event.kind, Kind::Alert { high: true });
        let missing =
            u64::from(here == 0 && (acked || there > 0)) + u64::from(leaves && there == 0 && (acked || here > 0));
        if missing > 0 && forgotten {
            row.forgotten += 1;
        } else if missing > 0 {
            row.lost += missing;
            some_lost.push(format!("{number}{}", if here > 0 { " (JetStream)" } else { "" }));
        }
        let more = |times: u32| u64::from(times.saturating_sub(1));
        let twice = more(here.saturating_sub(repeats)) + more(there.saturating_sub(repeats));
        row.repeated += more(here) + more(there) - twice;
        row.twice += twice;
        if twice > 0 {
            some_twice.push(format!("{number} ({here} here, {there} in JetStream)"));
        }
        if there > 0 && !leaves {
            row.problem(format!("{number} left the site"));
        }
    }
    for (device, (least, most)) in alike {
        let ids = found.alike.get(&device).map_or(&[][..], Vec::as_slice);
        // One that is lost and another one that is doubled leave the sum as it was.
        let repeats = repeats(ids);
        let different = ids.len() as u64 - repeats;
        row.lost += least.saturating_sub(different);
        row.twice += repeats + different.saturating_sub(most);
        if different < least {
            some_lost.push(format!("{different} readings of {device} instead of {least} to {most}"));
        }
        if repeats > 0 || different > most {
            some_twice.push(format!("{} readings of {device} and {repeats} of them again", ids.len()));
        }
    }
    for strange in found.strange.iter().take(3) {
        row.problem(format!("nobody sent this: {strange}"));
    }
    for (what, some) in [("lost", some_lost), ("twice", some_twice)] {
        if !some.is_empty() {
            row.remarks.push(format!("{what}: {} …", some.iter().take(8).cloned().collect::<Vec<_>>().join(", ")));
        }
    }
    time(&mut row, sent, found);
    row
}

/// How long events took from the broker's acknowledgement to their entry, and how long none came.
fn time(row: &mut Row, sent: &[Sent], found: &Found) {
    let mut waits: Vec<i64> = Vec::with_capacity(found.alerts.len());
    let mut seen = HashSet::new();
    for &(number, at_ms) in &found.alerts {
        let acked_ms = sent.get(number as usize).and_then(|event| event.acked_ms);
        if let Some(acked_ms) = acked_ms.filter(|_| seen.insert(number)) {
            waits.push((at_ms - acked_ms).max(0));
        }
    }
    waits.sort_unstable();
    let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    (row.median_ms, row.p99_ms, row.stall_ms) = (at(50), at(99), at(100));
    let mut times: Vec<i64> = found.alerts.iter().map(|(_, at_ms)| *at_ms).collect();
    times.sort_unstable();
    row.gap_ms = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight alerts of two devices, all acknowledged, the even ones high, and all where they belong.
    fn intact() -> (Vec<Sent>, Found) {
        let sent = |number: u32| Sent {
            device: number / 2 % 2,
            kind: Kind::Alert { high: number.is_multiple_of(2) },
            sent_ms: 0,
            acked_ms: Some(i64::from(number)),
        };
        let found = Found {
            alerts: (0..8).map(|number| (number, i64::from(number) + 5)).collect(),
            jetstream: vec![0, 2, 4, 6],
            ..Found::default()
        };
        ((0..8).map(sent).collect(), found)
    }

    fn judged(change: impl FnOnce(&mut Vec<Sent>, &mut Found)) -> Row {
        let (mut sent, mut found) = intact();
        change(&mut sent, &mut found);
        judge(&sent, &found, &Excused::default(), true)
    }

    #[test]
    fn finds_nothing_wrong_where_nothing_is() {
        let row = judged(|_, _| {});
        assert!(row.is_clean(), "{row:?}");
        assert_eq!((row.sent, row.redis, row.jetstream, row.stall_ms, row.gap_ms), (8, 8, 4, 5, 1));
    }

    #[test]
    fn finds_what_is_missing_at_either_end() {
        assert_eq!(judged(|_, found| found.alerts.retain(|(number, _)| *number != 3)).lost, 1);
        assert_eq!(judged(|_, found| found.jetstream.truncate(3)).lost, 1);
        assert_eq!(judged(|_, found| found.alerts.clear()).lost, 8);
    }

    #[test]
    fn finds_what_is_there_twice_at_either_end() {
        assert_eq!(judged(|_, found| found.alerts.push((1, 9))).twice, 1);
        assert_eq!(judged(|_, found| found.jetstream.push(6)).twice, 1);
    }

    #[test]
    fn finds_disorder_within_a_device_and_allows_it_between_devices() {
        assert_eq!(judged(|_, found| found.alerts.swap(0, 1)).disorder, 1);
        assert_eq!(judged(|_, found| found.jetstream.swap(0, 2)).disorder, 1);
        assert!(judged(|_, found| found.alerts.swap(1, 2)).is_clean());
    }

    #[test]
    fn what_was_in_doubt_may_be_missing_but_not_twice_and_not_at_one_end_only() {
        let doubt = |sent: &mut Vec<Sent>| sent[4].acked_ms = None;
        let gone = judged(|sent, found| {
            doubt(sent);
            found.alerts.remove(4);
            found.jetstream.remove(2);
        });
        assert!(gone.is_clean(), "{gone:?}");
        assert!(judged(|sent, _| doubt(sent)).is_clean());
        let half = judged(|sent, found| {
            doubt(sent);
            found.jetstream.remove(2);
        });
        assert_eq!(half.lost, 1);
        let twice = judged(|sent, found| {
            doubt(sent);
            found.alerts.push((4, 9));
        });
        assert_eq!(twice.twice, 1);
    }

    #[test]
    fn readings_that_are_all_the_same_are_counted_and_known_by_their_ids() {
        let readings = |ids: &[&str]| {
            let ids: Vec<_> = ids.iter().map(|&id| id.to_owned()).collect();
            let row = judged(move |sent, found| {
                let kind = Kind::Telemetry { numbered: false };
                sent.extend([Sent { device: 5, kind, sent_ms: 0, acked_ms: Some(0) }; 3]);
                found.alike.insert(device(5), ids);
            });
            (row.lost, row.twice)
        };
        assert_eq!(readings(&["a", "b", "c"]), (0, 0));
        assert_eq!(readings(&["a", "c"]), (1, 0));
        assert_eq!(readings(&["a", "b", "c", "b"]), (0, 1));
        assert_eq!(readings(&["a", "b", "c", "d"]), (0, 1));
        assert_eq!(readings(&["a", "a", "c"]), (1, 1), "one lost and one doubled");
    }

    #[test]
    fn an_id_may_come_again_when_packet_ids_have_come_round() {
        let ids: Vec<_> = (0..10_000).map(|place| (place % 5_000).to_string()).collect();
        assert_eq!(repeats(&ids), 0);
        let ids: Vec<_> = (0..10_000).map(|place| (place % 4_000).to_string()).collect();
        assert_eq!(repeats(&ids), 6_000);
    }

    #[test]
    fn numbered_readings_are_found_one_by_one() {
        let readings = |numbers: &[u32]| {
            let numbers = numbers.to_vec();
            let row = judged(move |sent, found| {
                sent.extend(
                    [Sent { device: 4, kind: Kind::Telemetry { numbered: true }, sent_ms: 0, acked_ms: Some(0) }; 3],
                );
                found.readings = numbers;
            });
            (row.lost, row.twice, row.disorder)
        };
        assert_eq!(readings(&[8, 9, 10]), (0, 0, 0));
        assert_eq!(readings(&[8, 10]), (1, 0, 0));
        assert_eq!(readings(&[8, 8, 10]), (1, 1, 0));
        assert_eq!(readings(&[9, 8, 10]), (0, 0, 1));
    }

    #[test]
    fn only_as_much_is_excused_as_the_broker_did() {
        let (sent, mut found) = intact();
        found.alerts.retain(|(number, _)| *number != 2 && *number != 3);
        found.alerts.extend([(5, 9), (5, 9), (7, 9)]);
        let excused = Excused { lost: HashSet::from([3]), repeated: HashMap::from([(5, 1)]) };
        let row = judge(&sent, &found, &excused, true);
        assert_eq!((row.lost, row.forgotten, row.twice, row.repeated), (1, 1, 2, 1));
    }

    #[test]
    fn poison_has_one_dead_letter_and_no_entry() {
        let poison = |letters: &[u32]| {
            let letters = letters.iter().map(|number| (Some(*number), "normalize: trap".to_owned())).collect();
            judged(move |sent, found| {
                sent.push(Sent { device: 0, kind: Kind::Poison, sent_ms: 0, acked_ms: Some(0) });
                found.letters = letters;
            })
        };
        assert!(poison(&[8]).is_clean());
        assert_eq!((poison(&[]).lost, poison(&[8, 8]).twice), (1, 1));
        assert!(!poison(&[8, 1]).is_clean(), "a dead letter of an ordinary event");
    }
}
