use std::process::ExitCode;

use super::{
    choice::{Choice, Chosen, GONE, letters},
    open::{Opened, Place},
};
use crate::{cli::terminal::say, event::EntryId};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora dead-letter discard --config aurora.toml 1763780000000-0
  aurora dead-letter discard --config aurora.toml --stage source --until 30d";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    choice: Choice,
}

/// Letters of one step, each of which has its audit entry.
const STEP: usize = 1000;

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut opened = args.place.open()?;
    let chosen = args.choice.letters(&opened.letters).await?;
    if chosen.is_empty() {
        say("no dead letter is like that, nothing is discarded");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.choice.confirm(&format!("Discard {} for good?", letters(chosen.len())))? {
        say("nothing is discarded");
        return Ok(ExitCode::FAILURE);
    }
    let mut tally = Tally::default();
    let done = store(&mut opened, &chosen, &args.choice.describe(), &mut tally).await;
    // Also after an error: what is done is done.
    tally.tell();
    done?;
    // By a filter they were there a moment ago; by id it may be a slip.
    let is_slip = args.choice.is_by_id() && tally.discarded + tally.unclear == 0;
    Ok(if is_slip { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn store(opened: &mut Opened, chosen: &[Chosen], described: &str, tally: &mut Tally) -> anyhow::Result<()> {
    // Nothing goes that the audit trail could not be told of.
    opened.aside.look().await?;
    for step in chosen.chunks(STEP) {
        let ids: Vec<EntryId> = step.iter().map(|letter| letter.id).collect();
        match opened.aside.discard(&ids, described).await? {
            Some(discarded) => {
                tally.discarded += discarded;
                tally.gone += step.len() - discarded;
            }
            None => tally.unclear += step.len(),
        }
    }
    Ok(())
}

/// What became of the letters.
#[derive(Debug, Default)]
struct Tally {
    discarded: usize,
    gone: usize,
    unclear: usize,
}

impl Tally {
    fn tell(&self) {
        let Self { discarded, gone, unclear } = self;
        if *discarded > 0 || gone + unclear == 0 {
            say(&format!("{} discarded", letters(*discarded)));
        }
        if *gone > 0 {
            say(&format!("{gone} {GONE}"));
        }
        if *unclear > 0 {
            say(&format!("{unclear} discarded or gone before: an answer of Redis was lost that said which"));
        }
    }
}
