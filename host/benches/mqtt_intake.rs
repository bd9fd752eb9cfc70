//! How fast the MQTT session drains a queued backlog from mosquitto, and what a message costs this process:
//! `cargo bench -p aurora --bench mqtt_intake`. The lanes only settle, chunk by chunk, in the same thread.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aurora::{
    admin::Readiness,
    broker::mqtt::{Config, Session, Stop, Subscription, Version},
    event::{Closed, Context, Delivery, Intake, Refusal, Refused, Settlement},
    telemetry::Metrics,
};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::mpsc;

const BACKLOG: usize = 100_000;
const PAYLOAD: usize = 300;

fn main() -> Result<()> {
    println!("{:>8} {:>4} {:>12} {:>14} {:>14}", "version", "QoS", "messages/s", "CPU µs/message", "the broker's");
    for version in [Version::V3_1_1, Version::V5] {
        for qos in [1, 2] {
            let (seconds, ours, brokers) = drain(version, qos)?;
            let rate = BACKLOG as f64 / seconds;
            let [ours, brokers] = [ours, brokers].map(|cpu| cpu / BACKLOG as f64 * 1e6);
            let name = if version == Version::V5 { "5" } else { "3.1.1" };
            println!("{name:>8} {qos:>4} {rate:>12.0} {ours:>14.2} {brokers:>14.2}");
        }
    }
    Ok(())
}

/// Seconds, and seconds of this process's and the broker's CPU, from CONNECT to the last acknowledgement.
fn drain(version: Version, qos: u8) -> Result<(f64, f64, f64)> {
    let broker = Mosquitto::start()?;
    // One thread for the session as in the daemon's figures: what a message costs, not how many cores there are.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = Config {
        url: format!("mqtt://127.0.0.1:{}", broker.port),
        version,
        client_id: "bench".to_owned(),
        subscriptions: vec![Subscription {
            topic: "aurora/sensors/+/alerts".to_owned(),
            qos,
            format: "json".to_owned(),
            source: "mqtt".to_owned(),
        }],
        ..Config::default()
    };
    runtime.block_on(async {
        // The subscription is made first, then the host is away while the backlog gathers.
        run(config.clone(), 1, publish(broker.port, qos, 1)).await?;
        publish(broker.port, qos, BACKLOG).await?;
        let brokers = cpu(broker.child.id());
        let (seconds, ours) = run(config, BACKLOG, std::future::ready(Ok(()))).await?;
        Ok((seconds, ours, cpu(broker.child.id()) - brokers))
    })
}

/// Runs a session until it has acknowledged `number` messages.
async fn run(config: Config, number: usize, meanwhile: impl Future<Output = Result<()>>) -> Result<(f64, f64)> {
    let (stop, metrics) = (Stop::default(), Metrics::new());
    let (chunks, mut settled) = mpsc::channel(64);
    let count = Arc::new(AtomicUsize::new(0));
    let lanes = Arc::new(Lanes { chunks });
    let (started, cpu) = (Instant::now(), cpu(std::process::id()));
    let session = tokio::spawn(Session::new(config, lanes, &metrics, Readiness::new([]), stop.clone())?.run());
    let connected = &metrics.broker(aurora::telemetry::Broker::Mqtt).connected;
    while connected.get() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    meanwhile.await?;
    while count.load(Ordering::Relaxed) < number {
        let chunk: Vec<Delivery> =
            tokio::time::timeout(Duration::from_secs(60), settled.recv()).await?.context("the session ended")?;
        count.fetch_add(chunk.len(), Ordering::Relaxed);
        for delivery in chunk {
            delivery.duty.settle(Settlement::Published(1));
        }
    }
    stop.reading.cancel();
    stop.connection.cancel();
    let left = session.await?;
    if left > 0 {
        bail!("{left} messages were not acknowledged");
    }
    Ok((started.elapsed().as_secs_f64(), self::cpu(std::process::id()) - cpu))
}

struct Lanes {
    chunks: mpsc::Sender<Vec<Delivery>>,
}

impl Intake for Lanes {
    fn lanes(&self) -> usize {
        2
    }

    fn lane_of(&self, context: &Context) -> usize {
        context.ordering_key().len() % 2
    }

    /// The session waits instead of trying.
    fn capacity(&self) -> usize {
        0
    }

    fn try_send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        Err(Refused { reason: Refusal::Full, chunk })
    }

    async fn send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Closed> {
        self.chunks.send(chunk).await.map_err(|_| Closed)
    }
}

/// Publishes and waits for all acknowledgements.
async fn publish(port: u16, qos: u8, number: usize) -> Result<()> {
    let mut options = MqttOptions::new("publisher", "127.0.0.1", port);
    options.set_inflight(1000);
    let (client, mut events) = AsyncClient::new(options, 1000);
    let qos = if qos == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    let publishing = tokio::spawn(async move {
        for i in 0..number {
            let topic = format!("aurora/sensors/device_{}/alerts", i % 100);
            client.publish(topic, qos, false, format!("{i:0>PAYLOAD$}")).await?;
        }
        Ok::<_, rumqttc::ClientError>(client)
    });
    let mut done = 0;
    while done < number {
        if let Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) = events.poll().await? {
            done += 1;
        }
    }
    publishing.await??.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

/// CPU seconds of a process, in user and kernel mode.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces; what follows does not.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts in hundredths of a second here, whatever its timer does.
    ticks as f64 / 100.0
}

struct Mosquitto {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.path().join("mosquitto.conf");
        fs::write(
            &file,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_inflight_messages 0\nmax_queued_messages 0\n"
            ),
        )?;
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("mosquitto, from Debian's package `mosquitto`")?;
        let broker = Self { child, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("mosquitto does not start");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(broker)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
