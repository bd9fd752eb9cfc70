//! Keys about what is logged, and how.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::{findings::Findings, wording::closest};

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What to log, in the syntax of `tracing_subscriber::EnvFilter`: `info`, `aurora=debug,info`.
    pub level: String,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let remedy = "write it like \"info\" or \"aurora=debug,info\"";
        if self.level.trim().is_empty() {
            findings.problem("log.level", "is empty", remedy);
        } else if self.level.parse::<EnvFilter>().is_err() {
            findings.problem("log.level", format!("{:?} is no log filter", self.level), remedy);
        }
        // The filter's syntax takes any word for a module's name, so a mistyped level would silence the log.
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        for word in self.level.split(',').map(|directive| directive.rsplit('=').next().unwrap_or(directive).trim()) {
            let meant = closest(word, &LEVELS).filter(|meant| !meant.eq_ignore_ascii_case(word));
            if let Some(meant) = meant {
                findings.problem("log.level", format!("{word:?} is no level"), format!("did you mean \"{meant}\"?"));
            }
        }
    }
}
