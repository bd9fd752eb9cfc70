use std::{process::ExitCode, time::Duration};

use anyhow::bail;

use super::open::{Place, indicator, kind, now, time, tlp};
use crate::{
    cli::terminal::say,
    intel::{Recorded, Seen, What},
    sandbox::{ObservableType, Tlp},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel add ip 45.155.205.233 --config aurora.toml
  aurora intel add domain evil.net --config aurora.toml --tlp amber+strict --for 7d";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ip, domain, url, email, hash_md5, hash_sha1, hash_sha256, cve, file_path, registry_key, mutex or user_agent.
    #[arg(value_name = "TYPE", value_parser = kind)]
    kind: ObservableType,
    /// Its value, however it is written.
    value: String,
    #[command(flatten)]
    place: Place,
    /// How far it may go: clear, green, amber, amber+strict or red.
    #[arg(long, value_name = "MARKING", default_value = "amber", value_parser = tlp)]
    tlp: Tlp,
    /// For how long, at most intel.ttl, which is the default.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    long: Option<Duration>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let indicator = indicator(args.kind, &args.value)?;
    let mut opened = args.place.open()?;
    // Before the audit trail has it as done.
    if let Some(why) = opened.table.refuses(&indicator) {
        bail!("{indicator} is never shared ({why}), so it is not looked out for either; see federation.ceiling.never");
    }
    let (now, site) = (now(), opened.config.site.id.clone());
    let site = if site.is_empty() { "local".to_owned() } else { site };
    let seen = Seen {
        indicator: indicator.clone(),
        message: format!("command {site} {now}"),
        site,
        first_ms: now,
        last_ms: now,
        tlp: args.tlp,
        expires_ms: args.long.map(|long| now.saturating_add(u64::try_from(long.as_millis()).unwrap_or(u64::MAX))),
        what: What::Indicator,
        edition: None,
    };
    opened.note("intel-add", &format!("{indicator} tlp={}", args.tlp.as_str())).await?;
    let recorded = opened.table.record(&[seen]).await?.pop();
    match recorded {
        Some(Recorded::New) => say(&format!("{indicator} is looked out for from now on")),
        Some(Recorded::Counted(count)) => {
            say(&format!("{indicator} was looked out for already; told {count} times now"))
        }
        Some(Recorded::Full) => {
            opened.note("intel-add", &format!("{indicator} not done: no room")).await?;
            bail!("there is no room for one more: intel.max is {}", opened.table.most())
        }
        other => bail!("{indicator} was not recorded: {other:?}"),
    }
    Ok(ExitCode::SUCCESS)
}
