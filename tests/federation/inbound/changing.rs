//! The judge of what other sites send changes, or fails, while messages come in: none is lost, none is there twice, and
//! none comes in that nobody has judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use harness::{Entry, Plan, Site, binary, hostile_guest, stock_guest, variant};
use serde_json::Value;
use tempfile::TempDir;

use super::{Other, alert, arriving::acknowledged, south};

const SLOT: &str = "inbound";
const STATE: &str = "aurora_guest_breaker_state{guest=\"inbound\",stage=\"inbound\"}";

/// A running site with the stock judge, its cache, and a folder for others.
struct Stand {
    site: Site,
    north: Other,
    _cache: TempDir,
    folder: TempDir,
    /// Numbers of the alerts that were sent.
    sent: u32,
}

impl Stand {
    async fn start(more: impl FnOnce(Plan) -> Plan) -> Result<Self> {
        let (plan, cache) = south().guest(SLOT, &stock_guest("inbound-core")?).changeable()?;
        // What the hostile guest imports.
        let site = more(plan.set("guests.inbound.grants", vec!["log"])).start().await?;
        let north = Other::of(&site, "north").await?;
        Ok(Self { site, north, _cache: cache, folder: tempfile::tempdir()?, sent: 0 })
    }

    /// A judge that does the same as the stock one, and is another one.
    fn other(&self, mark: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{mark}.component"));
        variant(&stock_guest("inbound-core")?, mark, &path)?;
        Ok(path)
    }

    /// North sends one more alert, whose title is `deed` with its number.
    async fn send(&mut self, deed: &str) -> Result<()> {
        self.sent += 1;
        let mut message = alert(self.sent);
        message["title"] = format!("{deed} {}", self.sent).into();
        self.north.send("aurora.alerts.network", &message).await
    }

