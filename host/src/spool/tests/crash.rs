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
async fn a_removal_cut_between_mark_and_file_brings_the_record_again() {
    let site = Site::new();
    let spool = site.open();
    spool.append(1, text("a")).await.unwrap();
    spool.append(1, text("b")).await.unwrap();
    let (file, content) = (site.file(1), fs::read(site.file(1)).unwrap());
    spool.remove(1).await.unwrap();
    drop(spool);
    fs::write(file, content).unwrap();
    let spool = site.open();
    assert_eq!(drain(&spool).await, [(1, text("a")), (2, text("b"))]);
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
    let (spool, damage) = Spool::open(&given_folder(), &Metrics::new()).unwrap();
    assert_eq!(damage, []);
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
