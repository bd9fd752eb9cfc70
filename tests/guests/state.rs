//! What guests remember: what stays, what counts once, what is shared, what ends, and what it costs when Redis does not
//! answer. The guest is that of `tests/remembering`, which says in an event's title what came of what it was told.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use aurora::{
    broker::redis_streams::{self, Pool, StateShelf},
    config::{Config, Grant, Rule, StateLimits},
    event::{Context, Delivery, Duty, EntryId, Identity},
    pipeline::{Decider, Outcome, Stages},
    sandbox::Sandbox,
    state::{Change, Local, Mark, ReadOnly, Shelf, Value},
    telemetry::{Metrics, SlotName, Stage},
};
use harness::{
    Broker, PATIENCE, Redis, Setup, Site, binary, built_guest, connect_redis, guest_cache, stock_guest, wait_until,
    workspace,
};
use tempfile::TempDir;

/// A Redis of one's own.
struct Memory {
    redis: Broker,
    _folder: TempDir,
}

impl Memory {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let redis = Broker::start(Setup::Redis(Redis::default()), &folder.path().join("redis")).await?;
        Ok(Self { redis, _folder: folder })
    }

    fn config(&self) -> redis_streams::Config {
        redis_streams::Config { url: self.redis.url(), ..redis_streams::Config::default() }
    }

    fn shelf(&self) -> Result<Arc<StateShelf>> {
        let config = self.config();
        Ok(Arc::new(StateShelf::new(Pool::new(&config)?, &config)))
    }

    /// A host that remembers here.
    fn host(&self, change: impl FnOnce(&mut Config)) -> Result<Host> {
        Host::new(self.shelf()?, change)
    }

    async fn keys(&self) -> Result<Vec<String>> {
        let mut connection = connect_redis(&self.redis.url()).await?;
        let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await?;
        keys.sort();
        Ok(keys)
    }
}

/// A lane over the remembering guest.
struct Host {
    decider: Decider,
    metrics: Metrics,
    sent: u64,
}

fn remembers(guest: &mut aurora::config::Guest) -> Result<()> {
    guest.path = built_guest("tests/remembering", "remembering")?;
    guest.grants = [Grant::State, Grant::Lookup].into_iter().collect();
    // The machine may be busy, and that is not what is tried.
    guest.state.timeout = PATIENCE;
    Ok(())
}

fn rule(name: &str) -> Result<Rule> {
    let mut rule = Rule { name: name.to_owned(), source: vec![name.to_owned()], ..Rule::default() };
    remembers(&mut rule.guest)?;
    Ok(rule)
}

impl Host {
    fn new(shelf: Arc<dyn Shelf>, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config::default();
        config.guests.cache = Some(guest_cache()?);
        remembers(&mut config.guests.normalize)?;
        config.guests.route.path = stock_guest("route-core")?;
        config.guests.federate.path = stock_guest("federate-core")?;
        change(&mut config);
        let metrics = Metrics::new();
        let sandbox = Sandbox::new(&config.guests, 1)?.compiling_here().remembering(shelf);
        let stages = match Stages::load(&config, &sandbox, &metrics, None) {
            Ok(stages) => stages,
            Err(errors) => bail!("{errors:?}"),
        };
        Ok(Self { decider: Decider::new(&stages, 5, metrics.clone()), metrics, sent: 0 })
    }

    /// One batch of new events; the title of each, or why it has none.
    fn told<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let lines: Vec<_> = lines.into_iter().collect();
        let first = self.sent + 1;
        self.sent += lines.len() as u64;
        self.delivered("test", first, &lines)
    }

    fn tell(&mut self, line: &str) -> String {
        self.told([line]).remove(0)
    }

    /// One batch of the events from this number on.
    fn delivered(&mut self, source: &str, first: u64, lines: &[&str]) -> Vec<String> {
        let identities = (first..).map(|ms| Identity::Entry(EntryId { ms, sequence: 0 }));
        self.decided(source, identities.zip(lines.iter().copied()))
    }

    fn decided<'a>(&mut self, source: &str, events: impl Iterator<Item = (Identity, &'a str)>) -> Vec<String> {
        let context = Arc::new(Context { source: source.to_owned(), format: "auto".to_owned(), ..Context::default() });
        let deliveries = events.map(|(identity, line)| Delivery {
            context: Arc::clone(&context),
            received_ms: 1_772_445_600_000,
            payload: line.as_bytes().to_vec().into(),
            identity,
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        });
        let decided = self.decider.decide(deliveries.collect());
        let outcome = |index: usize| match &decided.outcomes[index] {
            Outcome::Accepted { .. } => {
                let events = decided.events_of(index, decided.fingerprint(index));
                events.map(|event| event.event.title().to_owned()).collect()
            }
            Outcome::Dropped(reason) | Outcome::Rejected(reason) => reason.clone(),
            Outcome::RetryAfter { reason, .. } => format!("put off: {reason}"),
        };
        (0..decided.outcomes.len()).map(outcome).collect()
    }
}

