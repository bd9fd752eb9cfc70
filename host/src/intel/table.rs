//! The table of a site, shared by its hosts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Config, Indicator, Known, Recorded, Seen, What, entry::teller};
use crate::{
    broker::redis_streams::{self, Found, Indicators, IndicatorsError, Pool, Telling},
    federation::Ceiling,
    telemetry::IntelMetrics,
};

/// Reads and writes what sites tell of indicators. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Table(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Indicators,
    config: Config,
    ceiling: Arc<Ceiling>,
    metrics: IntelMetrics,
    /// How many there are, as far as is known; [`UNKNOWN`] at first.
    size: AtomicU64,
    /// Goes on whenever this host records something: what was remembered before may be wrong.
    changes: AtomicU64,
}

/// The table cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TableError(#[from] IndicatorsError);

const UNKNOWN: u64 = u64::MAX;

/// Hexadecimal digits by which a message is known again, among the last 64 of an indicator.
const MARK: usize = 12;

impl Table {
    /// As `config` wants it, in the Redis of `redis`. What the ceiling never lets out is not taken in either.
    #[must_use]
    pub fn new(
        redis: &Pool,
        redis_config: &redis_streams::Config,
        config: &Config,
        ceiling: Arc<Ceiling>,
        metrics: &IntelMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            entries: Indicators::new(redis, redis_config),
            config: config.clone(),
            ceiling,
            metrics: metrics.clone(),
            size: AtomicU64::new(UNKNOWN),
            changes: AtomicU64::new(0),
        }))
    }

    /// Records what was seen, in one step for each 500. A message that was recorded before changes nothing, so whoever hears
    /// no answer may do it again.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn record(&self, seen: &[Seen]) -> Result<Vec<Recorded>, TableError> {
        let Inner { entries, config, ceiling, metrics, .. } = &*self.0;
        let refused = |one: &Seen| match one.what {
            // It was found in the table, or is to go from there.
            What::Own | What::Withdrawal => None,
            _ => ceiling.never(one.indicator.kind(), one.indicator.value()),
        };
        let mut all: Vec<Option<Recorded>> =
            seen.iter().map(|one| refused(one).map(|why| Recorded::Refused(why.into_owned()))).collect();
        let object = |one: &Seen| one.edition.as_ref().map(|edition| mark(&edition.object)).unwrap_or_default();
        let ids: Vec<_> = seen.iter().map(|one| (one.indicator.id(), mark(&one.message), object(one))).collect();
        let open = || seen.iter().zip(&ids).zip(&all).filter(|(_, refused)| refused.is_none()).map(|(one, _)| one);
        let tellings: Vec<Telling<'_>> = open()
            .map(|(one, (id, mark, object))| Telling {
                id,
                kind: one.indicator.kind().as_str(),
                value: one.indicator.value(),
                site: &one.site,
                first_ms: one.first_ms,
                last_ms: one.last_ms,
                expires_ms: one.expires_ms,
                ttl: config.life(one.indicator.kind()),
                tlp: one.tlp as u8,
                mark,
                what: one.what,
                object,
                version_ms: one.edition.as_ref().map_or(0, |edition| edition.modified_ms),
            })
            .collect();
        if !tellings.is_empty() {
            let (size, answers) =
                entries.record(config.max, &tellings).await.inspect_err(|_| metrics.failed("record"))?;
            self.is_of_size(size);
            self.0.changes.fetch_add(1, Ordering::Relaxed);
            let answers = answers.into_iter().map(|(code, count)| match code.as_str() {
                "new" => Recorded::New,
                "counted" => Recorded::Counted(count),
                "again" => Recorded::Again,
                "full" => Recorded::Full,
                "withdrawn" => Recorded::Withdrawn,
                _ => Recorded::Ended,
            });
            all.iter_mut().filter(|one| one.is_none()).zip(answers).for_each(|(one, answer)| *one = Some(answer));
        }
        let all: Vec<Recorded> = all.into_iter().map(|one| one.unwrap_or(Recorded::Ended)).collect();
        for (one, recorded) in seen.iter().zip(&all) {
            metrics.recorded(one.what, recorded.as_str());
        }
        Ok(all)
    }

    /// What is known of each of `indicators`, in their order.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn look_up(&self, indicators: &[Indicator]) -> Result<Vec<Option<Known>>, TableError> {
        let ids: Vec<_> = indicators.iter().map(Indicator::id).collect();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id[..]).collect();
        Ok(self.read(self.0.entries.look(&ids).await?).1)
    }

    /// The same for a thread that waits; none while Redis does not answer.
    pub(crate) fn look_up_now(&self, ids: &[&[u8]]) -> Option<Vec<Option<Known>>> {
        Some(self.read(self.0.entries.look_now(ids, self.0.config.timeout)?).1)
    }

    /// What is known from the one at `from` on, in the order in which it ends; and how many there are. What ended or is none
    /// of ours is missing in a page; the last page is the one that ends behind them all.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn page(&self, from: u64) -> Result<(u64, Vec<Known>), TableError> {
        let (size, page) = self.read(self.0.entries.page(from).await?);
        Ok((size, page.into_iter().flatten().collect()))
    }

    /// Of the page at `from` those that the message with the event id `id` has told, each with the site that sent it; and how
    /// many there are in all. An entry knows its last 64 messages.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn told_by(&self, id: Uuid, from: u64) -> Result<(u64, Vec<(Known, String)>), TableError> {
        let Found { now_ms, size, entries } = self.0.entries.page(from).await?;
        self.is_of_size(size);
        let told = entries.iter().flatten().filter_map(|entry| {
            // As a message of another site is called when it is recorded.
            let site = teller(entry, |site| mark(&format!("{site}:{id}")))?;
            Some((Known::read(entry, now_ms)?, site))
        });
        Ok((size, told.collect()))
    }

    /// How many entries a page has.
    pub const PAGE: u64 = redis_streams::AT_ONCE as u64;

    /// Forgets indicators. Returns how many of them were there.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn forget(&self, indicators: &[Indicator]) -> Result<u64, TableError> {
        let ids: Vec<_> = indicators.iter().map(Indicator::id).collect();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id[..]).collect();
        let gone = self.0.entries.forget(&ids).await?;
        self.0.changes.fetch_add(1, Ordering::Relaxed);
        Ok(gone)
    }

    /// Asks how many there are, and has what has ended cleared away.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn refresh(&self, clear: bool) -> Result<u64, TableError> {
        let Inner { entries, config, .. } = &*self.0;
        let size = match clear {
            true => entries.record(config.max, &[]).await?.0,
            false => entries.look(&[]).await?.size,
        };
        self.is_of_size(size);
        Ok(size)
    }

    /// Whether this site would never share it. It may be there from before the configuration said so.
    pub(crate) fn keeps(&self, indicator: &Indicator) -> bool {
        self.0.ceiling.never(indicator.kind(), indicator.value()).is_some()
    }

    /// Whether there is nothing to be found, as far as is known.
    pub(super) fn is_empty(&self) -> bool {
        self.0.size.load(Ordering::Relaxed) == 0
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }

    pub(super) fn metrics(&self) -> &IntelMetrics {
        &self.0.metrics
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    fn is_of_size(&self, size: u64) {
        self.0.size.store(size, Ordering::Relaxed);
        self.0.metrics.indicators.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    fn read(&self, found: Found) -> (u64, Vec<Option<Known>>) {
        self.is_of_size(found.size);
        let known = found.entries.into_iter().map(|entry| Known::read(&entry?, found.now_ms));
        (found.size, known.collect())
    }
}

fn mark(message: &str) -> String {
    let digest = Sha256::digest(message.as_bytes());
    let mut mark: String = digest.iter().take(MARK.div_ceil(2)).map(|byte| format!("{byte:02x}")).collect();
    mark.truncate(MARK);
    mark
}
