use std::{
    io::{self, BufWriter},
    process::ExitCode,
};

use super::open::{Filter, Place, now, tlp};
use crate::{
    intel::{Bundle, Known, MispEvent},
    sandbox::Tlp,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel export --config aurora.toml > indicators.json
  aurora intel export --config aurora.toml --format misp --type ip --type domain > event.json
  aurora intel export --config aurora.toml --max-tlp green > for-the-community.json";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: Filter,
    /// A STIX 2.1 bundle, or an event of MISP; both are JSON.
    #[arg(long, value_enum, default_value_t = Format::Stix)]
    format: Format,
    /// Leave out what is marked more strictly: clear, green, amber, amber+strict or red.
    #[arg(long, value_name = "MARKING", default_value = "amber+strict", value_parser = tlp)]
    max_tlp: Tlp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Stix,
    Misp,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let opened = args.place.open()?;
    let (now, site) = (now(), opened.config.site.id.as_str());
    let site = if site.is_empty() { "local" } else { site };
    let (mut written, mut strict, mut kept) = (0u64, 0u64, 0u64);
    let mut wanted = |known: &Known| {
        if !args.filter.takes(known) {
            return false;
        }
        // It may have come before the configuration said that it never leaves.
        if opened.table.keeps(&known.indicator) {
            kept += 1;
            return false;
        }
        let is_open = known.tlp as u8 <= args.max_tlp as u8;
        *if is_open { &mut written } else { &mut strict } += 1;
        is_open
    };
    let out = BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Stix => {
            let mut bundle = Bundle::begin(out, site, now)?;
            opened
                .each(|known| {
                    if wanted(&known) {
                        bundle.add(&known)?;
                    }
                    Ok(true)
                })
                .await?;
            bundle.end()?;
        }
        Format::Misp => {
            let mut event = MispEvent::begin(out, site, now)?;
            opened
                .each(|known| {
                    if wanted(&known) {
                        event.add(&known)?;
                    }
                    Ok(true)
                })
                .await?;
            event.end()?;
        }
    }
    let mut more =
        if strict > 0 { format!("; {strict} are marked more strictly than --max-tlp") } else { String::new() };
    if kept > 0 {
        more.push_str(&format!("; {kept} never leave: federation.ceiling.never"));
    }
    eprintln!("{written} indicators{more}");
    Ok(ExitCode::SUCCESS)
}
