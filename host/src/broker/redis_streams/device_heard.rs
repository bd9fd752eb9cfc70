//! When each device was last heard of. Ids come from whoever may publish, so those that nobody enrolled are bounded.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{
    device_silence::PART,
    devices::{Devices, DevicesError, MOST, milliseconds},
};

/// Heartbeats older than this are forgotten.
const FORGOTTEN: Duration = Duration::from_hours(24 * 90);

impl Devices {
    /// Notes heartbeats, each with when it came. An older one changes nothing.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn hear(&self, beats: &[(String, i64)], now: i64) -> Result<(), DevicesError> {
        let mut pipeline = redis::pipe();
        for part in beats.chunks(PART) {
            pipeline.cmd("ZADD").arg(&self.names.heard).arg("GT");
            for (device, at) in part {
                // A clock that is ahead must not make a device immortal.
                pipeline.arg((*at).min(now)).arg(device);
            }
            pipeline.ignore();
        }
        let oldest = now - i64::try_from(milliseconds(FORGOTTEN)).unwrap_or(i64::MAX);
        pipeline.cmd("ZREMRANGEBYSCORE").arg(&self.names.heard).arg("-inf").arg(format!("({oldest}")).ignore();
        self.run(&pipeline).await
    }

    /// How many devices were heard since each of `since`.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn heard_since(&self, since: &[i64]) -> Result<Vec<i64>, DevicesError> {
        let mut pipeline = redis::pipe();
        for since in since {
            pipeline.cmd("ZCOUNT").arg(&self.names.heard).arg(since).arg("+inf");
        }
        self.run(&pipeline).await
    }

    /// When each device was last heard of that was, be it enrolled or not. One that is heard meanwhile may be missing.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn heard(&self) -> Result<HashMap<String, i64>, DevicesError> {
        let (mut heard, mut passed) = (HashMap::new(), 0);
        loop {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZRANGEBYSCORE").arg(&self.names.heard).arg("-inf").arg("+inf").arg("WITHSCORES");
            pipeline.arg("LIMIT").arg(passed).arg(MOST);
            let (part,): (Vec<(String, f64)>,) = self.run(&pipeline).await?;
            let read = part.len();
            passed += read;
            heard.extend(part.into_iter().map(|(device, at)| (device, at as i64)));
            if read < MOST {
                return Ok(heard);
            }
        }
    }

    /// When those of `ids` were last heard of that ever were.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn heard_of(&self, ids: &[&str]) -> Result<Vec<(String, i64)>, DevicesError> {
        let mut heard = Vec::new();
        for part in ids.chunks(PART) {
            let mut pipeline = redis::pipe();
            for id in part {
                pipeline.cmd("ZSCORE").arg(&self.names.heard).arg(id);
            }
            let scores: Vec<Option<f64>> = self.run(&pipeline).await?;
            let of = |(id, at): (&&str, Option<f64>)| Some(((*id).to_owned(), at? as i64));
            heard.extend(part.iter().zip(scores).filter_map(of));
        }
        Ok(heard)
    }

    /// Forgets `excess` of the devices that are not among `enrolled`, those first that were silent longest. How many it has
    /// forgotten.
    ///
    /// # Errors
    /// As for [`look`](Self::look).
    pub async fn forget_strangers(&self, enrolled: &BTreeSet<String>, excess: usize) -> Result<u64, DevicesError> {
        let (mut left, mut passed, mut forgotten) = (excess, 0, 0);
        while left > 0 {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZRANGEBYSCORE").arg(&self.names.heard).arg("-inf").arg("+inf");
            pipeline.arg("LIMIT").arg(passed).arg(MOST);
            let (oldest,): (Vec<String>,) = self.run(&pipeline).await?;
            if oldest.is_empty() {
                break;
            }
            let strangers: Vec<&String> =
                oldest.iter().filter(|device| !enrolled.contains(*device)).take(left).collect();
            passed += oldest.len() - strangers.len();
            left -= strangers.len();
            if strangers.is_empty() {
                continue;
            }
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZREM").arg(&self.names.heard);
            for device in strangers {
                pipeline.arg(device);
            }
            let (removed,): (u64,) = self.run(&pipeline).await?;
            forgotten += removed;
        }
        Ok(forgotten)
    }
}
