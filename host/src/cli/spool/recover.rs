use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::{Place, chosen, files};
use crate::{
    broker::redis_streams::Contents,
    cli::{
        loaded,
        terminal::{confirm, say},
    },
    pipeline::{Aside, Recovered, recover},
    spool::SetAside,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora spool recover --config aurora.toml --all
  aurora spool recover --config aurora.toml --unsound 00000000000000000042-1795330000000-256-102400-01…ef.resp

The exit code is 1 if any file stays.";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Files of damaged/, as `list` shows them; or --all.
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// All files.
    #[arg(long, conflicts_with = "files")]
    all: bool,
    /// Also store files whose bytes are not as they were written. Any of them may be wrong; look at them first with
    /// `aurora spool show`.
    #[arg(long)]
    unsound: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (config, all) = args.place.open()?;
    ensure!(args.all || !args.files.is_empty(), "say which files: their names, or --all");
    loaded::redis(&config)?;
    let chosen = if args.all { all } else { chosen(all, &args.files)? };
    if chosen.is_empty() {
        say("nothing was set aside, nothing is recovered");
        return Ok(ExitCode::SUCCESS);
    }
    if !confirm(&format!("Store what Redis lacks of {}?", files(chosen.len())), args.yes)? {
        say("nothing is recovered");
        return Ok(ExitCode::FAILURE);
    }
    let mut aside = Aside::of_recovery(&config)?;
    aside.look().await?;
    let mut stay = 0;
    for file in &chosen {
        // One that cannot be read keeps no other from being recovered; what is wrong with Redis is wrong for all.
        let (text, goes) = one(&mut aside, file, args.unsound).await.with_context(|| file.file.clone())?;
        say(&format!("{}: {text}", file.file));
        if goes {
            file.remove()?;
        } else {
            stay += 1;
        }
    }
    if stay > 0 {
        say(&format!("{} stay", files(stay)));
    }
    Ok(if stay > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Recovers a file. Returns what to say of it, and whether it is done with.
async fn one(aside: &mut Aside, file: &SetAside, unsound: bool) -> anyhow::Result<(String, bool)> {
    let (content, is_sound) = match file.read() {
        Ok(read) => read,
        Err(error) => return Ok((format!("stays, {:#}", anyhow::Error::from(error)), false)),
    };
    if !is_sound && !unsound {
        let text = "stays, its bytes are not as they were written; look at it with `aurora spool show`, and store it \
                    all the same with --unsound";
        return Ok((text.to_owned(), false));
    }
    let contents = Contents::of(&content);
    if !contents.is_whole {
        let text =
            "stays, for it cannot be told where its entries belong; `aurora spool show` shows what is left of them";
        return Ok((text.to_owned(), false));
    }
    let recovered = recover(aside, file, &contents).await?;
    let goes = recovered.homeless.is_empty();
    Ok((told(&recovered), goes))
}

fn told(recovered: &Recovered) -> String {
    let mut told = Vec::new();
    if recovered.before {
        told.push("was recovered before".to_owned());
    } else {
        told.push(format!("{} entries stored", recovered.stored));
    }
    let numbers = [
        (recovered.present, "were there already"),
        (recovered.repeated, "were delivered again and stored then"),
        (recovered.suppressed, "are of equal content as others, and counted towards them"),
    ];
    told.extend(numbers.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")));
    for (stream, entries) in &recovered.homeless {
        told.push(format!("{entries} stay, for {stream} is not among the streams of the configuration"));
    }
    told.join(", ")
}
