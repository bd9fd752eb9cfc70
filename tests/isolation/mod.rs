//! Promise 2: a guest cannot hurt its host, its neighbours, or the site's secrets. What `tests/hostile` does, and what
//! it costs: the one event that told it to.

mod normalize;
mod route;
mod federate;
mod breaker;
mod wasted;
mod probation;
mod live;
mod crafted;
mod containment;
mod wasi;

use std::{os::unix::fs::symlink, sync::Arc};

use anyhow::{Context as _, Result};
use aurora::event::{Context, Delivery, Duty, Identity};
use harness::{PipeLine, Piped, hostile_guest, pipe};
use tempfile::TempDir;

/// A folder in which all three guests are the hostile one.
fn hostile_guests() -> Result<TempDir> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    for stage in ["normalize", "route", "federate"] {
        symlink(hostile_guest()?, folder.path().join(format!("{stage}-core.wasm"))).context("no link")?;
    }
    Ok(folder)
}

/// What the hostile guest makes of `lines`, which are one batch.
fn hostile(lines: &[&str]) -> Result<Piped> {
    let guests = hostile_guests()?;
    let folder = guests.path().to_str().context("a temporary folder that is not UTF-8")?;
    pipe(&["--guests", folder], lines.join("\n").as_bytes())
}

/// `deed` among eight events that ask for nothing; the answer to it. The eight must come through unharmed.
fn among_others(deed: &str) -> Result<PipeLine> {
    let lines = ["share 1", "plain 2", "share 3", deed, "plain 5", "share 6", "plain 7", "share 8", "plain 9"];
    let mut piped = hostile(&lines)?.lines;
    assert_eq!(piped.len(), lines.len(), "{deed}: not one answer a line");
    let culprit = piped.remove(3);
    for (line, text) in piped.iter().zip(lines.iter().filter(|line| **line != deed)) {
        assert_eq!(line.outcome(), "accepted", "{deed} took `{text}` along: {line:?}");
        assert_eq!(line.event(0)["title"], *text, "{deed} put another event in the place of `{text}`");
        assert_eq!(line.streams(0), ["aurora:alerts"], "{deed} changed the way of `{text}`");
        assert_eq!(line.share(0).is_null(), text.starts_with("plain"), "{deed} changed who sees `{text}`");
    }
    Ok(culprit)
}

/// Lines as one batch of a lane that was `sent` so many before.
fn deliveries<'a>(lines: impl IntoIterator<Item = &'a str>, sent: &mut u64) -> Vec<Delivery> {
    let context = Arc::new(Context { source: "test".to_owned(), ..Context::default() });
    let delivery = |line: &str| {
        *sent += 1;
        Delivery {
            context: Arc::clone(&context),
            received_ms: 1_772_445_600_000,
            payload: line.as_bytes().to_vec().into(),
            identity: Identity::Once(*sent),
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        }
    };
    lines.into_iter().map(delivery).collect()
}
