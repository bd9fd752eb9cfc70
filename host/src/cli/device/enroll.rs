use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail, ensure};

use super::open::{Opened, Place, device, hash, hashed, now};
use crate::{
    attestation::{Awaiting, Enrolled, Form, Key, Record, Standing},
    cli::terminal::say,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora device enroll stm32_pac_01 --config aurora.toml --key stm32_pac_01.pub.pem --image firmware.bin
  aurora device enroll stm32_pac_01 --config aurora.toml --key 046b17d1… --firmware 9f86d081…
  aurora device enroll esp32s3_gw_01 --config aurora.toml --await --for 10m   # the key of its next answer
  aurora device enroll esp32s3_gw_01 --config aurora.toml --await --fingerprint 1f2e3d…";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Device id, as in its topics.
    #[arg(value_parser = device)]
    device: String,
    #[command(flatten)]
    place: Place,
    /// Its public key: a PEM file, or hexadecimal digits (04 and both coordinates, or 02 or 03 and one).
    #[arg(long, value_name = "FILE|HEX", required_unless_present = "open", conflicts_with = "open")]
    key: Option<String>,
    /// Open the gate: the key of its next answer that holds is enrolled. Whoever answers first for this device gets in, so
    /// do this where nobody else can publish on its topics, or with --fingerprint.
    #[arg(long = "await")]
    open: bool,
    /// How long the gate stays open.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = time, requires = "open")]
    long: Duration,
    /// Let only this key in: SHA-256 of its 65 bytes, as the device's maker or its display shows it.
    #[arg(long, value_name = "SHA256", value_parser = hash, requires = "open")]
    fingerprint: Option<String>,
    /// SHA-256 of a firmware that it may run; may be given several times. None: those of attestation.firmware.
    #[arg(long, value_name = "SHA256", value_parser = hash)]
    firmware: Vec<String>,
    /// A firmware that it may run, as a file; may be given several times.
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// It signs parts one behind the other, as old firmware does, and not line by line.
    #[arg(long)]
    legacy: bool,
    /// Put it in the place of what is enrolled under this id.
    #[arg(long)]
    replace: bool,
    /// Forget its boot count: the board is another one with the same key. One with another key begins anew by itself.
    #[arg(long)]
    new_board: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut opened = args.place.open()?;
    let id = &args.device;
    let is_readable = may_be_enrolled(&opened, args).await?;
    let mut firmware = args.firmware.clone();
    firmware.extend(hashed(&args.image)?);
    let message = args.legacy.then_some(Form::Legacy);
    let (record, told, details) = match &args.key {
        Some(key) => {
            let key = read_key(key)?;
            let fingerprint = key.fingerprint();
            let record = Enrolled { key: key.hex(), firmware, message, since_ms: now(), by_answer: false };
            (
                Record::Enrolled(record),
                format!("{id} is enrolled with the key {fingerprint}"),
                format!("key={fingerprint}"),
            )
        }
        None => {
            let until_ms = now() + i64::try_from(args.long.as_millis()).unwrap_or(i64::MAX / 2);
            let until = chrono::DateTime::from_timestamp_millis(until_ms).unwrap_or_default().to_rfc3339();
            let record = Awaiting { until_ms, fingerprint: args.fingerprint.clone(), firmware, message };
            let told = format!("{id} may enrol itself until {until}; ask it with `aurora device challenge {id}`");
            (Record::Awaiting(record), told, format!("await until={until}"))
        }
    };
    opened.write(id, &record.json(), "device-enroll", &format!("device={id} {details}")).await?;
    if !is_readable {
        opened.devices.begin_anew(id).await?;
    } else if args.new_board {
        opened.devices.forget_boot(id).await?;
    }
    say(&told);
    Ok(ExitCode::SUCCESS)
}

/// Whether what is known of the device can be read.
async fn may_be_enrolled(opened: &Opened, args: &Args) -> anyhow::Result<bool> {
    let id = &args.device;
    let known = opened.known(id).await?;
    let standing = opened.registry.standing(id, known.record.as_deref());
    // Whatever its record is: a record in its place would leave the key of the file believed, and end a revocation of it.
    if opened.registry.listed().contains_key(id) {
        let is_revoked = matches!(standing, Standing::Revoked);
        let besides = if is_revoked { "; it is revoked, and another key there has it believed again" } else { "" };
        bail!("{id} is in the file of devices, which decides; change it there{besides}");
    }
    let is_readable = known.unreadable.is_none();
    ensure!(is_readable || args.replace, "what is known of {id} cannot be read; --replace puts this in its place");
    match standing {
        Standing::Enrolled { .. } => {
            ensure!(args.replace, "{id} is enrolled already; --replace puts this in its place")
        }
        Standing::Revoked => ensure!(args.replace, "{id} is revoked; --replace has it believed again, with this key"),
        Standing::Awaiting(_) | Standing::Unknown | Standing::Unreadable(_) => {}
    }
    Ok(is_readable)
}

fn read_key(text: &str) -> anyhow::Result<Key> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && !std::path::Path::new(text).exists() {
        return Key::read(text).map_err(|error| anyhow::anyhow!("--key {error}"));
    }
    let pem = std::fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
    Key::read(&pem).map_err(|error| anyhow::anyhow!("what {text} holds {error}"))
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("is no time".to_owned()) } else { Ok(time) }
}
