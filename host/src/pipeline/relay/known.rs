use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::broker::{
    jetstream::Refusal,
    redis_streams::{Outbox, Waiting},
};

/// What a process knows of the outbox beyond a round: each round begins with it, and a restart without.
pub(super) struct Known {
    /// Entries that JetStream has and that are not cleared yet, or whose clearing was not answered.
    pub acked: Vec<String>,
    /// Of entries that are in doubt, as they were taken by another host or in an earlier round: the earliest moment at
    /// which each can have been stored without our knowing.
    doubts: HashMap<String, i64>,
    /// Of entries that were refused: how often.
    tries: HashMap<String, u32>,
    /// Causes that have used up their retries, and when.
    spent: HashMap<(String, Refusal), Instant>,
    /// Messages that may be under way now.
    pub window: usize,
    /// Entries that may be read now for one page.
    pub page: usize,
    most: usize,
    /// What was said of the stream.
    pub told: Vec<String>,
}

/// After this, a cause is given its retries again.
const SPENT: Duration = Duration::from_secs(60);

/// More causes than this are not remembered.
const MOST_SPENT: usize = 4096;

impl Known {
    pub fn new(max_in_flight: usize) -> Self {
        Self {
            acked: Vec::new(),
            doubts: HashMap::new(),
            tries: HashMap::new(),
            spent: HashMap::new(),
            window: max_in_flight,
            page: max_in_flight,
            most: max_in_flight,
            told: Vec::new(),
        }
    }

    /// Brings it up to date with the outbox: clears what JetStream has, and learns since when the rest is taken.
    pub async fn begin(&mut self, outbox: &mut Outbox) -> redis::RedisResult<()> {
        self.clear(outbox).await?;
        let taken = outbox.taken().await?;
        self.tries.retain(|entry, _| taken.contains_key(entry));
        self.doubts.retain(|entry, _| taken.contains_key(entry));
        for (entry, since) in taken {
            // The first answer is the best: Redis keeps only the time of the last delivery.
            self.doubts.entry(entry).or_insert(since);
        }
        Ok(())
    }

    /// Notes that the entries of `page` are in doubt. Of those that are new, it can have been as soon as they were made.
    pub fn suspect(&mut self, page: &[Waiting]) {
        for message in page {
            self.doubts.entry(message.entry.clone()).or_insert_with(|| message.made_ms());
        }
    }

    /// Notes that the stream did not have `entry` at `clock`.
    pub fn missed(&mut self, entry: &str, clock: i64) {
        if let Some(since) = self.doubts.get_mut(entry) {
            *since = clock.max(*since);
        }
    }

    /// Clears what JetStream has.
    pub async fn clear(&mut self, outbox: &mut Outbox) -> redis::RedisResult<()> {
        // Forgotten only when it is answered: if it is not, they are cleared before anything is sent again.
        outbox.clear(&self.acked).await?;
        self.acked.clear();
        Ok(())
    }

    /// The earliest moment at which `entry` can have been stored without our knowing, milliseconds on the clock of Redis.
    /// Nothing where it cannot: it was never sent, or each time with an answer.
    pub fn doubt(&self, entry: &str) -> Option<i64> {
        self.doubts.get(entry).copied()
    }

    /// Counts a refusal of `entry`: how many there are now.
    pub fn refused(&mut self, entry: &str) -> u32 {
        let tries = self.tries.entry(entry.to_owned()).or_default();
        *tries += 1;
        *tries
    }

    /// Forgets `entry`: it is stored, or buried.
    pub fn forget(&mut self, entry: &str) {
        // Mostly there is nothing to look for.
        if !self.tries.is_empty() {
            self.tries.remove(entry);
        }
        if !self.doubts.is_empty() {
            self.doubts.remove(entry);
        }
    }

    /// Whether `refusal` has lately, before `now`, used up the retries for messages of `subject`.
    pub fn is_spent(&self, subject: &str, refusal: &Refusal, now: Instant) -> bool {
        !self.spent.is_empty()
            && self
                .spent
                .get(&(subject.to_owned(), refusal.clone()))
                .is_some_and(|since| now.saturating_duration_since(*since) < SPENT)
    }

