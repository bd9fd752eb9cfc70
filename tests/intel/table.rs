//! What is kept: counted once, for its time, within its bounds.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use aurora::intel::{Edition, Known, Life, Recorded, Seen, What};
use aurora::sandbox::Tlp;
use harness::connect_redis;

use super::{DAY, alone, indicator, known, now, told};

#[tokio::test]
async fn a_message_counts_once_however_often_it_comes_and_sites_are_kept_apart() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let evil = indicator("domain", "Evil.net.");
    let first = Seen { first_ms: 5, ..told(evil.clone(), "a", "m1") };
    let batch = [first.clone(), told(evil.clone(), "b", "m2"), first.clone()];
    assert_eq!(table.record(&batch).await?, [Recorded::New, Recorded::Counted(2), Recorded::Again]);
    assert_eq!(table.record(&batch).await?, [Recorded::Again, Recorded::Again, Recorded::Again]);
    let sighting = Seen { what: What::Sighting, tlp: Tlp::Red, ..told(evil.clone(), "c", "m3") };
    assert_eq!(table.record(&[sighting]).await?, [Recorded::Counted(3)]);
    let known = known(&table, &indicator("domain", "evil.NET")).await?;
    assert_eq!(known.sources.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(known.sightings.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!((known.count, known.first_ms, known.tlp), (3, 5, Tlp::Red));
    assert_eq!((known.sources["a"].times.count, known.sources["a"].tlp), (1, Tlp::Green));
    Ok(())
}

#[tokio::test]
async fn each_type_has_its_life_and_nobody_can_make_it_longer() -> Result<()> {
    let (table, redis, _folder) = alone(|intel| {
        intel.ttl_of.insert("ip".to_owned(), Life(Duration::from_secs(86_400)));
    })
    .await?;
    let (ip, domain) = (indicator("ip", "45.155.205.233"), indicator("domain", "evil.net"));
    let now = now();
    let greedy = |one| Seen { expires_ms: Some(now + 400 * DAY), last_ms: now + 300 * DAY, ..told(one, "a", "m") };
    table.record(&[greedy(ip.clone()), greedy(domain.clone())]).await?;
    let within = |life: u64, expires: u64| (now + life..now + life + 60_000).contains(&expires);
    let (ip, domain) = (known(&table, &ip).await?, known(&table, &domain).await?);
    assert!(within(DAY, ip.expires_ms) && within(30 * DAY, domain.expires_ms), "{ip:?} {domain:?}");
    assert!(ip.last_ms < now + 60_000, "what is to come has not been seen yet");
    // What was over before it came, and what ends by itself.
    let old = Seen { last_ms: now - 31 * DAY, first_ms: 0, ..told(indicator("domain", "old.net"), "a", "m2") };
    assert_eq!(table.record(&[old]).await?, [Recorded::Ended]);
    let soon = indicator("domain", "soon.net");
    let short = Seen { expires_ms: Some(now + 1500), ..told(soon.clone(), "a", "m3") };
    // On a slow machine it may be over when it comes, and then it is not there either.
    assert!(matches!(table.record(&[short]).await?[..], [Recorded::New | Recorded::Ended]));
    harness::wait_until("its end", harness::PATIENCE, async || match known(&table, &soon).await {
        Ok(known) => Err(format!("{known:?}")),
        Err(_) => Ok(()),
    })
    .await?;
    assert_eq!(table.refresh(true).await?, 2, "and its place is free again");
    let mut connection = connect_redis(&redis.url()).await?;
    let left: i64 = redis::cmd("PTTL").arg("aurora:state:intel").query_async(&mut connection).await?;
    assert_eq!(left, -1, "each entry has its own end");
    Ok(())
}

#[tokio::test]
async fn a_full_table_takes_nothing_new_and_goes_on_with_what_it_has() -> Result<()> {
    let (table, _redis, _folder) = alone(|intel| intel.max = 2).await?;
    let of = |number: u32| indicator("domain", &format!("evil{number}.net"));
    let all: Vec<Seen> = (0..3).map(|number| told(of(number), "a", "m")).collect();
    assert_eq!(table.record(&all).await?, [Recorded::New, Recorded::New, Recorded::Full]);
    assert_eq!(table.record(&[told(of(0), "a", "m2")]).await?, [Recorded::Counted(2)]);
    assert_eq!(table.forget(&[of(0), of(7)]).await?, 1);
    assert_eq!(table.record(&all[2..]).await?, [Recorded::New]);
    Ok(())
}

#[tokio::test]
async fn what_the_site_would_never_share_it_does_not_look_out_for() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    for (kind, value, why) in [
        ("ip", "10.0.0.1", "reserved"),
        ("domain", "files.local", "reserved"),
        ("url", "http://127.0.0.1/", "reserved"),
        ("hash_md5", "d41d8cd98f00b204e9800998ecf8427e", "common"),
        ("user_agent", "Mozilla/5.0 (X11; Linux x86_64)", "common"),
    ] {
        let recorded = table.record(&[told(indicator(kind, value), "a", "m")]).await?;
        assert_eq!(recorded, [Recorded::Refused(why.to_owned())], "{value}");
    }
    assert_eq!(table.refresh(false).await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_only_seen_here_lives_no_longer_by_it_and_many_sites_are_bounded() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let evil = indicator("domain", "evil.net");
    let own = |message: &str| Seen { what: What::Own, ..told(evil.clone(), "here", message) };
    assert_eq!(table.record(&[own("e0:0")]).await?, [Recorded::Ended], "nobody tells it");
    let now = now();
    table.record(&[Seen { expires_ms: Some(now + DAY), ..told(evil.clone(), "a", "m") }]).await?;
    assert_eq!(table.record(&[own("e1:0"), own("e1:0"), own("e2:0")]).await?.len(), 3);
    let seen = known(&table, &evil).await?;
    assert_eq!((seen.expires_ms, seen.count, seen.sightings["here"].count), (now + DAY, 1, 2));
    let sites: Vec<Seen> = (0..100).map(|site| told(evil.clone(), &format!("s{site}"), &format!("m{site}"))).collect();
    table.record(&sites).await?;
    assert_eq!(known(&table, &evil).await?.sources.len(), 32);
    Ok(())
}

#[tokio::test]
async fn thousands_are_recorded_paged_and_looked_up() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let of = |number: u32| indicator("domain", &format!("evil{number}.net"));
    let all: Vec<Seen> = (0..1700).map(|number| told(of(number), "a", "m")).collect();
    assert!(table.record(&all).await?.iter().all(|one| *one == Recorded::New));
    let wanted: Vec<_> = (1000..2400).map(of).collect();
    let found = table.look_up(&wanted).await?;
    assert_eq!((found.len(), found.iter().flatten().count()), (1400, 700));
    let (mut walk, mut walked) = (table.walk().await?, BTreeSet::new());
    while let Some(page) = walk.page().await? {
        for known in page {
            assert!(walked.insert(known.indicator.value().to_owned()), "{} comes twice", known.indicator);
        }
    }
    assert_eq!((walked.len(), walk.size()), (1700, 1700));
    Ok(())
}

