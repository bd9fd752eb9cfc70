use std::process::ExitCode;

use anyhow::bail;

use super::open::{Place, device, now};
use crate::{
    attestation::{Key, Record, Revoked, Standing},
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
    let standing = opened.registry.standing(id, known.record.as_deref());
    let question = match &standing {
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
    let keys = match &standing {
        Standing::Enrolled { device, .. } => revoked(known.record.as_deref(), &device.key),
        // Of a device without a key that can be read no key is believed.
        _ => Vec::new(),
    };
    let record = Record::Revoked(Revoked { since_ms: now(), keys }).json();
    opened.write(id, &record, "device-revoke", &format!("device={id}")).await?;
    say(&format!("{id} is revoked: every answer of it fails from now on"));
    Ok(ExitCode::SUCCESS)
}

/// The keys of a device that are revoked from now on: `key`, and those that `record` says were before it. A file that goes
/// back to one of them must not have it believed.
fn revoked(record: Option<&str>, key: &Key) -> Vec<String> {
    let mut keys = match record.map(Record::read) {
        Some(Ok(Record::Revoked(before))) => before.keys,
        // What is enrolled in Redis beside the file is believed as soon as the file has the device no more.
        Some(Ok(Record::Enrolled(enrolled))) => Key::read(&enrolled.key).iter().map(Key::fingerprint).collect(),
        _ => Vec::new(),
    };
    let fingerprint = key.fingerprint();
    if !keys.contains(&fingerprint) {
        keys.push(fingerprint);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::Signer;

    #[test]
    fn a_key_that_was_revoked_stays_revoked_when_the_next_one_is() {
        let (old, new) = (Signer::generate().key(), Signer::generate().key());
        let first = revoked(None, &old);
        assert_eq!(first, [old.fingerprint()]);
        let record = Record::Revoked(Revoked { since_ms: 0, keys: first }).json();
        assert_eq!(revoked(Some(&record), &new), [old.fingerprint(), new.fingerprint()]);
        assert_eq!(revoked(Some(&record), &old), [old.fingerprint()]);
    }
}