    /// Notes that it has. Where that is known it stays as it is: messages that are refused because of it were not tried,
    /// and say nothing of what would become of one that is.
    pub fn spend(&mut self, subject: &str, refusal: &Refusal, now: Instant) {
        if self.is_spent(subject, refusal, now) {
            return;
        }
        if self.spent.len() >= MOST_SPENT {
            self.spent.clear();
        }
        self.spent.insert((subject.to_owned(), refusal.clone()), now);
    }

    /// All that was sent was acknowledged.
    pub fn widen(&mut self) {
        self.window = (2 * self.window).min(self.most);
    }

    /// Something was not, and what was behind it may have been.
    pub fn narrow(&mut self) {
        self.window = 1;
    }

    /// What came of reading a page. One that does not come in time may be too large for that, and would be so again.
    pub fn read<T>(&mut self, page: redis::RedisResult<T>) -> redis::RedisResult<T> {
        self.page = if page.is_ok() { (2 * self.page).min(self.most) } else { 1 };
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_narrows_to_one_message_and_successes_widen_up_to_the_limit() {
        let mut known = Known::new(5);
        known.narrow();
        let mut windows = vec![known.window];
        for _ in 0..4 {
            known.widen();
            windows.push(known.window);
        }
        assert_eq!(windows, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn a_page_that_cannot_be_read_is_asked_for_in_parts() {
        let (mut known, failed) = (Known::new(5), (redis::ErrorKind::Io, "timed out"));
        assert!(known.read::<()>(Err(failed.into())).is_err());
        let mut pages = vec![known.page];
        for _ in 0..3 {
            assert!(known.read(Ok(())).is_ok());
            pages.push(known.page);
        }
        assert_eq!((pages, known.window), (vec![1, 2, 4, 5], 5));
    }

    #[test]
    fn a_cause_is_spent_for_its_subject_alone() {
        let (mut known, now) = (Known::new(1), Instant::now());
        known.spend("a.b", &Refusal::Subject, now);
        assert!(known.is_spent("a.b", &Refusal::Subject, now));
        assert!(!known.is_spent("a.c", &Refusal::Subject, now));
        assert!(!known.is_spent("a.b", &Refusal::LargerThanStream, now));
    }

    #[test]
    fn a_cause_gets_its_retries_again_however_many_messages_it_refuses_meanwhile() {
        let (mut known, first) = (Known::new(1), Instant::now());
        let is_spent = |known: &Known, now| known.is_spent("a.b", &Refusal::Forbidden, now);
        for seconds in 0..SPENT.as_secs() {
            let now = first + Duration::from_secs(seconds);
            known.spend("a.b", &Refusal::Forbidden, now);
            assert!(is_spent(&known, now));
        }
        assert!(!is_spent(&known, first + SPENT));
        known.spend("a.b", &Refusal::Forbidden, first + SPENT);
        assert!(is_spent(&known, first + SPENT + SPENT / 2));
    }

    #[test]
    fn an_entry_is_in_doubt_until_it_is_stored_and_only_since_it_was_looked_for() {
        let mut known = Known::new(1);
        let page = [Waiting {
            entry: "1000-0".to_owned(),
            is_deleted: false,
            subject: "a.b".to_owned(),
            id: "id".to_owned(),
            kind: "alert".to_owned(),
            provenance: String::new(),
            data: bytes::Bytes::new(),
        }];
        assert_eq!(known.doubt("1000-0"), None);
        known.suspect(&page);
        assert_eq!(known.doubt("1000-0"), Some(1000));
        known.missed("1000-0", 5000);
        known.missed("2000-0", 5000);
        known.suspect(&page);
        assert_eq!((known.doubt("1000-0"), known.doubt("2000-0")), (Some(5000), None));
        known.forget("1000-0");
        assert_eq!(known.doubt("1000-0"), None);
    }

    #[test]
    fn refusals_of_an_entry_are_counted_until_it_is_forgotten() {
        let mut known = Known::new(1);
        assert_eq!((known.refused("1-0"), known.refused("1-0"), known.refused("2-0")), (1, 2, 1));
        known.forget("1-0");
        assert_eq!(known.refused("1-0"), 1);
    }
}
