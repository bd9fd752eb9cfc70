//! Other guests while events flow: by each trigger, refused for each reason, over a restart, and back.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use harness::{Plan, Site, hostile_guest, stock_guest, variant};
use tempfile::TempDir;

const TOPIC: &str = "aurora/sensors/door_1/alerts";

/// A running site, its cache, and a folder with the router's own file in it.
struct Stand {
    site: Site,
    _cache: TempDir,
    folder: TempDir,
    sent: usize,
}

impl Stand {
    /// With further settings.
    async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::planned(|plan| settings.iter().fold(plan, |plan, (key, value)| plan.set(key, *value))).await
    }

    async fn planned(more: impl FnOnce(Plan) -> Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("router.wasm");
        fs::copy(stock_guest("route-core")?, &file)?;
        let (plan, cache) = Site::plan().without_nats().guest("route", &file).changeable()?;
        Ok(Self { site: more(plan).start().await?, _cache: cache, folder, sent: 0 })
    }

    /// The router's own file.
    fn file(&self) -> PathBuf {
        self.folder.path().join("router.wasm")
    }

    /// A router that does the same as the stock one, and is another one.
    fn other(&self, mark: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{mark}.component"));
        variant(&stock_guest("route-core")?, mark, &path)?;
        Ok(path)
    }

    /// One more event goes all the way.
    async fn flows(&mut self) -> Result<()> {
        self.sent += 1;
        self.site.publish(TOPIC, 1, [format!("{{\"title\":\"event {}\"}}", self.sent)]).await?;
        self.site.stream_of("aurora:cps:alerts", self.sent).await?;
        Ok(())
    }

    /// Waits until the router is another one than `before`.
    async fn changes_from(&self, before: &str) -> Result<String> {
        self.site
            .wait_until("another router", async || {
                let digest = self.site.digest("route").await?;
                ensure!(digest != before, "still {digest}");
                Ok::<_, anyhow::Error>(digest)
            })
            .await
    }

    /// Writes the configuration as it is set now, and has it read.
    fn hang_up(&mut self) -> Result<()> {
        let admin = self.site.daemon()?.admin();
        self.site.write_configuration(admin)?;
        let pid = self.site.daemon()?.pid().to_string();
        ensure!(Command::new("kill").args(["-HUP", &pid]).status()?.success(), "no SIGHUP");
        Ok(())
    }

    /// Waits until the router's file is refused.
    async fn is_refused(&self) -> Result<serde_json::Value> {
        self.site
            .wait_until("the file to be refused", async || {
                let slot = self.site.slot("route").await?;
                ensure!(slot["refused"].is_string(), "{slot}");
                Ok::<_, anyhow::Error>(slot)
            })
            .await
    }

    /// What is in the router's history: what, and by whom; newest first.
    async fn history(&self) -> Result<Vec<(String, String, String)>> {
        let said = self.site.guest(&["history", "route", "--json"]).await?;
        let history: serde_json::Value = serde_json::from_str(&said.out).context("no JSON")?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let of = |event: &serde_json::Value| (text(&event["what"]), text(&event["by"]), text(&event["reason"]));
        Ok(history["history"].as_array().context("no history")?.iter().map(of).collect())
    }
}

