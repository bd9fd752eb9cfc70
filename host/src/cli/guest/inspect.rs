//! `aurora guest inspect`: what a component is, what it wants, and whether this host runs it.

use std::{path::PathBuf, process::ExitCode};

use bytesize::ByteSize;
use serde::Serialize;

use super::find;
use crate::{
    cli::pipe::user_cache,
    config::{self, Grants, Guests},
    sandbox::{Agent, Digest, Federation, Guest, Inbound, Inspection, Need, Normalizer, Router, Sandbox, World},
    supply::{PublicKey, Source, Trust, Verdict},
    telemetry::{Chain, Metrics, Stage},
};

/// `aurora guest inspect`
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 if this host can run each of them, 1 if not.")]
pub struct Args {
    /// Components, or folders of guests.
    #[arg(default_value = ".")]
    guests: Vec<PathBuf>,
    /// A public key to check signatures with; several may be given.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
}

/// What is to be said of one component.
#[derive(Debug, Serialize)]
struct Finding {
    file: PathBuf,
    digest: String,
    size: usize,
    /// What its signatures are worth.
    signature: String,
    /// Stage, and the interface that serves it, with its version.
    stages: Vec<(String, String)>,
    imports: Vec<String>,
    exports: Vec<String>,
    /// The grants that it needs.
    needs: Grants,
    /// Imports that no grant gives.
    ungranted: Vec<String>,
    /// Why this host does not run it; none where it does.
    refused: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Guests { cache: user_cache(), ..Guests::default() };
    let sandbox = Sandbox::new(&config, 1)?;
    let keys = args.key.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?;
    let trust = Trust::in_keys(keys, false);
    let mut all_run = true;
    for path in &args.guests {
        let file = find::built(path)?.wasm;
        let fetched = sandbox.supply().fetch(&Source::File(file.clone()))?;
        let mut finding = inspect(&sandbox, file, &fetched.wasm);
        match trust.judge(&fetched.digest, fetched.signature.as_deref()) {
            Ok(verdict) => finding.signature = verdict.to_string(),
            Err(error) => {
                finding.signature = Chain(&error).to_string();
                finding.refused.get_or_insert_with(|| finding.signature.clone());
            }
        }
        all_run &= finding.refused.is_none();
        if args.json {
            say!("{}", serde_json::to_string(&finding)?);
        } else {
            say!("{}", describe(&finding).trim_end());
        }
    }
    Ok(if all_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inspect(sandbox: &Sandbox, file: PathBuf, wasm: &[u8]) -> Finding {
    let mut finding = Finding {
        file,
        digest: Digest::of(wasm).to_string(),
        size: wasm.len(),
        signature: Verdict::Unsigned.to_string(),
        stages: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        needs: Grants::default(),
        ungranted: Vec::new(),
        refused: None,
    };
    let inspection = match Inspection::of(sandbox, wasm) {
        Ok(inspection) => inspection,
        Err(error) => {
            finding.refused = Some(match kind(wasm) {
                Kind::Module => {
                    "it is a core module and not a component; `aurora guest build` makes components".to_owned()
                }
                Kind::Other => "it is no WebAssembly".to_owned(),
                Kind::Component => Chain(&error).to_string(),
            });
            return finding;
        }
    };
    let mut refused = Vec::new();
    finding.needs = inspection.needs();
    finding.ungranted = inspection.refused();
    for stage in inspection.stages() {
        let (export, tried) = match stage {
            Stage::Route => (Router::EXPORT, tried::<Router>(sandbox, &finding)),
            Stage::Federate => (Federation::EXPORT, tried::<Federation>(sandbox, &finding)),
            Stage::Inbound => (Inbound::EXPORT, tried::<Inbound>(sandbox, &finding)),
            Stage::Task => (Agent::EXPORT, tried::<Agent>(sandbox, &finding)),
            _ => (Normalizer::EXPORT, tried::<Normalizer>(sandbox, &finding)),
        };
        let versioned = inspection.exports.iter().find(|name| name.starts_with(export));
        finding.stages.push((stage.to_string(), versioned.cloned().unwrap_or_default()));
        refused.extend(tried);
    }
    if finding.stages.is_empty() {
        refused.push(
            "it exports none of aurora:normalizer/normalize, aurora:router/route, aurora:federation/federate, \
             aurora:inbound/judge, aurora:task/run"
                .to_owned(),
        );
    }
    finding.refused = (!refused.is_empty()).then(|| refused.join("; "));
    finding.imports = inspection.imports;
    finding.exports = inspection.exports;
    finding
}

/// Why it does not load for a stage, with every grant that it needs.
fn tried<W: World>(sandbox: &Sandbox, finding: &Finding) -> Option<String> {
    let (path, grants) = (finding.file.clone(), finding.needs.clone());
    let config = config::Guest { path, grants, ..config::Guest::default() };
    Guest::<W>::load(sandbox, &config, &Metrics::new().guest(W::STAGE)).err().map(|error| Chain(&error).to_string())
}

enum Kind {
    Component,
    Module,
    Other,
}

/// By the preamble: magic number, version, and which of the two layers it is.
fn kind(wasm: &[u8]) -> Kind {
    match wasm {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Kind::Component,
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Kind::Module,
        _ => Kind::Other,
    }
}

/// An import with what it takes.
fn told(import: &str) -> String {
    let needs = match Need::of(import) {
        Need::Nothing => "every guest has it".to_owned(),
        Need::Grant(grant) => format!("needs the grant {:?}", grant.as_str()),
        Need::Refused => "refused: no grant gives it".to_owned(),
    };
    format!("{import:<40} {needs}")
}

fn runs(finding: &Finding) -> String {
    match finding.needs.is_empty() {
        true => "runs it; it needs no grants".to_owned(),
        false => format!("runs it where its site writes {}", finding.needs),
    }
}

fn describe(finding: &Finding) -> String {
    let or_none =
        |texts: Vec<String>| if texts.is_empty() { "nothing".to_owned() } else { texts.join("\n             ") };
    let stages = finding.stages.iter().map(|(stage, export)| format!("{stage} ({export})")).collect();
    let rows = [
        ("size", format!("{} ({} bytes)", ByteSize(finding.size as u64), finding.size)),
        ("digest", finding.digest.clone()),
        ("signature", finding.signature.clone()),
        ("stage", or_none(stages)),
        ("imports", or_none(finding.imports.iter().map(|import| told(import)).collect())),
        ("exports", or_none(finding.exports.clone())),
        ("this host", finding.refused.as_ref().map_or_else(|| runs(finding), |why| format!("does not run it: {why}"))),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("  {name:<10} {value}\n")).collect();
    format!("{}\n{rows}", finding.file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_file_is_that_is_no_component() {
        let sandbox = Sandbox::new(&Guests::default(), 1).unwrap().compiling_here();
        for (bytes, word) in [(&b"\0asm\x01\0\0\0"[..], "core module"), (b"hello", "no WebAssembly")] {
            let finding = inspect(&sandbox, "x.wasm".into(), bytes);
            assert!(finding.refused.is_some_and(|why| why.contains(word)), "{word}");
        }
    }
}
