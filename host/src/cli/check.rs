//! `aurora check`: everything that is wrong with a configuration, without starting anything.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;

use super::trials;
use crate::{
    broker::{Finding, Probed, Weight},
    config::{self, Config, Problems, Purpose},
};

/// Arguments of `aurora check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration. Without it only what the environment sets is checked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also reach each broker that is configured.
    #[arg(long)]
    connect: bool,
}

/// Checks what the arguments name and prints it on standard output. Exit code 1 if anything is wrong; a warning, about
/// what goes wrong only together with something else, does not count as that. `attempt` is told
/// whether to reach the brokers; see [`check`].
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args, attempt: impl AsyncFnOnce(&Config, bool) -> Vec<Trial>) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(args.config.as_deref(), config::environment(), Purpose::Run);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let attempt = async |config: &Config| attempt(config, args.connect).await;
    let well = runtime.block_on(check(loaded, attempt, &mut io::stdout().lock()));
    Ok(if well.context("cannot write standard output")? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One thing that was tried: a guest loaded, a broker reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was tried: `guest normalize`, `mqtt`.
    pub name: String,
    /// What was found, or what is wrong and what to do about it.
    pub result: Result<String, String>,
    /// What else was seen.
    pub findings: Vec<Finding>,
}

impl Trial {
    /// A trial's result under its name.
    #[must_use]
    pub fn new(name: impl Into<String>, result: Result<String, String>) -> Self {
        Self { name: name.into(), result, findings: Vec::new() }
    }

    /// The trial of a broker.
    #[must_use]
    pub fn broker(name: impl Into<String>, probed: Result<impl Into<Probed>, String>) -> Self {
        let (result, findings) = match probed.map(Into::into) {
            Ok(Probed { said, findings }) => (Ok(said), findings),
            Err(error) => (Err(error), Vec::new()),
        };
        Self { name: name.into(), result, findings }
    }

    fn count(&self, weight: Weight) -> usize {
        self.findings.iter().filter(|finding| finding.weight == weight).count()
    }
}

/// Prints every problem of a configuration; or, if it has none, what would run and what `attempt` found by trying it
/// out. Says whether all is well, so that the command's exit code can.
///
/// `attempt` is the caller's, because only it knows the sandbox and the brokers.
///
/// # Errors
/// Those of `out`.
pub async fn check(
    loaded: Result<Config, Problems>,
    attempt: impl AsyncFnOnce(&Config) -> Vec<Trial>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => {
            writeln!(out, "{problems}")?;
            let (failed, _) = print(&trials::of_guests_beside(&problems), out)?;
            writeln!(out, "{}", count(problems.len() + failed, "problem"))?;
            return Ok(false);
        }
    };
    writeln!(out, "{config}")?;
    let trials = attempt(&config).await;
    let (failed, warned) = print(&trials, out)?;
    let verdict = if failed == 0 { "ok".to_owned() } else { count(failed, "problem") };
    match warned {
        0 => writeln!(out, "{verdict}")?,
        warned => writeln!(out, "{verdict}, {}", count(warned, "warning"))?,
    }
    Ok(failed == 0)
}

/// Prints trials with their results in one column, and counts what has failed and what was warned of.
fn print(trials: &[Trial], out: &mut impl Write) -> io::Result<(usize, usize)> {
    let width = trials.iter().map(|trial| trial.name.chars().count()).max().unwrap_or(0);
    // Continuation lines stand below the text and not below the names.
    let mut line = |name: &str, word: &str, text: &str| {
        let text = text.trim_end().replace('\n', &format!("\n{:width$}         ", ""));
        writeln!(out, "{name:<width$}  {word} {text}")
    };
    for Trial { name, result, findings } in trials {
        match result {
            Ok(text) => line(name, "ok    ", text)?,
            Err(text) => line(name, "FAILED", text)?,
        }
        for Finding { weight, text } in findings {
            let word = match weight {
                Weight::Problem => "FAILED",
                Weight::Warning => "warn  ",
                Weight::Note => "note  ",
            };
            line(name, word, text)?;
        }
    }
    let failed = |trial: &Trial| usize::from(trial.result.is_err()) + trial.count(Weight::Problem);
    Ok((trials.iter().map(failed).sum(), trials.iter().map(|trial| trial.count(Weight::Warning)).sum()))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, Problem};

    async fn run(loaded: Result<Config, Problems>, trials: Vec<Trial>) -> (bool, String) {
        let mut out = Vec::new();
        let well = check(loaded, async |_| trials, &mut out).await.unwrap();
        (well, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn prints_every_problem_and_tries_nothing() {
        let problem = |key: &str| Problem {
            place: Place::Variable("AURORA_X__Y".to_owned()),
            key: key.to_owned(),
            what: "is wrong".to_owned(),
            remedy: "put it right".to_owned(),
        };
        let problems = Problems::new(vec![problem("a.b"), problem("c.d")]);
        let trials = vec![Trial::new("mqtt", Ok("reached".to_owned()))];
        let (well, text) = run(Err(problems), trials).await;
        assert!(!well);
        let expected =
            "AURORA_X__Y: a.b: is wrong; put it right\nAURORA_X__Y: c.d: is wrong; put it right\n2 problems\n";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn a_failed_trial_is_a_problem_and_results_stand_in_a_column() {
        let trials = vec![
            Trial::new("guest normalize", Ok("normalize-core.wasm, 104 kB".to_owned())),
            Trial::new("mqtt", Err("connection refused\nis the broker running?".to_owned())),
        ];
        let (well, text) = run(Ok(Config::default()), trials).await;
        assert!(!well);
        let tail = "guest normalize  ok     normalize-core.wasm, 104 kB\n\
                    mqtt             FAILED connection refused\n\
                    \u{20}                       is the broker running?\n1 problem\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[tokio::test]
    async fn only_problems_fail_and_warnings_are_counted() {
        let findings = vec![Finding::warning("appendfsync is everysec"), Finding::note("the queue is not seen")];
        let probed = |findings| Ok::<_, String>(Probed { said: "Redis 7".to_owned(), findings });
        let (well, text) = run(Ok(Config::default()), vec![Trial::broker("redis", probed(findings.clone()))]).await;
        let tail = "redis  ok     Redis 7\nredis  warn   appendfsync is everysec\n\
                    redis  note   the queue is not seen\nok, 1 warning\n";
        assert!(well && text.ends_with(tail), "{text}");

        let findings = [vec![Finding::problem("evicts")], findings].concat();
        let (well, text) = run(Ok(Config::default()), vec![Trial::broker("redis", probed(findings))]).await;
        assert!(
            !well && text.contains("redis  FAILED evicts\n") && text.ends_with("\n1 problem, 1 warning\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn says_ok_when_all_is_well() {
        let (well, text) = run(Ok(Config::default()), Vec::new()).await;
        assert!(well && text.ends_with("\nok\n"), "{text}");
    }
}