#[tokio::test]
async fn who_goes_through_the_table_misses_nothing_though_its_front_is_cleared_away() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let of = |number: u32| indicator("domain", &format!("evil{number}.net"));
    let over = now() + 4000;
    let ending = |number| Seen { expires_ms: Some(over), ..told(of(number), "a", "m") };
    // They stand in front, and what stays comes after them.
    table.record(&(0..1000).map(ending).collect::<Vec<_>>()).await?;
    table.record(&(1000..2200).map(|number| told(of(number), "a", "m")).collect::<Vec<_>>()).await?;
    let mut walk = table.walk().await?;
    let mut walked: Vec<String> = Vec::new();
    let mut take = |page: Vec<Known>| walked.extend(page.iter().map(|known| known.indicator.value().to_owned()));
    for _ in 0..3 {
        take(walk.page().await?.unwrap_or_default());
    }
    harness::wait_until("the end of the first thousand", harness::PATIENCE, async || match table.refresh(true).await {
        Ok(1200) => Ok(()),
        size => Err(format!("{size:?}")),
    })
    .await?;
    // What is told again ends later than before, and does not come twice.
    table.record(&(1000..1300).map(|number| told(of(number), "b", "m2")).collect::<Vec<_>>()).await?;
    while let Some(page) = walk.page().await? {
        take(page);
    }
    let all: BTreeSet<&str> = walked.iter().map(String::as_str).collect();
    assert_eq!(all.len(), walked.len(), "nothing comes twice");
    let missing = (1000..2200).map(|number| format!("evil{number}.net")).filter(|name| !all.contains(&**name));
    assert_eq!(missing.count(), 0);
    Ok(())
}

