//! The step in which Redis stores a batch, called as the daemon calls it, without the daemon.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aurora::broker::redis_streams::{
    Commit, CommitError, Config, Guard, Layout, Memory, Normalized, Pool, Producer, Sealed, Session, Stored, Stream,
};
use harness::{Make, Server};
use redis::Value;
use tempfile::TempDir;
use uuid::Uuid;

const EVENTS: &str = "aurora:alerts";
const LETTERS: &str = "aurora:dead_letter";
const RAW: &str = "aurora:raw";

const NORMALIZED: Normalized<'_> = Normalized {
    data: b"{}",
    severity: "high",
    source: "test",
    category: "network",
    raw: "",
    topic: "",
    provenance: "{}",
    origin: "",
};

/// A server, and one process that stores batches in it.
struct Bench {
    server: Server,
    folder: TempDir,
    pool: Pool,
    session: Session,
    producer: Producer,
    horizon: u64,
}

impl Bench {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = Make::Redis7.program()?.context("no Redis")?;
        let server = Server::start(&program, &folder.path().join("redis"), "").await?;
        Self::of(server, folder, 100, "")
    }

    fn of(server: Server, folder: TempDir, horizon: u64, user: &str) -> Result<Self> {
        let url = server.url().replace("redis://", &format!("redis://{user}"));
        let config: Config = toml::from_str(&format!("url = {url:?}"))?;
        let memory = Memory { dedup: Duration::from_secs(60), horizon, session: Duration::from_secs(3600) };
        let streams = [EVENTS, LETTERS, RAW].map(|name| (name.to_owned(), 0)).into();
        let layout = Layout::new(&config, "host".to_owned(), streams, &memory);
        let session = Session::new(&layout, config.durability(), false);
        let producer = session.producer("lane");
        Ok(Self { server, folder, pool: Pool::new(&config)?, session, producer, horizon })
    }

    /// The process dies, and another takes its place.
    fn restart(self, horizon: u64) -> Result<Self> {
        Self::of(self.server, self.folder, horizon, "")
    }

    fn stream(&self, name: &str) -> Stream {
        self.session.layout().stream(name).expect("it is one of the three")
    }

    /// The next batch, with what `fill` puts into it.
    fn batch(&mut self, fill: impl FnOnce(&mut Commit, Stream)) -> Sealed {
        let mut commit = self.producer.begin(0);
        fill(&mut commit, self.stream(EVENTS));
        self.producer.seal(commit).expect("it is not empty")
    }

    async fn store(&self, batch: &mut Sealed) -> Result<Stored, CommitError> {
        batch.store(&self.pool, &self.session).await
    }

    async fn ask(&self, command: &str) -> Result<Value> {
        self.server.ask(command).await
    }

    async fn length(&self, stream: &str) -> Result<usize> {
        self.server.ask(&format!("XLEN {stream}")).await
    }
}

fn packet(id: u16, dup: bool) -> Guard<'static> {
    Guard::Packet { id, digest: [7, 7, 7, 7, (id >> 8) as u8, id as u8], dup }
}

/// A delivery with one event; `key` is its content, in one byte.
fn event(commit: &mut Commit, stream: Stream, guard: Guard<'_>, key: Option<u8>, id: u128) {
    commit.delivery(guard);
    commit.event(key.map(|key| [key; 16]), Uuid::from_u128(id));
    commit.normalized(stream, &NORMALIZED);
}

#[tokio::test]
async fn a_redelivery_and_an_equal_new_delivery_in_one_batch_are_the_event_that_is_stored() -> Result<()> {
    let mut bench = Bench::new().await?;
    let mut first = bench.batch(|commit, stream| event(commit, stream, packet(1, false), Some(9), 1));
    bench.store(&mut first).await?;
    let mut both = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, true), Some(9), 1);
        event(commit, stream, packet(2, false), Some(9), 2);
        event(commit, stream, packet(3, false), Some(9), 3);
    });
    let stored = bench.store(&mut both).await?;
    assert_eq!(stored.repeats, [0]);
    assert_eq!(stored.suppressed, [(1, Uuid::from_u128(1)), (2, Uuid::from_u128(1))]);
    assert_eq!(bench.length(EVENTS).await?, 1);
    Ok(())
}

