//! The configuration: one TOML file, overridden key by key by the environment, and every problem in it named at once.
//!
//! [`Config::load`] reads the environment, then the file, and then checks what the values mean; each module checks its
//! own section. Nothing here opens a connection.

mod sections;
mod log;
mod ingest;
mod admin;
mod secret;
mod guests;
mod guest;
mod breaker;
mod grant;
mod probation;
mod rule;
mod state;
mod supply;
mod outline;
mod wording;
mod reading;
mod overrides;
pub(crate) mod findings;
pub(crate) mod urls;
mod files;
mod problem;
mod summary;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, ffi::OsString, path::Path};

pub use self::log::{Log, LogFormat};
pub use admin::Admin;
pub use breaker::Breaker;
pub use grant::{Grant, Grants};
pub use guest::{Guest, Instance};
pub use guests::Guests;
pub use ingest::Ingest;
pub(crate) use outline::quoted;
pub use probation::Probation;
pub use problem::{Place, Problem, Problems};
pub use rule::Rule;
pub use secret::Secret;
pub use sections::{Lanes, Shutdown, Site};
pub use state::StateLimits;
pub use supply::{Compile, Registry};
pub use urls::redacted_url;

use findings::Findings;
use outline::Outline;

use crate::{
    attestation, broadcast,
    broker::{jetstream, mqtt, redis_streams},
    federation, intel, lag,
    pipeline::dedup,
    raw, spool, tasks,
};

/// Everything that the daemon is told. Each module documents its own section.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who we are.
    pub site: Site,
    /// How we log.
    pub log: Log,
    /// Raw events from devices.
    pub mqtt: Option<mqtt::Config>,
    /// Raw events from collectors.
    pub ingest: Option<Ingest>,
    /// Raw events out of a Redis stream.
    pub raw: Option<raw::Config>,
    /// How events are spread over threads.
    pub lanes: Lanes,
    /// Who decides what events mean.
    pub guests: Guests,
    /// Which events are one event.
    pub dedup: dedup::Config,
    /// Whether devices are what they say they are.
    pub attestation: Option<attestation::Config>,
    /// Where events go. Required by `run`.
    pub redis: Option<redis_streams::Config>,
    /// Where they wait while Redis is away.
    pub spool: Option<spool::Config>,
    /// Where shared events go.
    pub nats: Option<jetstream::Config>,
    /// What of them may leave at the most.
    pub federation: federation::Config,
    /// What other sites tell, and what a match with it does.
    pub intel: Option<intel::Config>,
    /// Tasks for agents.
    pub tasks: Option<tasks::Config>,
    /// Live events for viewers.
    pub broadcast: Option<broadcast::Config>,
    /// How far readers of streams are behind.
    pub lag: lag::Config,
    /// Health and metrics.
    pub admin: Admin,
    /// How we end.
    pub shutdown: Shutdown,
}

/// What a configuration is loaded for, which decides what it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon: a site id, a source, all guests, and Redis.
    Run,
    /// `aurora pipe`: nothing. It reaches no broker, so broker sections are checked without their files.
    Pipe,
}

impl Config {
    /// Loads `path`, if given, and puts the environment over it. Paths in the file are relative to the file's folder,
    /// those in the environment to the working directory.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let variables: Vec<_> = environment.filter(|(name, _)| overrides::concerns(name)).collect();
        let in_file = |position: Option<(usize, usize)>| match path {
            Some(path) => Place::File {
                path: path.to_owned(),
                line: position.map(|(line, _)| line),
                column: position.map(|(_, column)| column),
            },
            None => Place::Nowhere,
        };
        let mut problems = Vec::new();
        let mut misfits = HashSet::new();
        let overrides = overrides::read(&variables, &mut misfits, &mut problems);

        let text = match path.map(read).transpose() {
            Ok(text) => text.unwrap_or_default(),
            Err((what, remedy)) => {
                problems.push(Problem { place: in_file(None), key: String::new(), what, remedy });
                return Err(Problems::new(problems));
            }
        };
        let place_misfit = |misfit: reading::Misfit| Problem {
            place: in_file(misfit.position),
            key: misfit.key,
            what: misfit.what,
            remedy: misfit.remedy,
        };
        let mut root = match reading::parse(&text) {
            Ok(root) => root,
            Err(misfit) => {
                problems.push(place_misfit(misfit));
                return Err(Problems::new(problems));
            }
        };
        let outline = Outline::of(&text, &root);
        // Where a variable does not fit, what the file says is still judged.
        misfits.retain(|key| !outline.sets(key));
        problems.extend(reading::cut_misfits(&mut root, &outline, &mut misfits).into_iter().map(place_misfit));
        // What the environment puts right is no longer a misfit, so its own value is judged.
        misfits.retain(|key| overrides::variable_of(&overrides, key).is_none());
        overrides::apply(&overrides, &mut root);
        let mut config = match reading::fit(root) {
            Ok(config) => config,
            Err(error) => {
                let what = error.message().to_owned();
                problems.push(Problem { place: in_file(None), key: String::new(), what, remedy: String::new() });
                return Err(Problems::new(problems));
            }
        };

