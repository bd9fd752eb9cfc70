use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::broker::redis_streams::Waiting;

/// Messages that wait in memory: those that were refused and will be tried again, and those of the same subjects
/// behind them. What is here is pending in the outbox as well, so it may be dropped at any time.
#[derive(Default)]
pub(super) struct Aside {
    subjects: BTreeMap<String, Queue>,
    len: usize,
    bytes: usize,
}

struct Queue {
    due: Instant,
    /// In the order of the outbox.
    messages: VecDeque<Waiting>,
}

impl Aside {
    /// How many messages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// About how much memory they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether messages of `subject` have to wait.
    pub fn holds(&self, subject: &str) -> bool {
        self.subjects.contains_key(subject)
    }

    /// Whether this very message is here.
    pub fn has(&self, message: &Waiting) -> bool {
        let queue = self.subjects.get(&message.subject);
        queue.is_some_and(|queue| queue.messages.binary_search_by_key(&order(message), order).is_ok())
    }

    /// Adds a message in its place. `wait` is for how long its subject has to wait, if it does not wait already.
    pub fn put(&mut self, message: Waiting, wait: Duration) {
        let queue = self.subjects.entry(message.subject.clone());
        let queue = queue.or_insert_with(|| Queue { due: Instant::now() + wait, messages: VecDeque::new() });
        let place = queue.messages.partition_point(|waiting| order(waiting) <= order(&message));
        self.bytes += message.bytes();
        self.len += 1;
        queue.messages.insert(place, message);
    }

    /// For how long nothing is due; nothing where nothing waits.
    pub fn wait(&self) -> Option<Duration> {
        let first = self.subjects.values().map(|queue| queue.due).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    /// Takes out a subject that is due: its messages, in order.
    pub fn take_due(&mut self) -> Option<VecDeque<Waiting>> {
        let now = Instant::now();
        let (subject, _) =
            self.subjects.iter().filter(|(_, queue)| queue.due <= now).min_by_key(|(_, queue)| queue.due)?;
        let subject = subject.clone();
        let messages = self.subjects.remove(&subject)?.messages;
        self.len -= messages.len();
        self.bytes -= messages.iter().map(Waiting::bytes).sum::<usize>();
        Some(messages)
    }
}

/// The place in the outbox.
fn order(message: &Waiting) -> (i64, u64) {
    let sequence = message.entry.split_once('-').and_then(|(_, sequence)| sequence.parse().ok());
    (message.made_ms(), sequence.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(entry: &str, subject: &str) -> Waiting {
        Waiting {
            entry: entry.to_owned(),
            is_deleted: false,
            subject: subject.to_owned(),
            id: entry.to_owned(),
            kind: "alert".to_owned(),
            provenance: String::new(),
            data: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_subject_comes_out_whole_and_in_the_order_of_the_outbox() {
        let mut aside = Aside::default();
        // By number and not by letter.
        for entry in ["9-0", "10-2", "10-10", "2-0"] {
            aside.put(message(entry, "a"), Duration::ZERO);
        }
        aside.put(message("1-0", "b"), Duration::from_secs(60));
        assert!(aside.holds("a") && aside.holds("b") && !aside.holds("c"));
        assert!(["2-0", "9-0", "10-2", "10-10"].iter().all(|entry| aside.has(&message(entry, "a"))));
        assert!(!aside.has(&message("10-2", "b")) && !aside.has(&message("10-3", "a")));
        let entries: Vec<_> = aside.take_due().unwrap().into_iter().map(|message| message.entry).collect();
        assert_eq!(entries, ["2-0", "9-0", "10-2", "10-10"]);
        assert!(aside.take_due().is_none());
        assert_eq!(aside.len(), 1);
        assert!(aside.wait().unwrap() > Duration::from_secs(50));
    }

    #[test]
    fn a_message_behind_a_refused_one_does_not_delay_it() {
        let mut aside = Aside::default();
        aside.put(message("1-0", "a"), Duration::ZERO);
        aside.put(message("2-0", "a"), Duration::from_secs(60));
        assert_eq!(aside.take_due().unwrap().len(), 2);
        assert_eq!((aside.len(), aside.bytes(), aside.wait()), (0, 0, None));
    }
}
