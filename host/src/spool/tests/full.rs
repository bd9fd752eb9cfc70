//! Full, by our own limit and by the system's.

use super::*;

fn small(site: &Site, bytes: ByteSize) -> Spool {
    let config = Config { max_bytes: bytes, ..site.config() };
    Spool::open(&config, &site.metrics).unwrap()
}

fn is_full(result: &Result<u64, Error>, by_system: bool) -> bool {
    matches!(result, Err(Error::Full { source, .. }) if source.is_some() == by_system)
}

fn temporary(folder: &Path) -> usize {
    names(folder).iter().filter(|name| name.ends_with(".tmp")).count()
}

#[tokio::test]
async fn takes_no_more_than_its_limit_and_goes_on_when_there_is_room() {
    let site = Site::new();
    let spool = small(&site, ByteSize::kib(12));
    spool.append(1, Bytes::from(vec![1; 5000])).await.unwrap();
    let refused = spool.append(1, Bytes::from(vec![2; 5000])).await;
    assert!(is_full(&refused, false), "{refused:?}");
    assert_eq!(spool.append(1, text("small")).await.unwrap(), 2);
    let refused = spool.append(1, Bytes::from(vec![3; 12 * 1024 + 1])).await;
    assert!(matches!(refused, Err(Error::TooLarge { bytes: 12289, most: 12288 })), "{refused:?}");
    // A damaged one makes room as well as a removed one.
    fs::write(site.file(1), "").unwrap();
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 2);
    assert_eq!(spool.append(1, Bytes::from(vec![4; 5000])).await.unwrap(), 3);
    drop(spool);

    let spool = small(&site, ByteSize::kib(12));
    assert!(is_full(&spool.append(1, text("x")).await, false));
    spool.remove(2).await.unwrap();
    assert_eq!(spool.append(1, text("x")).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_is_told_when_there_is_some() {
    let site = Site::new();
    let spool = small(&site, ByteSize::kib(4));
    for number in (1..100).step_by(2) {
        assert_eq!(spool.append(1, text("x")).await.unwrap(), number);
        let mut watch = spool.watch();
        assert!(is_full(&spool.append(1, text("y")).await, false));
        let remove = tokio::spawn({
            let spool = spool.clone();
            async move { spool.remove(number).await.unwrap() }
        });
        watch.changed().await.unwrap();
        let next = spool.append(1, text("z")).await;
        remove.await.unwrap();
        spool.remove(next.unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appenders_that_come_together_keep_the_limit_together() {
    let site = Site::new();
    let spool = small(&site, ByteSize::kib(40));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let spool = spool.clone();
        tasks.spawn(async move { spool.append(1, Bytes::from(vec![0; 4096])).await });
    }
    let results = tasks.join_all().await;
    let (taken, refused): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.is_ok());
    assert!(refused.iter().all(|result| is_full(result, false)), "{refused:?}");
    assert_eq!((taken.len(), spool.depth().bytes, site.files().len()), (10, 40960, 10));
}

#[test]
fn a_limit_on_file_sizes_is_full_and_leaves_nothing_behind() {
    let site = Site::new();
    // 64 blocks of 512 bytes, and the signal ignored that would end us.
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""];
    let output = again(&shell, "spool::tests::full::under_a_limit_on_file_sizes", &site.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(site.files().len(), 2);
    site.open();
}

#[tokio::test]
#[ignore = "run by a_limit_on_file_sizes_is_full_and_leaves_nothing_behind"]
async fn under_a_limit_on_file_sizes() {
    let config = given_folder();
    let spool = Spool::open(&config, &Metrics::new()).unwrap();
    assert_eq!(spool.append(1, Bytes::from(vec![1; 20_000])).await.unwrap(), 1);
    let refused = spool.append(1, Bytes::from(vec![2; 100_000])).await;
    assert!(is_full(&refused, true), "{refused:?}");
    assert_eq!((temporary(&config.path), spool.depth().records), (0, 1));
    assert_eq!(spool.append(1, Bytes::from(vec![3; 20_000])).await.unwrap(), 2);
}

#[test]
fn a_full_disk_is_full_and_leaves_nothing_behind() {
    let site = Site::new();
    // A disk of 1 MiB that nobody else sees and that goes with its process.
    let mount = "mount -t tmpfs -o size=1m none \"$SPOOL\"";
    fs::create_dir(site.path()).unwrap();
    let probe = Command::new("unshare").args(["-rm", "sh", "-c", mount]).env("SPOOL", site.path()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let run = format!("{mount} && exec \"$0\" \"$@\"");
    let wrapper = ["unshare", "-rm", "sh", "-c", &run];
    let output = again(&wrapper, "spool::tests::full::on_a_small_disk", &site.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "run by a_full_disk_is_full_and_leaves_nothing_behind"]
async fn on_a_small_disk() {
    let config = given_folder();
    let spool = Spool::open(&config, &Metrics::new()).unwrap();
    let mut taken = 0;
    let refused = loop {
        match spool.append(1, Bytes::from(vec![1; 100_000])).await {
            Ok(_) => taken += 1,
            refused => break refused,
        }
        assert!(taken < 11, "more than the disk can hold");
    };
    assert!(is_full(&refused, true), "{refused:?}");
    assert_eq!((temporary(&config.path), spool.depth().records), (0, taken));
    // A removal needs no room, and makes some.
    spool.remove(1).await.unwrap();
    assert_eq!(spool.append(1, Bytes::from(vec![2; 100_000])).await.unwrap(), taken + 1);
    drop(spool);
    let spool = Spool::open(&config, &Metrics::new()).unwrap();
    assert_eq!(spool.take_damage(), []);
    let numbers: Vec<_> = drain(&spool).await.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (2..=taken + 1).collect::<Vec<_>>());
}