#[tokio::test]
async fn what_a_source_leaves_behind_ends_with_its_word() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let evil = indicator("domain", "evil.net");
    let edition = |modified_ms| Some(Edition { object: "indicator--1".to_owned(), modified_ms });
    let (soon, late) = (now() + DAY, now() + 20 * DAY);
    let strict = Seen { tlp: Tlp::Red, expires_ms: Some(late), edition: edition(1), ..told(evil.clone(), "a", "m1") };
    let open = Seen { tlp: Tlp::Clear, expires_ms: Some(soon), ..told(evil.clone(), "b", "m2") };
    table.record(&[strict.clone(), open]).await?;
    let both = known(&table, &evil).await?;
    assert_eq!((both.expires_ms, both.tlp), (late, Tlp::Red));
    let withdrawal = Seen { what: What::Withdrawal, edition: edition(2), ..told(evil.clone(), "a", "") };
    assert_eq!(table.record(&[withdrawal]).await?, [Recorded::Withdrawn]);
    let one = known(&table, &evil).await?;
    assert_eq!((one.expires_ms, one.tlp, one.sources.len()), (soon, Tlp::Clear, 1));
    // Its message is known, and yet it is told anew, as if nobody else told it.
    assert_eq!(table.record(&[strict]).await?, [Recorded::Counted(3)]);
    assert_eq!(known(&table, &evil).await?.tlp, Tlp::Red);
    Ok(())
}

#[tokio::test]
async fn a_later_word_of_a_source_may_be_shorter_and_the_same_again_goes_on_from_then() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let (by_object, by_message) = (indicator("domain", "object.net"), indicator("domain", "message.net"));
    let start = now();
    let version = |modified_ms, expires_ms| Seen {
        expires_ms,
        edition: Some(Edition { object: "indicator--1".to_owned(), modified_ms }),
        ..told(by_object.clone(), "a", &format!("v{modified_ms}"))
    };
    table.record(&[version(1, Some(start + 20 * DAY)), version(2, Some(start + DAY))]).await?;
    assert_eq!(known(&table, &by_object).await?.expires_ms, start + DAY);
    // An older version says nothing any more.
    table.record(&[Seen { message: "v1 again".to_owned(), ..version(1, Some(start + 20 * DAY)) }]).await?;
    assert_eq!(known(&table, &by_object).await?.expires_ms, start + DAY);
    let early = Seen { last_ms: start - 10 * DAY, ..version(3, None) };
    table.record(&[early]).await?;
    assert_eq!(known(&table, &by_object).await?.expires_ms, start + 20 * DAY);
    let later = Seen { last_ms: start - DAY, ..version(3, None) };
    assert_eq!(table.record(&[later]).await?, [Recorded::Again]);
    assert_eq!(known(&table, &by_object).await?.expires_ms, start + 29 * DAY);

    let message = |name: &str, last_ms, expires_ms| Seen { last_ms, expires_ms, ..told(by_message.clone(), "a", name) };
    table.record(&[message("m1", start - 5000, None), message("m2", start - 4000, Some(start + DAY))]).await?;
    assert_eq!(known(&table, &by_message).await?.expires_ms, start + DAY);
    table.record(&[message("m1", start - 5000, None), message("m3", start - 6000, None)]).await?;
    assert_eq!(known(&table, &by_message).await?.expires_ms, start + DAY, "neither is later");
    Ok(())
}

#[tokio::test]
async fn what_came_by_no_object_is_withdrawn_only_by_what_is_not_older() -> Result<()> {
    let (table, _redis, _folder) = alone(|_| {}).await?;
    let evil = indicator("domain", "evil.net");
    let day_ago = now() - DAY;
    table.record(&[Seen { first_ms: day_ago, last_ms: day_ago, ..told(evil.clone(), "a", "m") }]).await?;
    let withdrawal = |site: &str, modified_ms: u64| Seen {
        what: What::Withdrawal,
        edition: Some(Edition { object: "indicator--1".to_owned(), modified_ms }),
        ..told(evil.clone(), site, "")
    };
    let early = [withdrawal("a", day_ago - 1), withdrawal("b", day_ago + 1)];
    assert_eq!(table.record(&early).await?, [Recorded::Ended, Recorded::Ended]);
    assert_eq!(table.record(&[withdrawal("a", day_ago)]).await?, [Recorded::Withdrawn]);
    assert_eq!(table.refresh(false).await?, 0);
    Ok(())
}
