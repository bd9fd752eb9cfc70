//! A process that dies in the middle.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::*;

#[tokio::test]
async fn what_was_not_whole_is_removed_and_nothing_else() {
    let site = Site::new();
    let spool = site.open();
    spool.append(1, text("a")).await.unwrap();
    drop(spool);
    for name in ["0.tmp", "17.tmp"] {
        fs::write(site.path().join(name), "half a reco").unwrap();
    }
    let spool = site.open();
    assert!(names(&site.path()).iter().all(|name| !name.ends_with(".tmp")));
    assert_eq!(spool.append(1, text("b")).await.unwrap(), 2);
    assert_eq!(drain(&spool).await, [(1, text("a")), (2, text("b"))]);
}

#[tokio::test]
async fn a_removal_that_is_cut_leaves_no_record_and_takes_no_space() {
    let site = Site::new();
    let spool = site.open();
    for record in ["a", "b", "c"] {
        spool.append(1, text(record)).await.unwrap();
    }
    drop(spool);
    // As they lie there after the renames, before anything is freed.
    for number in [1, 2] {
        fs::rename(site.file(number), site.path().join(folder::mark_name(number))).unwrap();
    }
    let spool = site.open();
    let marks: Vec<_> = names(&site.path()).into_iter().filter(|name| name.ends_with(".removed")).collect();
    assert_eq!(marks, [folder::mark_name(2)]);
    assert_eq!(fs::metadata(site.path().join(&marks[0])).unwrap().len(), 0);
    assert_eq!(drain(&spool).await, [(3, text("c"))]);
}

#[tokio::test]
async fn removals_cut_by_kill_9_never_look_like_damage() {
    let site = Site::new();
    for enough in [1, 30, 7, 60, 20] {
        let mut child = again(&[], "spool::tests::crash::removes_until_it_is_killed", &site.path());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.map_while(Result::ok).filter(|line| line.starts_with("removed")).take(enough).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, enough, "the child ended by itself");
        assert_eq!(site.open().depth().records, site.files().len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by removals_cut_by_kill_9_never_look_like_damage"]
async fn removes_until_it_is_killed() {
    let spool = Spool::open(&given_folder(), &Metrics::new()).unwrap();
    assert_eq!(spool.take_damage(), []);
    let mut after = 0;
    loop {
        for _ in 0..8 {
            spool.append(1, Bytes::from(vec![1; 30_000])).await.unwrap();
        }
        let mut tasks = tokio::task::JoinSet::new();
        while let Some(record) = spool.after(after).await.unwrap() {
            let spool = spool.clone();
            after = record.number;
            tasks.spawn(async move { spool.remove(record.number).await.unwrap() });
            println!("removed {after}");
        }
        tasks.join_all().await;
    }
}

#[tokio::test]
async fn what_an_append_has_returned_survives_kill_9() {
    let site = Site::new();
    let mut told = 0;
    for enough in [1, 40, 7, 90] {
        let mut child = again(&[], "spool::tests::crash::appends_until_it_is_killed", &site.path());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut numbers = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        let in_time: Vec<u64> = numbers.by_ref().take(enough).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(in_time.len(), enough, "the child ended by itself");
        // What was told before it died, though nobody had read it yet.
        told = in_time.into_iter().chain(numbers).max().unwrap().max(told);
        let spool = site.open();
        assert_eq!(spool.depth().records, site.files().len() as u64);
        assert!(spool.depth().records >= told, "{:?} after {told}", spool.depth());
    }
    for (index, (number, content)) in drain(&site.open()).await.into_iter().enumerate() {
        assert_eq!(number, index as u64 + 1);
        assert!(content.len() == 3000 && content.iter().all(|byte| *byte == content[0]));
    }
    assert_eq!(site.damaged(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by what_an_append_has_returned_survives_kill_9"]
async fn appends_until_it_is_killed() {
    let spool = Spool::open(&given_folder(), &Metrics::new()).unwrap();
    assert_eq!(spool.take_damage(), []);
    let mut tasks = tokio::task::JoinSet::new();
    for appender in 0..3 {
        let spool = spool.clone();
        tasks.spawn(async move {
            loop {
                let number = spool.append(1, Bytes::from(vec![appender; 3000])).await.unwrap();
                println!("stored {number}");
            }
        });
    }
    tasks.join_all().await;
}
