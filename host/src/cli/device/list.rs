use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
    time::Duration,
};

use super::open::{Place, now};
use crate::{attestation::Overview, cli::terminal::plain};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora device list --config aurora.toml
  aurora device list --config aurora.toml --health offline
  aurora device list --config aurora.toml --format json | jq 'select(.last.status == \"failed\") | .device_id'";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Only these.
    #[arg(long, value_enum)]
    health: Option<Wanted>,
    /// For a person, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wanted {
    /// Heard of within attestation.online.
    Online,
    /// Not so recently.
    Stale,
    /// Not within attestation.stale.
    Offline,
    /// Never.
    Unknown,
    /// Not believed any more, whether it is heard of or not.
    Revoked,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let opened = args.place.open()?;
    let all = Overview::read(&opened.devices, &opened.registry, &opened.attestation).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    let wanted = args.health.map(Wanted::as_str);
    let mut shown = 0;
    for device in all.iter().filter(|device| wanted.is_none_or(|wanted| device.health == wanted)) {
        if args.format == Format::Json {
            serde_json::to_writer(&mut out, device).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            continue;
        }
        if shown == 0 {
            writeln!(
                out,
                "{:<24} {:<8} {:<10} {:<9} {:>8}  LAST VERDICT",
                "DEVICE", "HEALTH", "HEARD", "ENROLLED", "BOOTS"
            )?;
        }
        shown += 1;
        writeln!(out, "{}", line(device))?;
    }
    out.flush()?;
    if args.format == Format::Text {
        let count = |health: &str| all.iter().filter(|device| device.health == health).count();
        let [online, stale, offline, unknown, revoked] =
            ["online", "stale", "offline", "unknown", "revoked"].map(count);
        eprintln!("{online} online, {stale} stale, {offline} offline, {unknown} never heard of, {revoked} revoked");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(device: &Overview) -> String {
    let last = match &device.last {
        Some(last) => format!("{} {}: {}", last.status.as_str(), ago(Some(last.at_ms)), last.reason),
        None => "none".to_owned(),
    };
    let boots = device.boot_count.as_deref().unwrap_or("-");
    format!(
        "{:<24} {:<8} {:<10} {:<9} {:>8}  {}",
        plain(&device.device_id),
        device.health,
        ago(device.heard_ms),
        plain(&device.enrolled),
        plain(boots),
        plain(&last)
    )
}

/// How long ago, in its largest unit.
fn ago(at_ms: Option<i64>) -> String {
    let Some(at_ms) = at_ms else { return "never".to_owned() };
    let passed = Duration::from_millis(u64::try_from(now() - at_ms).unwrap_or_default()).as_secs();
    let (count, unit) = match passed {
        0..60 => (passed, "s"),
        60..3600 => (passed / 60, "min"),
        3600..86_400 => (passed / 3600, "h"),
        _ => (passed / 86_400, "d"),
    };
    format!("{count} {unit} ago")
}

impl Wanted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stale => "stale",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
        }
    }
}
