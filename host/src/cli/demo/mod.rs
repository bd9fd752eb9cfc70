//! `aurora demo`: the whole way of an event on one screen, with nothing set up before.
//!
//! The demo plays everybody but the daemon: the devices that publish, the brokers, and the consumers at the other
//! end. That is why it opens connections of its own, outside [`crate::broker`].
//!
//! [`site`] starts the brokers and the daemon, `play` publishes the `samples`, `watch` reads what comes out, `tally`
//! holds one against the other, `picture` and `screen` show it. `own` and `visit` are for who brings guests and events.
//! `sites` is another story, of two sites.

pub mod brokers;
pub mod daemon;
pub mod publisher;
pub mod site;
pub(super) mod own;
mod samples;
mod play;
mod visit;
mod sites;
mod watch;
mod tally;
mod picture;
mod screen;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::interval,
};
use tokio_util::sync::CancellationToken;

use own::Own;
use screen::Screen;
use site::Site;
use tally::Tally;
use visit::{Events, linger};

/// `aurora demo`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many sites: 2 shows how what one sees raises an alert at the other
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=2), default_value_t = 1)]
    sites: u8,
    /// How long to play, in seconds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many messages to play a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// Stay after the samples, so that you can try the brokers yourself; Ctrl-C ends it
    #[arg(long)]
    keep: bool,
    /// Folder of the stock guests [default: target/guests]
    #[arg(long, value_name = "DIR")]
    guests: Option<PathBuf>,
    /// A guest of your own, as normalize=target/guests/acme.wasm, beside the stock one, for what is published to
    /// site/<its name>/events; more of them where you have one for each stage. With --sites 2 inbound=FILE, which judges
    /// what the second site is sent
    #[arg(long = "guest", value_name = "STAGE=FILE")]
    own: Vec<Own>,
    /// Events for it, one a line: sent after the samples, and what comes out of them is shown. For inbound messages of other
    /// sites, as in its cases
    #[arg(long, value_name = "FILE", requires = "own")]
    send: Option<PathBuf>,
}

/// How long the last messages may take to come out.
const PATIENCE: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_millis(100);

/// Runs the demo. The exit code is 0 only if every message came out where it should.
///
/// # Errors
/// The site cannot be started or breaks down; the error says what to do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    // One thread: what needs both cores is the daemon, a process of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    if args.sites == 2 {
        anyhow::ensure!(args.own.iter().all(Own::is_judge), "with two sites --guest is inbound=FILE");
        own::check(&args.own)?;
        args.own.iter().for_each(Own::tell_grants);
        let messages = args.send.as_deref().map(sites::Messages::read).transpose()?;
        return runtime.block_on(sites::show(args.guests.as_deref(), args.own.first(), messages.as_ref(), args.keep));
    }
    anyhow::ensure!(
        !args.own.iter().any(Own::is_judge),
        "--guest inbound=FILE judges what another site sends: add --sites 2"
    );
    runtime.block_on(play_and_watch(args))
}

