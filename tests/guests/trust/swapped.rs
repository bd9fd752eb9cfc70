//! The same when guests change while the daemon runs.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, Site, built_guest, stock_guest, variant};
use tempfile::TempDir;

use super::{
    super::author::aurora,
    bomb,
    registry::{Registry, named},
};

const TOPIC: &str = "aurora/sensors/door_1/alerts";

/// A site that insists on the signature of `site.key`, which is in its folder, as its guests are.
struct Stand {
    site: Site,
    folder: TempDir,
    _cache: TempDir,
    sent: usize,
}

impl Stand {
    async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// With further settings.
    async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        aurora(folder.path(), &["guest", "keygen", "site"])?.is(0, &[]);
        let (mut plan, cache) = Site::plan().without_nats().changeable()?;
        for stage in ["normalize", "route", "federate"] {
            let file = folder.path().join(format!("{stage}.wasm"));
            fs::copy(stock_guest(&format!("{stage}-core"))?, &file)?;
            sign(folder.path(), &format!("{stage}.wasm"))?;
            plan = plan.guest(stage, &file);
        }
        for (key, value) in settings {
            plan = plan.set(key, *value);
        }
        let key = folder.path().join("site.pub").display().to_string();
        let plan = plan.set("guests.require_signature", true).set("guests.trusted_keys", vec![key]);
        Ok(Self { site: plan.start().await?, folder, _cache: cache, sent: 0 })
    }

    /// One more event goes all the way.
    async fn flows(&mut self) -> Result<()> {
        self.sent += 1;
        self.site.publish(TOPIC, 1, [format!("{{\"title\":\"event {}\"}}", self.sent)]).await?;
        self.site.stream_of("aurora:cps:alerts", self.sent).await?;
        Ok(())
    }

    /// A router that does the same as the stock one and is another one. Not where the daemon looks for it.
    fn other(&self, mark: &str) -> Result<String> {
        let path = self.folder.path().join(format!("{mark}.wasm"));
        variant(&stock_guest("route-core")?, mark, &path)?;
        Ok(path.display().to_string())
    }
}

fn sign(folder: &Path, guest: &str) -> Result<()> {
    aurora(folder, &["guest", "sign", "--key", "site.key", guest])?.is(0, &[]);
    Ok(())
}

