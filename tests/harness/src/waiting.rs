use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};

/// How long a test waits for what should come at once. Long, because it is only ever used up by a failure, and two
/// busy cores can be slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Asks `probe` until it gives a value. Its error is what it saw instead; the last one is told when `patience` ends.
///
/// # Errors
/// It gave none.
pub async fn wait_until<T, E: Display>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(last) if began.elapsed() >= patience => {
                bail!("waited {patience:?} for {what}; last seen: {last:#}");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_tells_what_was_seen_last() {
        let mut asked = 0;
        let probe = async || {
            asked += 1;
            Err::<(), _>(format!("answer {}", asked.min(2)))
        };
        let error = wait_until("the moon", Duration::from_millis(50), probe).await.unwrap_err().to_string();
        assert_eq!(error, "waited 50ms for the moon; last seen: answer 2");
    }
}
