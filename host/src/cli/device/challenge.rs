use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::{
    enroll::time,
    open::{Opened, Place, device, now},
};
use crate::{
    attestation::{Last, Standing, Status},
    broker::redis_streams::Known,
    cli::terminal::{plain, say},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora device challenge stm32_pac_01 --config aurora.toml
  aurora device challenge stm32_pac_01 --config aurora.toml --no-wait";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Device id, as in its topics.
    #[arg(value_parser = device)]
    device: String,
    #[command(flatten)]
    place: Place,
    /// Return as soon as the daemon has been asked to ask.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the verdict.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time, conflicts_with = "no_wait")]
    wait: Duration,
}

/// How often Redis is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let opened = args.place.open()?;
    let id = &args.device;
    let before = opened.known(id).await?;
    match opened.registry.standing_of(id, &before) {
        Standing::Enrolled { .. } => {}
        Standing::Awaiting(gate) if gate.until_ms > now() => {}
        Standing::Revoked => bail!("{id} is revoked"),
        Standing::Unreadable(what) => bail!("what is known of {id} cannot be read: {}", plain(&what)),
        _ => bail!("{id} is not enrolled; `aurora device enroll {id}` does that"),
    }
    opened.devices.want(id, now()).await?;
    if args.no_wait {
        say(&format!("{id} will be asked"));
        return Ok(ExitCode::SUCCESS);
    }
    let until = Instant::now() + args.wait;
    let asked = wait(&opened, id, until, |known| {
        known.challenges.first().filter(|newest| before.challenges.first() != Some(newest)).cloned()
    })
    .await?;
    let Some(asked) = asked else {
        // Later it would surprise whoever is there then.
        opened.devices.want_no_more(id).await?;
        bail!("no daemon with [attestation] has seen this within {:?}; does one run on this Redis?", args.wait);
    };
    say(&format!("{id} is asked with the nonce {}", asked.nonce));
    // Any verdict since: an answer that does not even name the nonce is one, too.
    let answered = wait(&opened, id, until, |known| {
        let last: Last = serde_json::from_str(known.last.as_deref()?).ok()?;
        let is_new = before.last != known.last
            && (last.nonce.as_deref() == Some(&asked.nonce) || last.nonce.is_none() && last.at_ms >= asked.issued);
        is_new.then_some(last)
    })
    .await?;
    let Some(last) = answered else {
        bail!("no answer within {:?}; it may still come, see `aurora device list`", args.wait);
    };
    say(&format!("{id} {}: {}", last.status.as_str(), plain(&last.reason)));
    Ok(if last.status == Status::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Looks at what is known of a device until `find` finds something in it, or until then.
async fn wait<T>(
    opened: &Opened,
    device: &str,
    until: Instant,
    find: impl Fn(&Known) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    loop {
        if let Some(found) = find(&opened.known(device).await?) {
            return Ok(Some(found));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}
