//! What is told of devices that keep silent, or that do not answer: once for all hosts of a site.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use redis::Script;

use super::devices::{Devices, DevicesError, member, milliseconds};

static SILENCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("devices_silence.lua")));
static MISSING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("devices_missing.lua")));

/// How long a host has for storing what it tells. Then another one may tell it.
const TELLING: Duration = Duration::from_secs(30);

/// Devices that are read in one round trip.
pub(super) const PART: usize = 500;

/// What is told of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It sends no heartbeats any more, or never sent any.
    Silent,
    /// It sends them again.
    Back,
}

impl Devices {
    /// Since when each of `ids` is known to be enrolled: since `now` if nobody has seen it so before.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn watch(&self, ids: &[&str], now: i64) -> Result<Vec<i64>, DevicesError> {
        let mut since = Vec::with_capacity(ids.len());
        for part in ids.chunks(PART) {
            let mut pipeline = redis::pipe();
            for id in part {
                pipeline.cmd("HSETNX").arg(&self.names.watched).arg(id).arg(now).ignore();
                pipeline.cmd("HGET").arg(&self.names.watched).arg(id);
            }
            // Another host may have forgotten the device in between.
            let read: Vec<Option<i64>> = self.run(&pipeline).await?;
            since.extend(read.into_iter().map(|at| at.unwrap_or(now)));
        }
        Ok(since)
    }

    /// Forgets devices that are not enrolled any more.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn unwatch(&self, ids: &[String]) -> Result<(), DevicesError> {
        for part in ids.chunks(PART) {
            let mut pipeline = redis::pipe();
            for key in [&self.names.watched, &self.names.silent, &self.names.telling] {
                pipeline.cmd("HDEL").arg(key).arg(part).ignore();
            }
            let () = self.run(&pipeline).await?;
        }
        Ok(())
    }

    /// The devices of which it was told that they are silent, with when they were last heard of; 0: never.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn silent(&self) -> Result<HashMap<String, i64>, DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(&self.names.silent);
        let (silent,): (HashMap<String, i64>,) = self.run(&pipeline).await?;
        Ok(silent)
    }

    /// Whether this host is to tell `turn` of `device`, which if it is silent sent no heartbeat after `latest`.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn may_tell(&self, device: &str, turn: Turn, latest: i64) -> Result<bool, DevicesError> {
        let mut call = SILENCE.prepare_invoke();
        call.key(&self.names.silent).key(&self.names.telling).key(&self.names.heard);
        let word = if turn == Turn::Silent { "silent" } else { "back" };
        call.arg(device).arg(word).arg(milliseconds(TELLING)).arg(latest);
        let may: u8 = self.ask(async |redis| call.invoke_async(redis).await).await?;
        Ok(may == 1)
    }

    /// Whether this host is to tell that `device` has not answered to the challenge with this nonce. To be asked again
    /// while it is telling, for another host may do it otherwise.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn may_miss(&self, device: &str, nonce: &str) -> Result<bool, DevicesError> {
        let mut call = MISSING.prepare_invoke();
        call.key(&self.names.unanswered).arg(member(device, nonce)).arg(milliseconds(TELLING));
        let may: u8 = self.ask(async |redis| call.invoke_async(redis).await).await?;
        Ok(may == 1)
    }

    /// Notes that `turn` of `device`, last heard of at `heard` before it fell silent, is stored.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn told(&self, device: &str, turn: Turn, heard: Option<i64>) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        match turn {
            Turn::Silent => {
                pipeline.cmd("HSET").arg(&self.names.silent).arg(device).arg(heard.unwrap_or_default()).ignore();
            }
            Turn::Back => _ = pipeline.cmd("HDEL").arg(&self.names.silent).arg(device).ignore(),
        }
        pipeline.cmd("HDEL").arg(&self.names.telling).arg(device).ignore();
        self.run(&pipeline).await
    }
}
