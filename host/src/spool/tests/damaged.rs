//! What goes bad costs itself, and is told.

use super::*;

/// A spool of the records `a` to `e`, with 1 to 5 events, not open.
async fn spooled() -> Site {
    let site = Site::new();
    let spool = site.open();
    for (events, record) in (1..).zip(["aaaa", "bbbb", "cccc", "dddd", "eeee"]) {
        spool.append(events, text(record)).await.unwrap();
    }
    site
}

fn numbers(drained: &[(u64, Bytes)]) -> Vec<u64> {
    drained.iter().map(|(number, _)| *number).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_flipped_byte_costs_one_record_and_keeps_its_bytes_for_a_person() {
    let site = spooled().await;
    let file = site.file(3);
    fs::write(&file, "ccdc").unwrap();
    let spool = site.open();
    assert_eq!(numbers(&drain(&spool).await), [1, 2, 4, 5]);
    assert_eq!(site.set_aside(), [name_of(&file)]);
    assert_eq!(fs::read(site.path().join("damaged").join(name_of(&file))).unwrap(), b"ccdc");
    assert_eq!(site.damaged(), 1);
    assert!(spool.is_empty() && spool.depth() == Depth::default());
    drop(spool);
    site.open();
}

#[tokio::test]
async fn a_file_of_the_wrong_length_is_found_at_the_start() {
    for content in ["", "ccc", "ccccc"] {
        let site = spooled().await;
        let file = site.file(3);
        fs::write(&file, content).unwrap();
        let (spool, damage) = site.open_damaged();
        let reason = format!("is {} bytes long instead of 4", content.len());
        assert_eq!(damage, [Damage::SetAside { file: name_of(&file), events: Some(3), reason }]);
        assert_eq!((spool.depth().records, site.damaged()), (4, 1));
        assert_eq!(numbers(&drain(&spool).await), [1, 2, 4, 5]);
        assert_eq!(spool.append(1, text("f")).await.unwrap(), 6);
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_or_goes_while_we_run_is_found_when_its_turn_comes() {
    let site = spooled().await;
    let spool = site.open();
    fs::write(site.file(1), "aaa").unwrap();
    fs::remove_file(site.file(2)).unwrap();
    fs::write(site.file(4), "dddx").unwrap();
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 3);
    assert_eq!(site.damaged(), 2);
    // Read ahead as well.
    assert_eq!(spool.after(3).await.unwrap().unwrap().number, 5);
    assert_eq!(site.damaged(), 3);
    assert_eq!(numbers(&drain(&spool).await), [3, 5]);
    drop(spool);
    site.open();
}

#[tokio::test]
async fn a_damaged_last_record_does_not_give_its_number_away() {
    let site = spooled().await;
    fs::write(site.file(5), "").unwrap();
    let (spool, damage) = site.open_damaged();
    assert_eq!(damage.len(), 1);
    assert_eq!(spool.append(1, text("f")).await.unwrap(), 6);
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside() {
    let site = spooled().await;
    let spool = site.open();
    let [folder, link, pipe] = [1, 2, 3].map(|number| site.file(number));
    for path in [&folder, &link, &pipe] {
        fs::remove_file(path).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(site.file(4), &link).unwrap();
    // Opening it would wait for ever.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 4);
    assert_eq!(site.set_aside(), [&folder, &link, &pipe].map(|path| name_of(path)));
    assert_eq!(site.damaged(), 3);
}

#[tokio::test]
async fn a_record_without_permission_is_set_aside() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = spooled().await;
    let (spool, file) = (site.open(), site.file(1));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let unreadable = fs::read(&file).is_err();
    let oldest = spool.oldest().await.unwrap().unwrap();
    assert_eq!((oldest.number, site.damaged()), if unreadable { (2, 1) } else { (1, 0) });
}

#[tokio::test]
async fn a_gap_in_the_numbers_is_reported_wherever_it_is() {
    let site = spooled().await;
    for number in [1, 3, 4] {
        fs::remove_file(site.file(number)).unwrap();
    }
    let (spool, damage) = site.open_damaged();
    let missing = |first, last| Damage::Missing { first, last, events: None };
    assert_eq!(damage, [missing(1, 1), missing(3, 4)]);
    assert_eq!(site.damaged(), 3);
    assert_eq!(numbers(&drain(&spool).await), [2, 5]);
    drop(spool);
    site.open();
}

#[tokio::test]
async fn a_gap_that_damaged_explains_is_not_reported_again() {
    let site = spooled().await;
    let spool = site.open();
    spool.set_aside(2, "Redis says no").await.unwrap();
    spool.set_aside(4, "Redis says no").await.unwrap();
    fs::remove_file(site.file(3)).unwrap();
    drop(spool);
    let (_, damage) = site.open_damaged();
    assert_eq!(damage, [Damage::Missing { first: 3, last: 3, events: None }]);
}

#[tokio::test]
async fn a_damaged_name_is_set_aside_and_its_number_is_missing() {
    let site = spooled().await;
    let file = site.file(2);
    let wrong = name_of(&file).replace("-2-4-", "-2-x-");
    fs::rename(&file, site.path().join(&wrong)).unwrap();
    let (spool, damage) = site.open_damaged();
    let reason = "has no record's name".to_owned();
    let aside = Damage::SetAside { file: wrong, events: None, reason };
    assert_eq!(damage, [aside, Damage::Missing { first: 2, last: 2, events: None }]);
    assert_eq!(numbers(&drain(&spool).await), [1, 3, 4, 5]);
}

#[tokio::test]
async fn a_name_with_a_wrong_number_does_not_carry_the_later_ones_away() {
    let site = spooled().await;
    let file = site.file(5);
    let wrong = name_of(&file).replacen("00", "04", 1);
    fs::rename(&file, site.path().join(&wrong)).unwrap();
    let (spool, damage) = site.open_damaged();
    let reason = "fails its checksum".to_owned();
    assert_eq!(damage, [Damage::SetAside { file: wrong, events: Some(5), reason }]);
    assert!(spool.append(1, text("f")).await.unwrap() < 10);
}

#[tokio::test]
async fn a_second_file_with_one_number_is_set_aside_and_neither_is_overwritten() {
    let site = spooled().await;
    let file = site.file(2);
    let other = name_of(&file).replace("-2-4-", "-3-4-");
    fs::copy(&file, site.path().join(&other)).unwrap();
    fs::write(site.path().join("damaged").join(&other), "earlier").unwrap();
    fs::write(site.path().join("damaged").join(name_of(&file)), "earlier").unwrap();
    let (_, damage) = site.open_damaged();
    assert_eq!(damage.len(), 1);
    let aside = site.set_aside();
    assert_eq!(aside.len(), 3);
    let whole = |name: &&String| fs::read(site.path().join("damaged").join(name)).unwrap() == b"bbbb";
    let moved: Vec<_> = aside.iter().filter(whole).collect();
    assert_eq!(moved.len(), 1);
    assert!(moved[0].ends_with(".resp.1"), "{moved:?}");
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let site = spooled().await;
    for name in ["README", "x.tmp", "9.removed", "00000000000000000001-a.resp.bak"] {
        fs::write(site.path().join(name), "x").unwrap();
    }
    fs::create_dir(site.path().join("lost+found")).unwrap();
    let before = names(&site.path());
    let spool = site.open();
    assert_eq!(names(&site.path()), before);
    assert_eq!(numbers(&drain(&spool).await), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_lost_or_doubled_mark_does_not_hurt() {
    let site = spooled().await;
    let spool = site.open();
    spool.remove(1).await.unwrap();
    drop(spool);
    fs::remove_file(site.path().join(folder::mark_name(1))).unwrap();
    let spool = site.open();
    fs::remove_file(site.path().join(folder::mark_name(1))).unwrap();
    spool.remove(2).await.unwrap();
    drop(spool);
    fs::write(site.path().join(folder::mark_name(1)), "").unwrap();
    let spool = site.open();
    assert_eq!(numbers(&drain(&spool).await), [3, 4, 5]);
    let marks: Vec<_> = names(&site.path()).into_iter().filter(|name| name.ends_with(".removed")).collect();
    assert_eq!(marks, [folder::mark_name(5)]);
}

#[tokio::test]
async fn a_damaged_folder_that_somebody_removed_is_made_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = spooled().await;
    let spool = site.open();
    fs::write(site.file(1), "x").unwrap();
    let damaged = site.path().join("damaged");
    fs::remove_dir(&damaged).unwrap();
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 2);
    fs::remove_dir_all(&damaged).unwrap();
    spool.set_aside(2, "Redis says no").await.unwrap();
    assert_eq!((site.set_aside().len(), site.damaged()), (1, 2));
    assert_eq!(fs::metadata(&damaged).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn where_nothing_can_be_set_aside_nothing_is_skipped() {
    let site = spooled().await;
    let spool = site.open();
    fs::write(site.file(1), "x").unwrap();
    let damaged = site.path().join("damaged");
    fs::remove_dir(&damaged).unwrap();
    fs::write(&damaged, "in the way").unwrap();
    assert!(spool.oldest().await.is_err());
    assert_eq!((spool.depth().records, site.damaged()), (5, 0));
    fs::remove_file(&damaged).unwrap();
    assert_eq!(spool.oldest().await.unwrap().unwrap().number, 2);
}

#[tokio::test]
async fn a_record_put_back_by_hand_is_set_aside_again_with_the_reason() {
    let site = Site::new();
    let spool = site.open();
    for record in ["a", "b", "c"] {
        spool.append(1, text(record)).await.unwrap();
    }
    spool.set_aside(1, "Redis says no").await.unwrap();
    spool.remove(2).await.unwrap();
    drop(spool);
    let name = &site.set_aside()[0];
    fs::rename(site.path().join("damaged").join(name), site.path().join(name)).unwrap();
    let (spool, damage) = site.open_damaged();
    assert_eq!(damage.len(), 1);
    assert!(damage[0].to_string().contains("(1 events) was put back"), "{}", damage[0]);
    assert_eq!(site.set_aside(), std::slice::from_ref(name));
    assert_eq!(drain(&spool).await, [(3, text("c"))]);
    drop(spool);
    assert_eq!(site.open().append(1, text("d")).await.unwrap(), 4);
}

#[tokio::test]
async fn it_is_known_that_something_was_lost_after_a_restart_too() {
    let site = spooled().await;
    let spool = site.open();
    assert!(!spool.is_damaged());
    spool.set_aside(1, "Redis says no").await.unwrap();
    assert!(spool.is_damaged());
    assert_eq!(spool.take_damage().len(), 1);
    assert_eq!(spool.take_damage(), []);
    drop(spool);
    assert!(site.open().is_damaged());
}
