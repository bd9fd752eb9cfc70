//! Who is believed: a file, Redis, a gate that somebody opens.

use std::fs;

use anyhow::Result;
use aurora::attestation::{Form, Signer};
use harness::Site;
use serde_json::Value;

use super::{Device, RESULTS, ask, aurora, enroll, pair, plan, results, verdicts, write_devices};

#[tokio::test]
async fn a_key_comes_in_through_an_open_gate_alone_and_is_not_believed_by_that() -> Result<()> {
    let site = plan().without_nats().start().await?;
    let mut device = Device::connect(&site, "esp32c3_env_01").await?;
    device.sends_key = true;
    // Nobody has enrolled it, so nobody even asks it; what it says by itself fails.
    let (said, done) = aurora(&site, &["device", "challenge", device.id, "--no-wait"])?;
    assert!(!done && said.contains("is not enrolled"), "{said}");
    // Nor is there anything to revoke, be it a slip of the pen or not; and nothing of it is written.
    let (said, done) = aurora(&site, &["device", "revoke", device.id, "--yes"])?;
    assert!(!done && said.contains("nobody has enrolled") && said.contains("aurora device list"), "{said}");
    let (said, _) = aurora(&site, &["device", "list"])?;
    assert!(said.contains("0 revoked") && !said.contains(device.id), "{said}");
    device.send(device.answer(&"00".repeat(32))).await?;
    assert_eq!(results(&site, 1).await?, [pair("failed", "not_enrolled")]);

    let (said, done) = aurora(&site, &["device", "enroll", device.id, "--await", "--for", "10m"])?;
    assert!(done && said.contains("may enrol itself"), "{said}");
    let nonce = ask(&site, &mut device).await?;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 2).await?[1], pair("structural_pass", ""));
    // The gate is closed: another key does not get in, and this one is the device's.
    let nonce = ask(&site, &mut device).await?;
    let own = std::mem::replace(&mut device.signer, Signer::generate());
    device.send(device.answer(&nonce)).await?;
    device.signer = own;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 4).await?[2..], [pair("failed", "signature"), pair("valid", "")]);
    let acts = site.wait_until("the audit trail", async || -> Result<_> {
        let audit = site.stream("aurora:audit").await?;
        let acts = audit.iter().filter(|entry| entry.text("action") == "device-enroll");
        let acts: Vec<_> = acts.map(|entry| (entry.text("agent"), entry.text("details"))).collect();
        anyhow::ensure!(acts.len() == 2, "{acts:?}");
        Ok(acts)
    });
    let acts = acts.await?;
    assert!(acts[0].0 == "aurora-cli" && acts[0].1.contains("await"), "{acts:?}");
    assert!(acts[1].0 == "aurora-host" && acts[1].1.contains("by=answer"), "{acts:?}");
    Ok(())
}

