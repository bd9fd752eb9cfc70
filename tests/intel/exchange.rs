//! STIX out and in, MISP out, by the built command.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};
use aurora::{
    intel::{Seen, What},
    sandbox::Tlp,
};
use harness::Site;
use serde_json::{Value, json};

use super::{HASH, aurora, done, indicator, known, now, plan, table_at, told};

const STRICT: &str = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003";

/// A site without a daemon that has indicators.
async fn site() -> Result<Site> {
    let site = plan().without_nats().brokers().await?;
    site.write_configuration(([127, 0, 0, 1], 0).into())?;
    let table = table_at(&site.redis.url(), |_| {})?;
    let all = [
        told(indicator("ip", "45.155.205.233"), "site-a", "m1"),
        told(indicator("domain", "evil.net"), "site-b", "m2"),
        Seen { tlp: Tlp::AmberStrict, ..told(indicator("hash_sha256", HASH), "site-a", "m3") },
        Seen { tlp: Tlp::Red, ..told(indicator("cve", "CVE-2021-44228"), "site-a", "m4") },
        Seen { what: What::Sighting, ..told(indicator("domain", "evil.net"), "site-c", "m5") },
    ];
    table.record(&all).await?;
    Ok(site)
}

/// What a command writes to standard output, without what it tells beside.
fn json_of(said: &str) -> Result<Value> {
    let end = said.rfind('}').context("no JSON")?;
    Ok(serde_json::from_str(&said[..=end])?)
}