        let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
        for (key, _, value) in files::paths(&mut config) {
            if overrides::variable_of(&overrides, &key).is_none() && !value.as_os_str().is_empty() {
                *value = folder.join(&value);
            }
        }
        let mut findings = Findings::new(purpose, misfits);
        config.validate(&mut findings);
        files::check(&mut config, &mut findings);
        if let (Some(inbound), Some(redis)) = (&config.federation.inbound, &mut config.redis) {
            inbound.complete(redis);
        }
        problems.extend(findings.into_found().into_iter().map(|finding| Problem {
            place: match overrides::variable_of(&overrides, &finding.key) {
                Some(variable) => Place::Variable(variable.to_owned()),
                None => in_file(outline.nearest(&finding.key)),
            },
            key: finding.key,
            what: finding.what,
            remedy: finding.remedy,
        }));
        if problems.is_empty() { Ok(config) } else { Err(Problems::new(problems).beside(config)) }
    }

    fn validate(&self, findings: &mut Findings) {
        self.site.validate(findings);
        self.log.validate(findings);
        if let Some(mqtt) = &self.mqtt {
            mqtt.validate(findings);
        }
        if let Some(ingest) = &self.ingest {
            ingest.validate(findings);
            self.admin.validate_beside(ingest, findings);
        }
        if let Some(raw) = &self.raw {
            raw.validate(self.redis.as_ref(), findings);
        }
        self.lanes.validate(findings);
        self.guests.validate(findings);
        if let Some(redis) = &self.redis {
            redis.validate(findings);
        }
        self.dedup.validate(findings);
        if let Some(attestation) = &self.attestation {
            attestation.validate(self.mqtt.as_ref(), findings);
        }
        if self.redis.as_ref().is_some_and(|redis| redis.step == redis_streams::Step::Plain) {
            let needs = [
                ("raw", self.raw.is_some(), "which acknowledges no entries"),
                // A record of the spool is the command of the atomic step, so there would be nothing in it.
                ("spool", self.spool.is_some(), "whose batches cannot be kept on disk"),
                ("federation.share", !self.federation.share.is_empty(), "which acknowledges no entries"),
                ("federation.in", self.federation.inbound.is_some(), "which recognises no message that comes again"),
            ];
            for (section, _, why) in needs.into_iter().filter(|(_, is_set, _)| *is_set) {
                let what = format!("is set, but `redis.step` is \"plain\", {why}");
                findings.problem(section, what, "leave `redis.step` out");
            }
        }
        if let Some(spool) = &self.spool {
            spool.validate(findings);
        }
        if let Some(nats) = &self.nats {
            nats.validate(findings);
        }
        self.federation.validate(self.nats.as_ref(), self.redis.as_ref(), self.raw.as_ref(), findings);
        if self.guests.inbound.is_some() && self.federation.inbound.is_none() && findings.purpose() == Purpose::Run {
            let what = "is set, but without [federation.in] nothing comes in that it could judge";
            findings.problem("guests.inbound", what, "add a [federation.in] section, or remove this one");
        }
        if let Some(intel) = &self.intel {
            intel.validate(findings);
        }
        self.admin.validate(findings);
        self.lag.validate(findings);
        if let Some(tasks) = &self.tasks {
            tasks.validate(self.redis.as_ref(), self.raw.as_ref(), &self.lag, findings);
        }
        if let Some(broadcast) = &self.broadcast {
            broadcast.validate(&self.admin, self.ingest.as_ref(), findings);
        }
        self.shutdown.validate(findings);
        if findings.purpose() == Purpose::Run {
            if self.redis.is_none() {
                findings.problem("redis.url", "is missing", "add a [redis] section with url = \"redis://host:6379\"");
            }
            let others =
                [self.ingest.is_some(), self.raw.is_some(), findings.is_misfit("ingest"), findings.is_misfit("raw")];
            if self.mqtt.is_none() && !others.contains(&true) {
                let remedy = "add a [mqtt] section with url = \"mqtt://host:1883\", or an [ingest] or [raw] section";
                findings.problem("mqtt.url", "is missing, and no other source is configured", remedy);
            }
        }
    }
}

/// The process's environment, as [`Config::load`] wants it. A value that is not UTF-8 is passed on damaged, and refused
/// there if it is ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |value: OsString| value.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

fn read(path: &Path) -> Result<String, (String, String)> {
    let bytes = std::fs::read(path)
        .map_err(|error| (format!("cannot be read: {error}"), "name a configuration with --config FILE".to_owned()))?;
    String::from_utf8(bytes).map_err(|error| {
        let line = bytes_before(&error).iter().filter(|byte| **byte == b'\n').count() + 1;
        (format!("is not UTF-8 on line {line}"), "save it as UTF-8".to_owned())
    })
}

fn bytes_before(error: &std::string::FromUtf8Error) -> &[u8] {
    &error.as_bytes()[..error.utf8_error().valid_up_to()]
}