#[tokio::test]
async fn each_trigger_puts_another_guest_into_its_place() -> Result<()> {
    let mut stand = Stand::start(&[]).await?;
    stand.flows().await?;
    let stock = stand.site.digest("route").await?;

    variant(&stock_guest("route-core")?, "by file", &stand.file())?;
    let by_file = stand.changes_from(&stock).await?;
    stand.flows().await?;

    stand.site.set("guests.route.options.status_stream", "aurora:alerts");
    stand.hang_up()?;
    stand
        .site
        .wait_until("the guest of SIGHUP", async || {
            let by = stand.site.slot("route").await?["present"]["by"].clone();
            ensure!(by == "signal", "{by}");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    assert_eq!(stand.site.digest("route").await?, by_file, "SIGHUP changed its settings alone");
    let before = stand.site.slot("route").await?["before"]["digest"].clone();
    assert_eq!(before, stock.as_str(), "a roll-back would bring back the same guest with its old settings");
    stand.flows().await?;

    let other = stand.other("by command")?;
    stand.site.swap("route", &other).await?;
    let by_command = stand.changes_from(&by_file).await?;
    stand.flows().await?;

    let idle = stand.site.guest(&["promote", "route"]).await?;
    assert!(!idle.success && idle.err.contains("no rehearsal"), "{}", idle.err);
    let back = stand.site.guest(&["rollback", "route"]).await?;
    assert!(back.success, "{}", back.err);
    assert_eq!(stand.site.digest("route").await?, by_file);
    stand.flows().await?;
    let there_again = stand.site.guest(&["rollback", "route"]).await?;
    assert!(there_again.out.contains(&by_command), "{there_again:?}");

    let whats: Vec<_> = stand.history().await?.into_iter().map(|(what, by, _)| format!("{what} {by}")).collect();
    assert_eq!(
        whats,
        ["rolled-back admin", "rolled-back admin", "installed admin", "installed signal", "installed file"]
    );
    let audit = stand.site.stream_of("aurora:audit", 5).await?;
    let installed = audit.iter().filter(|entry| entry.text("action") == "guest-installed").count();
    assert_eq!(installed, 3);
    let slot = stand.site.slot("route").await?;
    assert_eq!(slot["events"].as_u64(), Some(0), "{slot}");
    stand.flows().await
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_guest_and_says_why() -> Result<()> {
    let mut stand = Stand::start(&[]).await?;
    let stock = stand.site.digest("route").await?;
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let path = stand.folder.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    let import = wat::parse_str("(component (import \"evil:network/socket@1.0.0\" (instance)))")?;
    let cases = [
        (write("garbage", b"this is no component")?, "is not a component"),
        (write("module", &wat::parse_str("(module)")?)?, "is not a component"),
        (stock_guest("normalize-core")?, "aurora:router/route"),
        (write("import", &import)?, "evil:network/socket"),
    ];
    for (path, reason) in &cases {
        let said = stand.site.guest(&["swap", "route", &path.display().to_string()]).await?;
        assert!(!said.success, "{} was installed", path.display());
        assert!(said.err.contains(reason), "{}: {}", path.display(), said.err);
        assert_eq!(stand.site.digest("route").await?, stock);
    }
    let said = stand.site.guest(&["swap", "route/none", &cases[2].0.display().to_string()]).await?;
    assert!(!said.success && said.err.contains("there is no slot route"), "{}", said.err);
    fs::write(stand.file(), "no component either")?;
    let refused = stand.is_refused().await?;
    assert_eq!(refused["present"]["digest"].as_str(), Some(stock.as_str()));
    assert!(stand.site.readiness().await?.contains("is refused"), "{}", stand.site.readiness().await?);
    let history = stand.history().await?;
    assert_eq!(history.iter().filter(|(what, _, _)| what == "refused").count(), 5, "{history:?}");
    let audit = stand.site.stream_of("aurora:audit", 5).await?;
    assert_eq!(audit.iter().filter(|entry| entry.text("action") == "guest-refused").count(), 5);
    stand.flows().await?;

    let idle = stand.site.guest(&["promote", "route"]).await?;
    assert!(!idle.success && idle.err.contains("no rehearsal"), "{}", idle.err);
    let back = stand.site.guest(&["rollback", "route"]).await?;
    assert!(!back.success && back.err.contains("no guest before"), "{}", back.err);
    Ok(())
}

#[tokio::test]
async fn without_a_token_guests_are_looked_at_and_not_changed() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let said = site.guest(&["list"]).await?;
    assert!(said.success && said.out.contains("normalize-core"), "{said:?}");
    let said = site.guest(&["rollback", "route"]).await?;
    assert!(!said.success && said.err.contains("admin.token_file"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_installed_runs_again_until_the_file_changes() -> Result<()> {
    let mut stand = Stand::start(&[]).await?;
    let stock = stand.site.digest("route").await?;
    let other = stand.other("kept")?;
    stand.site.swap("route", &other).await?;
    let kept = stand.changes_from(&stock).await?;
    fs::remove_file(other)?;

    stand.site.kill_daemon()?;
    stand.site.start_daemon().await?;
    assert_eq!(stand.site.digest("route").await?, kept, "a restart undid it");
    let slot = stand.site.slot("route").await?;
    assert!(slot["why"].as_str().is_some_and(|why| why.contains("the admin API")), "{slot}");
    stand.flows().await?;
    let idle = stand.site.guest(&["promote", "route"]).await?;
    assert!(!idle.success && idle.err.contains("no rehearsal"), "{}", idle.err);
    let back = stand.site.guest(&["rollback", "route"]).await?;
    assert!(back.success && back.out.contains(&stock), "{back:?}");
    let again = stand.site.guest(&["rollback", "route"]).await?;
    assert!(again.success && again.out.contains(&kept), "{again:?}");

    stand.site.kill_daemon()?;
    variant(&stock_guest("route-core")?, "while away", &stand.file())?;
    stand.site.start_daemon().await?;
    let slot = stand.site.slot("route").await?;
    assert_eq!(slot["why"], "the configuration names it", "the file changed later than that");
    assert_ne!(slot["present"]["digest"].as_str(), Some(kept.as_str()));
    stand.flows().await
}

#[tokio::test]
async fn a_file_that_was_refused_decides_nothing_after_a_restart_either() -> Result<()> {
    // With no last good guest behind it, as all sites here, so a start with its file alone would fail.
    let mut stand = Stand::start(&[]).await?;
    let stock = stand.site.digest("route").await?;
    fs::write(stand.file(), "no component")?;
    stand.is_refused().await?;
    for broken in [true, false] {
        if !broken {
            fs::remove_file(stand.file())?;
        }
        stand.site.kill_daemon()?;
        stand.site.start_daemon().await?;
        assert_eq!(stand.site.digest("route").await?, stock);
        stand.is_refused().await?;
        assert!(stand.site.readiness().await?.contains("is refused"), "{}", stand.site.readiness().await?);
        stand.flows().await?;
    }
    variant(&stock_guest("route-core")?, "mended", &stand.file())?;
    stand.changes_from(&stock).await?;
    let slot = stand.site.slot("route").await?;
    assert!(slot["refused"].is_null() && slot["why"] == "the configuration names it", "{slot}");
    assert!(!stand.site.readiness().await?.contains("is refused"));
    stand.flows().await
}

#[tokio::test]
async fn a_file_that_sighup_names_is_watched_even_if_it_was_refused() -> Result<()> {
    let mut stand = Stand::start(&[]).await?;
    let stock = stand.site.digest("route").await?;
    let folder = tempfile::tempdir()?;
    let elsewhere = folder.path().join("next.wasm");
    fs::write(&elsewhere, "not yet")?;
    stand.site.set("guests.route.path", elsewhere.display().to_string());
    stand.hang_up()?;
    stand.is_refused().await?;
    assert_eq!(stand.site.digest("route").await?, stock);
    variant(&stock_guest("route-core")?, "next", &elsewhere)?;
    stand.changes_from(&stock).await?;
    assert_eq!(stand.site.slot("route").await?["present"]["by"], "file");
    stand.flows().await
}

#[tokio::test]
async fn without_watching_a_changed_file_waits_for_sighup() -> Result<()> {
    let mut stand = Stand::planned(|plan| plan.set("guests.watch", false)).await?;
    let stock = stand.site.digest("route").await?;
    variant(&stock_guest("route-core")?, "changed", &stand.file())?;
    // What is wished for otherwise makes nobody look at the file either.
    stand.site.swap("route", &stand.other("sent")?).await?;
    let sent = stand.changes_from(&stock).await?;
    stand.flows().await?;
    assert_eq!(stand.site.digest("route").await?, sent);
    stand.hang_up()?;
    stand.changes_from(&sent).await?;
    assert_eq!(stand.site.slot("route").await?["present"]["by"], "signal");
    Ok(())
}

/// Lines that the hostile router fails on, and the stock one does not.
fn lines(deed: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"title\":\"route {deed} {number}\"}}")).collect()
}

/// The hostile guest takes the router's place, and is taken back over `lines`.
async fn is_taken_back(deed: &str, reason: &str) -> Result<()> {
    const MANY: usize = 3_000;
    let mut stand = Stand::start(&[("guests.route.deadline", "1s")]).await?;
    let stock = stand.site.digest("route").await?;
    // So that it is known what the stock one takes.
    stand.site.publish(TOPIC, 1, lines("nothing", MANY)).await?;
    stand.site.stream_of("aurora:cps:alerts", MANY).await?;
    stand.site.swap("route", &hostile_guest()?).await?;
    let hostile = stand.changes_from(&stock).await?;
    assert_eq!(stand.site.slot("route").await?["on_probation"], true);
    stand.site.publish(TOPIC, 1, lines(deed, MANY)).await?;
    assert_eq!(stand.changes_from(&hostile).await?, stock);
    // What the hostile one decided went elsewhere; all of it went somewhere.
    stand
        .site
        .wait_until("all events", async || {
            let of_both =
                stand.site.stream("aurora:cps:alerts").await?.len() + stand.site.stream("aurora:alerts").await?.len();
            ensure!(of_both == 2 * MANY, "{of_both}");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    let history = stand.history().await?;
    let (what, by, why) = &history[0];
    assert_eq!((what.as_str(), by.as_str()), ("taken-back", "probation"), "{history:?}");
    assert!(why.contains(reason), "{why}");
    assert!(stand.site.readiness().await?.contains("was taken back"));
    let back = stand.site.guest(&["rollback", "route"]).await?;
    assert!(!back.success, "what was taken back is no guest to roll back to: {back:?}");
    // Its file names it no longer, and a restart does not bring it back either.
    stand.site.kill_daemon()?;
    stand.site.start_daemon().await?;
    assert_eq!(stand.site.digest("route").await?, stock);
    assert!(stand.site.readiness().await?.contains("was taken back"));
    Ok(())
}

#[tokio::test]
async fn a_guest_that_fails_is_taken_back() -> Result<()> {
    is_taken_back("trap", "trap").await
}

#[tokio::test]
async fn a_guest_that_is_slow_is_taken_back() -> Result<()> {
    is_taken_back("slow", "times as long as the guest before it").await
}

#[tokio::test]
async fn other_limits_neither_end_a_probation_nor_come_undone_by_it() -> Result<()> {
    let mut stand = Stand::start(&[("guests.route.deadline", "1s")]).await?;
    let stock = stand.site.digest("route").await?;
    stand.site.swap("route", &hostile_guest()?).await?;
    let hostile = stand.changes_from(&stock).await?;
    stand.site.set("guests.route.deadline", "200ms");
    stand.hang_up()?;
    stand
        .site
        .wait_until("the new limit", async || {
            let history = stand.history().await?;
            ensure!(history[0].0 == "installed" && history[0].1 == "signal", "{history:?}");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    assert_eq!(stand.site.digest("route").await?, hostile);
    assert_eq!(stand.site.slot("route").await?["on_probation"], true);
    stand.site.publish(TOPIC, 1, lines("trap", 3_000)).await?;
    assert_eq!(stand.changes_from(&hostile).await?, stock);
    Ok(())
}
