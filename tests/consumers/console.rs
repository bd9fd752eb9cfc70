//! The page, in a real browser, of a daemon with real traffic. Its pictures are in `target/screenshots`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use aurora::attestation::{Form, Signer, answer};
use harness::{PATIENCE, Plan, Site, built_guest, connect_redis, stock_guest, target, unix_ms, wait_until};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::browser::Browser;

const TOKEN: &str = "operators-token";

/// Asks the admin listener: head and body of the answer.
async fn ask(site: &Site, path: &str, token: Option<&str>) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(site_admin(site)?).await?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{token}Connection: close\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.context("no answer")??;
    let (head, body) = text.split_once("\r\n\r\n").context("half an answer")?;
    Ok((head.to_lowercase(), body.to_owned()))
}

fn site_admin(site: &Site) -> Result<String> {
    let text = fs::read_to_string(site.folder().join("aurora.toml"))?;
    let config: toml::Table = text.parse()?;
    Ok(config["admin"]["listen"].as_str().context("no admin.listen")?.to_owned())
}

/// What devices and collectors of a site say, a part of it broken.
async fn traffic(site: &Site) -> Result<()> {
    let devices = ["pump_1", "pump_2", "door_7", "plc_3"];
    let titles = ["Valve open outside of its schedule", "Door forced", "Firmware changed", "Heartbeat is late"];
    for round in 0..40 {
        for (number, device) in devices.into_iter().enumerate() {
            let severity = ["critical", "high", "medium", "low"][(round + number) % 4];
            let title = titles[(round + 2 * number) % 4];
            let event = format!(r#"{{"severity":"{severity}","title":"{title}","round":{round}}}"#);
            site.publish(&format!("aurora/sensors/{device}/alerts"), 1, [event]).await?;
        }
    }
    site.publish("aurora/sensors/door_7/alerts", 1, ["{\"cut\": ", "not JSON either"]).await?;
    site.publish("aurora/sensors/door_7/alerts", 1, [r#"{"severity":"high","title":"Whom it was","tlp":"red"}"#]).await
}

/// A site whose devices are asked, one of which was last heard of an hour and a half ago.
fn plan() -> Plan {
    Site::plan().set("admin.token", TOKEN).set("lag.every", "1s").set("attestation.interval", "1h")
}

async fn lose_a_device(site: &Site) -> Result<()> {
    let mut redis = connect_redis(&site.redis.url()).await?;
    let at = unix_ms() - 90 * 60_000;
    redis::cmd("ZADD").arg("aurora:state:heard").arg(at).arg("crane_9").query_async::<()>(&mut redis).await?;
    site.publish("aurora/sensors/pump_1/status", 1, [r#"{"status":"online"}"#]).await?;
    site.series_of("aurora_devices{health=\"offline\"}", 1.0).await?;
    site.series_of("aurora_devices{health=\"online\"}", 1.0).await.map(drop)
}

#[tokio::test]
async fn what_events_say_takes_the_token_and_figures_do_not() -> Result<()> {
    let site = plan().start().await?;
    traffic(&site).await?;
    lose_a_device(&site).await?;
    site.series_of("aurora_stream_entries{stream=\"aurora:cps:alerts\"}", 161.0).await?;
    let open = ask(&site, "/v1/overview", None).await?;
    let overview: Value = serde_json::from_str(&open.1)?;
    assert_eq!((&overview["site"], &overview["state"]["ready"]), (&"test-site".into(), &true.into()));
    ensure!(overview.get("contents").is_none() && overview["contents_need"] == "a-token", "{overview}");
    for secret in ["Valve open", "Whom it was", "pump_1", "crane_9", "expected a JSON"] {
        ensure!(!open.1.contains(secret), "{secret} is open to everybody");
    }
    let stage = |name: &str| overview["stages"].as_array().and_then(|all| all.iter().find(|one| one["name"] == name));
    let (source, normalize) = (stage("source").context("no source")?, stage("normalize").context("no normalize")?);
    assert_eq!((&source["in"], &normalize["dead_lettered"]), (&164.into(), &2.into()));
    let health = &overview["devices"]["health"];
    assert_eq!((&health["online"], &health["offline"]), (&1.into(), &1.into()), "{overview}");
    let buckets = normalize["seconds"]["buckets"].as_array().context("no buckets")?;
    ensure!(buckets.len() == overview["bounds"].as_array().map_or(0, Vec::len), "{normalize}");
    assert_eq!(buckets.last(), Some(&normalize["seconds"]["count"]));
    assert_eq!(overview["dead_letters"]["entries"], 2);
    ensure!(overview["outbox"]["sent"]["alert"].is_u64() && overview.get("sites").is_none(), "{overview}");
    let guests: Vec<_> = overview["guests"].as_array().context("no guests")?.iter().map(|one| &one["slot"]).collect();
    assert_eq!(guests, ["normalize", "route", "federate"]);
    ensure!(!open.1.contains(site.folder().to_str().context("a path")?), "a path of the machine is open to everybody");

    let (status, body) = ask(&site, "/v1/overview", Some(TOKEN)).await?;
    ensure!(status.starts_with("http/1.1 200"), "{status}");
    let contents = &serde_json::from_str::<Value>(&body)?["contents"];
    ensure!(body.contains("Valve open") && contents["alerts"][0]["device_id"].is_string(), "{contents}");
    ensure!(contents["shared"][0]["subject"] == "aurora.alerts.cps", "{contents}");
    ensure!(contents["dead_letters"][0]["stage"] == "normalize", "{contents}");
    let away = &contents["devices"][0];
    assert_eq!((&away["device_id"], &away["health"]), (&"crane_9".into(), &"offline".into()), "{contents}");
    ensure!(!body.contains("Whom it was"), "TLP:RED is shown");
    let (status, body) = ask(&site, "/v1/overview", Some("wrong")).await?;
    ensure!(status.starts_with("http/1.1 401") && !body.contains("stages"), "{status} {body}");
    Ok(())
}

#[tokio::test]
async fn the_page_may_do_nothing_but_ask_its_daemon() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let (head, page) = ask(&site, "/", None).await?;
    for wanted in ["content-security-policy: default-src 'none'", "nosniff", "no-store", "frame-ancestors 'none'"] {
        ensure!(head.contains(wanted), "no {wanted} in {head}");
    }
    ensure!(!head.contains("unsafe") && page.starts_with("<!doctype html>"), "{head}");
    Ok(())
}

/// Writes a picture into the output of the tests.
fn keep(name: &str, picture: &[u8]) -> Result<PathBuf> {
    let folder = target()?.join("screenshots");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.png"));
    fs::write(&file, picture)?;
    Ok(file)
}

/// Waits until the page says that there is something to look at, and this is among it.
async fn needs_a_look(browser: &mut Browser, why: &str) -> Result<()> {
    wait_until("the page says what needs a look", PATIENCE, async || {
        let state = browser.value("document.body.dataset.state").await?;
        let said = browser.value("document.getElementById('why').textContent").await?;
        ensure!(state == "warn" && said.as_str().is_some_and(|said| said.contains(why)), "{state}: {said}");
        Ok(())
    })
    .await
}

/// Has the page be answered with this, as of each moment that it asks at.
async fn tell(browser: &mut Browser, overview: &Value) -> Result<()> {
    let text = Value::from(overview.to_string());
    let stub = format!(
        "window.fetch = async () => new Response(JSON.stringify({{ ...JSON.parse({text}), now_ms: Date.now() }})); true"
    );
    browser.value(&stub).await.map(drop)
}

/// Opens the page of a site and waits until it says that all is well; what its daemon says, as of an hour after its start.
async fn well(browser: &mut Browser, site: &Site) -> Result<Value> {
    browser.open(&format!("http://{}/", site_admin(site)?)).await?;
    wait_until("the page says that all is well", PATIENCE, async || {
        let state = browser.value("document.body.dataset.state").await?;
        ensure!(state == "well", "{state}");
        Ok(())
    })
    .await?;
    let mut overview: Value = serde_json::from_str(&ask(site, "/v1/overview", None).await?.1)?;
    overview["started_ms"] = (unix_ms() - 3_600_000).into();
    Ok(overview)
}

#[tokio::test]
async fn what_came_lately_is_an_alarm_and_what_lies_there_is_none() -> Result<()> {
    let Some(mut browser) = Browser::start().await? else { return Ok(()) };
    let site = Site::plan().without_nats().start().await?;
    let mut overview = well(&mut browser, &site).await?;
    let stages = overview["stages"].as_array().context("no stages")?;
    let at = |name: &str| stages.iter().position(|one| one["name"] == name).with_context(|| format!("no {name}"));
    let (source, normalize) = (at("source")?, at("normalize")?);
    overview["dead_letters"]["entries"] = 449_000.into();
    overview["stages"][source]["in"] = 900_000.into();
    overview["stages"][normalize]["dead_lettered"] = 10_700.into();
    overview["guests"][0]["faults"] = 10_700.into();
    tell(&mut browser, &overview).await?;
    let dot = "document.querySelector('#p-guests .dot').dataset.tone";
    wait_until("what lies there is counted", PATIENCE, async || {
        let figures = browser.value("document.getElementById('figures').textContent").await?;
        ensure!(figures.as_str().is_some_and(|text| text.contains("449k")), "{figures}");
        Ok(())
    })
    .await?;
    assert_eq!(browser.value("document.body.dataset.state").await?, "well");
    assert_eq!(browser.value(dot).await?, "well");

    // A hundred, each later than the last bound.
    let count = overview["events"]["seconds"]["count"].as_u64().context("no count")?;
    overview["events"]["seconds"]["count"] = (count + 100).into();
    tell(&mut browser, &overview).await?;
    needs_a_look(&mut browser, "one event in a hundred takes").await?;

    overview["stages"][source]["in"] = 901_000.into();
    overview["stages"][normalize]["dead_lettered"] = 10_712.into();
    overview["guests"][0]["faults"] = 10_703.into();
    tell(&mut browser, &overview).await?;
    needs_a_look(&mut browser, "12 dead letters of normalize").await?;
    needs_a_look(&mut browser, "guest normalize failed 3×").await?;
    assert_eq!(browser.value(dot).await?, "warn");
    overview["state"]["degraded"]["normalize"] = "sha256:ab is hurried: its failed calls took long".into();
    tell(&mut browser, &overview).await?;
    wait_until("the guest has its badges", PATIENCE, async || {
        let guests = browser.value("document.getElementById('p-guests').textContent").await?;
        let is_said = |badge: &str| guests.as_str().is_some_and(|text| text.contains(badge));
        ensure!(is_said("hurried") && is_said("3 faults lately"), "{guests}");
        Ok(())
    })
    .await?;

    // More than one of twenty.
    overview["stages"][normalize]["dead_lettered"] = 10_800.into();
    tell(&mut browser, &overview).await?;
    wait_until("the page says that it fails", PATIENCE, async || {
        let said = browser.value("document.querySelector('.state').textContent").await?;
        ensure!(said.as_str().is_some_and(|said| said.contains("Failing100 dead letters of")), "{said}");
        ensure!(browser.value("document.body.dataset.state").await? == "bad", "{said}");
        Ok(())
    })
    .await?;
    ensure!(browser.complaints.is_empty(), "the page complains: {:?}", browser.complaints);
    Ok(())
}

/// What a site has to show that has about everything: four guests, two agents, other sites, devices, viewers, events.
fn crowded(mut overview: Value) -> Result<Value> {
    let now = unix_ms();
    let guests = overview["guests"].as_array_mut().context("no guests")?;
    let model = guests.first().context("no guest")?.clone();
    guests.extend(["inbound", "task/errand", "task/helper"].map(|slot| {
        let mut guest = model.clone();
        guest["slot"] = slot.into();
        guest
    }));
    overview["agents"] = ["errand", "helper"]
        .map(|agent| {
            json!({
                "agent": agent, "slot": format!("task/{agent}"), "name": agent, "digest": "sha256:877814f22e27",
                "state": "idle", "completed": 285, "failed": 87, "under_way": 0,
            })
        })
        .into_iter()
        .collect();
    let tasks = json!([{ "name": "aurora-agents", "consumers": 1, "pending": 5, "lag": 0, "oldest_seconds": 2.0 }]);
    let streams = overview["streams"].as_array_mut().context("no streams")?;
    streams.extend(
        ["aurora:agent:tasks", "aurora:agent:results"]
            .map(|name| json!({ "name": name, "entries": 780, "length": 0, "routed": false, "groups": tasks })),
    );
    overview["viewers"] = ["alerts", "audit"]
        .map(|feed| json!({ "feed": feed, "clients": 1, "sent": 9, "reading": true }))
        .into_iter()
        .collect();
    overview["sites"] =
        ["north", "south"].map(|site| json!({ "site": site, "stored": 100, "last_ms": now })).into_iter().collect();
    let events = (0..14).map(|number| {
        json!({ "time_ms": now, "severity": "high", "title": "Door forced", "device_id": format!("door_{number}") })
    });
    overview["contents"] = json!({ "alerts": events.collect::<Vec<_>>() });
    Ok(overview)
}

/// Panels that are cut, and those of which a part lies outside of the window: all but the latest events are to be whole.
const CUT: &str = "[...document.querySelectorAll('.panels section:not([hidden]):not(#p-alerts)')].filter((one) => \
    one.scrollHeight > one.clientHeight + 2 || one.getBoundingClientRect().bottom > innerHeight || \
    one.getBoundingClientRect().bottom > one.parentElement.getBoundingClientRect().bottom + 1).map((one) => one.id).join(' ')";

#[tokio::test]
async fn no_panel_but_the_latest_events_is_cut() -> Result<()> {
    let Some(mut browser) = Browser::start().await? else { return Ok(()) };
    let site = plan().start().await?;
    let overview = crowded(well(&mut browser, &site).await?)?;
    tell(&mut browser, &overview).await?;
    for (name, width, height) in [("wall", 1920, 1080), ("laptop", 1280, 720)] {
        browser.window(width, height, false).await?;
        wait_until("the panels are in their places", PATIENCE, async || {
            let size = browser.value("`${innerWidth} ${innerHeight}`").await?;
            ensure!(size == format!("{width} {height}"), "{size}");
            let rows = "[...document.querySelectorAll('#p-guests li.row, #p-agents li.row')].length";
            ensure!(browser.value(rows).await? == 6, "not all guests");
            let cut = browser.value(CUT).await?;
            ensure!(cut == "", "cut on the {name}: {cut}");
            // Two of them at least.
            let events = browser.value("document.getElementById('p-alerts').clientHeight").await?;
            ensure!(events.as_u64().is_some_and(|events| events >= 60), "{events} of the latest events");
            Ok(())
        })
        .await?;
        keep(&format!("console-crowded-{name}"), &browser.picture().await?)?;
    }
    ensure!(browser.complaints.is_empty(), "the page complains: {:?}", browser.complaints);
    Ok(())
}

/// The stages that the page draws, in order.
const DRAWN: &str =
    "[...document.querySelectorAll('#stages .name')].map((one) => one.firstChild.textContent).join(' ')";

#[tokio::test]
async fn what_other_sites_send_is_drawn_where_a_guest_judges_it_and_agents_are_no_stage() -> Result<()> {
    let Some(mut browser) = Browser::start().await? else { return Ok(()) };
    browser.window(1280, 720, false).await?;
    let errand = built_guest("tests/errand", "errand")?.display().to_string();
    let judging = plan().set("federation.in.ack_wait", "2s").guest("inbound", &stock_guest("inbound-core")?);
    let judging = judging.set("tasks.agents.errand.path", errand).set("tasks.agents.errand.grants", vec!["log"]);
    for (plan, drawn, guests) in [
        (plan(), "source normalize route federate dedup publish", 3),
        (judging, "source normalize route federate inbound dedup publish", 4),
    ] {
        let site = plan.start().await?;
        browser.open(&format!("http://{}/", site_admin(&site)?)).await?;
        wait_until("the flow", PATIENCE, async || {
            let seen = browser.value(DRAWN).await?;
            ensure!(seen == drawn, "{seen}");
            let listed = browser.value("document.querySelectorAll('#p-guests li.row').length").await?;
            ensure!(listed == guests, "{listed} guests");
            Ok(())
        })
        .await?;
        let agents = browser.value("document.getElementById('p-agents').textContent.includes('errand')").await?;
        assert_eq!(agents, guests == 4);
        keep(&format!("console-flow-{guests}-guests"), &browser.picture().await?)?;
        ensure!(browser.complaints.is_empty(), "the page complains: {:?}", browser.complaints);
        // It would complain that nobody answers, once this site is gone.
        browser.open("about:blank").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_page_shows_a_site_at_a_glance_on_a_wall_a_laptop_and_a_phone() -> Result<()> {
    let Some(mut browser) = Browser::start().await? else { return Ok(()) };
    let mut site = plan().start().await?;
    let url = format!("http://{}/", site_admin(&site)?);
    browser.window(1920, 1080, false).await?;
    browser.open(&url).await?;
    wait_until("the page is drawn", PATIENCE, async || {
        let state = browser.value("document.body.dataset.state").await?;
        ensure!(state == "well", "{state}");
        Ok(())
    })
    .await?;
    traffic(&site).await?;
    lose_a_device(&site).await?;
    wait_until("the page shows that events come", PATIENCE, async || {
        // The figure of what comes in: a number above zero.
        let rate = browser.value("document.querySelector('#figures dd').textContent").await?;
        ensure!(rate.as_str().is_some_and(|rate| rate.bytes().any(|b| (b'1'..=b'9').contains(&b))), "{rate}");
        Ok(())
    })
    .await?;
    keep("console-without-token", &browser.picture().await?)?;
    ensure!(
        browser.value("document.body.textContent.includes('Valve open')").await? == false,
        "events without a token"
    );

    // As an operator does: the button, the token, the key.
    let unlock = format!(
        "document.getElementById('unlock').click(); document.getElementById('token').value = '{TOKEN}'; \
         document.getElementById('yes').click()"
    );
    browser.value(&unlock).await?;
    wait_until("the page shows events", PATIENCE, async || {
        ensure!(browser.value("document.querySelectorAll('#p-alerts li').length >= 5").await? == true, "none");
        Ok(())
    })
    .await?;
    ensure!(browser.value("document.body.textContent.includes('Whom it was')").await? == false, "TLP:RED is shown");
    for (name, width, height) in [("wall-1920x1080", 1920, 1080), ("laptop-1280x720", 1280, 720)] {
        browser.window(width, height, false).await?;
        browser.value("new Promise((done) => setTimeout(done, 300))").await?;
        keep(&format!("console-{name}"), &browser.picture().await?)?;
        let fits = "document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth";
        ensure!(browser.value(fits).await? == true, "{name} has to be scrolled");
    }
    browser.window(390, 844, true).await?;
    browser.value("new Promise((done) => setTimeout(done, 300))").await?;
    keep("console-phone-390x844", &browser.picture().await?)?;
    ensure!(
        browser.value("document.documentElement.scrollWidth <= innerWidth").await? == true,
        "a phone scrolls sideways"
    );

    // Every control has a name, every section a heading, and nothing moves for who does not like that.
    let unnamed = "[...document.querySelectorAll('button, input')].filter((one) => !one.textContent && !one.labels?.length).length";
    assert_eq!(browser.value(unnamed).await?, 0);
    let headless = "[...document.querySelectorAll('section')].filter((one) => !one.ariaLabel && !document.getElementById(one.getAttribute('aria-labelledby'))).length";
    assert_eq!(browser.value(headless).await?, 0);
    browser.reduce_motion().await?;
    assert_eq!(browser.value("document.getAnimations().length").await?, 0);

    browser.window(1920, 1080, false).await?;
    // What somebody has to look at, although all parts are ready.
    needs_a_look(&mut browser, "2 dead letters of normalize").await?;
    needs_a_look(&mut browser, "1 device is offline").await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    let letter = "aurora:agent:dead_letter";
    redis::cmd("XADD").arg(letter).arg("*").arg("task_id").arg("t").query_async::<()>(&mut redis).await?;
    needs_a_look(&mut browser, "1 task given up").await?;
    // By a device that nobody has enrolled.
    let answer = answer(&Signer::generate(), Form::Delimited, "pump_2", &"ab".repeat(32), 1, &"00".repeat(32), false);
    site.publish("aurora/attestation/pump_2/response", 1, [answer]).await?;
    needs_a_look(&mut browser, "1 attestation failed lately").await?;
    site.redis.kill();
    wait_until("the page shows that Redis is away", PATIENCE, async || {
        let state = browser.value("document.body.dataset.state").await?;
        ensure!(state == "bad", "{state}");
        let why = browser.value("document.getElementById('why').textContent").await?;
        ensure!(why.as_str().is_some_and(|why| why.contains("redis")), "{why}");
        Ok(())
    })
    .await?;
    keep("console-redis-away", &browser.picture().await?)?;
    ensure!(browser.complaints.is_empty(), "the page complains: {:?}", browser.complaints);

    site.kill_daemon()?;
    wait_until("the page shows that nobody answers", PATIENCE, async || {
        let state = browser.value("document.body.dataset.state").await?;
        ensure!(state == "lost", "{state}");
        Ok(())
    })
    .await?;
    keep("console-no-contact", &browser.picture().await?)?;
    Ok(())
}
