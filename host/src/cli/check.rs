//! `aurora check`: everything that is wrong with a configuration, without starting anything.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;

use super::trials;
use crate::config::{self, Config, Problems, Purpose};

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

/// Checks what the arguments name and prints it on standard output. Exit code 1 if anything is wrong. `attempt` is told
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
}

impl Trial {
    /// A trial's result under its name.
    #[must_use]
    pub fn new(name: impl Into<String>, result: Result<String, String>) -> Self {
        Self { name: name.into(), result }
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
            let failed = print(&trials::of_guests_beside(&problems), out)?;
            writeln!(out, "{}", count(problems.len() + failed, "problem"))?;
            return Ok(false);
        }
    };
    writeln!(out, "{config}")?;
    let trials = attempt(&config).await;
    let failed = print(&trials, out)?;
    match failed {
        0 => writeln!(out, "ok")?,
        failed => writeln!(out, "{}", count(failed, "problem"))?,
    }
    Ok(failed == 0)
}

/// Prints trials with their results in one column, and counts the failed ones.
fn print(trials: &[Trial], out: &mut impl Write) -> io::Result<usize> {
    let width = trials.iter().map(|trial| trial.name.chars().count()).max().unwrap_or(0);
    for Trial { name, result } in trials {
        let (word, text) = match result {
            Ok(text) => ("ok    ", text),
            Err(text) => ("FAILED", text),
        };
        // Continuation lines stand below the text and not below the names.
        let text = text.trim_end().replace('\n', &format!("\n{:width$}         ", ""));
        writeln!(out, "{name:<width$}  {word} {text}")?;
    }
    Ok(trials.iter().filter(|trial| trial.result.is_err()).count())
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
    async fn says_ok_when_all_is_well() {
        let (well, text) = run(Ok(Config::default()), Vec::new()).await;
        assert!(well && text.ends_with("\nok\n"), "{text}");
    }
}