#[tokio::test]
async fn the_first_of_equal_events_behind_an_old_repeat_is_stored_and_the_others_count_towards_it() -> Result<()> {
    let mut bench = Bench::new().await?;
    let mut first = bench.batch(|commit, stream| event(commit, stream, packet(1, false), None, 1));
    bench.store(&mut first).await?;
    let mut next = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, true), Some(9), 1);
        event(commit, stream, packet(2, false), Some(9), 2);
        event(commit, stream, packet(3, false), Some(9), 3);
    });
    assert_eq!(bench.store(&mut next).await?.suppressed, [(2, Uuid::from_u128(2))]);
    let mut later = bench.batch(|commit, stream| event(commit, stream, packet(4, false), Some(9), 4));
    assert_eq!(bench.store(&mut later).await?.suppressed, [(0, Uuid::from_u128(2))]);
    assert_eq!(bench.length(EVENTS).await?, 2);
    Ok(())
}

#[tokio::test]
async fn where_a_stream_cannot_be_written_nothing_is_stored_before_the_batch_says_what_becomes_of_its_entries()
-> Result<()> {
    let mut bench = Bench::new().await?;
    bench.ask(&format!("SET {EVENTS} text")).await?;
    let fill = |commit: &mut Commit, stream| {
        event(commit, stream, packet(1, false), Some(1), 1);
        event(commit, stream, packet(2, false), Some(2), 2);
    };
    let mut batch = bench.batch(fill).whole();
    let unwritable = match bench.store(&mut batch).await {
        Err(CommitError::Unwritable(streams)) => streams,
        other => anyhow::bail!("{other:?}"),
    };
    assert!(unwritable[0].0 == EVENTS && unwritable[0].1.contains("string"), "{unwritable:?}");

    // The process dies here: its deliveries come again, and are not taken for repeats.
    bench = bench.restart(100)?;
    let mut again = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, true), Some(1), 1);
        event(commit, stream, packet(2, true), Some(2), 2);
    });
    again = again.whole();
    ensure!(matches!(bench.store(&mut again).await, Err(CommitError::Unwritable(_))));
    again.leave_out([EVENTS].into_iter(), bench.stream(LETTERS), |add| {
        add(0, &[0], &[("payload", b"one")]);
        add(1, &[1], &[("payload", b"two")]);
    });
    let stored = bench.store(&mut again).await?;
    assert_eq!((stored.repeats.len(), stored.suppressed.len(), stored.refused.len()), (0, 0, 0));
    assert_eq!(bench.length(LETTERS).await?, 2);

    // The letters are stored, so from now on they are repeats, without a second letter.
    bench.ask(&format!("DEL {EVENTS}")).await?;
    bench = bench.restart(100)?;
    let mut last = bench.batch(|commit, stream| event(commit, stream, packet(2, true), Some(2), 2));
    assert_eq!(bench.store(&mut last).await?.repeats, [0]);
    Ok(())
}

/// Uses up the ids of a stream, and leaves no entry that would tell of it.
async fn use_up(bench: &Bench, stream: &str) -> Result<()> {
    bench.ask(&format!("XADD {stream} 18446744073709551615-18446744073709551615 a b")).await?;
    bench.ask(&format!("XDEL {stream} 18446744073709551615-18446744073709551615")).await?;
    Ok(())
}