#[tokio::test]
async fn a_guest_reads_what_it_wrote_in_the_call_in_the_batch_before_and_on_another_host() -> Result<()> {
    let memory = Memory::start().await?;
    let (mut one, mut two) = (memory.host(|_| ())?, memory.host(|_| ())?);
    let said = one.told(["get a", "put a first", "get a", "put a second", "count n", "count n", "get n", "add n -5"]);
    assert_eq!(said, ["nothing", "done", "first", "done", "1", "2", "2", "-3"]);
    assert_eq!(one.told(["get a", "count n"]), ["second", "-2"]);
    assert_eq!(two.told(["get a", "count n", "delete a", "get a"]), ["second", "-1", "done", "nothing"]);
    assert_eq!(one.told(["get a", "count n", "both n"]), ["nothing", "1", "nothing 0"]);
    assert_eq!(one.told(["put n 40", "count n", "put word abc", "count word"])[1..3], ["41", "done"]);
    assert!(one.tell("count word").contains("stands no number"));
    assert_eq!(memory.keys().await?, ["aurora:state:guest-ends:normalize", "aurora:state:guest:normalize"]);
    let metrics = one.metrics.guest(Stage::Normalize).state();
    assert_eq!((metrics.operations("put").get(), metrics.lost.get()), (4, 0));
    Ok(())
}

#[tokio::test]
async fn an_event_counts_once_however_often_it_is_delivered_and_gets_the_count_of_the_first_time() -> Result<()> {
    let memory = Memory::start().await?;
    let (mut one, mut two) = (memory.host(|_| ())?, memory.host(|_| ())?);
    let lines = ["count n"; 5];
    assert_eq!(one.delivered("test", 1, &lines), ["1", "2", "3", "4", "5"]);
    // The host dies before they are stored: some of them come again on another one, in other batches, with new ones.
    assert_eq!(two.delivered("test", 3, &lines), ["3", "4", "5", "6", "7"]);
    assert_eq!(one.delivered("test", 1, &lines[..2]), ["1", "2"]);
    assert_eq!(one.delivered("test", 8, &lines[..1]), ["8"]);
    // A packet that its broker does not mark as a repetition is new, even with the id and the bytes of another one.
    let packet = |dup| Identity::Packet { client: 1, id: 7, dup };
    let mut packets = |dup| one.decided("mqtt", std::iter::once((packet(dup), "count p"))).remove(0);
    assert_eq!([packets(false), packets(true), packets(false), packets(true)], ["1", "1", "2", "2"]);
    // One that a guest puts off is the same event when it is asked about again.
    assert_eq!(one.delivered("test", 100, &["once"]), ["put off: the first time"]);
    assert_eq!(one.delivered("test", 100, &["once"]), ["1"]);
    // A counter knows its last 256 events and not all.
    let many = vec!["count m"; 300];
    one.delivered("test", 1000, &many);
    assert_eq!(one.delivered("test", 1299, &["count m"]), ["300"]);
    assert_eq!(one.delivered("test", 1044, &["count m"]), ["45"]);
    assert_eq!(one.delivered("test", 1043, &["count m"]), ["301"]);
    Ok(())
}

#[tokio::test]
async fn a_call_that_fails_leaves_nothing_and_the_search_for_the_culprit_counts_nothing_twice() -> Result<()> {
    let memory = Memory::start().await?;
    let mut host = memory.host(|_| ())?;
    let mut lines = vec!["count n"; 64];
    lines[40] = "trap";
    let said = host.told(lines);
    assert!(said[40].contains("trap"), "{}", said[40]);
    let counts: Vec<_> = said.iter().filter_map(|said| said.parse::<u32>().ok()).collect();
    assert_eq!(counts, (1..=63).collect::<Vec<_>>());
    assert_eq!(host.told(["get n", "get trap", "get trapped"]), ["63", "nothing", "nothing"]);
    Ok(())
}

