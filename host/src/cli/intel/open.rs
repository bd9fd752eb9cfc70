use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;

use crate::{
    broker::redis_streams::Pool,
    cli::loaded,
    config::Config,
    federation::Ceiling,
    intel::{Indicator, Known, Table},
    pipeline::Aside,
    sandbox::{ObservableType, Tlp},
    telemetry::Metrics,
};

/// Where the table is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The daemon's configuration; of it [redis], [intel], [federation.ceiling] and site.id are used. Without it only what
    /// the environment sets.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which indicators.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only those of this type; may be given several times.
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    pub kinds: Vec<ObservableType>,
    /// Only those that this site tells, or has seen.
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Only those that somebody has seen.
    #[arg(long)]
    pub seen: bool,
}

/// A configuration, and the way to its table.
pub(super) struct Opened {
    pub config: Config,
    pub table: Table,
    pub aside: Aside,
}

impl Place {
    /// Reads the configuration as its user may: without the secrets of the other brokers.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let config = loaded::load(self.config.as_deref())?;
        let redis = loaded::redis(&config)?;
        if config.intel.is_none() {
            eprintln!("note: the configuration has no [intel], so its daemon looks out for nothing");
        }
        let intel = config.intel.clone().unwrap_or_default();
        let ceiling = Arc::new(Ceiling::new(&config));
        let table = Table::new(&Pool::new(redis)?, redis, &intel, ceiling, &Metrics::new().intel);
        let aside = Aside::new(&config)?;
        Ok(Opened { config, table, aside })
    }
}

impl Opened {
    /// Writes an entry into the audit trail. It goes first: nothing is changed of which nobody could be told.
    pub async fn note(&mut self, action: &str, details: &str) -> anyhow::Result<()> {
        self.aside.look().await?;
        Ok(self.aside.note(action, details).await?)
    }

    /// Goes through the table, as long as `of` wants more of it. Returns how many there are.
    pub async fn each(&self, mut of: impl FnMut(Known) -> anyhow::Result<bool>) -> anyhow::Result<usize> {
        let mut walk = self.table.walk().await?;
        while let Some(page) = walk.page().await? {
            for known in page {
                if !of(known)? {
                    return Ok(walk.size());
                }
            }
        }
        Ok(walk.size())
    }

    /// What is known of one.
    pub async fn known(&self, indicator: &Indicator) -> anyhow::Result<Option<Known>> {
        Ok(self.table.look_up(std::slice::from_ref(indicator)).await?.pop().flatten())
    }
}

impl Filter {
    /// Whether it is one of these.
    pub fn takes(&self, known: &Known) -> bool {
        let of_site = |site: &String| known.sources.contains_key(site) || known.sightings.contains_key(site);
        (self.kinds.is_empty() || self.kinds.contains(&known.indicator.kind()))
            && self.site.as_ref().is_none_or(of_site)
            && (!self.seen || !known.sightings.is_empty())
    }
}

/// A type on a command line.
pub(super) fn kind(text: &str) -> Result<ObservableType, String> {
    let known = ObservableType::ALL.into_iter().find(|kind| kind.as_str() == text.to_ascii_lowercase());
    known.ok_or_else(|| {
        let all: Vec<_> = ObservableType::ALL.into_iter().map(ObservableType::as_str).collect();
        format!("is no type; there are {}", all.join(", "))
    })
}

/// The indicator that two words of a command line name.
pub(super) fn indicator(kind: ObservableType, value: &str) -> anyhow::Result<Indicator> {
    Indicator::of(kind, value).with_context(|| format!("{value:?} cannot be an indicator"))
}

/// A marking on a command line.
pub(super) fn tlp(text: &str) -> Result<Tlp, String> {
    Tlp::read(text).ok_or_else(|| "is no marking; there are clear, green, amber, amber+strict, red".to_owned())
}

/// A length of time on a command line.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("is no time".to_owned()) } else { Ok(time) }
}

/// Now, milliseconds since 1970-01-01 UTC.
pub(super) fn now() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}
