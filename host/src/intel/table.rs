//! The table of a site, shared by its hosts.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Config, Edition, Indicator, Known, Recorded, Seen, What,
    entry::{objects_of, teller},
};
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
    /// When it was told last that it is full.
    told_full: Mutex<Option<Instant>>,
}

/// The table cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TableError(#[from] IndicatorsError);

/// Of the objects that a source has just told of the latest versions, a few bytes for each.
#[derive(Debug, Default)]
pub struct Latest {
    /// By the mark of an object.
    versions: HashMap<u64, u64>,
    /// Whether the table has a later one.
    is_raised: bool,
}

/// The way through a table, in the order in which its entries end. Whatever comes, goes or moves meanwhile, it comes by all
/// that is there from its beginning to its end, and by nothing twice.
#[derive(Debug)]
pub struct Walk {
    table: Table,
    names: Vec<Vec<u8>>,
    at: usize,
}

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
            told_full: Mutex::new(None),
        }))
    }

    /// Records what was seen, in one step for each 500. A message that was recorded before counts nothing again, so whoever
    /// hears no answer may do it again.
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
        let lost = all.iter().filter(|one| **one == Recorded::Full).count();
        if lost > 0 {
            self.tells_that_it_is_full(lost);
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

    /// All that is there now, to be gone through.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn walk(&self) -> Result<Walk, TableError> {
        Ok(Walk { table: self.clone(), names: self.0.entries.names().await?, at: 0 })
    }

    /// What `site` told by versions of objects that are older than those of `latest`, or than what the table has of these
    /// objects, and is told by the latest no more: it is withdrawn. Returns how much of it no other object of the site tells.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn supersede(&self, site: &str, latest: &mut Latest) -> Result<usize, TableError> {
        let mut gone = 0;
        loop {
            latest.is_raised = false;
            if latest.versions.is_empty() {
                return Ok(gone);
            }
            for names in self.0.entries.names().await?.chunks(redis_streams::AT_ONCE) {
                gone += self.supersede_among(names, site, latest).await?;
            }
            // What is older than that may have been passed by before.
            if !latest.is_raised {
                return Ok(gone);
            }
        }
    }

    async fn supersede_among(&self, names: &[Vec<u8>], site: &str, latest: &mut Latest) -> Result<usize, TableError> {
        let Inner { entries, config, metrics, .. } = &*self.0;
        let ids: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let found = entries.look(&ids).await?;
        let mut old = Vec::new();
        for (indicator, objects) in found.entries.iter().flatten().filter_map(|entry| objects_of(entry, site)) {
            for (object, version) in objects {
                if let Some(version_ms) = latest.after(&object, version) {
                    old.push((indicator.clone(), indicator.id(), object, version_ms));
                }
            }
        }
        if old.is_empty() {
            return Ok(0);
        }
        let withdrawn = old.iter().map(|(indicator, id, object, version_ms)| Telling {
            id,
            kind: indicator.kind().as_str(),
            value: indicator.value(),
            site,
            first_ms: found.now_ms,
            last_ms: found.now_ms,
            expires_ms: None,
            ttl: config.life(indicator.kind()),
            tlp: 0,
            mark: "",
            what: What::Withdrawal,
            object,
            version_ms: *version_ms,
        });
        let withdrawn: Vec<Telling<'_>> = withdrawn.collect();
        let (size, answers) = entries.record(config.max, &withdrawn).await.inspect_err(|_| metrics.failed("record"))?;
        self.is_of_size(size);
        self.0.changes.fetch_add(1, Ordering::Relaxed);
        let all = answers.iter().filter(|(code, _)| code == "withdrawn").count();
        (0..all).for_each(|_| metrics.recorded(What::Withdrawal, Recorded::Withdrawn.as_str()));
        Ok(all)
    }

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

    /// Most entries that it takes.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.0.config.max
    }

    /// Why this site would never share `indicator`, and does not look out for it either; none: it may be recorded.
    #[must_use]
    pub fn refuses(&self, indicator: &Indicator) -> Option<String> {
        self.0.ceiling.never(indicator.kind(), indicator.value()).map(Cow::into_owned)
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

    /// Once a minute is enough: a full table stays so for long.
    fn tells_that_it_is_full(&self, lost: usize) {
        const PAUSE: Duration = Duration::from_secs(60);
        let mut told = self.0.told_full.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= PAUSE) {
            *told = Some(Instant::now());
            tracing::warn!(
                lost,
                max = self.0.config.max,
                "the table of shared indicators is full, so new ones are not looked out for; see intel.max"
            );
        }
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

impl Latest {
    /// Takes a version of an object in.
    pub fn take(&mut self, edition: &Edition) {
        let version = self.versions.entry(number(&mark(&edition.object))).or_default();
        *version = edition.modified_ms.max(*version);
    }

    /// The latest version of the object with this mark, if `version`, which is told as well, is an older one.
    fn after(&mut self, mark: &str, version: u64) -> Option<u64> {
        let latest = self.versions.get_mut(&number(mark))?;
        if *latest < version {
            *latest = version;
            self.is_raised = true;
        }
        Some(*latest).filter(|latest| *latest > version)
    }
}

impl Walk {
    /// How many there were when it began, with what had ended and was not cleared away yet.
    #[must_use]
    pub fn size(&self) -> usize {
        self.names.len()
    }

    /// The next of them, up to some hundreds; none at the end. What ended or is none of ours is left out.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn page(&mut self) -> Result<Option<Vec<Known>>, TableError> {
        let Some(found) = self.next().await? else { return Ok(None) };
        let (_, known) = self.table.read(found);
        Ok(Some(known.into_iter().flatten().collect()))
    }

    /// Of the next of them those that the message with the event id `id` has told, each with the site that sent it; none at
    /// the end. An entry knows its last 64 messages.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub async fn told_by(&mut self, id: Uuid) -> Result<Option<Vec<(Known, String)>>, TableError> {
        let Some(Found { now_ms, entries, .. }) = self.next().await? else { return Ok(None) };
        let told = entries.iter().flatten().filter_map(|entry| {
            // As a message of another site is called when it is recorded.
            let site = teller(entry, |site| mark(&format!("{site}:{id}")))?;
            Some((Known::read(entry, now_ms)?, site))
        });
        Ok(Some(told.collect()))
    }

    /// How many of them were come by.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.at
    }

    async fn next(&mut self) -> Result<Option<Found>, TableError> {
        let names = &self.names[self.at..self.names.len().min(self.at + redis_streams::AT_ONCE)];
        if names.is_empty() {
            return Ok(None);
        }
        let ids: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let found = self.table.0.entries.look(&ids).await?;
        self.at += ids.len();
        Ok(Some(found))
    }
}

/// A mark as a number; what is none is nobody's.
fn number(mark: &str) -> u64 {
    u64::from_str_radix(mark, 16).unwrap_or(u64::MAX)
}

fn mark(message: &str) -> String {
    let digest = Sha256::digest(message.as_bytes());
    let mut mark: String = digest.iter().take(MARK.div_ceil(2)).map(|byte| format!("{byte:02x}")).collect();
    mark.truncate(MARK);
    mark
}
