//! A device in a process: heartbeats, and answers with a real signature. It speaks to the broker as the daemon does.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::open::{device, hash, hashed};
use crate::{
    admin::Readiness,
    attestation::{Form, Signer, answer},
    broker::mqtt::{self, Outlet, Subscription},
    cli::{
        loaded,
        terminal::{plain, say},
    },
    event::{Closed, Context, Delivery, Intake, Refusal, Refused, Settlement, Stop},
    telemetry::Metrics,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora device simulate bench_01 --config aurora.toml --key bench_01.pem --new-key
  aurora device enroll   bench_01 --config aurora.toml --key bench_01.pem.pub
  aurora device challenge bench_01 --config aurora.toml";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Device id to have.
    #[arg(value_parser = device)]
    device: String,
    /// The daemon's configuration; of it [mqtt] is used: where the broker is, and how to log in there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make the key first, and write its public half beside it (FILE.pub).
    #[arg(long)]
    new_key: bool,
    /// SHA-256 of the firmware that it says it runs.
    #[arg(long, value_name = "SHA256", value_parser = hash, default_value_t = "0".repeat(64))]
    firmware: String,
    /// The firmware itself.
    #[arg(long, value_name = "FILE", conflicts_with = "firmware")]
    image: Option<PathBuf>,
    /// How often it says it was started.
    #[arg(long, default_value_t = 1)]
    boots: u64,
    /// Send the public key with each answer, as a device does that wants to be enrolled.
    #[arg(long)]
    send_key: bool,
    /// Sign as old firmware does.
    #[arg(long)]
    legacy: bool,
    /// End after so many answers; 0: never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    answers: u64,
}

/// Interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// As much of a request as a device reads.
#[derive(Deserialize)]
struct Request {
    nonce: String,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = loaded::load(args.config.as_deref())?;
    let mqtt = config.mqtt.context("no mqtt.url is configured; name the daemon's configuration with --config FILE")?;
    let topic = config.attestation.unwrap_or_default().topic(&args.device);
    let signer = signer(args)?;
    let firmware = match &args.image {
        Some(image) => hashed(std::slice::from_ref(image))?.remove(0),
        None => args.firmware.clone(),
    };

    let (outlet, outgoings) = mqtt::outlet();
    let (requests, mut asked) = mpsc::channel(16);
    let stop = Stop::default();
    let session = mqtt::Session::new(
        as_device(mqtt, &args.device, &topic),
        Arc::new(Inbox(requests)),
        &Metrics::new(),
        Readiness::new([]),
        stop.clone(),
        None,
        Some(outgoings),
    )?;
    let session = tokio::spawn(session.run());
    heartbeat(&outlet, args).await.context("the broker does not take our heartbeat")?;
    say(&format!("{} listens on {topic}", args.device));

    let (mut answered, mut beats) = (0, tokio::time::interval(HEARTBEAT));
    beats.reset();
    loop {
        tokio::select! {
            delivery = asked.recv() => {
                let Some(delivery) = delivery else { bail!("the MQTT session has ended") };
                answer_to(&delivery, &outlet, args, &signer, &firmware).await?;
                delivery.duty.settle(Settlement::Published(0));
                answered += 1;
                if answered == args.answers {
                    break;
                }
            }
            _ = beats.tick() => {
                if let Err(error) = heartbeat(&outlet, args).await {
                    eprintln!("aurora: no heartbeat: {error}");
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    stop.reading.cancel();
    stop.connection.cancel();
    let _ = tokio::time::timeout(PATIENCE, session).await;
    Ok(ExitCode::SUCCESS)
}

fn signer(args: &Args) -> anyhow::Result<Signer> {
    let path = &args.key;
    if !args.new_key {
        let pem = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}; --new-key makes one", path.display()))?;
        return Signer::read(&pem).map_err(|_| anyhow::anyhow!("{} holds no private key of P-256", path.display()));
    }
    ensure!(!path.exists(), "{} exists; leave --new-key out to use it", path.display());
    let signer = Signer::generate();
    let public = PathBuf::from(format!("{}.pub", path.display()));
    write_secret(path, signer.pem()?.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::write(&public, format!("{}\n", signer.key().hex()))
        .with_context(|| format!("cannot write {}", public.display()))?;
    say(&format!("its public key is in {}, fingerprint {}", public.display(), signer.key().fingerprint()));
    Ok(signer)
}

fn write_secret(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// The daemon's way to the broker, under a name of the device's own.
fn as_device(config: mqtt::Config, device: &str, topic: &str) -> mqtt::Config {
    mqtt::Config {
        client_id: format!("aurora-device-{device}"),
        session_expiry: Duration::from_secs(60),
        subscriptions: vec![Subscription { topic: topic.to_owned(), ..Subscription::default() }],
        ..config
    }
}

async fn heartbeat(outlet: &Outlet, args: &Args) -> Result<(), mqtt::Unsent> {
    let status = json!({ "device_type": "simulator", "firmware_stack": "aurora", "boot_count": args.boots });
    let topic = format!("aurora/sensors/{}/status", args.device);
    outlet.publish(topic, status.to_string(), PATIENCE).await
}

async fn answer_to(
    delivery: &Delivery,
    outlet: &Outlet,
    args: &Args,
    signer: &Signer,
    firmware: &str,
) -> anyhow::Result<()> {
    let Ok(Request { nonce }) = serde_json::from_slice(&delivery.payload) else {
        eprintln!("aurora: not a challenge: {}", plain(&String::from_utf8_lossy(&delivery.payload)));
        return Ok(());
    };
    let form = if args.legacy { Form::Legacy } else { Form::Delimited };
    let begun = Instant::now();
    let answer = answer(signer, form, &args.device, firmware, args.boots, &nonce, args.send_key);
    let topic = format!("aurora/attestation/{}/response", args.device);
    outlet.publish(topic, answer, PATIENCE).await.context("the broker does not take our answer")?;
    say(&format!("answered {} in {:?}", plain(&nonce), begun.elapsed()));
    Ok(())
}

/// Where the session puts what it takes.
struct Inbox(mpsc::Sender<Delivery>);

impl Intake for Inbox {
    fn lanes(&self) -> usize {
        1
    }

    fn lane_of(&self, _: &Context) -> usize {
        0
    }

    fn capacity(&self) -> usize {
        self.0.max_capacity()
    }

    fn try_send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        // The session only ever waits.
        Err(Refused { reason: Refusal::Full, chunk })
    }

    async fn send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Closed> {
        for delivery in chunk {
            self.0.send(delivery).await.map_err(|_| Closed)?;
        }
        Ok(())
    }
}
