//! Guest pipeline against the same code compiled natively, format by format, in one run.
//!
//! Both sides do the whole work: raw bytes → normalize → route → federate → the bytes of the Redis commands. The guest
//! side has every limit on: a fresh instance a batch, epoch deadlines, memory and output limits, and the checks of
//! what comes back. What the ceiling costs, which cuts what leaves and is the host's on either side, is the difference to
//! a pipeline whose ceiling keeps nothing; it counts for both. Time is this thread's CPU time (`CLOCK_THREAD_CPUTIME_ID`), so that neighbours on the machine
//! do not count; rounds of both sides are interleaved and the median is shown.
//!
//! Before that, what it takes to load the largest stock guest: once to be compiled, and out of the cache, which is what
//! a swap back and forth costs. That is wall time, on a thread beside the lanes.
//!
//! `cargo bench --bench pipeline` (needs `make guests`).

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use aurora::{
    broker::redis_streams::{Producer, Session},
    config::Config,
    event::{Context, Delivery, Duty, Identity},
    pipeline::{Decider, Stages, Target, encode},
    sandbox::{Guest, Normalizer, Sandbox},
    telemetry::{Metrics, Stage},
};
use aurora_guest::{OriginEvents, RawEvents};
use bytes::Bytes;
use cpu_time::ThreadTime;

const BATCH: usize = 256;
const ROUNDS: usize = 41;

/// What design and issue ask for.
const GOAL_RATE: f64 = 150_000.0;
const GOAL_RATIO: f64 = 2.0;
const GOAL_LOAD: Duration = Duration::from_millis(50);

struct Shape {
    name: &'static str,
    format: &'static str,
    topic: Option<&'static str>,
    event: fn(usize) -> String,
}

const SHAPES: [Shape; 6] = [
    Shape { name: "json: Suricata alert", format: "json", topic: None, event: suricata },
    Shape { name: "cef", format: "cef", topic: None, event: cef },
    Shape { name: "leef", format: "leef", topic: None, event: leef },
    Shape { name: "syslog: RFC 5424", format: "syslog", topic: None, event: syslog },
    Shape {
        name: "mqtt: device alert",
        format: "mqtt",
        topic: Some("aurora/sensors/stm32_pac_01/alerts"),
        event: device,
    },
    Shape { name: "auto: Suricata alert", format: "auto", topic: None, event: suricata },
];

fn suricata(i: usize) -> String {
    format!(
        r#"{{"timestamp":"2026-03-02T10:{:02}:{:02}.{:06}+0000","flow_id":{},"event_type":"alert","src_ip":"198.18.{}.{}","src_port":{},"dest_ip":"10.1.2.{}","dest_port":443,"proto":"TCP","alert":{{"action":"allowed","signature_id":20{:05},"signature":"ET MALWARE Beacon to known host","category":"A Network Trojan","severity":{}}}}}"#,
        i / 60 % 60,
        i % 60,
        i,
        1_000_000_000 + i,
        i / 250 % 250,
        i % 250,
        1024 + i % 60_000,
        i % 250,
        i % 100_000,
        1 + i % 3
    )
}

fn cef(i: usize) -> String {
    format!(
        "CEF:0|Example|Edge Firewall|5.2|{}|Malicious file blocked|{}|rt=17724{:08} src=198.18.{}.{} spt={} dst=203.0.{}.80 dpt=443 proto=TCP act=blocked request=http://files.bad-host.net/a/{}.exe fname=invoice.exe cs1Label=policy cs1=default-deny outbound msg=blocked by policy",
        4000 + i % 100,
        i % 11,
        i,
        i / 250 % 250,
        i % 250,
        1024 + i % 60_000,
        i % 250,
        i
    )
}

fn leef(i: usize) -> String {
    format!(
        "LEEF:2.0|Example|Identity Gate|3.1|login-failed|^|sev={}^cat=Authentication^devTime=Mar 02 2026 10:{:02}:{:02}^devTimeFormat=MMM dd yyyy HH:mm:ss^src=198.18.{}.{}^dst=10.1.2.3^usrName=user{}@bad-host.net^identHostName=gate-7^reason=bad password^attempts={}",
        i % 11,
        i / 60 % 60,
        i % 60,
        i / 250 % 250,
        i % 250,
        i % 1000,
        i
    )
}

