//! `aurora pipe`: raw events in, decisions out, no broker. What a guest author runs first.

use std::{
    fs::File,
    io::{self, BufRead, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{demo::own::Own, entry::entry, loaded, stock};
use crate::{
    broker::redis_streams,
    config::Config,
    event::{Context, Delivery, Duty, Identity, is_device_id},
    federation::inbound::{self, Sort},
    pipeline::{Decided, Decider, Leaving, Outcome, Stages},
    sandbox::{Sandbox, needs},
    supervise,
    telemetry::Metrics,
    trial::recorded_line,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora pipe --format cef < events.log
  aurora pipe --guest normalize=target/guests/acme.wasm --topic site/acme/events < events.log
  aurora pipe --config aurora.toml --record recorded.jsonl < events.log
  aurora pipe --guest inbound=target/guests/mine.wasm --site north --topic aurora.alerts.network < messages.jsonl

Each line of the output says what became of a line of the input. With --site the input is what another site has sent, as it
stands in JetStream: what is accepted has its events and indicators, what the judge refuses is rejected.";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration; of it only the guests, streams and subjects are used, and what may leave the site.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder with normalize-core.wasm, route-core.wasm and federate-core.wasm, for stages that the configuration does
    /// not set; by default where they are built or installed beside this program.
    #[arg(long)]
    guests: Option<PathBuf>,
    /// A guest of your own, as normalize=target/guests/acme.wasm, in place of the stage's
    #[arg(long = "guest", value_name = "STAGE=FILE")]
    own: Vec<Own>,
    /// Format that the events are declared to have: auto, json, cef, leef, syslog, mqtt and whatever else the
    /// normalizer knows.
    #[arg(long, default_value = "auto")]
    format: String,
    /// Name of the origin.
    #[arg(long, default_value = "pipe")]
    source: String,
    /// MQTT topic that the events came from; device and channel are read from it. With --site, the subject of messages
    #[arg(long)]
    topic: Option<String>,
    /// The input is what this other site sends, a message a line, on the subject that --topic names
    /// [default: aurora.alerts.network]; it goes to the guest of inbound and to no other
    #[arg(long, value_name = "SITE", conflicts_with_all = ["source", "format", "record"], value_parser = site)]
    site: Option<String>,
    /// Whether each line is an event, or the whole input is one.
    #[arg(long, value_enum, default_value_t = Framing::Line)]
    framing: Framing,
    /// Also print every message that would leave the site, as other sites would get it
    #[arg(long)]
    messages: bool,
    /// Also write each event with what became of it, for `aurora guest test --recorded`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn site(text: &str) -> Result<String, String> {
    match is_device_id(text) {
        true => Ok(text.to_owned()),
        false => Err("a site's name is 1 to 64 of A-Z a-z 0-9 _ -".to_owned()),
    }
}

/// The subject of another site's messages, where none is named.
const SUBJECT: &str = "aurora.alerts.network";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Framing {
    Line,
    Whole,
}

/// Events that are decided together: as many as a lane may be told to. A Zeek log is read with the header that stands in the
/// same batch, so a file should fit into one.
const BATCH: usize = 4096;

/// Bytes that are decided together, so that a few huge lines do not fill the memory.
const BATCH_BYTES: usize = 4 << 20;

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = load(&args)?;
    args.own.iter().for_each(Own::tell_grants);
    let sandbox = Sandbox::new(&config.guests, 1)?;
    let metrics = Metrics::new();
    let stages = Stages::load(&config, &sandbox, &metrics, None).map_err(supervise::all)?;
    let mut decider = Decider::new(&stages, config.lanes.retries, metrics);
    let context = Arc::new(context(&args)?);
    let leaving = args.messages.then(|| Leaving::new(&config));
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut record = args.record.as_deref().map(create).transpose()?;
    let mut line = 0u64;
    for number in 0u64.. {
        let batch = read(&mut input, args.framing, &context, &mut line).context("cannot read standard input")?;
        if batch.is_empty() {
            break;
        }
        let decided = decider.decide(batch);
        if let Some(record) = &mut record {
            for index in 0..decided.deliveries.len() {
                writeln!(record, "{}", recorded_line(&decided, index, number, &stages))
                    .context("cannot write the recording")?;
            }
            record.flush().context("cannot write the recording")?;
        }
        for index in 0..decided.deliveries.len() {
            let written = serde_json::to_writer(&mut output, &line_of(&decided, index, &stages, leaving.as_ref()))
                .map_err(io::Error::from);
            match written.and_then(|()| output.write_all(b"\n")) {
                // Whoever reads has seen enough, as `head` does.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                done => done.context("cannot write standard output")?,
            }
        }
        output.flush().context("cannot write standard output")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

fn load(args: &Args) -> anyhow::Result<Config> {
    let mut config = loaded::load(args.config.as_deref())?;
    if config.guests.cache.is_none() {
        config.guests.cache = user_cache();
    }
    for own in &args.own {
        let (stage, path) = own.place();
        if let Some(guest) = config.guests.entry(stage) {
            (guest.path, guest.oci) = (path.to_owned(), None);
            guest.grants = own.grants().clone();
        }
    }
    if args.site.is_some() {
        // Each message goes where a site has it that says nothing of where it is to go.
        let inbound = config.federation.inbound.get_or_insert_with(inbound::Config::default);
        inbound.complete(config.redis.get_or_insert_with(redis_streams::Config::default));
    }
    let stages = [
        (&mut config.guests.normalize, "normalize-core"),
        (&mut config.guests.route, "route-core"),
        (&mut config.guests.federate, "federate-core"),
    ];
    for (guest, name) in stages {
        if !guest.is_named() {
            let folder = match &args.guests {
                Some(folder) => folder.clone(),
                None => stock::folder(None)?,
            };
            guest.path = folder.join(name).with_extension("wasm");
            // No configuration speaks of it, so it gets what it asks for, as any guest that is tried here.
            guest.grants = std::fs::read(&guest.path).map(|wasm| needs(&wasm)).unwrap_or_default();
        }
    }
    Ok(config)
}

/// Where a user's programs keep what they can make again (XDG Base Directory Specification). Compiling a large guest
/// takes a second, and an author runs this all day.
pub(super) fn user_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("aurora").join("guests"))
}

fn context(args: &Args) -> anyhow::Result<Context> {
    if let Some(site) = &args.site {
        let subject = args.topic.as_deref().unwrap_or(SUBJECT);
        let sort = Sort::of(subject);
        let sort = sort.with_context(|| format!("--topic {subject} is no subject of other sites, as {SUBJECT} is"))?;
        return Ok(inbound::context(Some(site), sort, subject));
    }
    let levels: Vec<&str> = args.topic.as_deref().unwrap_or_default().split('/').collect();
    let (device, channel) = match levels[..] {
        ["aurora", _, device, channel] => (Some(device), Some(channel)),
        _ => (None, None),
    };
    Ok(Context {
        source: args.source.clone(),
        format: args.format.clone(),
        topic: args.topic.clone(),
        device_id: device.filter(|id| is_device_id(id)).map(str::to_owned),
        channel: channel.map(str::to_owned),
        source_ip: None,
    })
}

/// The next batch; empty at the end of the input. `line` counts lines as an editor does, from 1.
fn read(
    input: &mut impl BufRead,
    framing: Framing,
    context: &Arc<Context>,
    line: &mut u64,
) -> io::Result<Vec<Delivery>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let mut payload = Vec::new();
        let read = match framing {
            Framing::Line => input.read_until(b'\n', &mut payload)?,
            Framing::Whole => input.read_to_end(&mut payload)?,
        };
        if read == 0 {
            break;
        }
        if framing == Framing::Line {
            payload.pop_if(|&mut byte| byte == b'\n');
            payload.pop_if(|&mut byte| byte == b'\r');
        }
        *line += 1;
        bytes += payload.len();
        batch.push(Delivery {
            context: Arc::clone(context),
            received_ms: chrono::Utc::now().timestamp_millis(),
            payload: Bytes::from(payload),
            identity: Identity::Once(*line),
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        });
    }
    Ok(batch)
}

