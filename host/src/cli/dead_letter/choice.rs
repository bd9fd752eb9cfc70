use anyhow::bail;

use super::filter::Filter;
use crate::{
    broker::redis_streams::{Letters, Order},
    cli::terminal::confirm,
    event::EntryId,
    pipeline::Letter,
};

/// The letters that something is done to. Never all of them by an omission.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Letters by their ids, as `list` shows them; or use filters, or --all.
    #[arg(value_name = "ID")]
    ids: Vec<EntryId>,
    /// All letters.
    #[arg(long)]
    all: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    // Last: its heading stands over everything that follows.
    #[command(flatten)]
    filter: Filter,
}

/// A letter, and how large its payload is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub id: EntryId,
    pub size: usize,
}

/// A letter whose size was not looked up is taken to be as large as they get by default.
const LARGE: usize = 1 << 20;

impl Choice {
    /// The letters that are there now, oldest first, so that the order of a device is kept. Only these are touched,
    /// whatever else comes in the meantime.
    pub async fn letters(&self, letters: &Letters) -> anyhow::Result<Vec<Chosen>> {
        let ways = [!self.ids.is_empty(), self.all, !self.filter.is_empty()];
        match ways.iter().filter(|&&way| way).count() {
            1 => {}
            0 => bail!("say which letters: their ids, filters such as --stage normalize, or --all"),
            _ => bail!("ids, filters and --all are three ways to say which letters; use one"),
        }
        if !self.ids.is_empty() {
            let mut ids = self.ids.clone();
            ids.sort_unstable();
            ids.dedup();
            return Ok(ids.into_iter().map(|id| Chosen { id, size: LARGE }).collect());
        }
        let (mut chosen, mut walk) = (Vec::new(), letters.walk(self.filter.span(), Order::OldestFirst));
        while let Some(part) = walk.next().await? {
            let part = part.into_iter().map(Letter::of).filter(|letter| self.filter.takes(letter));
            chosen.extend(part.map(|letter| Chosen { id: letter.id, size: letter.size }));
        }
        Ok(chosen)
    }

    /// As in a command line.
    pub fn describe(&self) -> String {
        match (self.all, self.filter.describe()) {
            (true, _) => "--all".to_owned(),
            (false, filter) if filter.is_empty() => "ids".to_owned(),
            (false, filter) => filter,
        }
    }

    /// Whether the letters were named one by one.
    pub fn is_by_id(&self) -> bool {
        !self.ids.is_empty()
    }

    /// See [`confirm`].
    pub fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        confirm(question, self.yes)
    }
}

/// What is said of letters that are not in the stream.
pub(super) const GONE: &str = "not there any more: replayed, discarded or trimmed";

/// A number with its noun.
pub(super) fn letters(number: usize) -> String {
    format!("{number} dead letter{}", if number == 1 { "" } else { "s" })
}
