use std::process::ExitCode;

use super::{
    choice::{Choice, letters},
    open::Place,
    plain::say,
};
use crate::event::EntryId;

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
    let (described, mut discarded) = (args.choice.describe(), 0);
    for step in chosen.chunks(STEP) {
        let ids: Vec<EntryId> = step.iter().map(|letter| letter.id).collect();
        discarded += opened.aside.discard(&ids, &described).await?;
    }
    let gone = chosen.len() - discarded;
    say(&format!("{} discarded", letters(discarded)));
    if gone > 0 {
        say(&format!("{gone} were not there any more: replayed, discarded or trimmed"));
    }
    // By a filter they were there a moment ago; by id it may be a slip.
    Ok(if args.choice.is_by_id() && discarded == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
