//! `aurora dead-letter` beside a running daemon: what it shows, and what it throws away.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use harness::{Place, Site, binary};
use serde_json::Value;

use super::refused::redis;

pub(super) const LETTERS: &str = "aurora:dead_letter";

/// What a command said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn json(&self) -> Result<Vec<Value>> {
        ensure!(self.code == Some(0), "{self:?}");
        self.text().lines().map(|line| serde_json::from_str(line).context("not JSON")).collect()
    }
}

/// `aurora dead-letter`, with the configuration of the site in `folder`.
pub(super) fn command(folder: &Path, arguments: &[&str]) -> Result<Command> {
    let (name, rest) = arguments.split_first().context("no subcommand")?;
    let mut command = Command::new(binary()?);
    command.args(["dead-letter", name, "--config"]).arg(folder.join("aurora.toml")).args(rest);
    command.stdin(Stdio::null());
    Ok(command)
}

pub(super) fn dead_letter(site: &Site, arguments: &[&str]) -> Result<Said> {
    let output = command(site.folder(), arguments)?.output().context("cannot run aurora")?;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Said { code: output.status.code(), out: output.stdout, err })
}

/// What the audit trail says of `action`.
pub(super) async fn audited(site: &Site, action: &str) -> Result<Vec<String>> {
    let entries = site.stream("aurora:audit").await?;
    Ok(entries.iter().filter(|entry| entry.text("action") == action).map(|entry| entry.text("details")).collect())
}

