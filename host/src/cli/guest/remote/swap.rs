//! `aurora guest swap`: another guest for a slot of a running daemon, at once or after a rehearsal.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Daemon,
    ask::{Which, path_of},
    asked, short,
    table::Table,
};
use crate::{
    admin::guests::SIGNATURE,
    cli::terminal::plain,
    config,
    supply::{Fetched, Source, Supply},
    swap::{Rule, Until, cases},
};

pub const EXAMPLES: &str = "\
Examples:
  aurora guest swap normalize my.wasm --config aurora.toml
  aurora guest swap normalize/acme acme.wasm --config aurora.toml --shadow 5m
  aurora guest swap normalize/acme oci:registry.site:5000/guests/acme@sha256:… --config aurora.toml
  aurora guest swap route my.wasm --config aurora.toml --shadow 10000 --promote-if 'slower<=1.5'
  aurora guest swap task/triage triage.wasm --config aurora.toml

The guest must pass its own cases first: those in a folder of its name (my.cases), or in cases/ where it
has the folder to itself. Afterwards it is on probation: if it fails or is slow, the one before is back. An agent has
neither rehearsal nor probation: it gets the next task, and `aurora guest rollback` brings the one before back.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which, as in normalize, normalize/acme or task/triage.
    slot: String,
    /// The component, a .wasm file, which goes with its signatures; or oci:registry/repository@sha256:…, which the daemon
    /// takes from there.
    guest: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Rehearse it first, for a time (5m) or a number of events (10000): it decides live events without effect, and what
    /// would have come out otherwise is shown.
    #[arg(long, value_name = "TIME|EVENTS")]
    shadow: Option<Until>,
    /// Have the daemon promote it after the rehearsal by itself, on conditions: faults<=N, differences<=N, slower<=X,
    /// with commas between them; 0, 0 and 2 where left out.
    #[arg(long, value_name = "CONDITIONS", requires = "shadow")]
    promote_if: Option<Rule>,
    /// Promote it after the rehearsal without asking.
    #[arg(long, requires = "shadow", conflicts_with = "promote_if")]
    yes: bool,
    /// A folder of cases that the guest has to pass before it is sent [default: cases/ beside it, or a folder of its name]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
}

