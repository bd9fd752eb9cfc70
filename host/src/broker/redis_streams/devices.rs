//! What a site knows of its devices, shared by all of its hosts: who is enrolled, which challenges are open, the boot
//! count of each, and when each was last heard of.
//!
//! | key (behind `redis.state`) | |
//! |---|---|
//! | `devices` | hash: a record for each device that a command or a first answer enrolled, or that is revoked |
//! | `device:<id>` | hash: `challenges` (the last ones, JSON), `boot` and `boot-key` (whose it is), `due` (of the schedule), `last` (the last verdict) |
//! | `heard` | sorted set: when the last heartbeat of a device came |
//! | `unanswered` | sorted set: challenges that were sent, by when they expire, or until when a host is telling that: see `devices_missing.lua` |
//! | `wanted` | sorted set: devices that somebody wants challenged now |
//! | `strangers`, `stranger:<id>`, `stranger:*` | which failures of devices that nobody enrolled were told: see `devices_repeats.lua` |
//! | `enrolled-since` | hash: when each enrolled device was first seen to be enrolled |
//! | `silent`, `silent-telling` | hashes: of which devices it was told that they are silent, and who is telling: see `devices_silence.lua` |
//!
//! `device:<id>` also holds the windows of the failures of a device that is enrolled, `failing:<cause>`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{Pipeline, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use serde::Deserialize;

use super::{Config, Pool, PoolError};

static ISSUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("devices_issue.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("devices_claim.lua")));

/// Challenges that are remembered for each device. A response that is delivered again after so many newer ones is judged
/// anew, and its nonce is unknown then.
const KEPT: usize = 8;

/// Devices, heartbeats or challenges that are read at once.
pub(super) const MOST: usize = 10_000;

/// Reads and writes what is known of devices. Cheap to clone.
#[derive(Clone)]
pub struct Devices {
    redis: Pool,
    pub(super) names: Arc<Names>,
}

/// Keys.
#[derive(Debug)]
pub(super) struct Names {
    pub records: String,
    device: String,
    pub heard: String,
    pub unanswered: String,
    wanted: String,
    pub strangers: String,
    stranger: String,
    pub watched: String,
    pub silent: String,
    pub telling: String,
}

/// The state of the site's devices cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("Redis does not tell or keep what is known of the devices")]
    Redis(#[source] RedisError),
    /// An answer that our scripts do not give, or a value that somebody else wrote.
    #[error("what is known of device {device} cannot be read: {what}")]
    Unreadable {
        /// Which device.
        device: String,
        /// What is wrong.
        what: String,
    },
}

/// What is known of one device.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its record, as it was written.
    pub record: Option<String>,
    /// The boot count of its last response that held.
    pub boot: Option<String>,
    /// Its last challenges, the newest first.
    pub challenges: Vec<Challenge>,
    /// The last verdict, as it was written.
    pub last: Option<String>,
    /// Why the rest of it cannot be read, if it cannot: somebody else wrote it.
    pub unreadable: Option<String>,
}

/// A challenge that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Challenge {
    /// 64 hexadecimal digits.
    pub nonce: String,
    /// When, milliseconds since 1970-01-01 UTC by the clock of Redis.
    #[serde(deserialize_with = "whole")]
    pub issued: i64,
    /// Until when it can be answered.
    #[serde(deserialize_with = "whole")]
    pub expires: i64,
    /// The response that used it.
    pub used: Option<Used>,
}

/// By what a nonce was used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Used {
    /// SHA-256 of the response.
    pub response: String,
    /// What came of it: see `devices_claim.lua`.
    pub code: String,
}

/// Lua writes large numbers as `1.7638e+12`.
fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    f64::deserialize(deserializer).map(|number| number as i64)
}

/// A response whose signature holds, on its way to its nonce.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Device.
    pub device: String,
    /// The nonce that it answers.
    pub nonce: String,
    /// SHA-256 of the response, in hexadecimal.
    pub response: String,
    /// What tells this host from others of the site.
    pub host: String,
    /// What tells this delivery from others, and stays the same when it is delivered again.
    pub delivery: String,
    /// Boot count, decimal.
    pub boot: u64,
    /// A code for what is wrong besides; empty if nothing is.
    pub fault: &'static str,
    /// The record that it was judged by.
    pub record: Option<String>,
    /// What to put in place of the record if all holds.
    pub renewed: Option<String>,
    /// When the host received it.
    pub received_ms: i64,
    /// What tells the key that signed it from others: a boot count is compared with that of the same key.
    pub key: String,
}

