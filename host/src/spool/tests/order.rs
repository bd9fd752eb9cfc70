//! First in, first out, over restarts too.

use super::*;

#[tokio::test]
async fn records_come_back_in_their_order_after_a_restart() {
    let site = Site::new();
    let spool = site.open();
    assert_eq!(spool.append(1, text("a")).await.unwrap(), 1);
    assert_eq!(spool.append(2, text("b")).await.unwrap(), 2);
    drop(spool);
    let spool = site.open();
    assert_eq!(spool.append(3, Bytes::new()).await.unwrap(), 3);
    drop(spool);
    let spool = site.open();
    let oldest = spool.oldest().await.unwrap().unwrap();
    assert_eq!((oldest.number, oldest.events, &oldest.bytes), (1, 1, &text("a")));
    assert_eq!(spool.oldest().await.unwrap().unwrap(), oldest, "reading does not remove");
    assert_eq!(drain(&spool).await, [(1, text("a")), (2, text("b")), (3, Bytes::new())]);
    assert_eq!(site.files(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_number_is_never_given_twice_even_if_all_is_gone() {
    let site = Site::new();
    let spool = site.open();
    spool.append(1, text("a")).await.unwrap();
    spool.append(1, text("b")).await.unwrap();
    drain(&spool).await;
    drop(spool);
    let spool = site.open();
    assert_eq!(spool.append(1, text("c")).await.unwrap(), 3);
    spool.set_aside(3, "Redis says no").await.unwrap();
    drop(spool);
    // Whoever looks at damaged/ may clear it.
    fs::remove_file(site.path().join("damaged").join(&site.set_aside()[0])).unwrap();
    assert_eq!(site.open().append(1, text("d")).await.unwrap(), 4);
}

#[tokio::test]
async fn a_number_in_damaged_is_not_given_again_while_one_before_it_waits() {
    let site = Site::new();
    let spool = site.open();
    for record in ["a", "b", "c"] {
        spool.append(1, text(record)).await.unwrap();
    }
    spool.set_aside(2, "Redis says no").await.unwrap();
    spool.set_aside(3, "Redis says no").await.unwrap();
    drop(spool);
    let spool = site.open();
    assert_eq!(spool.append(1, text("d")).await.unwrap(), 4);
    assert_eq!(drain(&spool).await, [(1, text("a")), (4, text("d"))]);
}

#[tokio::test]
async fn clocks_that_step_back_do_not_change_the_order() {
    let site = Site::new();
    drop(site.open());
    for (number, written_ms) in [(1, 2_000), (2, 1_000), (3, 0)] {
        let name = name::Name::seal(number, written_ms, 1, 1, sha2::Digest::new_with_prefix(b"a"));
        fs::write(site.path().join(name.to_string()), "a").unwrap();
    }
    let spool = site.open();
    assert_eq!(spool.depth().oldest_ms, Some(2_000));
    assert_eq!(drain(&spool).await.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_record_removed_before_its_elders_leaves_no_hole_behind_a_crash() {
    let site = Site::new();
    let spool = site.open();
    for record in ["a", "b", "c"] {
        spool.append(1, text(record)).await.unwrap();
    }
    assert_eq!(spool.after(1).await.unwrap().unwrap().bytes, text("b"));
    spool.remove(2).await.unwrap();
    assert_eq!(spool.after(1).await.unwrap().unwrap().number, 3);
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 1);
    drop(spool);
    // Its file stayed, so it comes again.
    let spool = site.open();
    assert_eq!(spool.depth().records, 3);
    spool.remove(2).await.unwrap();
    spool.remove(1).await.unwrap();
    assert_eq!(site.files().len(), 1);
    spool.remove(2).await.unwrap();
    spool.remove(77).await.unwrap();
    drop(spool);
    assert_eq!(drain(&site.open()).await, [(3, text("c"))]);
    assert_eq!(site.metrics.spool.replayed.get(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_appends_after_an_append_has_returned_comes_behind_it() {
    const APPENDERS: u64 = 8;
    const EACH: u64 = 25;
    let site = Site::new();
    let spool = site.open();
    let highest = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for appender in 0..APPENDERS {
        let (spool, highest) = (spool.clone(), Arc::clone(&highest));
        tasks.spawn(async move {
            let mut mine = Vec::new();
            for index in 0..EACH {
                let returned = highest.load(Ordering::SeqCst);
                let content = Bytes::from(format!("{appender} {index}"));
                let number = spool.append(1, content.clone()).await.unwrap();
                assert!(number > returned, "{number} was given after {returned} had returned");
                highest.fetch_max(number, Ordering::SeqCst);
                mine.push((number, content));
            }
            mine
        });
    }
    let mut all: Vec<_> = tasks.join_all().await.concat();
    all.sort();
    let numbers: Vec<_> = all.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=APPENDERS * EACH).collect::<Vec<_>>());
    drop(spool);
    assert_eq!(drain(&site.open()).await, all);
}