/// How often a rehearsal is asked how far it is.
const ASK: Duration = Duration::from_millis(500);

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    asked(async {
        let daemon = args.which.daemon()?;
        let done = install(args, &daemon).await?;
        println!("{}: {}", args.slot, plain(done["done"].as_str().unwrap_or("done")));
        if args.shadow.is_none() || done["guest"] == done["present"] {
            return Ok(ExitCode::SUCCESS);
        }
        let report = watch(&daemon, &args.slot, &done["guest"]).await?;
        show(&report);
        if let Some(verdict) = report["verdict"].as_str() {
            println!("{}", plain(verdict));
            return Ok(if verdict.starts_with("promoted") { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if args.yes || asks(&args.slot)? {
            let done = daemon.change(Method::POST, &format!("{}/promote", path_of(&args.slot))).await?;
            println!("{}: {}", args.slot, plain(done["done"].as_str().unwrap_or("done")));
        } else {
            let (slot, config) = (&args.slot, args.which.config.display());
            println!(
                "not promoted; as long as the daemon runs, this does it: aurora guest promote {slot} --config {config}"
            );
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn install(args: &Args, daemon: &Daemon) -> anyhow::Result<Value> {
    let path = path_of(&args.slot);
    let shadow = args.shadow.map(|until| match until {
        Until::Time(time) => format!("{}ms", time.as_millis()),
        Until::Events(events) => events.to_string(),
    });
    let promote_if = args.promote_if.as_ref().map(Rule::to_string);
    let file = &args.guest;
    if let Some(reference) = file.to_str().and_then(|text| text.strip_prefix("oci:")) {
        if args.cases.is_some() {
            bail!(
                "--cases are run before a component is sent, and this one is not; `aurora guest pull` takes it here first"
            );
        }
        let wanted = json!({ "oci": reference, "shadow": shadow, "promote_if": promote_if });
        return daemon.send(daemon.request(Method::POST, &path)?.json(&wanted)).await;
    }
    let Fetched { wasm, signature, .. } =
        Supply::new(&config::Guests::default())?.fetch(&Source::File(file.clone()))?;
    // Here and not there: the daemon may be on another machine, or have no right to read an author's folder.
    if let Some(cases) = args.cases.clone().or_else(|| cases::beside(file)) {
        cases::run(&wasm, &cases)
            .map_err(|said| anyhow::anyhow!("nothing is sent, it fails its own cases:\n{said}"))?;
    }
    let name = file.file_stem().map_or_else(|| "guest".into(), |stem| stem.to_string_lossy().into_owned());
    let parameters = [("name", Some(name)), ("shadow", shadow), ("promote_if", promote_if)];
    let parameters: Vec<_> = parameters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
    let request = daemon.request(Method::POST, &format!("{path}?{query}"))?;
    let request = match signature {
        Some(text) => request.header(SIGNATURE, STANDARD.encode(text)),
        None => request,
    };
    daemon.send(request.header("content-type", "application/wasm").body(wasm)).await
}

/// Waits until the rehearsal of `guest` is over, and everything follows that follows by itself.
async fn watch(daemon: &Daemon, slot: &str, guest: &Value) -> anyhow::Result<Value> {
    let terminal = io::stderr().is_terminal();
    loop {
        let report = daemon.get(&path_of(slot)).await?["rehearsal"].take();
        if report.is_null() {
            bail!("the rehearsal was ended by somebody else");
        }
        // Their guest must not be promoted for ours.
        if report["candidate"]["digest"] != *guest {
            bail!("the rehearsal was ended by somebody else, who rehearses another guest in {slot} now");
        }
        let promotes = !report["promote_if"].is_null();
        if !report["ended"].is_null() && (!promotes || !report["verdict"].is_null()) {
            if terminal {
                eprintln!();
            }
            return Ok(report);
        }
        if terminal {
            eprint!("\r{} events compared, {} otherwise ", report["events"], report["different"]);
            let _ = io::stderr().flush();
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Shows what a rehearsal has found. Events and guests wrote most of it.
fn show(report: &Value) {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let mut table = Table::new(&["", "GUEST", "DIGEST", "FAULTS", "NS/EVENT"]);
    for side in ["present", "candidate"] {
        let of = &report[side];
        let digest = text(&of["digest"]);
        table.row([
            side.to_owned(),
            text(&of["name"]),
            short(&digest).to_owned(),
            of["faults"].to_string(),
            of["ns_an_event"].to_string(),
        ]);
    }
    print!("{table}");
    let slower = report["slower"].as_f64().map(|times| format!(", {times:.2} times the time")).unwrap_or_default();
    println!(
        "{} events compared, {} passed unseen, {} came out otherwise{slower}",
        report["events"], report["missed"], report["different"]
    );
    let fields = report["fields"].as_object().into_iter().flatten();
    for (field, count) in fields {
        println!("  {count:>8}  {}", plain(field));
    }
    for example in report["examples"].as_array().into_iter().flatten() {
        let topic = example["topic"].as_str().map(|topic| format!(" {}", plain(topic))).unwrap_or_default();
        println!("\n{}{topic}: {}", text(&example["source"]), text(&example["raw"]));
        for difference in example["differences"].as_array().into_iter().flatten() {
            println!("  {}", text(&difference["field"]));
            for (sign, side) in [('-', "present"), ('+', "candidate")] {
                if difference[side].is_string() {
                    println!("    {sign} {}", text(&difference[side]));
                }
            }
        }
    }
    println!();
}

/// Asks the person at the terminal, if there is one.
fn asks(slot: &str) -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(false);
    }
    eprint!("Put it into {slot}? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