/// Three events cut off, one that is no text, and two of a device that cannot be.
async fn site() -> Result<Site> {
    let site = Site::plan().without_nats().start().await?;
    for number in 0..3 {
        site.publish("aurora/sensors/door_1/alerts", 1, [format!(r#"{{"title":"cut {number}"#)]).await?;
    }
    site.publish("aurora/sensors/tank_1/alerts", 1, [b"\xff\x1b[2J\0"]).await?;
    site.publish("aurora/sensors/tank 9/alerts", 1, [r#"{"title":"nobody"}"#; 2]).await?;
    site.stream_of(LETTERS, 6).await?;
    Ok(site)
}

#[tokio::test]
async fn lists_what_the_filters_say_newest_first() -> Result<()> {
    let site = site().await?;
    let list = |arguments: &[&str]| {
        let arguments = [&["list", "--format", "json"], arguments].concat();
        dead_letter(&site, &arguments)?.json()
    };
    let all = list(&[])?;
    let stored: Vec<String> = site.stream(LETTERS).await?.into_iter().rev().map(|letter| letter.id).collect();
    assert_eq!(all.iter().filter_map(|letter| letter["id"].as_str()).collect::<Vec<_>>(), stored);
    let guest = all.iter().find(|letter| letter["stage"] == "normalize").context("none of normalize")?["guest"].clone();
    let guest = guest.as_str().context("no guest")?;
    let filters: [(&[&str], usize); 13] = [
        (&["--stage", "source"], 2),
        (&["--stage", "normalize"], 4),
        (&["--device", "tank_1"], 1),
        (&["--topic", "aurora/sensors/door_1/alerts"], 3),
        (&["--topic", "aurora/+/+/alerts"], 6),
        (&["--reason", "DOES NOT MATCH"], 2),
        (&["--guest", &guest[..20]], 4),
        (&["--source", "http"], 0),
        (&["--effect", "not-published"], 6),
        (&["--effect", "not-shared"], 0),
        (&["--since", "1h"], 6),
        (&["--until", "1h"], 0),
        (&["--limit", "2"], 2),
    ];
    for (filter, count) in filters {
        assert_eq!(list(filter)?.len(), count, "{filter:?}");
    }
    let counted = list(&["--count"])?;
    let counts: Vec<_> = counted.iter().map(|group| (group["stage"].as_str(), group["count"].as_u64())).collect();
    assert_eq!(counts[0], (Some("normalize"), Some(3)), "{counted:?}");
    assert_eq!(counts.iter().filter_map(|(_, count)| *count).sum::<u64>(), 6, "{counted:?}");
    let table = dead_letter(&site, &["list"])?;
    assert_eq!(table.text().lines().count(), 7, "{table:?}");
    assert!(table.text().lines().all(|line| line.chars().count() <= 100), "{}", table.text());
    site.series_of("aurora_dead_letters", 6.0).await?;
    Ok(())
}

#[tokio::test]
async fn shows_a_letter_and_its_bytes() -> Result<()> {
    let site = site().await?;
    let letters = site.stream(LETTERS).await?;
    // Lanes are beside each other, so the order of devices is not told.
    let of =
        |payload: &[u8]| letters.iter().find(|letter| letter.fields["payload"] == payload).context("no such letter");
    let (text, bytes) = (&of(br#"{"title":"cut 1"#)?.id, &of(b"\xff\x1b[2J\0")?.id);
    let cut = dead_letter(&site, &["show", text])?.text();
    for word in ["door_1", "normalize", "sha256:", "not-published", r#"{"title":"cut 1"#, "dead-letter replay --config"]
    {
        assert!(cut.contains(word), "{word} is not in\n{cut}");
    }
    let binary = dead_letter(&site, &["show", bytes])?.text();
    assert!(binary.contains("ff 1b 5b 32 4a 00") && !binary.contains('\x1b'), "{binary:?}");
    assert_eq!(dead_letter(&site, &["show", bytes, "--payload"])?.out, b"\xff\x1b[2J\0");
    let nobody = dead_letter(&site, &["show", "1-0"])?;
    assert!(nobody.code == Some(1) && nobody.err.contains("no dead letter 1-0"), "{nobody:?}");
    Ok(())
}

#[tokio::test]
async fn discards_what_was_chosen_and_says_so_in_the_audit_trail() -> Result<()> {
    let site = site().await?;
    let unsure = dead_letter(&site, &["discard", "--all"])?;
    assert!(
        unsure.code == Some(1) && unsure.err.contains("--yes") && unsure.err.contains("6 dead letters"),
        "{unsure:?}"
    );
    let vague = dead_letter(&site, &["discard", "--yes"])?;
    assert!(vague.code == Some(1) && vague.err.contains("--all"), "{vague:?}");
    // As of a script whose variable is not set.
    for name in ["--reason", "--source", "--device", "--topic", "--guest"] {
        let empty = dead_letter(&site, &["discard", name, "", "--yes"])?;
        assert!(empty.code == Some(2) && empty.err.contains(name), "{empty:?}");
    }
    assert_eq!(site.stream(LETTERS).await?.len(), 6);
    let said = dead_letter(&site, &["discard", "--stage", "source", "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "2 dead letters discarded\n"), "{said:?}");
    let left = site.stream(LETTERS).await?;
    assert_eq!(left.len(), 4);
    let said = dead_letter(&site, &["discard", &left[0].id, "--yes"])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = dead_letter(&site, &["discard", &left[0].id, "--yes"])?;
    assert_eq!(said.code, Some(1), "it is gone: {said:?}");
    let words = said.text();
    assert_eq!(words, "1 not there any more: replayed, discarded or trimmed\n");
    let said = dead_letter(&site, &["replay", &left[0].id])?;
    assert_eq!((said.code, said.text()), (Some(1), words), "{said:?}");
    let said = dead_letter(&site, &["replay", &left[0].id, "--dry-run"])?;
    assert!(said.code == Some(1) && said.err.contains("not there any more"), "{said:?}");
    assert_eq!(site.stream(LETTERS).await?.len(), 3);
    let audited = audited(&site, "dead-letter-discard").await?;
    assert!(audited[0].contains("who=cli") && audited[0].contains("letters=2"), "{audited:?}");
    assert!(audited[0].contains(r#"--stage "source""#), "{audited:?}");
    Ok(())
}

#[tokio::test]
async fn letters_of_a_daemon_that_writes_plain_entries_go_as_well() -> Result<()> {
    let site = Site::plan().without_nats().set("redis.step", "plain").start().await?;
    site.publish("aurora/sensors/door_1/alerts", 1, [r#"{"title":"cut 0"#, r#"{"title":"cut 1"#]).await?;
    let letters = site.stream_of(LETTERS, 2).await?;
    let said = dead_letter(&site, &["discard", &letters[0].id, "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "1 dead letter discarded\n"), "{said:?}");
    let mended = format!("normalize={}", harness::hostile_guest()?.display());
    let said = dead_letter(&site, &["replay", &letters[1].id, "--with", &mended])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "1 replayed\n"), "{said:?}");
    assert!(site.stream(LETTERS).await?.is_empty());
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn nothing_is_discarded_that_the_audit_trail_cannot_be_told_of() -> Result<()> {
    let site = site().await?;
    redis(&site, &["RENAME", "aurora:audit", "kept"]).await?;
    redis(&site, &["SET", "aurora:audit", "no stream"]).await?;
    let said = dead_letter(&site, &["discard", "--all", "--yes"])?;
    assert!(said.code == Some(1) && said.err.contains("aurora:audit holds a string"), "{said:?}");
    assert_eq!(site.stream(LETTERS).await?.len(), 6);
    redis(&site, &["RENAME", "kept", "aurora:audit"]).await?;
    let said = dead_letter(&site, &["discard", "--all", "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "6 dead letters discarded\n"), "{said:?}");
    Ok(())
}

/// Runs a command on a thread of its own: the proxy runs on this one.
async fn beside(site: &Site, arguments: &[&str]) -> Result<String> {
    let mut command = command(site.folder(), arguments)?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn after_a_lost_answer_no_number_is_told_that_is_not_known() -> Result<()> {
    let site = Site::plan().without_nats().proxied(Place::Redis).start().await?;
    let device = "aurora/sensors/door_1/alerts";
    site.publish(device, 1, [r#"{"title":"cut 0"#, r#"{"title":"cut 1"#, r#"{"title":"cut 2"#]).await?;
    let ids: Vec<String> = site.stream_of(LETTERS, 3).await?.into_iter().map(|letter| letter.id).collect();
    site.proxy(Place::Redis)?.lose_answers_to(b"dead-letter-discard", 1);
    let said = beside(&site, &["discard", &ids[0], "1-0", "--yes"]).await?;
    assert_eq!(said, "2 discarded or gone before: an answer of Redis was lost that said which\n");
    assert_eq!((site.proxy(Place::Redis)?.answers_lost(), site.stream(LETTERS).await?.len()), (1, 2));
    assert_eq!(audited(&site, "dead-letter-discard").await?.len(), 1);
    site.proxy(Place::Redis)?.lose_answers_to(b"dead-letter-replay", 1);
    let mended = format!("normalize={}", harness::hostile_guest()?.display());
    let said = beside(&site, &["replay", "--all", "--yes", "--with", &mended]).await?;
    assert_eq!(said, "2 replayed or gone before: an answer of Redis was lost that said which\n");
    assert_eq!((site.stream("aurora:alerts").await?.len(), site.stream(LETTERS).await?.len()), (2, 0));
    Ok(())
}