#[tokio::test]
async fn an_export_is_a_whole_bundle_and_another_site_takes_it_in_again() -> Result<()> {
    let from = site().await?;
    let said = done(&from, &["intel", "export"])?;
    assert!(said.ends_with("3 indicators; 1 are marked more strictly than --max-tlp\n"), "{said}");
    let bundle = json_of(&said)?;
    let objects = bundle["objects"].as_array().context("no objects")?;
    let ids: BTreeSet<&str> = objects.iter().filter_map(|object| object["id"].as_str()).collect();
    assert_eq!(ids.len(), objects.len());
    let of = |kind: &str| objects.iter().filter(|object| object["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("indicator").len(), 3);
    let marked = of("indicator").into_iter().find(|object| object["pattern"].to_string().contains("SHA-256"));
    assert_eq!(marked.context("no file")?["object_marking_refs"], json!([STRICT]));
    assert!(ids.contains(STRICT), "what is referred to is there");
    let sighting = of("sighting").pop().context("no sighting")?;
    let place = sighting["where_sighted_refs"][0].as_str().context("nowhere")?;
    let identity = objects.iter().find(|object| object["id"] == place).context("nobody")?;
    assert_eq!(identity["name"], "site-c");

    let to = plan().without_nats().brokers().await?;
    to.write_configuration(([127, 0, 0, 1], 0).into())?;
    let file = to.folder().join("bundle.json");
    fs::write(&file, bundle.to_string())?;
    let file = file.display().to_string();
    let first = done(&to, &["intel", "import", &file, "--site", "partner"])?;
    assert!(first.contains("3 new, 0 known before, 0 from an earlier import, 0 refused, 0 skipped"), "{first}");
    let again = done(&to, &["intel", "import", &file, "--site", "partner"])?;
    assert!(again.contains("0 new, 0 known before, 3 from an earlier import"), "{again}");
    let table = table_at(&to.redis.url(), |_| {})?;
    let taken = known(&table, &indicator("hash_sha256", HASH)).await?;
    assert_eq!((taken.tlp, taken.count, taken.sources.contains_key("partner")), (Tlp::AmberStrict, 1, true));
    Ok(())
}

#[tokio::test]
async fn misp_gets_an_event_with_the_same() -> Result<()> {
    let from = site().await?;
    let said = done(&from, &["intel", "export", "--format", "misp", "--max-tlp", "green", "--type", "domain"])?;
    let event = &json_of(&said)?["Event"];
    let attributes = event["Attribute"].as_array().context("no attributes")?;
    assert_eq!(attributes.len(), 1, "{said}");
    assert_eq!((&attributes[0]["type"], &attributes[0]["value"]), (&"domain".into(), &"evil.net".into()));
    assert_eq!(attributes[0]["Sighting"][0]["source"], "site-c");
    Ok(())
}

#[tokio::test]
async fn a_hostile_bundle_is_told_apart_object_by_object() -> Result<()> {
    let site = plan().without_nats().brokers().await?;
    site.write_configuration(([127, 0, 0, 1], 0).into())?;
    let object =
        |id: u32, pattern: &str| json!({ "type": "indicator", "id": format!("indicator--{id}"), "pattern": pattern });
    let bundle = json!({ "type": "bundle", "objects": [
        object(1, "[domain-name:value = 'evil.net' OR ipv4-addr:value = '10.0.0.1']"),
        object(2, "[ipv4-addr:value = '45.1.2.3' AND domain-name:value = 'evil.net']"),
        object(3, "[domain-name:value = 'a b']"),
        { "type": "malware", "id": "malware--\u{1b}[2J" },
    ]});
    let file = site.folder().join("bundle.json");
    fs::write(&file, bundle.to_string())?;
    let file = file.display().to_string();
    let tried = done(&site, &["intel", "import", &file, "--dry-run"])?;
    assert!(tried.contains("domain:evil.net") && tried.contains("2 would be taken, 2 skipped"), "{tried}");
    let said = done(&site, &["intel", "import", &file])?;
    for part in [
        "skipped indicator--2: its pattern is not understood: an AND",
        "skipped indicator--3: domain \"a b\" is no name",
        "refused ip:10.0.0.1: reserved",
        "1 malware",
        "1 new, 0 known before, 0 from an earlier import, 1 refused, 2 skipped",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'));
    let (said, taken) = aurora(&site, &["intel", "import", &file, "--site", "a b"])?;
    assert!(!taken && said.contains("is no name"), "{said}");
    fs::write(&file, "{\"type\":\"indicator\"}")?;
    let (said, taken) = aurora(&site, &["intel", "import", &file])?;
    assert!(!taken && said.contains("is no STIX bundle"), "{said}");
    let audit = site.stream("aurora:audit").await?;
    assert!(audit.iter().any(|entry| entry.text("action") == "intel-import"), "{audit:?}");
    assert!(known(&table_at(&site.redis.url(), |_| {})?, &indicator("domain", "evil.net")).await?.expires_ms > now());
    Ok(())
}

#[tokio::test]
async fn what_a_source_revokes_it_tells_no_more_and_others_still_do() -> Result<()> {
    let site = plan().without_nats().brokers().await?;
    site.write_configuration(([127, 0, 0, 1], 0).into())?;
    let table = table_at(&site.redis.url(), |_| {})?;
    table.record(&[told(indicator("domain", "both.net"), "site-b", "m1")]).await?;
    let file = site.folder().join("bundle.json");
    let path = file.display().to_string();
    let object = |id: u32, name: &str, more: Value| {
        let mut object = json!({
            "type": "indicator", "id": format!("indicator--{id}"), "pattern": format!("[domain-name:value = '{name}']"),
            "modified": "2026-01-02T00:00:00Z",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object
    };
    let import = |objects: Value, source: &str| {
        fs::write(&file, json!({ "type": "bundle", "objects": objects }).to_string())?;
        done(&site, &["intel", "import", &path, "--site", source])
    };
    let plain = |id, name| object(id, name, json!({}));
    let all = json!([
        plain(1, "alone.net"),
        plain(2, "both.net"),
        plain(3, "over.net"),
        plain(4, "twice.net"),
        plain(5, "twice.net")
    ]);
    let said = import(all, "cert")?;
    assert!(said.contains("3 new, 2 known before"), "{said}");

    let revoked = |at: &str| json!({ "revoked": true, "modified": at });
    let late = revoked("2026-01-03T00:00:00Z");
    let over = json!({ "valid_until": "2020-01-02T12:00:00Z", "modified": "2026-01-03T00:00:00Z" });
    // Of another source, and of an older version than what is known.
    let said = import(json!([object(1, "alone.net", late.clone())]), "other")?;
    assert!(said.contains("0 withdrawn, 1 revoked or over to no effect"), "{said}");
    let said = import(json!([object(1, "alone.net", revoked("2026-01-01T00:00:00Z"))]), "cert")?;
    assert!(said.contains("0 withdrawn, 1 revoked"), "{said}");
    assert!(known(&table, &indicator("domain", "alone.net")).await?.sources.contains_key("cert"));

    let gone = json!([
        object(1, "alone.net", late.clone()),
        object(2, "both.net", late.clone()),
        object(3, "over.net", over),
        object(4, "twice.net", late.clone()),
    ]);
    let said = import(gone.clone(), "cert")?;
    assert!(said.contains("3 withdrawn, 1 revoked or over to no effect"), "{said}");
    for name in ["alone.net", "over.net"] {
        assert!(known(&table, &indicator("domain", name)).await.is_err(), "{name}");
    }
    let both = known(&table, &indicator("domain", "both.net")).await?;
    assert_eq!(both.sources.keys().collect::<Vec<_>>(), ["site-b"]);
    let twice = known(&table, &indicator("domain", "twice.net")).await?;
    assert!(twice.sources.contains_key("cert"), "another object still tells it");
    assert_eq!(table.refresh(false).await?, 2);
    // The same again, and then the last object.
    let said = import(gone, "cert")?;
    assert!(said.contains("0 withdrawn, 4 revoked"), "{said}");
    let said = import(json!([object(5, "twice.net", late)]), "cert")?;
    assert!(said.contains("1 withdrawn, 0 revoked"), "{said}");
    assert!(known(&table, &indicator("domain", "twice.net")).await.is_err());
    // A later version is told again, whichever comes first in the bundle.
    let again = json!([
        object(1, "alone.net", json!({ "modified": "2026-01-05T00:00:00Z" })),
        object(1, "alone.net", revoked("2026-01-04T00:00:00Z"))
    ]);
    let said = import(again, "cert")?;
    assert!(said.contains("1 new") && said.contains("0 withdrawn"), "{said}");
    let audit = site.stream("aurora:audit").await?;
    assert!(audit.iter().any(|entry| entry.text("details").contains("withdrawals=4")), "{audit:?}");
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_changed_tells_its_old_value_no_more() -> Result<()> {
    let site = plan().without_nats().brokers().await?;
    site.write_configuration(([127, 0, 0, 1], 0).into())?;
    let table = table_at(&site.redis.url(), |_| {})?;
    let path = site.folder().join("bundle.json").display().to_string();
    let import = |day: u32, names: &[&str], more: &str| -> Result<String> {
        let alternatives: Vec<String> = names.iter().map(|name| format!("domain-name:value = '{name}'")).collect();
        let mut object: Value = serde_json::from_str(more)?;
        object["type"] = "indicator".into();
        object["id"] = "indicator--1".into();
        object["modified"] = format!("2026-01-{day:02}T00:00:00Z").into();
        object["pattern"] = format!("[{}]", alternatives.join(" OR ")).into();
        fs::write(&path, json!({ "type": "bundle", "objects": [object] }).to_string())?;
        done(&site, &["intel", "import", &path, "--site", "cert"])
    };
    let is_there = async |name: &str| known(&table, &indicator("domain", name)).await.is_ok();
    import(1, &["wrong.net", "kept.net"], "{}")?;
    assert!(is_there("wrong.net").await);
    let said = import(2, &["right.net", "kept.net"], "{}")?;
    assert!(said.contains("1 new, 1 known before") && said.contains("1 withdrawn"), "{said}");
    assert!(!is_there("wrong.net").await && is_there("right.net").await && is_there("kept.net").await);
    // In whatever order they come.
    let said = import(1, &["wrong.net"], "{}")?;
    assert!(said.contains("1 withdrawn") && !is_there("wrong.net").await, "{said}");
    let said = import(3, &["right.net"], "{\"revoked\":true}")?;
    assert!(said.contains("2 withdrawn"), "{said}");
    assert!(!is_there("right.net").await && !is_there("kept.net").await);
    Ok(())
}

#[tokio::test]
async fn a_full_table_does_not_keep_a_bundle_from_withdrawing() -> Result<()> {
    let site = plan().without_nats().set("intel.max", 2).brokers().await?;
    site.write_configuration(([127, 0, 0, 1], 0).into())?;
    let file = site.folder().join("bundle.json");
    let path = file.display().to_string();
    let object = |id: u32, more: &str| {
        json!({
            "type": "indicator", "id": format!("indicator--{id}"), "modified": format!("2026-01-0{id}T00:00:00Z"),
            "pattern": format!("[domain-name:value = 'evil{id}.net']"), "revoked": more == "revoked",
        })
    };
    let write = |objects: Value| fs::write(&file, json!({ "type": "bundle", "objects": objects }).to_string());
    write(json!([object(1, ""), object(2, "")]))?;
    done(&site, &["intel", "import", &path])?;
    write(json!([object(1, "revoked"), object(3, ""), object(4, "")]))?;
    let (said, is_done) = aurora(&site, &["intel", "import", &path])?;
    assert!(!is_done && said.contains("1 withdrawn") && said.contains("no room for 2 more: intel.max is 2"), "{said}");
    let table = table_at(&site.redis.url(), |_| {})?;
    assert!(known(&table, &indicator("domain", "evil1.net")).await.is_err());
    let (said, is_done) = aurora(&site, &["intel", "add", "ip", "10.0.0.1"])?;
    assert!(!is_done && said.contains("never shared"), "{said}");
    let audit = site.stream("aurora:audit").await?;
    assert!(audit.iter().all(|entry| entry.text("action") != "intel-add"), "it is refused: {audit:?}");
    Ok(())
}