fn syslog(i: usize) -> String {
    format!(
        "<{}>1 2026-03-02T10:{:02}:{:02}.{:06}Z gate-7.example.net sshd {} ID47 [origin@32473 ip=\"198.18.{}.{}\" software=\"sshd\" enterprise=\"32473\"][meta@32473 sequence=\"{}\"] Failed password for invalid user admin from 198.18.{}.{} port {} ssh2, see http://wiki.bad-host.net/x",
        32 + i % 8,
        i / 60 % 60,
        i % 60,
        i,
        100 + i % 30_000,
        i / 250 % 250,
        i % 250,
        i,
        i / 250 % 250,
        i % 250,
        1024 + i % 60_000
    )
}

fn device(i: usize) -> String {
    format!(
        r#"{{"severity":"{}","title":"Valve pressure out of range","message":"line 3 at {} kPa, controller answered from 198.18.{}.{}","sensor":"pressure","unit":"kPa","value":{}.25,"limit":800,"board_family":"stm32","firmware_version":"2.{}.1","uptime_s":{}}}"#,
        ["low", "medium", "high", "critical"][i % 4],
        700 + i % 300,
        i / 250 % 250,
        i % 250,
        700 + i % 300,
        i % 9,
        i
    )
}

/// Loads the largest stock guest, from the first byte read to its first instance.
fn loading(guests: &Path) {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default().guests;
    config.cache = Some(cache.path().to_owned());
    config.normalize.path = guests.join("normalize-core.wasm");
    let size = std::fs::metadata(&config.normalize.path).expect("make guests").len() as f64 / 1e6;
    let sandbox = Sandbox::new(&config, 1).expect("the engine starts").compiling_here();
    let metrics = Metrics::new();
    let load = || {
        let begun = Instant::now();
        black_box(Guest::<Normalizer>::load(&sandbox, &config.normalize, &metrics.guest(Stage::Normalize)))
            .expect("it loads");
        begun.elapsed()
    };
    let cold = load();
    let mut cached: Vec<_> = (0..ROUNDS).map(|_| load()).collect();
    cached.sort_unstable();
    let cached = cached[ROUNDS / 2];
    let verdict = if cached <= GOAL_LOAD { "ok" } else { "missed" };
    println!(
        "Loading a guest of {size:.1} MB: to be compiled {cold:.1?}, out of the cache {cached:.1?} (median of {ROUNDS})  \
         goal ≤ {GOAL_LOAD:?} {verdict}\n"
    );
}

fn main() {
    let guests = guests();
    loading(&guests);
    let mut config = Config::default();
    for (guest, name) in [
        (&mut config.guests.normalize, "normalize-core"),
        (&mut config.guests.route, "route-core"),
        (&mut config.guests.federate, "federate-core"),
    ] {
        guest.path = guests.join(name).with_extension("wasm");
    }
    let metrics = Metrics::new();
    let sandbox = Sandbox::new(&config.guests, 1).expect("the engine starts").compiling_here();
    let redis = aurora::broker::redis_streams::Config::default();
    let stages = Stages::load(&config, &sandbox, &metrics, None).expect("make guests");
    let target = Target::new(&aurora::config::Config {
        redis: Some(redis.clone()),
        nats: Some(aurora::broker::jetstream::Config::default()),
        ..aurora::config::Config::default()
    });
    let session = Session::new(&target.layout, redis.durability(), false);
    let mut producer = session.producer("bench");
    let ceiling = &mut config.federation.ceiling.never;
    (ceiling.reserved, ceiling.mask) = (false, false);
    let open = Stages::load(&config, &sandbox, &metrics, None).expect("make guests");
    let mut decider = Decider::new(&stages, 0, metrics.clone());
    let mut open = Decider::new(&open, 0, metrics);

    println!(
        "Guest pipeline, one core, batches of {BATCH}, to the bytes of the Redis commands (CPU time, median of {ROUNDS})"
    );
    println!(
        "{:<22} {:>6} {:>9} {:>9} {:>10} {:>9} {:>10} {:>7}  goal ≥ 150,000/s, ≤ 2.00",
        "format", "bytes", "native ns", "guest ns", "ceiling ns", "encode ns", "events/s", "ratio"
    );
    for shape in &SHAPES {
        measure(shape, &mut decider, &mut open, &target, &mut producer);
    }
}

