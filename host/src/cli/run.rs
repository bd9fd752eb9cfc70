//! `aurora run`: the daemon.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};

use crate::{
    config::{self, Config, Purpose},
    supervise, telemetry,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration. Each key can be overridden by AURORA_<SECTION>__<KEY> in the environment.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match Config::load(Some(&args.config), config::environment(), Purpose::Run) {
        Ok(config) => config,
        Err(problems) => {
            let guests = super::trials::of_guests_beside(&problems);
            let guests = guests.iter().filter_map(|trial| trial.result.as_ref().err().map(|what| (&trial.name, what)));
            let guests: String = guests.map(|(name, what)| format!("\n{name}: {what}")).collect();
            bail!("the configuration cannot be used\n{problems}{guests}")
        }
    };
    telemetry::log::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let path = args.config.clone();
    let reload = Arc::new(move || Config::load(Some(&path), config::environment(), Purpose::Run));
    let code = runtime.block_on(supervise::run(config, reload));
    // A lane in the middle of a call is not waited for: its deliveries were never settled.
    runtime.shutdown_background();
    code
}
