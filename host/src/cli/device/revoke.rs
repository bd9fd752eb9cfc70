use std::process::ExitCode;

use anyhow::bail;

use super::open::{Place, device, now};
use crate::{
    attestation::{Record, Revoked, Standing},
    cli::terminal::{confirm, say},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora device revoke stm32_pac_01 --config aurora.toml
  aurora device revoke stm32_pac_01 --config aurora.toml --yes";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Device id, as in its topics.
    #[arg(value_parser = device)]
    device: String,
    #[command(flatten)]
    place: Place,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut opened = args.place.open()?;
    let id = &args.device;
    let known = opened.known(id).await?;
    let question = match opened.registry.standing(id, known.record.as_deref()) {
        Standing::Revoked => {
            say(&format!("{id} is revoked already"));
            return Ok(ExitCode::SUCCESS);
        }
        // Most likely a slip: the device that was meant would go on being believed.
        Standing::Unknown => bail!("nobody has enrolled {id}, nothing is revoked; `aurora device list` says who is"),
        _ => format!("Believe {id} no more?"),
    };
    if !confirm(&question, args.yes)? {
        say("nothing is changed");
        return Ok(ExitCode::FAILURE);
    }
    let record = Record::Revoked(Revoked { since_ms: now() }).json();
    opened.write(id, &record, "device-revoke", &format!("device={id}")).await?;
    say(&format!("{id} is revoked: every answer of it fails from now on"));
    Ok(ExitCode::SUCCESS)
}
