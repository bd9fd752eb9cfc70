use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use super::open::{Place, now, tlp};
use crate::{
    cli::terminal::{plain, say},
    event::is_source,
    intel::{BundleContents, Item, LARGEST_BUNDLE, Recorded, Seen, What, read_bundle},
    sandbox::Tlp,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel import bundle.json --config aurora.toml --site cert
  curl -s https://feed.internal/stix.json | aurora intel import - --config aurora.toml --site feed --tlp green
  aurora intel import bundle.json --config aurora.toml --dry-run

Understood are indicators whose STIX pattern compares for equality, with or without OR, and vulnerabilities. Everything else
is named and left out. Exit code 1 if nothing could be taken.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A STIX 2.1 bundle; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Who tells it, as rules of [intel.match] may name it.
    #[arg(long, value_name = "NAME", default_value = "import")]
    site: String,
    /// The marking of what has none.
    #[arg(long, value_name = "MARKING", default_value = "amber", value_parser = tlp)]
    tlp: Tlp,
    /// Read the bundle, say what would be taken, and take nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is skipped is named so often.
const NAMED: usize = 50;

/// How many are recorded at once.
const TOGETHER: usize = 2000;

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(is_source(&args.site), "--site {:?} is no name: 1 to 64 of A-Z a-z 0-9 . _ -", args.site);
    let (bytes, now) = (read(&args.file)?, now());
    let BundleContents { items, skipped, others } = match read_bundle(&bytes, now) {
        Ok(read) => read,
        Err(reason) => bail!("{} {reason}", args.file.display()),
    };
    for one in skipped.iter().take(NAMED) {
        eprintln!("skipped {}: {}", plain(&one.id), plain(&one.why));
    }
    if skipped.len() > NAMED {
        eprintln!("skipped {} more", skipped.len() - NAMED);
    }
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(|(kind, count)| format!("{count} {}", plain(kind))).collect();
        eprintln!("not of indicators: {}", others.join(", "));
    }
    if args.dry_run {
        for item in &items {
            say(&plain(&item.indicator.to_string()));
        }
        eprintln!("{} would be taken, {} skipped", items.len(), skipped.len());
        return Ok(if items.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let mut opened = args.place.open()?;
    let details = format!("site={} indicators={} skipped={}", args.site, items.len(), skipped.len());
    opened.note("intel-import", &details).await?;
    let seen: Vec<Seen> = items.into_iter().map(|item| seen(item, args, now)).collect();
    let (mut new, mut counted, mut again, mut refused) = (0, 0, 0, 0);
    for part in seen.chunks(TOGETHER) {
        for (one, recorded) in part.iter().zip(opened.table.record(part).await?) {
            match recorded {
                Recorded::New => new += 1,
                Recorded::Counted(_) => counted += 1,
                Recorded::Again => again += 1,
                Recorded::Ended => refused += 1,
                Recorded::Full => bail!("there is no room for more than {new}: intel.max"),
                Recorded::Refused(why) => {
                    refused += 1;
                    if refused <= NAMED {
                        eprintln!("refused {}: {}", plain(&one.indicator.to_string()), plain(&why));
                    }
                }
            }
        }
    }
    say(&format!(
        "{new} new, {counted} known before, {again} from an earlier import, {refused} refused, {} skipped",
        skipped.len()
    ));
    Ok(if new + counted + again == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = file.display();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(LARGEST_BUNDLE + 1).read_to_end(&mut bytes),
        false => File::open(file)
            .with_context(|| format!("cannot open {name}"))?
            .take(LARGEST_BUNDLE + 1)
            .read_to_end(&mut bytes),
    };
    let size = read.with_context(|| format!("cannot read {name}"))?;
    ensure!(size as u64 <= LARGEST_BUNDLE, "{name} is larger than {} MiB", LARGEST_BUNDLE >> 20);
    Ok(bytes)
}

fn seen(item: Item, args: &Args, now: u64) -> Seen {
    Seen {
        indicator: item.indicator,
        site: args.site.clone(),
        first_ms: item.first_ms.unwrap_or(now),
        // It is told now, however old its object is.
        last_ms: now,
        tlp: item.tlp.unwrap_or(args.tlp),
        expires_ms: item.expires_ms,
        message: format!("stix {} {}", args.site, item.name),
        what: What::Indicator,
    }
}