#[tokio::test]
async fn the_file_of_devices_is_read_again_when_it_changes() -> Result<()> {
    let mut site = plan().without_nats().brokers().await?;
    let path = write_devices(&site, "")?;
    site.set("attestation.devices", path.clone());
    site.start_daemon().await?;
    let mut device = Device::connect(&site, "stm32_pac_07").await?;
    (device.form, device.boots) = (Form::Legacy, 500);
    let entry = |more: &str| {
        format!("[[device]]\nid = \"stm32_pac_07\"\npublic_key = \"{}\"\n{more}\n", device.signer.key().hex())
    };
    let legacy = entry("message = \"legacy\"");
    fs::write(&path, &legacy)?;
    let (said, _) = aurora(&site, &["device", "list"])?;
    assert!(said.contains("stm32_pac_07") && said.contains("file"), "{said}");
    // Not by a command: what a file says, a file changes.
    let key = device.signer.key().hex();
    let (said, done) = aurora(&site, &["device", "enroll", "stm32_pac_07", "--key", &key, "--replace"])?;
    assert!(!done && said.contains("in the file of devices"), "{said}");
    let log = site.wait_until("the daemon to read the file", async || match site.log() {
        log if log.contains("read the file of devices again") => Ok(log),
        log => Err(log),
    });
    log.await?;
    let nonce = ask(&site, &mut device).await?;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 1).await?, [pair("valid", "")]);
    // A revocation in Redis holds whatever the file says of this key, and no command puts another one in its place.
    let (said, done) = aurora(&site, &["device", "revoke", device.id, "--yes"])?;
    assert!(done, "{said}");
    let new = Signer::generate();
    for way in [&["--key", &new.key().hex()][..], &["--await"]] {
        let (said, done) = aurora(&site, &[&["device", "enroll", device.id, "--replace"], way].concat())?;
        assert!(!done && said.contains("in the file of devices, which decides"), "{said}");
    }
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 2).await?[1], pair("failed", "revoked"));
    // The file can: the device is another one then. It has been started less often.
    let replaced = legacy.replace(&key, &new.key().hex());
    (device.signer, device.boots) = (new, 1);
    rewritten(&site, &path, &replaced).await?;
    let nonce = ask(&site, &mut device).await?;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 3).await?[2], pair("valid", ""));
    // Back to the one that was revoked: it is revoked still.
    rewritten(&site, &path, &legacy).await?;
    let (said, done) = aurora(&site, &["device", "challenge", device.id, "--no-wait"])?;
    assert!(!done && said.contains("is revoked"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_command_says_that_an_answer_is_malformed() -> Result<()> {
    let site = plan().without_nats().start().await?;
    let mut device = Device::connect(&site, "stm32_pac_09").await?;
    enroll(&site, &device, &[])?;
    let configuration = site.folder().join("aurora.toml");
    let asking = tokio::process::Command::new(harness::binary()?)
        .args(["device", "challenge", device.id, "--wait", "60s", "--config"])
        .arg(&configuration)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let nonce = device.challenge().await?;
    device.send(device.answer(&nonce).replace("\"boot_count\":1", "\"boot_count\":\"1\"")).await?;
    let said = asking.wait_with_output().await?;
    let (text, failed) = (String::from_utf8_lossy(&said.stdout), !said.status.success());
    assert!(failed && text.contains("stm32_pac_09 failed: invalid type"), "{text}");
    assert_eq!(results(&site, 1).await?, [pair("failed", "malformed")]);
    Ok(())
}

#[tokio::test]
async fn a_board_with_another_key_begins_to_count_anew() -> Result<()> {
    let site = plan().without_nats().start().await?;
    let mut device = Device::connect(&site, "stm32_pac_08").await?;
    enroll(&site, &device, &[])?;
    let mut expected = Vec::new();
    for (is_another, boots, status, cause) in [
        (false, 500, "valid", ""),
        (false, 499, "failed", "boot_count"),
        (true, 1, "valid", ""),
        (false, 0, "failed", "boot_count"),
    ] {
        if is_another {
            device.signer = Signer::generate();
            enroll(&site, &device, &["--replace"])?;
        }
        device.boots = boots;
        let nonce = ask(&site, &mut device).await?;
        device.send(device.answer(&nonce)).await?;
        expected.push(pair(status, cause));
        assert_eq!(results(&site, expected.len()).await?, expected);
    }
    Ok(())
}

/// Changes the file of devices, and waits until the daemon has read it once more.
async fn rewritten(site: &Site, path: &str, text: &str) -> Result<()> {
    let read = || site.log().matches("read the file of devices again").count();
    let before = read();
    fs::write(path, text)?;
    site.wait_until("the daemon to read the file again", async || match read() {
        count if count > before => Ok(()),
        count => Err(count),
    })
    .await
}

#[tokio::test]
async fn the_command_waits_for_the_verdict_and_says_it() -> Result<()> {
    let site = plan().without_nats().start().await?;
    // The simulator is a device of another make: our own client, and a key out of a file.
    let key = site.folder().join("bench.pem");
    let arguments = ["device", "simulate", "bench_01", "--new-key", "--answers", "2", "--key"];
    let configuration = site.folder().join("aurora.toml");
    let mut simulated = tokio::process::Command::new(harness::binary()?)
        .args(arguments)
        .arg(&key)
        .arg("--config")
        .arg(&configuration)
        .kill_on_drop(true)
        .spawn()?;
    let public = site.folder().join("bench.pem.pub");
    site.wait_until("the simulator to listen", async || -> Result<()> {
        let heard = site.scrape().await?.get("aurora_events_published_total")?;
        anyhow::ensure!(public.exists() && heard >= 1.0, "{heard} heartbeats");
        Ok(())
    })
    .await?;
    let public = public.display().to_string();
    let (said, done) = aurora(&site, &["device", "enroll", "bench_01", "--key", &public])?;
    assert!(done, "{said}");
    let (said, done) = aurora(&site, &["device", "challenge", "bench_01", "--wait", "60s"])?;
    assert!(done && said.contains("bench_01 valid: ") && said.contains("firmware was not compared"), "{said}");
    // Believed no more for its firmware, as of now.
    let firmware = "ab".repeat(32);
    let arguments = ["device", "enroll", "bench_01", "--key", &public, "--firmware", &firmware, "--replace"];
    let (said, done) = aurora(&site, &arguments)?;
    assert!(done, "{said}");
    let (said, done) = aurora(&site, &["device", "challenge", "bench_01", "--wait", "60s"])?;
    assert!(!done && said.contains("bench_01 failed: runs a firmware that is not expected"), "{said}");
    assert!(simulated.wait().await?.success());
    let (said, _) = aurora(&site, &["device", "list", "--format", "json"])?;
    let line: Value = serde_json::from_str(said.lines().next().unwrap_or_default())?;
    assert_eq!((&line["device_id"], &line["last"]["cause"]), (&"bench_01".into(), &"firmware".into()), "{line}");
    assert_eq!(verdicts(&site.stream(RESULTS).await?).len(), 2);
    Ok(())
}
