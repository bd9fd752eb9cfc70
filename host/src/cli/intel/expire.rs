use std::process::ExitCode;

use anyhow::Context as _;

use super::open::{Opened, Place, indicator, kind};
use crate::{
    cli::terminal::{confirm, plain, say},
    intel::Indicator,
    sandbox::ObservableType,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel expire ip 45.155.205.233 --config aurora.toml
  aurora intel expire --from refinery-north --config aurora.toml --yes   # all that nobody else tells

What is told again is looked out for again. To have it refused for good, put it into a list of federation.ceiling.never.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ip, domain, url, email, hash_md5, hash_sha1, hash_sha256, cve, file_path, registry_key, mutex or user_agent.
    #[arg(value_name = "TYPE", value_parser = kind, required_unless_present = "from", requires = "value")]
    kind: Option<ObservableType>,
    /// Its value, however it is written.
    value: Option<String>,
    /// All that this site tells and no other.
    #[arg(long, value_name = "SITE", conflicts_with = "kind")]
    from: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let one = match (args.kind, &args.value) {
        (Some(kind), Some(value)) => Some(indicator(kind, value)?),
        _ => None,
    };
    let mut opened = args.place.open()?;
    let (indicators, question, details) = match (one, &args.from) {
        (Some(one), _) => {
            if opened.known(&one).await?.is_none() {
                say(&format!("{} is not looked out for", plain(&one.to_string())));
                return Ok(ExitCode::SUCCESS);
            }
            let question = format!("Look out for {} no more?", plain(&one.to_string()));
            let details = one.to_string();
            (vec![one], question, details)
        }
        (None, Some(site)) => {
            let indicators = told_by(&opened, site).await?;
            if indicators.is_empty() {
                say(&format!("there is nothing that only {} tells", plain(site)));
                return Ok(ExitCode::SUCCESS);
            }
            let question =
                format!("Look out no more for {} indicators that only {} tells?", indicators.len(), plain(site));
            let details = format!("site={site} indicators={}", indicators.len());
            (indicators, question, details)
        }
        (None, None) => return Err(anyhow::anyhow!("neither an indicator nor --from")).context("nothing to do"),
    };
    if !confirm(&question, args.yes)? {
        say("nothing is changed");
        return Ok(ExitCode::FAILURE);
    }
    opened.note("intel-expire", &details).await?;
    let gone = opened.table.forget(&indicators).await?;
    say(&format!("{gone} gone"));
    Ok(ExitCode::SUCCESS)
}

async fn told_by(opened: &Opened, site: &str) -> anyhow::Result<Vec<Indicator>> {
    let mut all = Vec::new();
    opened
        .each(|known| {
            if known.sources.contains_key(site) && known.sources.len() == 1 {
                all.push(known.indicator);
            }
            Ok(true)
        })
        .await?;
    Ok(all)
}