#[tokio::test]
async fn only_what_is_signed_takes_a_place_and_keeps_it_over_a_restart() -> Result<()> {
    let mut stand = Stand::start().await?;
    stand.flows().await?;
    let (stock, other) = (stand.site.digest("route").await?, stand.other("other")?);
    let refused = stand.site.guest(&["swap", "route", &other]).await?;
    ensure!(!refused.success && refused.err.contains("it is not signed"), "{refused:?}");
    ensure!(stand.site.digest("route").await? == stock, "it runs");
    stand.flows().await?;

    sign(stand.folder.path(), "other.wasm")?;
    let swapped = stand.site.guest(&["swap", "route", &other]).await?;
    ensure!(swapped.success, "{swapped:?}");
    let now = stand.site.digest("route").await?;
    ensure!(now != stock, "it does not run");
    stand.flows().await?;
    // What was sent is nowhere but in the cache, and its signature is as well.
    fs::remove_file(&other)?;
    fs::remove_file(format!("{other}.sig"))?;
    stand.site.daemon()?.kill();
    stand.site.start_daemon().await?;
    ensure!(stand.site.digest("route").await? == now, "another one runs after a restart");
    stand.flows().await?;
    let back = stand.site.guest(&["rollback", "route"]).await?;
    ensure!(back.success && stand.site.digest("route").await? == stock, "{back:?}");
    stand.flows().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_has_to_be_signed_as_well_before_it_takes_a_place() -> Result<()> {
    let mut stand = Stand::start().await?;
    let errand = built_guest("tests/errand", "errand")?;
    let file = |name: &str| stand.folder.path().join(format!("{name}.wasm"));
    for (name, mark) in [("errand", "first"), ("next", "next")] {
        variant(&errand, mark, &file(name))?;
    }
    let (first, next) = (file("errand"), file("next").display().to_string());
    sign(stand.folder.path(), "errand.wasm")?;
    stand.site.terminate(PATIENCE).await?;
    stand.site.set("tasks.agents.errand.path", first.display().to_string());
    stand.site.set("tasks.agents.errand.grants", vec!["log"]);
    stand.site.start_daemon().await?;
    let before = stand.site.digest("task/errand").await?;
    let refused = stand.site.guest(&["swap", "task/errand", &next]).await?;
    ensure!(!refused.success && refused.err.contains("it is not signed"), "{refused:?}");
    ensure!(stand.site.digest("task/errand").await? == before, "it runs");
    sign(stand.folder.path(), "next.wasm")?;
    let swapped = stand.site.guest(&["swap", "task/errand", &next]).await?;
    ensure!(swapped.success, "{swapped:?}");
    let now = stand.site.digest("task/errand").await?;
    ensure!(now != before, "it does not run");
    fs::remove_file(&next)?;
    fs::remove_file(format!("{next}.sig"))?;
    stand.site.daemon()?.kill();
    stand.site.start_daemon().await?;
    ensure!(stand.site.digest("task/errand").await? == now, "another one runs after a restart");
    Ok(())
}

#[tokio::test]
async fn a_changed_file_waits_for_its_signature() -> Result<()> {
    let mut stand = Stand::start().await?;
    let stock = stand.site.digest("route").await?;
    variant(&stock_guest("route-core")?, "changed", &stand.folder.path().join("route.wasm"))?;
    stand
        .site
        .wait_until("the file to be refused", async || {
            let slot = stand.site.slot("route").await?;
            let why = slot["refused"].as_str().context("not refused")?;
            ensure!(why.contains("of other bytes"), "{why}");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    ensure!(stand.site.digest("route").await? == stock, "it runs");
    sign(stand.folder.path(), "route.wasm")?;
    stand
        .site
        .wait_until("the file to be taken", async || {
            ensure!(stand.site.digest("route").await? != stock, "the old one runs");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    stand.flows().await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_out_of_a_registry_takes_a_place() -> Result<()> {
    let mut stand = Stand::start().await?;
    let registry = Registry::start(stand.folder.path(), false).await?;
    let tag = format!("{}/site/router:1", registry.host);
    let stock = stand.site.digest("route").await?;
    let other = stand.other("pulled")?;
    let unsigned = aurora(stand.folder.path(), &["guest", "push", &other, &tag])?;
    unsigned.is(0, &["not signed"]);
    let oci = |said| Ok::<_, anyhow::Error>(format!("oci:{}", named(said)?));
    let refused = stand.site.guest(&["swap", "route", &oci(&unsigned)?]).await?;
    ensure!(!refused.success && refused.err.contains("it is not signed"), "{refused:?}");
    let refused = stand.site.guest(&["swap", "route", &format!("oci:{tag}")]).await?;
    ensure!(!refused.success && refused.err.contains("a tag may stand for another guest"), "{refused:?}");

    sign(stand.folder.path(), "pulled.wasm")?;
    let signed = aurora(stand.folder.path(), &["guest", "push", &other, &tag])?;
    signed.is(0, &["with its signatures"]);
    let swapped = stand.site.guest(&["swap", "route", &oci(&signed)?]).await?;
    ensure!(swapped.success, "{swapped:?}");
    let slot = stand.site.slot("route").await?;
    ensure!(slot["present"]["digest"] != stock && slot["present"]["name"] == "router", "{slot}");
    ensure!(slot["present"]["origin"].as_str().is_some_and(|origin| origin.starts_with("oci:127.0.0.1:")), "{slot}");
    stand.flows().await?;
    Ok(())
}

/// How long one event after the other takes to Redis, until `done`.
async fn paces(stand: &mut Stand, done: impl Fn(&[Duration]) -> bool) -> Result<(Duration, Duration)> {
    let mut took = Vec::new();
    while !done(&took) {
        let began = Instant::now();
        stand.flows().await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok((took[took.len() / 2], took[took.len() - 1]))
}

#[tokio::test]
async fn a_compile_bomb_is_refused_while_events_flow() -> Result<()> {
    let mut stand = Stand::start_with(&[("guests.compile.time", "1s")]).await?;
    let path = stand.folder.path().join("bomb.wasm");
    fs::write(&path, bomb(5000, 20_000)?)?;
    sign(stand.folder.path(), "bomb.wasm")?;
    let (stock, before) = (stand.site.digest("route").await?, paces(&mut stand, |took| took.len() == 50).await?);
    let began = Instant::now();
    let swap = ["swap".to_owned(), "route".to_owned(), path.display().to_string()];
    let swapping = stand.site.guest_in_background(swap)?;
    let during = paces(&mut stand, |took| !took.is_empty() && swapping.is_finished()).await?;
    let refused = swapping.await??;
    println!(
        "a compile bomb for a running daemon: refused after {:?}; an event took {:?} (worst {:?}), before it {:?} ({:?})",
        began.elapsed(),
        during.0,
        during.1,
        before.0,
        before.1
    );
    ensure!(!refused.success && refused.err.contains("compiling it takes more than 1s"), "{refused:?}");
    ensure!(stand.site.digest("route").await? == stock, "it runs");
    Ok(())
}