/// What became of a [`Claim`]: a code, and what belongs to it. See `devices_claim.lua`.
pub type Answered = (String, String);

/// Whether a challenge may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// It is noted.
    Now {
        /// When, by the clock of Redis.
        at: i64,
        /// Until when it can be answered.
        expires: i64,
    },
    /// Another host has done it. The next one is due then; 0: nobody knows.
    Later(i64),
    /// The challenges that the device was sent cannot be read.
    Unreadable,
}

/// Why a challenge is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The schedule says so.
    Due,
    /// Somebody wants one now.
    Wanted,
}

impl Devices {
    /// Of the Redis of `config`.
    #[must_use]
    pub fn new(redis: &Pool, config: &Config) -> Self {
        let names = Names {
            records: config.state_key("devices"),
            device: config.state_key("device"),
            heard: config.state_key("heard"),
            unanswered: config.state_key("unanswered"),
            wanted: config.state_key("wanted"),
            strangers: config.state_key("strangers"),
            stranger: config.state_key("stranger"),
            watched: config.state_key("enrolled-since"),
            silent: config.state_key("silent"),
            telling: config.state_key("silent-telling"),
        };
        Self { redis: redis.clone(), names: Arc::new(names) }
    }

    /// What is known of each of `ids`.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn look(&self, ids: &[&str]) -> Result<Vec<Known>, DevicesError> {
        type Fields = (Option<String>, Option<String>, Option<String>);
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.cmd("HGET").arg(&self.names.records).arg(id);
            pipeline.cmd("HMGET").arg(self.names.of(id)).arg("boot").arg("challenges").arg("last");
        }
        let values: Vec<redis::Value> = self.run(&pipeline).await?;
        let mut known = Vec::with_capacity(ids.len());
        let mut values = values.into_iter();
        while let (Some(record), Some(fields)) = (values.next(), values.next()) {
            // One of which nothing can be read must not hide the others.
            let mut one = Known::default();
            match redis::from_redis_value(record) {
                Ok(record) => one.record = record,
                Err(error) => one.unreadable = Some(error.to_string()),
            }
            match redis::from_redis_value::<Fields>(fields) {
                Ok((boot, challenges, last)) => {
                    (one.boot, one.last) = (boot, last);
                    match listed(challenges) {
                        Ok(challenges) => one.challenges = challenges,
                        Err(what) => one.unreadable = Some(what),
                    }
                }
                Err(error) => one.unreadable = Some(error.to_string()),
            }
            known.push(one);
        }
        Ok(known)
    }

    /// Uses nonces up, in order, in one step.
    ///
    /// # Errors
    /// As for [`look`](Self::look). It may have been done all the same; the same claims again give the same answers.
    pub async fn claim(&self, claims: &[Claim]) -> Result<Vec<Answered>, DevicesError> {
        let mut call = CLAIM.prepare_invoke();
        call.key(&self.names.records).key(&self.names.unanswered);
        for claim in claims {
            call.key(self.names.of(&claim.device));
            call.arg(&claim.device).arg(&claim.nonce).arg(&claim.response).arg(&claim.host).arg(&claim.delivery);
            call.arg(claim.boot.to_string()).arg(claim.fault);
            call.arg(claim.record.as_deref().unwrap_or_default());
            call.arg(claim.renewed.as_deref().unwrap_or_default()).arg(claim.received_ms);
            call.arg(&claim.key);
        }
        self.ask(async |redis| call.invoke_async(redis).await).await
    }

    /// Notes the last verdicts, each of a device, and that its challenges with these nonces have been answered somehow.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn note(&self, verdicts: &[(String, String)], answered: &[(String, String)]) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        for (device, verdict) in verdicts {
            pipeline.cmd("HSET").arg(self.names.of(device)).arg("last").arg(verdict).ignore();
        }
        for (device, nonce) in answered {
            pipeline.cmd("ZREM").arg(&self.names.unanswered).arg(member(device, nonce)).ignore();
        }
        if verdicts.is_empty() && answered.is_empty() { Ok(()) } else { self.run(&pipeline).await }
    }

    /// Notes a challenge before it is sent.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn issue(
        &self,
        device: &str,
        nonce: &str,
        within: Duration,
        interval: Duration,
        occasion: Occasion,
    ) -> Result<Issued, DevicesError> {
        let mut call = ISSUE.prepare_invoke();
        call.key(self.names.of(device)).key(&self.names.wanted);
        call.arg(device).arg(nonce).arg(milliseconds(within)).arg(milliseconds(interval));
        call.arg(if occasion == Occasion::Wanted { "asked" } else { "due" }).arg(KEPT);
        let (done, at, expires): (u8, i64, i64) = self.ask(async |redis| call.invoke_async(redis).await).await?;
        Ok(match done {
            1 => Issued::Now { at, expires },
            0 => Issued::Later(at),
            _ => Issued::Unreadable,
        })
    }

    /// Notes that a challenge has been sent: from now on it lacks an answer.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn sent(&self, device: &str, nonce: &str, expires: i64) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZADD").arg(&self.names.unanswered).arg(expires).arg(member(device, nonce)).ignore();
        self.run(&pipeline).await
    }

    /// Challenges that expired before `now` and are unanswered: device and nonce.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn overdue(&self, now: i64) -> Result<Vec<(String, String)>, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZRANGEBYSCORE").arg(&self.names.unanswered).arg("-inf").arg(format!("({now}"));
        pipeline.arg("LIMIT").arg(0).arg(MOST);
        let (members,): (Vec<String>,) = self.run(&pipeline).await?;
        let pair = |member: String| member.split_once(' ').map(|(device, nonce)| (device.to_owned(), nonce.to_owned()));
        Ok(members.into_iter().filter_map(pair).collect())
    }

    /// Notes that a challenge will not be answered any more. Whether it was unanswered still.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn forget(&self, device: &str, nonce: &str) -> Result<bool, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZREM").arg(&self.names.unanswered).arg(member(device, nonce));
        let (removed,): (u64,) = self.run(&pipeline).await?;
        Ok(removed > 0)
    }

    /// Asks for a challenge, as soon as a host of the site sees it.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn want(&self, device: &str, now: i64) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZADD").arg(&self.names.wanted).arg(now).arg(device).ignore();
        self.run(&pipeline).await
    }

    /// Takes the wish back. Whether nobody had seen it.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn want_no_more(&self, device: &str) -> Result<bool, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZREM").arg(&self.names.wanted).arg(device);
        let (removed,): (u64,) = self.run(&pipeline).await?;
        Ok(removed > 0)
    }

    /// The devices that somebody wants challenged.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn wanted(&self) -> Result<Vec<String>, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZRANGEBYSCORE").arg(&self.names.wanted).arg("-inf").arg("+inf").arg("LIMIT").arg(0).arg(MOST);
        let (devices,): (Vec<String>,) = self.run(&pipeline).await?;
        Ok(devices)
    }

    /// All records, by device.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn records(&self) -> Result<HashMap<String, String>, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(&self.names.records);
        let (records,): (HashMap<String, String>,) = self.run(&pipeline).await?;
        Ok(records)
    }

    /// Writes the record of a device.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn write(&self, device: &str, record: &str) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HSET").arg(&self.names.records).arg(device).arg(record).ignore();
        self.run(&pipeline).await
    }

    /// Forgets all of a device but its record and its heartbeats: what is there cannot be read.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn begin_anew(&self, device: &str) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg(self.names.of(device)).ignore();
        self.run(&pipeline).await
    }

    /// Forgets the boot count of a device: its board was replaced.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn forget_boot(&self, device: &str) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HDEL").arg(self.names.of(device)).arg("boot").arg("boot-key").ignore();
        self.run(&pipeline).await
    }

    pub(super) async fn run<T: redis::FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, DevicesError> {
        self.ask(async |redis| pipeline.query_async(redis).await).await
    }

    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, DevicesError> {
        self.redis.ask(question, DevicesError::Redis).await
    }
}

impl Names {
    pub fn of(&self, device: &str) -> String {
        format!("{}:{device}", self.device)
    }

    pub fn of_stranger(&self, device: &str) -> String {
        format!("{}:{device}", self.stranger)
    }

    /// No device has this id.
    pub fn all_strangers(&self) -> String {
        self.of_stranger("*")
    }
}

/// Neither part holds a space.
pub(super) fn member(device: &str, nonce: &str) -> String {
    format!("{device} {nonce}")
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn listed(challenges: Option<String>) -> Result<Vec<Challenge>, String> {
    match challenges.as_deref() {
        // What Lua writes for a list of nothing.
        None | Some("{}") => Ok(Vec::new()),
        Some(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}