#[tokio::test]
async fn several_lanes_at_one_counter_lose_no_addition() -> Result<()> {
    let memory = Memory::start().await?;
    let lanes = (0..4).map(|lane| {
        let mut host = memory.host(|_| ())?;
        Ok(std::thread::spawn(move || {
            (0..25).for_each(|batch| drop(host.delivered("test", 1000 * lane + 8 * batch, &["count n", "add n 2"])));
        }))
    });
    for lane in lanes.collect::<Result<Vec<_>>>()? {
        lane.join().ok().context("a lane panicked")?;
    }
    assert_eq!(memory.host(|_| ())?.tell("get n"), "300");
    Ok(())
}

#[tokio::test]
async fn each_place_has_a_table_of_its_own_and_a_router_remembers_too() -> Result<()> {
    let memory = Memory::start().await?;
    let mut host = memory.host(|config| {
        config.guests.normalize.rules = vec![rule("acme").unwrap()];
        remembers(&mut config.guests.route).unwrap();
    })?;
    assert_eq!(host.tell("put a stock"), "done");
    assert_eq!(host.delivered("acme", 1, &["get a", "put a acme"]), ["nothing", "done"]);
    assert_eq!(host.delivered("acme", 3, &["get a"]), ["acme"]);
    assert_eq!(host.tell("get a"), "stock");
    let slot = SlotName::from(Stage::Route);
    let routed =
        || -> Result<Option<Value>> { Ok(memory.shelf()?.read(&slot, &["routed"], PATIENCE)?.values.remove(0)) };
    assert_eq!(routed()?.context("nothing")?.text(), b"5");
    // As after a crash: the same deliveries, and so the same events.
    host.delivered("acme", 1, &["get a", "put a acme"]);
    assert_eq!(routed()?.context("nothing")?.text(), b"5");
    Ok(())
}

#[tokio::test]
async fn another_guest_in_the_same_place_finds_what_was_there() -> Result<()> {
    let memory = Memory::start().await?;
    let logins = built_guest("guests/normalize-logins", "normalize-logins")?;
    let mut before = memory.host(|config| config.guests.normalize.path = logins)?;
    let line = "sshd[1]: Failed password for root from 203.0.113.7 port 4242 ssh2";
    let said = before.told([line; 6]);
    assert_eq!((&*said[3], &*said[4]), ("Failed login of root", "Many failed logins of root"));
    let mut after = memory.host(|_| ())?;
    assert_eq!(after.tell("get failed:root"), "6");
    Ok(())
}