#[tokio::test]
async fn an_entry_that_is_refused_behind_others_takes_the_whole_batch_back() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.ask(&format!("XGROUP CREATE {RAW} aurora 0 MKSTREAM")).await?;
    bench.ask(&format!("XADD {RAW} 5-1 payload x")).await?;
    bench.ask(&format!("XADD {RAW} 5-2 payload y")).await?;
    bench.ask(&format!("XREADGROUP GROUP aurora host STREAMS {RAW} >")).await?;
    bench.ask(&format!("XADD {EVENTS} 7-7 payload discarded")).await?;
    use_up(&bench, LETTERS).await?;
    let (raw, letters) = (bench.stream(RAW), bench.stream(LETTERS));
    let fill = |commit: &mut Commit, stream: Stream| {
        event(commit, stream, packet(1, false), Some(1), 1);
        event(commit, stream, Guard::Request { key: &[3; 16], line: 0, digest: [1; 8] }, Some(2), 2);
        event(commit, stream, Guard::Entry { stream: raw, group: "aurora", id: "5-1", remove: true }, Some(3), 3);
        event(commit, stream, Guard::Entry { stream: raw, group: "aurora", id: "5-2", remove: false }, Some(4), 4);
        event(commit, stream, Guard::Removal { stream, id: "7-7" }, Some(5), 5);
        // Of equal content as the first.
        event(commit, stream, packet(2, false), Some(1), 6);
        commit.letter(letters, 0, &[], &[("payload", b"raw")]);
    };
    let mut batch = bench.batch(fill).whole();
    for _ in 0..2 {
        let unwritable = match bench.store(&mut batch).await {
            Err(CommitError::Unwritable(streams)) => streams,
            other => anyhow::bail!("{other:?}"),
        };
        assert!(unwritable[0].0 == LETTERS && unwritable[0].1.contains("exhausted"), "{unwritable:?}");
        assert_eq!((bench.length(EVENTS).await?, bench.length(LETTERS).await?), (1, 0));
        assert_eq!(bench.length(RAW).await?, 2);
        let pending: (usize, String, String, Vec<(String, String)>) =
            bench.server.ask(&format!("XPENDING {RAW} aurora")).await?;
        assert_eq!(pending.0, 2);
        let left: Vec<String> = bench.server.ask("KEYS aurora:state:*").await?;
        let left: Vec<_> = left.iter().filter(|key| !key.ends_with(":session:host")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    // The process dies here, and all of it comes again.
    bench = bench.restart(100)?;
    let mut again = bench.batch(fill).whole();
    ensure!(matches!(bench.store(&mut again).await, Err(CommitError::Unwritable(_))));
    bench.ask(&format!("DEL {LETTERS}")).await?;
    let stored = bench.store(&mut again).await?;
    assert_eq!((stored.before, stored.repeats.len(), stored.lost), (false, 0, 0));
    assert_eq!(stored.suppressed, [(5, Uuid::from_u128(1))]);
    assert_eq!((bench.length(EVENTS).await?, bench.length(LETTERS).await?, bench.length(RAW).await?), (5, 1, 1));
    assert!(bench.store(&mut again).await?.before);
    Ok(())
}

#[tokio::test]
async fn the_same_letter_is_taken_out_once_in_a_batch() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.ask(&format!("XADD {LETTERS} 7-7 payload x")).await?;
    let letters = bench.stream(LETTERS);
    let mut batch = bench.batch(|commit, stream| {
        for id in 1..=2 {
            event(commit, stream, Guard::Removal { stream: letters, id: "7-7" }, None, id);
        }
    });
    assert_eq!(bench.store(&mut batch).await?.repeats, [1]);
    assert_eq!((bench.length(EVENTS).await?, bench.length(LETTERS).await?), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_batch_out_of_the_spool_is_stored_without_what_is_refused_but_never_without_its_letters() -> Result<()> {
    let mut bench = Bench::new().await?;
    let letters = bench.stream(LETTERS);
    let mut batch = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, false), Some(1), 1);
        commit.delivery(packet(2, false));
        commit.letter(letters, 1, &[], &[("payload", b"raw")]);
    });
    let record = batch.record();
    use_up(&bench, EVENTS).await?;
    for break_it in [format!("SET {LETTERS} text"), format!("DEL {LETTERS}")] {
        bench.ask(&break_it).await?;
        if break_it.starts_with("DEL") {
            use_up(&bench, LETTERS).await?;
        }
        let mut found = Sealed::of_record(&record, bench.session.layout(), letters)?;
        match bench.store(&mut found).await {
            Err(CommitError::Unwritable(streams)) => assert_eq!(streams[0].0, LETTERS),
            other => anyhow::bail!("{other:?}"),
        }
    }
    bench.ask(&format!("DEL {LETTERS}")).await?;
    let mut found = Sealed::of_record(&record, bench.session.layout(), letters)?;
    let stored = bench.store(&mut found).await?;
    assert_eq!(stored.refused.iter().map(|(entry, _)| *entry).collect::<Vec<_>>(), [0]);
    assert_eq!((bench.length(EVENTS).await?, bench.length(LETTERS).await?), (0, 1));
    // What it refused is said again, for nobody may have heard it.
    let mut once_more = Sealed::of_record(&record, bench.session.layout(), letters)?;
    assert_eq!(bench.store(&mut once_more).await?.refused.len(), 1);

    // Nothing is left out of what goes to the spool: by then its stream may be mended.
    batch = bench.batch(|commit, stream| event(commit, stream, packet(3, false), None, 3)).whole();
    let before = batch.record();
    ensure!(matches!(bench.store(&mut batch).await, Err(CommitError::Unwritable(_))));
    batch.leave_out([EVENTS].into_iter(), letters, |add| add(0, &[0], &[("payload", b"three")]));
    assert_eq!(batch.record(), before);
    Ok(())
}

