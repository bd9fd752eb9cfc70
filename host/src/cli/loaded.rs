//! The configuration, for commands that run beside the daemon.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{
    broker::redis_streams,
    config::{self, Config, Purpose},
};

/// Reads it as its user may: without the secrets of brokers, which are the daemon's. Without a file it is what the
/// environment sets.
pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    match Config::load(path, config::environment(), Purpose::Pipe) {
        Ok(config) => Ok(config),
        Err(problems) => bail!("the configuration cannot be used\n{problems}"),
    }
}

/// Its Redis, for a command that can do nothing without.
pub(super) fn redis(config: &Config) -> anyhow::Result<&redis_streams::Config> {
    let redis = config.redis.as_ref().filter(|redis| !redis.url.is_empty());
    redis.context("no redis.url is configured; name the daemon's configuration with --config FILE")
}