/// One line of output, as the outside contract has it.
#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    outcome: &'static str,
    reason: &'a str,
    events: Events<'a>,
    /// Of a message of another site: what it tells of, as `type:value`, which is recorded with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    indicators: Vec<String>,
}

fn line_of<'a>(decided: &'a Decided, index: usize, stages: &'a Stages, leaving: Option<&'a Leaving>) -> Line<'a> {
    let (outcome, reason) = match &decided.outcomes[index] {
        Outcome::Accepted { .. } => ("accepted", ""),
        Outcome::Dropped(reason) => ("dropped", reason.as_str()),
        Outcome::Rejected(reason) | Outcome::RetryAfter { reason, .. } => ("rejected", reason.as_str()),
    };
    let line = match decided.deliveries[index].identity {
        Identity::Once(line) => line,
        _ => 0,
    };
    let delivery = &decided.deliveries[index];
    let is_told = outcome == "accepted" && inbound::site_of(&delivery.context).is_some();
    let told = is_told.then(|| stages.inbound.told(&delivery.context, &delivery.payload, delivery.received_ms));
    let indicators = told.into_iter().flatten().map(|seen| seen.indicator.to_string()).collect();
    Line { line, outcome, reason, events: Events { decided, index, stages, leaving }, indicators }
}

struct Events<'a> {
    decided: &'a Decided,
    index: usize,
    stages: &'a Stages,
    leaving: Option<&'a Leaving>,
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let fingerprint = self.decided.fingerprint(self.index);
        for event in self.decided.events_of(self.index, fingerprint) {
            let entry = entry(&event, self.stages).and_then(|entry| match self.leaving {
                Some(leaving) => entry.with_messages(&event, leaving),
                None => Ok(entry),
            });
            list.serialize_element(&entry.map_err(serde::ser::Error::custom)?)?;
        }
        list.end()
    }
}