#[tokio::test]
async fn what_is_remembered_ends() -> Result<()> {
    let memory = Memory::start().await?;
    let mut host = memory.host(|config| config.guests.normalize.state.ttl = Duration::from_secs(2))?;
    assert_eq!(host.told(["put a x 1", "count n 1", "put long x 3600"]), ["done", "1", "done"]);
    // The window of a counter opens with its first event, and later ones do not move its end.
    wait_until("the end of the shorter ones", PATIENCE, async || {
        host.sent += 1;
        let number = host.sent;
        let said = host.delivered("test", number, &["get a", "get n"]);
        ensure!(said == ["nothing", "nothing"], "{said:?}");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(host.tell("count n 1"), "1");
    // An hour is more than the site allows; and with the last entry all of it is gone.
    wait_until("the end of all", PATIENCE, async || {
        let keys = memory.keys().await?;
        ensure!(keys.is_empty(), "{keys:?}");
        anyhow::Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_that_writes_without_end_fills_its_own_table_and_no_more() -> Result<()> {
    let memory = Memory::start().await?;
    let mut host = memory.host(|config| {
        config.guests.normalize.rules = vec![rule("small").unwrap(), rule("few").unwrap()];
        let [small, few] = &mut config.guests.normalize.rules[..] else { return };
        small.guest.state.bytes = bytesize(64 << 10);
        few.guest.state.keys = 10;
    })?;
    let begun = Instant::now();
    let small = host.delivered("small", 1, &["flood"]).remove(0);
    let (count, refused) = small.split_once(" then ").context("no flood")?;
    assert!((55..64).contains(&count.parse::<u32>()?) && refused.contains("OverQuota"), "{small}");
    let slot = SlotName::of_rule(Stage::Normalize, "small");
    let usage = memory.shelf()?.read(&slot, &[], PATIENCE)?.usage;
    assert!((50 << 10..=64 << 10).contains(&usage.bytes), "{usage:?}");
    // Again, and by another host, which knows nothing of the first: there is still no room.
    host.delivered("small", 2, &["flood"]);
    assert_eq!(host.delivered("small", 3, &["get x", "size x 2000", "get flood:0"])[..2], ["nothing", "over quota"]);
    let usage = memory.shelf()?.read(&slot, &[], PATIENCE)?.usage;
    assert!(usage.bytes <= 64 << 10, "{usage:?}");
    // Without a look before: it is told yes, the step has no room, and it is counted.
    let slot = SlotName::of_rule(Stage::Normalize, "few");
    let lines: Vec<_> = (0..12).map(|i| format!("put k{i} v")).collect();
    host.delivered("few", 1, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(memory.shelf()?.read(&slot, &[], PATIENCE)?.usage.keys, 10);
    assert_eq!(host.metrics.guest(slot.clone()).state().lost.get(), 2);
    // What is there can be replaced, and what is deleted makes room.
    assert_eq!(host.delivered("few", 20, &["put k0 w", "delete k1"]), ["done", "done"]);
    assert_eq!(host.delivered("few", 22, &["get k0", "get k1", "count n"]), ["w", "nothing", "1"]);
    assert_eq!(host.tell("count n"), "1", "nobody else noticed");
    assert!(begun.elapsed() < PATIENCE);
    Ok(())
}

fn bytesize(bytes: u64) -> bytesize::ByteSize {
    bytesize::ByteSize::b(bytes)
}

#[tokio::test]
async fn odd_keys_and_values_are_kept_as_they_are_and_too_long_ones_are_refused() -> Result<()> {
    let memory = Memory::start().await?;
    let mut host = memory.host(|config| config.guests.normalize.deadline = PATIENCE)?;
    for key in ["{x}", "a:b", "*", "\u{0}", "\r\n$5\r\n", "é🦀", "normalize", "-1", "guest-ends:x"] {
        let put = format!("put {key} {key}=1");
        assert_eq!(host.tell(&put), "done", "{key:?}");
        assert_eq!(host.tell(&format!("get {key}")), format!("{key}=1"));
    }
    assert_eq!(memory.keys().await?.len(), 2);
    assert_eq!(host.told(["long 256", "size v 65536"]), ["nothing", "done"]);
    for line in ["long 257", "long 0", "long 100000", "size v 65537", "size v 16000000", "get "] {
        assert!(host.tell(line).starts_with("invalid: "), "{line}: {}", host.tell(line));
    }
    // A call may speak of so many keys; what it says after that is refused.
    assert_eq!(host.tell("ask"), "Some(4096)");
    // And it may wait for so long in all.
    let mut hasty = memory.host(|config| config.guests.normalize.state.timeout = Duration::from_millis(10))?;
    assert_ne!(hasty.tell("ask"), "Some(4096)");
    let over = ["add n 9223372036854775807", "add n 1", "add n -9223372036854775808", "add n -9223372036854775808"];
    assert_eq!(host.told(over), ["9007199254740992", "9007199254740992", "0", "-9007199254740992"]);
    assert_eq!(host.tell("get n"), "-9007199254740992");
    Ok(())
}

#[tokio::test]
async fn a_frozen_redis_costs_a_time_out_and_then_nothing_until_it_answers_again() -> Result<()> {
    let mut memory = Memory::start().await?;
    let timeout = Duration::from_millis(500);
    let mut host = memory.host(|config| config.guests.normalize.state.timeout = timeout)?;
    assert_eq!(host.tell("count n"), "1");
    memory.redis.pause()?;
    let begun = Instant::now();
    assert_eq!(host.told(["count n", "get n", "put n 5", "delete n"]), ["unavailable"; 4]);
    let first = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(host.told(["count n", "put n 5"]), ["unavailable"; 2]);
    let second = begun.elapsed();
    println!("frozen: the first batch waited {first:?}, the second {second:?}");
    assert!(first >= timeout && first < 2 * timeout, "{first:?}");
    assert!(second < timeout, "{second:?}");
    memory.redis.resume()?;
    wait_until("its memory", PATIENCE, async || {
        let said = host.tell("count n");
        ensure!(said.parse::<u32>().is_ok(), "{said}");
        anyhow::Ok(())
    })
    .await?;
    let metrics = host.metrics.guest(Stage::Normalize).state();
    assert!(metrics.refused("unavailable").get() >= 6);
    // Over a restart of Redis a connection that has died while nobody asked costs no answer.
    memory.redis.restart().await?;
    assert_ne!(host.tell("count n"), "unavailable");
    Ok(())
}

#[tokio::test]
async fn what_is_rehearsed_reads_and_leaves_no_trace() -> Result<()> {
    let memory = Memory::start().await?;
    let (mut host, mut rehearsed) = (memory.host(|_| ())?, Host::new(Arc::new(ReadOnly(memory.shelf()?)), |_| ())?);
    assert_eq!(host.told(["count n", "count n"]), ["1", "2"]);
    // The same events, after the guest that decides: it is told the same.
    assert_eq!(rehearsed.told(["count n", "count n"]), ["1", "2"]);
    assert_eq!(rehearsed.told(["count n", "put a x", "get a"]), ["3", "done", "x"]);
    assert_eq!(rehearsed.told(["get a"]), ["nothing"]);
    assert_eq!(host.delivered("test", 50, &["get n", "get a"]), ["2", "nothing"]);
    Ok(())
}

/// Numbers without end, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test]
async fn a_table_in_memory_and_one_in_redis_make_the_same_of_the_same_changes() -> Result<()> {
    let memory = Memory::start().await?;
    let (redis, local) = (memory.shelf()?, Local::at_rest());
    let limits = StateLimits { keys: 12, bytes: bytesize(4 << 10), ..StateLimits::default() };
    let (slot, ttl, mut numbers) = (SlotName::from(Stage::Route), Duration::from_secs(3600), Numbers(1));
    let keys: Vec<String> = (0..16).map(|i| format!("k{i}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for round in 0..400 {
        let count = numbers.below(6) + 1;
        let change = |_| {
            let change = match numbers.below(4) {
                0 => Change::Delete,
                1 => Change::Put { value: vec![b'x'; numbers.below(900) as usize], ttl },
                2 => Change::Put { value: (numbers.below(2000) as i64 - 1000).to_string().into_bytes(), ttl },
                _ => {
                    let steps = (0..numbers.below(9) + 1).map(|_| {
                        let id = (numbers.below(20) * 0x0101_0101).to_be_bytes();
                        let mark = Mark { id, may_repeat: numbers.below(3) > 0 };
                        ((numbers.below(4) > 0).then_some(mark), numbers.below(7) as i64 - 3)
                    });
                    Change::Add { ttl, steps: steps.collect() }
                }
            };
            (keys[numbers.below(16) as usize], change)
        };
        let changes: Vec<_> = (0..count).map(change).collect();
        let [there, here] = [&*redis as &dyn Shelf, &local].map(|shelf| -> Result<_> {
            Ok((shelf.write(&slot, &limits, &changes, PATIENCE)?, shelf.read(&slot, &keys, PATIENCE)?))
        });
        assert_eq!(there?, here?, "round {round}: {changes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_and_a_kill_of_the_daemon_change_nothing_of_it() -> Result<()> {
    let plan = Site::plan()
        .guest("normalize", &built_guest("tests/remembering", "remembering")?)
        .set("guests.normalize.grants", vec!["state", "lookup"])
        .set("guests.normalize.state.timeout", "10s")
        .subscribe("site/+/events", 1, "auto", "test");
    let mut site = plan.start().await?;
    let titles = async |site: &Site, count: usize| -> Result<Vec<u32>> {
        let entries = site.stream_of("aurora:alerts", count).await?;
        let titles = entries.iter().map(|entry| Ok(entry.data()["title"].as_str().context("no title")?.parse()?));
        titles.collect()
    };
    site.publish("site/one/events", 1, ["count n"; 40]).await?;
    assert_eq!(titles(&site, 40).await?, (1..=40).collect::<Vec<_>>());
    ensure!(site.terminate(PATIENCE).await?.success());
    site.start_daemon().await?;
    site.publish("site/one/events", 1, ["count n"; 40]).await?;
    assert_eq!(titles(&site, 80).await?.last(), Some(&80));
    // Killed among them: what had been counted and not stored comes again, and has its count.
    for _ in 0..3 {
        site.publish("site/one/events", 1, ["count n"; 200]).await?;
        site.kill_daemon()?;
        site.start_daemon().await?;
    }
    site.publish("site/one/events", 1, ["count n"; 20]).await?;
    assert_eq!(titles(&site, 700).await?, (1..=700).collect::<Vec<_>>());
    let scrape = site.scrape().await?;
    let series = "aurora_guest_state_operations_total{guest=\"normalize\",operation=\"increment\",stage=\"normalize\"}";
    assert!(scrape.get(series)? >= 1.0);
    Ok(())
}

#[test]
fn a_guest_that_remembers_needs_the_grant() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("aurora.toml");
    let (normalize, route, federate) =
        (built_guest("tests/remembering", "remembering")?, stock_guest("route-core")?, stock_guest("federate-core")?);
    let text = format!(
        "[site]\nid = \"s\"\n[redis]\nurl = \"redis://127.0.0.1\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
         [guests.route]\npath = {route:?}\n[guests.federate]\npath = {federate:?}\n[guests.normalize]\npath = {normalize:?}\n"
    );
    std::fs::write(&config, text)?;
    let output = Command::new(binary()?).args(["check", "--config"]).arg(&config).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("aurora:state/state@0.1.0") && said.contains("grants = [\"state\", \"lookup\"]"), "{said}");
    Ok(())
}

#[test]
fn the_example_passes_its_cases_as_a_component() -> Result<()> {
    built_guest("guests/normalize-logins", "normalize-logins")?;
    let mut command = Command::new(binary()?);
    let output =
        command.args(["guest", "test", "guests/normalize-logins", "--seed", "1"]).current_dir(workspace()).output()?;
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Not a test: `cargo test --release --locked --workspace --test aurora -- --ignored --exact --nocapture
/// guests::state::what_a_look_and_an_addition_cost`.
#[tokio::test]
#[ignore = "it measures"]
async fn what_a_look_and_an_addition_cost() -> Result<()> {
    const BATCHES: u32 = 200;
    let memory = Memory::start().await?;
    let mut in_redis = memory.host(|_| ())?;
    let mut in_memory = Host::new(Arc::new(Local::default()), |_| ())?;
    let mut connection = connect_redis(&memory.redis.url()).await?;
    // CPU time tells of the work, whoever else keeps the machine busy.
    let mut of_redis = async || -> Result<f64> {
        let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut connection).await?;
        let used = info.lines().filter(|line| line.starts_with("used_cpu_sys:") || line.starts_with("used_cpu_user:"));
        Ok(used.filter_map(|line| line.split_once(':')?.1.trim().parse::<f64>().ok()).sum())
    };
    println!("µs an event, in batches of 256           time  CPU of the lane  CPU of Redis");
    for accounts in [1, 256, 10_000] {
        for (name, is_kept, word) in
            [("without state", true, "plain"), ("in memory", false, "both"), ("in Redis", true, "both")]
        {
            let host = if is_kept { &mut in_redis } else { &mut in_memory };
            let mut numbers = Numbers(7);
            let mut run = |batches: u32| {
                for _ in 0..batches {
                    let lines: Vec<_> =
                        (0..256).map(|_| format!("{word} account-{}", numbers.below(accounts))).collect();
                    let said = host.told(lines.iter().map(String::as_str));
                    assert!(said.iter().all(|said| said.starts_with("nothing ") || word == "plain"), "{said:?}");
                }
            };
            run(20);
            let (begun, cpu, redis) = (Instant::now(), cpu_time::ThreadTime::now(), of_redis().await?);
            run(BATCHES);
            let (time, cpu) = (begun.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
            let each = [time, cpu, of_redis().await? - redis].map(|seconds| seconds * 1e6 / f64::from(256 * BATCHES));
            println!("{accounts:>6} accounts, {name:<20} {:>8.2} {:>16.2} {:>13.2}", each[0], each[1], each[2]);
        }
    }
    Ok(())
}