async fn play_and_watch(args: Args) -> anyhow::Result<ExitCode> {
    own::check(&args.own)?;
    let events = args.send.as_deref().map(Events::read).transpose()?;
    let mut signals = Signals::new()?;
    let mut screen = Screen::new();
    args.own.iter().for_each(Own::tell_grants);
    screen.say(&["Starting private brokers and the daemon …".to_owned()]);
    let site = tokio::select! {
        site = Site::start(args.guests.as_deref(), &args.own) => site?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let began = Instant::now();
    let (seen, mut sights) = mpsc::channel(4096);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch::redis_streams(site.redis.url(), seen.clone()));
    tasks.spawn(watch::jetstream(site.nats.url(), seen.clone()));
    let (port, rate, stop_playing) = (site.mqtt.port(), args.rate, stop.clone());
    tasks.spawn(async move { Ok(play::play(port, rate, stop_playing, seen).await?) });

    let mut tally = Tally::new();
    let seconds = Duration::from_secs(args.seconds);
    let mut stopped_at = None;
    let mut interrupted = false;
    let mut frame = interval(FRAME);
    // Read in whole handfuls: at a high rate a frame must not wait behind thousands of single sights.
    let mut handful = Vec::new();
    loop {
        tokio::select! {
            count = sights.recv_many(&mut handful, 1024) => {
                if count == 0 { break; }
                for seen in handful.drain(..) {
                    tally.note(seen);
                }
            }
            Some(ended) = tasks.join_next() => task_ended(ended)?,
            () = signals.next() => {
                if interrupted { break; }
                interrupted = true;
            }
            _ = frame.tick() => screen.show(&tally, &status(&site, &screen, began.elapsed(), seconds)),
        }
        if (interrupted || began.elapsed() >= seconds) && stopped_at.is_none() {
            stop.cancel();
            stopped_at = Some(Instant::now());
        }
        // One player has ended, two consumers go on.
        if let Some(at) = stopped_at
            && tasks.len() == 2
            && (tally.is_complete() || at.elapsed() >= PATIENCE)
        {
            break;
        }
    }
    screen.close();
    let faults = tally.faults();
    close(&screen, &site, &tally, &faults);
    let topics = own::topics(&args.own);
    let mut event = None;
    if let (Some(events), Some((topic, _)), false) = (events, topics.first(), interrupted) {
        event = events.send(topic, &screen, &site, &mut sights, &mut tally, &mut signals).await?;
    }
    if args.keep && !interrupted {
        linger(&screen, &site, &topics, event.as_deref(), &mut sights, &mut tally, &mut signals).await;
    }
    sights.close();
    drop(tasks);
    let ended = site.stop().await;
    ended.context("the demo could not end in order")?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn task_ended(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a task of the demo broke down")?
}

fn status(site: &Site, screen: &Screen, elapsed: Duration, seconds: Duration) -> Vec<String> {
    let paint = screen.paint();
    let left = seconds.saturating_sub(elapsed).as_secs_f64().ceil();
    let (mqtt, redis, nats) = (site.mqtt.port(), site.redis.port(), site.nats.port());
    vec![
        format!(
            "{} · MQTT in, three sandboxed guests, Redis Streams and JetStream out · {}",
            paint.bold("aurora demo"),
            if left > 0.0 { format!("{left} s left") } else { "waiting for the last ones".to_owned() }
        ),
        paint.dim(&format!(
            "mosquitto :{mqtt}   redis :{redis}   nats :{nats}   page http://{}/, ready after {} ms   Ctrl-C ends all",
            site.daemon.admin(),
            site.ready_after.as_millis()
        )),
    ]
}

/// The last word: what came out, one event in full, and how it went.
fn close(screen: &Screen, site: &Site, tally: &Tally, faults: &[String]) {
    let paint = screen.paint();
    let mut lines = Vec::new();
    if !screen.is_plain() {
        lines.extend(picture::samples(tally, paint));
    }
    lines.push(String::new());
    lines.extend(picture::places(tally, paint));
    lines.push(picture::latency(tally, paint));
    lines.push(String::new());
    lines.extend(picture::end_to_end(tally, paint));
    lines.push(String::new());
    if faults.is_empty() {
        lines.push(format!(
            "{} {} messages went in over MQTT, all of them came out, none twice; {} messages left for other sites.",
            paint.bold("It works:"),
            tally.played(),
            tally.shared()
        ));
    } else {
        lines.push(paint.bold("It does not work:"));
        lines.extend(faults.iter().map(|fault| format!("  {fault}")));
        lines.push("The end of the daemon's log:".to_owned());
        let log = site.daemon.log();
        let log: Vec<&str> = log.lines().collect();
        lines.extend(log[log.len().saturating_sub(10)..].iter().map(|line| format!("  {line}")));
    }
    screen.say(&lines);
}

/// Ctrl-C, or SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
