use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use super::open::{Opened, Place, now, tlp};
use crate::{
    cli::terminal::{plain, say},
    event::is_source,
    intel::{BundlePart, Item, LARGEST_BUNDLE, Latest, ReceivedBundle, Recorded, Seen, What, Withdrawal},
    sandbox::Tlp,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel import bundle.json --config aurora.toml --site cert
  curl -s https://feed.internal/stix.json | aurora intel import - --config aurora.toml --site feed --tlp green
  aurora intel import bundle.json --config aurora.toml --dry-run

Understood are indicators whose STIX pattern compares for equality (=, IN), with or without OR, and vulnerabilities.
Everything else is named and left out. What is revoked, or whose valid_until has passed, is withdrawn: unless a later
version of it was imported, --site tells it no more, and what nobody else tells is looked out for no more. So it is with
what only an older version of an object told. Exit code 1 if nothing could be taken or withdrawn, or if not all of it found
room.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A STIX 2.1 bundle, or an envelope of TAXII; `-` is standard input.
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

/// What is skipped is named so often, and so many types of objects.
const NAMED: usize = 50;

/// How many are recorded at once.
const TOGETHER: usize = 2000;

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(is_source(&args.site), "--site {:?} is no name: 1 to 64 of A-Z a-z 0-9 . _ -", args.site);
    let (bytes, now) = (read(&args.file)?, now());
    let bundle = match ReceivedBundle::open(&bytes) {
        Ok(bundle) => bundle,
        Err(reason) => bail!("{} {reason}", args.file.display()),
    };
    let Counts { items, withdrawals, skipped, others } = Counts::of(&bundle, args, now);
    if skipped > NAMED {
        eprintln!("skipped {} more", skipped - NAMED);
    }
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(|(kind, count)| format!("{count} {}", plain(kind))).collect();
        eprintln!("not of indicators: {}", others.join(", "));
    }
    let is_nothing = items + withdrawals == 0;
    if args.dry_run {
        eprintln!("{items} would be taken, {skipped} skipped, {withdrawals} are revoked or over");
        return Ok(if is_nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let mut opened = args.place.open()?;
    let details = format!("site={} indicators={items} withdrawals={withdrawals} skipped={skipped}", args.site);
    opened.note("intel-import", &details).await?;
    let (mut done, mut latest) = (Done::default(), Latest::default());
    let told = bundle.parts(now).filter_map(|part| match part {
        BundlePart::Item(item) => {
            item.edition.iter().for_each(|edition| latest.take(edition));
            Some(seen(item, args, now))
        }
        _ => None,
    });
    done.record(&opened, told).await?;
    // A bundle may have an object in several versions, in any order.
    let withdrawn = bundle.parts(now).filter_map(|part| match part {
        BundlePart::Withdrawal(one) => {
            latest.take(&one.edition);
            Some(withdrawal(one, args, now))
        }
        _ => None,
    });
    done.record(&opened, withdrawn).await?;
    // What an object told before it was changed.
    done.withdrawn += opened.table.supersede(&args.site, &mut latest).await?;
    let Done { new, counted, again, refused, withdrawn, absent, full } = done;
    say(&format!(
        "{new} new, {counted} known before, {again} from an earlier import, {refused} refused, {skipped} skipped, \
         {withdrawn} withdrawn, {absent} revoked or over to no effect"
    ));
    ensure!(full == 0, "there is no room for {full} more: intel.max is {}", opened.table.most());
    let is_nothing = new + counted + again + withdrawn + absent == 0;
    Ok(if is_nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is in a bundle.
#[derive(Debug, Default)]
struct Counts {
    items: usize,
    withdrawals: usize,
    skipped: usize,
    /// By type.
    others: BTreeMap<String, usize>,
}

impl Counts {
    /// Goes through it, and names what is skipped; in a dry run also what would be taken.
    fn of(bundle: &ReceivedBundle<'_>, args: &Args, now: u64) -> Self {
        let mut counts = Self::default();
        for part in bundle.parts(now) {
            match part {
                BundlePart::Item(item) => {
                    counts.items += 1;
                    if args.dry_run {
                        say(&plain(&item.indicator.to_string()));
                    }
                }
                BundlePart::Withdrawal(one) => {
                    counts.withdrawals += 1;
                    if args.dry_run {
                        say(&format!("not {}: {}", plain(&one.indicator.to_string()), one.why));
                    }
                }
                BundlePart::Skipped(one) => {
                    counts.skipped += 1;
                    if counts.skipped <= NAMED {
                        eprintln!("skipped {}: {}", plain(&one.id), plain(&one.why));
                    }
                }
                BundlePart::Other(kind) => {
                    let is_named = counts.others.len() < NAMED || counts.others.contains_key(&kind);
                    let kind = if is_named { kind } else { "of further types".to_owned() };
                    *counts.others.entry(kind).or_default() += 1;
                }
            }
        }
        counts
    }
}

/// What became of it.
#[derive(Debug, Default)]
struct Done {
    new: usize,
    counted: usize,
    again: usize,
    refused: usize,
    withdrawn: usize,
    /// Withdrawals of what is not told, or still is.
    absent: usize,
    /// What found no room.
    full: usize,
}

impl Done {
    async fn record(&mut self, opened: &Opened, mut all: impl Iterator<Item = Seen>) -> anyhow::Result<()> {
        loop {
            let part: Vec<Seen> = all.by_ref().take(TOGETHER).collect();
            if part.is_empty() {
                return Ok(());
            }
            for (one, recorded) in part.iter().zip(opened.table.record(&part).await?) {
                self.add(one, recorded);
            }
        }
    }

    fn add(&mut self, one: &Seen, recorded: Recorded) {
        match recorded {
            Recorded::New => self.new += 1,
            Recorded::Counted(_) => self.counted += 1,
            Recorded::Again => self.again += 1,
            Recorded::Withdrawn => self.withdrawn += 1,
            Recorded::Ended if one.what == What::Withdrawal => self.absent += 1,
            Recorded::Ended => self.refused += 1,
            // What the bundle withdraws is withdrawn nevertheless, and may make room.
            Recorded::Full => self.full += 1,
            Recorded::Refused(why) => {
                self.refused += 1;
                if self.refused <= NAMED {
                    eprintln!("refused {}: {}", plain(&one.indicator.to_string()), plain(&why));
                }
            }
        }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let name = file.display();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(LARGEST_BUNDLE + 1).read_to_end(&mut bytes),
        false => {
            let file = File::open(file).with_context(|| format!("cannot open {name}"))?;
            // All at once: while it grew it would be there twice.
            let size = file.metadata().map_or(0, |known| known.len()).min(LARGEST_BUNDLE + 1);
            bytes.reserve_exact(usize::try_from(size).unwrap_or_default());
            file.take(LARGEST_BUNDLE + 1).read_to_end(&mut bytes)
        }
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
        edition: item.edition,
    }
}

fn withdrawal(one: Withdrawal, args: &Args, now: u64) -> Seen {
    Seen {
        indicator: one.indicator,
        site: args.site.clone(),
        first_ms: now,
        last_ms: now,
        tlp: args.tlp,
        expires_ms: None,
        // The same twice finds nothing the second time.
        message: String::new(),
        what: What::Withdrawal,
        edition: Some(one.edition),
    }
}