#[tokio::test]
async fn an_event_is_not_counted_towards_one_of_which_only_a_letter_is_stored() -> Result<()> {
    let mut bench = Bench::new().await?;
    let letters = bench.stream(LETTERS);
    use_up(&bench, EVENTS).await?;
    let mut batch = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, false), Some(9), 1);
        event(commit, stream, packet(2, false), Some(9), 2);
    });
    batch = batch.whole();
    ensure!(matches!(bench.store(&mut batch).await, Err(CommitError::Unwritable(_))));
    batch.leave_out([EVENTS].into_iter(), letters, |add| {
        add(0, &[0], &[("payload", b"one")]);
        add(1, &[1], &[("payload", b"two")]);
    });
    assert_eq!(bench.store(&mut batch).await?.suppressed, []);
    assert_eq!(bench.length(LETTERS).await?, 2);

    bench.ask(&format!("DEL {EVENTS}")).await?;
    let mut next = bench.batch(|commit, stream| event(commit, stream, packet(3, false), Some(9), 3));
    assert_eq!(bench.store(&mut next).await?.suppressed, []);
    let mut last = bench.batch(|commit, stream| event(commit, stream, packet(4, false), Some(9), 4));
    assert_eq!(bench.store(&mut last).await?.suppressed, [(0, Uuid::from_u128(3))]);
    assert_eq!(bench.length(EVENTS).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_letter_about_a_suppressed_event_or_a_repeat_is_not_written() -> Result<()> {
    let mut bench = Bench::new().await?;
    let letters = bench.stream(LETTERS);
    let mut batch = bench.batch(|commit, stream| {
        for (place, id) in [1, 2].into_iter().enumerate() {
            event(commit, stream, packet(id, false), Some(1), u128::from(id));
            commit.letter(letters, place, &[place], &[("reason", b"the router failed")]);
        }
    });
    assert_eq!(bench.store(&mut batch).await?.suppressed.len(), 1);
    assert_eq!(bench.length(LETTERS).await?, 1);
    let mut again = bench.batch(|commit, stream| {
        event(commit, stream, packet(1, true), Some(1), 1);
        commit.letter(letters, 0, &[0], &[("reason", b"the router failed")]);
    });
    assert_eq!(bench.store(&mut again).await?.repeats, [0]);
    assert_eq!(bench.length(LETTERS).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_process_that_takes_less_at_a_time_still_knows_what_the_one_before_has_stored() -> Result<()> {
    let mut bench = Bench::new().await?.restart(6000)?;
    for hundred in 0..30u16 {
        let mut batch = bench.batch(|commit, stream| {
            for id in 1..=100 {
                event(commit, stream, packet(100 * hundred + id, false), None, u128::from(100 * hundred + id));
            }
        });
        bench.store(&mut batch).await?;
    }
    assert_eq!(bench.horizon, 6000);
    bench = bench.restart(32)?;
    for id in [1, 1500, 3000] {
        let mut again = bench.batch(|commit, stream| event(commit, stream, packet(id, true), None, 0));
        assert_eq!(bench.store(&mut again).await?.repeats, [0], "packet {id}");
    }
    Ok(())
}

/// One of many deliveries of equal content.
fn heartbeat(id: u16, dup: bool) -> Guard<'static> {
    Guard::Packet { id, digest: *b"steady", dup }
}

fn all_of(commit: &mut Commit, stream: Stream, guards: impl IntoIterator<Item = Guard<'static>>) {
    for guard in guards {
        event(commit, stream, guard, None, 0);
    }
}

#[tokio::test]
async fn where_a_broker_gives_ids_out_anew_equal_events_of_before_are_not_those_of_now() -> Result<()> {
    let mut bench = Bench::new().await?;
    for ids in [1..=20, 1..=8] {
        let mut batch = bench.batch(|commit, stream| all_of(commit, stream, ids.map(|id| heartbeat(id, false))));
        bench.store(&mut batch).await?;
    }
    bench = bench.restart(100)?;
    let mut again = bench.batch(|commit, stream| all_of(commit, stream, [5, 8, 9, 20].map(|id| heartbeat(id, true))));
    assert_eq!(bench.store(&mut again).await?.repeats, [0, 1], "of 5, 8, 9 and 20");
    assert_eq!(bench.length(EVENTS).await?, 30);
    Ok(())
}

#[tokio::test]
async fn where_a_broker_uses_an_id_again_at_once_a_repeat_of_its_own_kind_is_known() -> Result<()> {
    let mut bench = Bench::new().await?;
    let other = Guard::Packet { id: 1, digest: *b"other.", dup: false };
    let fresh = [1, 2, 3].map(|id| packet(id, false)).into_iter().chain([other]);
    let mut batch = bench.batch(|commit, stream| all_of(commit, stream, fresh));
    bench.store(&mut batch).await?;
    let again =
        [packet(2, true), packet(3, true), packet(1, true), Guard::Packet { id: 1, digest: *b"other.", dup: true }];
    let mut again = bench.batch(|commit, stream| all_of(commit, stream, again));
    assert_eq!(bench.store(&mut again).await?.repeats, [0, 1, 3]);
    Ok(())
}

#[tokio::test]
async fn a_repeat_beside_something_new_is_no_sign_that_ids_are_given_out_anew() -> Result<()> {
    let mut bench = Bench::new().await?;
    for guards in [[heartbeat(1, false), heartbeat(2, false)], [heartbeat(1, true), heartbeat(3, false)]] {
        let mut batch = bench.batch(|commit, stream| all_of(commit, stream, guards));
        bench.store(&mut batch).await?;
    }
    let mut again = bench.batch(|commit, stream| all_of(commit, stream, [1, 2, 3].map(|id| heartbeat(id, true))));
    assert_eq!(bench.store(&mut again).await?.repeats, [0, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn once_all_is_acknowledged_a_mark_tells_nothing_of_equal_events() -> Result<()> {
    let mut bench = Bench::new().await?;
    let before = [heartbeat(1, false), heartbeat(2, false), packet(3, false)];
    let mut batch = bench.batch(|commit, stream| all_of(commit, stream, before));
    bench.store(&mut batch).await?;
    bench.session.all_acknowledged(&bench.pool).await?;
    let mut batch = bench.batch(|commit, stream| all_of(commit, stream, [heartbeat(4, false), heartbeat(5, false)]));
    bench.store(&mut batch).await?;
    bench = bench.restart(100)?;
    let again = [heartbeat(1, true), packet(3, true), heartbeat(5, true)];
    let mut again = bench.batch(|commit, stream| all_of(commit, stream, again));
    assert_eq!(bench.store(&mut again).await?.repeats, [1, 2]);
    bench.session.all_acknowledged(&bench.pool).await?;
    let mut again = bench.batch(|commit, stream| all_of(commit, stream, [heartbeat(5, true)]));
    assert_eq!(bench.store(&mut again).await?.repeats, [0; 0]);
    Ok(())
}

#[tokio::test]
async fn a_round_of_packet_ids_later_an_equal_delivery_is_new() -> Result<()> {
    let most = 2 * 16_384;
    // A session that once remembered more.
    let mut bench = Bench::new().await?.restart(65_535)?;
    let mut first = bench.batch(|commit, stream| all_of(commit, stream, [heartbeat(1, false)]));
    bench.store(&mut first).await?;
    bench = bench.restart(most)?;
    for thousand in 0..33 {
        let ids = (2 + 1000 * thousand)..=(1001 + 1000 * thousand);
        let mut batch = bench.batch(|commit, stream| all_of(commit, stream, ids.map(|id| heartbeat(id, false))));
        bench.store(&mut batch).await?;
    }
    let mut next = bench.batch(|commit, stream| all_of(commit, stream, [heartbeat(1, true), heartbeat(2000, true)]));
    assert_eq!(bench.store(&mut next).await?.repeats, [1]);
    Ok(())
}

#[tokio::test]
async fn an_entry_that_redis_has_forgotten_is_stored_and_one_that_was_acknowledged_is_not() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.ask(&format!("XGROUP CREATE {RAW} aurora 0 MKSTREAM")).await?;
    bench.ask(&format!("XADD {RAW} 5-1 payload x")).await?;
    bench.ask(&format!("XREADGROUP GROUP aurora host STREAMS {RAW} >")).await?;
    let raw = bench.stream(RAW);
    for (id, repeats, length) in [("5-1", vec![], 1), ("5-1", vec![0], 1), ("9-0", vec![], 2)] {
        for remove in [true, false] {
            let guard = Guard::Entry { stream: raw, group: "aurora", id, remove };
            let mut batch = bench.batch(|commit, stream| event(commit, stream, guard, None, 1));
            let stored = bench.store(&mut batch).await?;
            if remove {
                assert_eq!((stored.repeats, bench.length(EVENTS).await?), (repeats.clone(), length), "{id}");
            }
        }
        if id == "9-0" {
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_never_stores_a_batch_a_second_time() -> Result<()> {
    let bench = Bench::new().await?;
    bench.ask("ACL SETUSER lame on >lame ~* +@all -expire -pexpire -rpush").await?;
    let Bench { server, folder, .. } = bench;
    let mut bench = Bench::of(server, folder, 100, "lame:lame@")?;
    let mut batch = bench.batch(|commit, stream| event(commit, stream, packet(1, false), Some(1), 1));
    for _ in 0..3 {
        bench.store(&mut batch).await?;
    }
    assert_eq!(bench.length(EVENTS).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_storm_of_equal_events_does_not_hold_redis_up() -> Result<()> {
    const COUNT: u16 = 4096;
    let mut bench = Bench::new().await?;
    let mut took = Vec::new();
    for _ in 0..2 {
        let mut batch = bench.batch(|commit, stream| {
            for id in 0..COUNT {
                commit.delivery(Guard::None);
                let mut key = [0; 16];
                key[..2].copy_from_slice(&id.to_le_bytes());
                key[2..4].copy_from_slice(&(id.wrapping_mul(40_503)).to_le_bytes());
                commit.event(Some(key), Uuid::from_u128(u128::from(id)));
                commit.normalized(stream, &NORMALIZED);
            }
        });
        let begun = Instant::now();
        let stored = bench.store(&mut batch).await?;
        took.push((stored.suppressed.len(), begun.elapsed()));
    }
    println!("a batch of {COUNT}: all new {:?}, all suppressed {:?}", took[0].1, took[1].1);
    assert_eq!((took[0].0, took[1].0), (0, usize::from(COUNT)));
    assert!(took[1].1 < Duration::from_millis(500), "{:?}", took[1].1);
    Ok(())
}