    /// What came in once JetStream has heard of all of it: each of the alerts that were sent is among it or among the dead
    /// letters, and in one of the two, and once.
    async fn all(&self) -> Result<(Vec<Entry>, Vec<Entry>)> {
        let sent = self.sent as usize;
        self.site
            .wait_until("everything that was sent", async || {
                let (stored, letters) = (
                    self.site.stream("aurora:alerts").await?.len(),
                    self.site.stream("aurora:dead_letter").await?.len(),
                );
                ensure!(stored + letters >= sent, "{stored} stored and {letters} dead letters of {sent}");
                Ok::<_, anyhow::Error>(())
            })
            .await?;
        acknowledged(&self.site).await?;
        let stored = self.site.stream("aurora:alerts").await?;
        let letters = self.site.stream("aurora:dead_letter").await?;
        let of_letters = letters.iter().map(|letter| serde_json::from_slice::<Value>(&letter.fields["payload"]));
        let of_letters = of_letters.collect::<Result<Vec<Value>, _>>().context("a payload is no JSON")?;
        let events = stored.iter().map(Entry::data).chain(of_letters);
        let ids: BTreeSet<String> = events.map(|event| event["id"].as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!((stored.len() + letters.len(), ids.len()), (sent, sent));
        Ok((stored, letters))
    }

    /// Waits until the judge is another one than `before`.
    async fn changes_from(&self, before: &str) -> Result<String> {
        self.site
            .wait_until("another judge", async || {
                let digest = self.site.digest(SLOT).await?;
                ensure!(digest != before, "still {digest}");
                Ok::<_, anyhow::Error>(digest)
            })
            .await
    }

    /// `aurora guest swap` with these arguments, while alerts come in until it has ended.
    async fn swaps_under_load(&mut self, guest: &Path, more: &[&str]) -> Result<harness::Said> {
        let guest = guest.display().to_string();
        let arguments =
            ["swap", SLOT, guest.as_str()].iter().chain(more).map(|&text| text.to_owned()).collect::<Vec<_>>();
        let swapped = self.site.guest_in_background(arguments)?;
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        while !swapped.is_finished() {
            pace.tick().await;
            self.send("alert").await?;
        }
        swapped.await?
    }
}

/// Which guest let it in, as `provenance` names it.
fn judge_of(entry: &Entry) -> String {
    let provenance: Value = serde_json::from_str(&entry.text("provenance")).unwrap_or_default();
    provenance["guests"][0].as_str().unwrap_or_default().to_owned()
}

/// The guest with this digest, as `provenance` names it.
fn named(digest: &str) -> Result<String> {
    Ok(format!("{SLOT}@{}", digest.get(7..23).with_context(|| format!("{digest:?} is no digest"))?))
}

#[tokio::test]
async fn each_message_is_judged_and_stored_once_while_the_judge_is_swapped() -> Result<()> {
    let mut stand = Stand::start(|plan| plan).await?;
    let first = stand.site.digest(SLOT).await?;
    stand.send("alert").await?;
    stand.site.stream_of("aurora:alerts", 1).await?;
    for mark in ["second", "third"] {
        let other = stand.other(mark)?;
        let said = stand.swaps_under_load(&other, &[]).await?;
        ensure!(said.success, "{}", said.err);
    }
    let last = stand.site.digest(SLOT).await?;
    let before = stand.sent;
    for _ in 0..20 {
        stand.send("alert").await?;
    }
    let (stored, letters) = stand.all().await?;
    assert!(letters.is_empty(), "{}", letters[0].text("reason"));
    let (first, last) = (named(&first)?, named(&last)?);
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &stored {
        *by.entry(judge_of(entry)).or_default() += 1;
        let number = entry.data()["fields"]["number"].as_str().and_then(|number| number.parse::<u32>().ok());
        ensure!(number <= Some(before) || judge_of(entry) == last, "{number:?} by {}", judge_of(entry));
    }
    ensure!(by.contains_key(&first) && by.contains_key(&last) && !by.contains_key(""), "{by:?}");
    let listed = stand.site.guest(&["list"]).await?;
    ensure!(listed.out.lines().any(|line| line.starts_with("inbound ")), "{}", listed.out);
    let history = stand.site.guest(&["history", SLOT]).await?;
    assert_eq!(history.out.matches("installed").count(), 2, "{}", history.out);
    let scrape = stand.site.scrape().await?;
    for series in ["aurora_stage_in_total{stage=\"inbound\"}", "aurora_stage_out_total{stage=\"inbound\"}"] {
        assert!(scrape.get(series)? >= f64::from(stand.sent), "{series}");
    }
    assert!(scrape.get("aurora_guest_calls_total{guest=\"inbound\",stage=\"inbound\"}")? >= 1.0);
    Ok(())
}

#[tokio::test]
async fn a_judge_that_differs_is_found_out_in_its_rehearsal_and_nothing_comes_of_it() -> Result<()> {
    let mut stand = Stand::start(|plan| plan).await?;
    let stock = stand.site.digest(SLOT).await?;
    let rule = ["--shadow", "50", "--promote-if", "differences<=0,slower<=50"];
    let said = stand.swaps_under_load(&hostile_guest()?, &rule).await?;
    assert!(!said.success && said.out.contains("differences, more than 0"), "{said:?}");
    let report = stand.site.slot(SLOT).await?["rehearsal"].clone();
    ensure!(report["asked"].as_u64() >= Some(50) && report["different"].as_u64() >= Some(50), "{report}");
    let fields = report["fields"].as_object().context("no fields")?;
    assert!(fields.contains_key("events[].route_reason"), "{report}");
    assert_eq!(stand.site.digest(SLOT).await?, stock);

    let other = stand.other("as-good")?;
    let said = stand.swaps_under_load(&other, &rule).await?;
    assert!(said.success && said.out.contains("promoted"), "{said:?}");
    let promoted = stand.changes_from(&stock).await?;
    let (stored, letters) = stand.all().await?;
    assert!(letters.is_empty(), "{}", letters[0].text("reason"));
    let judges: BTreeSet<String> = stored.iter().map(judge_of).collect();
    ensure!(
        judges.is_subset(&BTreeSet::from([named(&stock)?, named(&promoted)?])),
        "the candidate decided: {judges:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_new_judge_that_fails_is_taken_back_where_its_site_says_so() -> Result<()> {
    let mut stand = Stand::start(|plan| plan.set("guests.inbound.probation.roll_back", true)).await?;
    let stock = stand.site.digest(SLOT).await?;
    stand.send("alert").await?;
    stand.site.swap(SLOT, &hostile_guest()?).await?;
    let hostile = stand.changes_from(&stock).await?;
    assert_eq!(stand.site.slot(SLOT).await?["on_probation"], true);
    for _ in 0..40 {
        stand.send("inbound trap").await?;
    }
    assert_eq!(stand.changes_from(&hostile).await?, stock);
    for _ in 0..10 {
        stand.send("inbound trap").await?;
    }
    let (stored, letters) = stand.all().await?;
    // A few faults condemn nobody: those are what the new one cost.
    ensure!(letters.len() <= 5, "{} dead letters", letters.len());
    for letter in &letters {
        assert_eq!((letter.text("stage"), letter.text("guest")), ("inbound".to_owned(), hostile.clone()));
    }
    let stock = named(&stock)?;
    assert!(stored.iter().all(|entry| judge_of(entry) == stock));
    let history = stand.site.guest(&["history", SLOT]).await?;
    ensure!(history.out.contains("taken-back"), "{}", history.out);
    assert!(stand.site.readiness().await?.contains("was taken back"));
    Ok(())
}

#[tokio::test]
async fn while_its_breaker_is_open_nothing_comes_in_and_nothing_is_lost() -> Result<()> {
    let settings = |plan: Plan| {
        let plan = plan.set("guests.inbound.breaker.window", 16).set("guests.inbound.breaker.wait", "5m");
        plan.set("guests.inbound.breaker.wait_max", "5m")
            .set("guests.inbound.probation.events", 0)
            .set("intel.ttl", "30d")
    };
    let mut stand = Stand::start(settings).await?;
    let stock = stand.site.digest(SLOT).await?;
    stand.site.swap(SLOT, &hostile_guest()?).await?;
    stand.changes_from(&stock).await?;
    // Nobody can stand in for it, so it has to fail on everything.
    while stand.site.scrape().await?.get(STATE)? != 1.0 {
        ensure!(stand.sent < 500, "its breaker does not open");
        stand.send("inbound trap").await?;
        stand.site.stream_of("aurora:dead_letter", stand.sent as usize).await?;
    }
    let culprits = stand.sent as usize;
    for _ in 0..10 {
        stand.send("alert").await?;
    }
    let (stored, letters) = stand.all().await?;
    assert!(stored.is_empty(), "it came in, and nobody has judged it");
    for (at, letter) in letters.iter().enumerate() {
        assert_eq!((letter.text("stage"), letter.text("effect")), ("inbound".into(), "not-published".into()));
        assert!(at < culprits || letter.text("reason").contains("breaker open"), "{}", letter.text("reason"));
    }
    let readiness = stand.site.readiness().await?;
    assert!(readiness.contains("messages of other sites become dead letters"), "{readiness}");

    // A judge that copes takes its place, and then all of it comes in that had waited.
    stand.site.swap(SLOT, &stand.other("mended")?).await?;
    assert_eq!(stand.site.scrape().await?.get(STATE)?, 0.0);
    stand.send("alert").await?;
    stand.site.stream_of("aurora:alerts", 1).await?;
    let mut replay = Command::new(binary()?);
    replay.args(["dead-letter", "replay", "--all", "--yes", "--config"]).arg(stand.site.folder().join("aurora.toml"));
    let replayed = replay.output().context("cannot run aurora")?;
    assert!(replayed.status.success(), "{replayed:?}");
    let (stored, letters) = stand.all().await?;
    assert_eq!((stored.len(), letters.len()), (stand.sent as usize, 0));
    Ok(())
}
