//! A guest on live events, without effect: what it would have done otherwise is told, and nothing is done.

use anyhow::{Context as _, Result, ensure};
use harness::{Site, hostile_guest, stock_guest, variant};

const TOPIC: &str = "aurora/sensors/door_1/alerts";

/// A site, with its cache.
async fn site() -> Result<(Site, tempfile::TempDir)> {
    let (plan, cache) = Site::plan().without_nats().changeable()?;
    Ok((plan.start().await?, cache))
}

/// Publishes until the rehearsal in `slot` is over, and gives its report.
async fn rehearsed(site: &Site, slot: &str) -> Result<serde_json::Value> {
    let mut number = 0;
    site.wait_until("the end of the rehearsal", async || {
        let lines: Vec<_> = (0..50).map(|line| format!("{{\"title\":\"route {}\"}}", number + line)).collect();
        number += 50;
        site.publish(TOPIC, 1, lines).await?;
        let report = site.slot(slot).await?["rehearsal"].clone();
        ensure!(report["ended"].is_string(), "{report}");
        Ok::<_, anyhow::Error>(report)
    })
    .await
}

#[tokio::test]
async fn a_planted_difference_is_found_and_nothing_comes_of_it() -> Result<()> {
    let (site, _cache) = site().await?;
    let stock = site.digest("route").await?;
    let guest = hostile_guest()?.display().to_string();
    let shadowed = shadow(&site, "route", &guest, "200", &[]).await?;
    let report = rehearsed(&site, "route").await?;
    ensure!(report["events"].as_u64() >= Some(200), "{report}");
    assert_eq!(report["different"], report["events"], "{report}");
    let fields = report["fields"].as_object().context("no fields")?;
    assert!(fields.contains_key("events[].streams[]") && fields.contains_key("events[].route_reason"), "{report}");
    let example = &report["examples"][0]["differences"];
    let streams =
        example.as_array().context("no examples")?.iter().find(|found| found["field"] == "events[0].streams[0]");
    let streams = streams.with_context(|| format!("{report}"))?;
    assert_eq!(
        (&streams["present"], &streams["candidate"]),
        (&"\"aurora:cps:alerts\"".into(), &"\"aurora:alerts\"".into())
    );
    for path in ["/v1/guests", "/v1/guests/route"] {
        let open = site.look(path).await?;
        assert!(
            open.contains("\"different\"") && !open.contains("route_reason") && !open.contains("\"raw\""),
            "without the token: {open}"
        );
    }
    assert_eq!(site.digest("route").await?, stock);
    assert!(site.stream("aurora:alerts").await?.is_empty(), "the candidate had an effect");
    let said = shadowed.await??;
    assert!(said.out.contains("events[].route_reason") && said.out.contains("not promoted"), "{said:?}");

    let promoted = site.guest(&["promote", "route"]).await?;
    assert!(promoted.success, "{promoted:?}");
    assert_ne!(site.digest("route").await?, stock);
    site.publish(TOPIC, 1, ["{\"title\":\"after\"}"]).await?;
    site.stream_of("aurora:alerts", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_rule_promotes_what_is_as_good_and_nothing_else() -> Result<()> {
    let (site, cache) = site().await?;
    let stock = site.digest("route").await?;
    let other = cache.path().join("other.component");
    variant(&stock_guest("route-core")?, "as good", &other)?;
    let rule = ["--promote-if", "differences<=0,slower<=20"];
    let bad = shadow(&site, "route", &hostile_guest()?.display().to_string(), "100", &rule).await?;
    rehearsed(&site, "route").await?;
    let said = bad.await??;
    assert!(!said.success && said.out.contains("differences, more than 0"), "{said:?}");
    assert_eq!(site.digest("route").await?, stock);

    let good = shadow(&site, "route", &other.display().to_string(), "100", &rule).await?;
    let report = rehearsed(&site, "route").await?;
    let said = good.await??;
    assert!(said.success && said.out.contains("promoted"), "{said:?} {report}");
    assert_eq!(report["different"], 0, "{report}");
    assert_ne!(site.digest("route").await?, stock);
    Ok(())
}

#[tokio::test]
async fn a_rehearsal_can_be_ended() -> Result<()> {
    let (site, _cache) = site().await?;
    let said = shadow(&site, "normalize", &hostile_guest()?.display().to_string(), "1h", &[]).await?;
    let in_the_way = site.guest(&["swap", "route", &hostile_guest()?.display().to_string(), "--shadow", "1m"]).await?;
    assert!(!in_the_way.success && in_the_way.err.contains("another slot"), "{in_the_way:?}");
    let ended = site.guest(&["end-rehearsal", "normalize"]).await?;
    assert!(ended.success, "{ended:?}");
    let said = said.await??;
    assert!(!said.success && said.err.contains("ended by somebody else"), "{said:?}");
    assert!(site.slot("normalize").await?["rehearsal"].is_null());
    Ok(())
}

/// `aurora guest swap --shadow`, in the background, once the rehearsal has begun.
async fn shadow(
    site: &Site,
    slot: &str,
    guest: &str,
    until: &str,
    more: &[&str],
) -> Result<tokio::task::JoinHandle<Result<harness::Said>>> {
    let arguments: Vec<String> =
        ["swap", slot, guest, "--shadow", until].iter().chain(more).map(|&text| text.to_owned()).collect();
    let said = site.guest_in_background(arguments)?;
    site.wait_until("the rehearsal", async || {
        let report = site.slot(slot).await?["rehearsal"].clone();
        ensure!(report.is_object() && report["ended"].is_null() || said.is_finished(), "{report}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(said)
}
