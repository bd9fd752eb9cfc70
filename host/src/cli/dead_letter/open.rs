use std::path::{Path, PathBuf};

use crate::{broker::redis_streams::Letters, cli::loaded, config::Config, pipeline::Aside};

/// Where the letters are.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Place {
    /// The daemon's configuration; of it [redis] is used, and for a replay the guests. Without it only what the
    /// environment sets.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A configuration, and the way to its letters.
pub(in crate::cli) struct Opened {
    pub config: Config,
    pub aside: Aside,
    pub letters: Letters,
}

impl Place {
    /// Reads the configuration as its user may: without the secrets of the other brokers, which are the daemon's.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let config = loaded::load(self.config.as_deref())?;
        loaded::redis(&config)?;
        let aside = Aside::new(&config)?;
        Ok(Opened { letters: aside.letters(), config, aside })
    }

    /// As it stands in a command line.
    pub fn argument(&self) -> String {
        let quoted = |path: &Path| match path.display().to_string() {
            path if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)) => path,
            path => format!("'{}'", path.replace('\'', r"'\''")),
        };
        self.config.as_deref().map(|path| format!(" --config {}", quoted(path))).unwrap_or_default()
    }
}