fn measure(shape: &Shape, decider: &mut Decider, open: &mut Decider, target: &Target, producer: &mut Producer) {
    let events: Vec<String> = (0..BATCH).map(shape.event).collect();
    let bytes = events.iter().map(String::len).sum::<usize>() / BATCH;
    let context = Arc::new(Context {
        source: "bench".to_owned(),
        format: shape.format.to_owned(),
        topic: shape.topic.map(str::to_owned),
        device_id: shape.topic.and_then(|topic| topic.split('/').nth(2)).map(str::to_owned),
        channel: shape.topic.and_then(|topic| topic.rsplit('/').next()).map(str::to_owned),
        source_ip: None,
    });
    let deliveries = || -> Vec<Delivery> {
        let delivery = |(i, event): (usize, &String)| Delivery {
            context: Arc::clone(&context),
            received_ms: 1_772_445_600_000,
            payload: Bytes::copy_from_slice(event.as_bytes()),
            identity: Identity::Packet { client: 1, id: i as u16, dup: false },
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        };
        events.iter().enumerate().map(delivery).collect()
    };
    let native_context = aurora_guest::Context {
        source: context.source.clone(),
        format: context.format.clone(),
        topic: context.topic.clone(),
        device_id: context.device_id.clone(),
        channel: context.channel.clone(),
        source_ip: None,
    };
    let raw = RawEvents::of(native_context, 1_772_445_600_000, events.iter().map(|event| event.as_bytes()));

    let accepted = decider.decide(deliveries());
    assert!(accepted.dead_letters.is_empty(), "{}: {}", shape.name, accepted.dead_letters[0].reason);
    let (mut native, mut guest, mut whole, mut encoding) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        native.push(cpu_ns(|| stages_natively(&raw)));
        let input = deliveries();
        guest.push(cpu_ns(|| {
            black_box(open.decide(input));
        }));
        let input = deliveries();
        let mut decided = None;
        whole.push(cpu_ns(|| decided = Some(decider.decide(input))));
        let decided = decided.expect("decided above");
        encoding.push(cpu_ns(|| {
            black_box(encode(decided, target, producer));
        }));
    }
    let each = |samples: Vec<u64>| median(samples) as f64 / BATCH as f64;
    let (native, guest, whole, encoding) = (each(native), each(guest), each(whole), each(encoding));
    let ceiling = (whole - guest).max(0.0);
    let rate = 1e9 / (whole + encoding);
    let ratio = (whole + encoding) / (native + ceiling + encoding);
    let verdict = |ok: bool| if ok { "ok" } else { "missed" };
    println!(
        "{:<22} {bytes:>6} {native:>9.0} {guest:>9.0} {ceiling:>10.0} {encoding:>9.0} {rate:>10.0} {ratio:>7.2}  {} {}",
        shape.name,
        verdict(rate >= GOAL_RATE),
        verdict(ratio <= GOAL_RATIO),
    );
}

fn stages_natively(raw: &RawEvents) {
    let normalized = normalize_core::normalize(raw, &normalize_core::Options::default());
    let context = vec![0; normalized.events.kind.len()];
    let input = OriginEvents { contexts: raw.contexts.clone(), context, events: normalized.events };
    black_box(route_core::route(&input, &route_core::Options::default()));
    black_box(federate_core::federate(&input, &federate_core::Options::default()));
}

/// CPU time of this thread that `work` takes, ns.
fn cpu_ns(work: impl FnOnce()) -> u64 {
    let begun = ThreadTime::now();
    work();
    begun.elapsed().as_nanos() as u64
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn guests() -> PathBuf {
    let program = std::env::current_exe().expect("this program lies somewhere");
    // <target>/release/deps/pipeline-…
    program.ancestors().nth(3).expect("cargo put it into a target folder").join("guests")
}
