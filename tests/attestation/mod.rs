//! Devices that prove what they are, and those that cannot: over real brokers, with real signatures and the built daemon.

mod device;
mod answers;
mod enrolment;
mod hosts;
mod flood;
mod health;

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use harness::{Entry, Plan, Site, binary};
use serde_json::Value;

use device::Device;

const RESULTS: &str = "aurora:cps:attestation";
const ALERTS: &str = "aurora:cps:alerts";

/// A site that asks devices when it is told to, and tells each failure.
fn plan() -> Plan {
    Site::plan().set("attestation.interval", "0s").set("attestation.repeat_window", "0s")
}

/// Runs `aurora` with `arguments` and the site's configuration: what it says, and whether it succeeds.
fn aurora(site: &Site, arguments: &[&str]) -> Result<(String, bool)> {
    let configuration = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(arguments).arg("--config").arg(configuration).output()?;
    let text = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Ok((text, output.status.success()))
}

/// Enrols `device` in Redis, with its key.
fn enroll(site: &Site, device: &Device, more: &[&str]) -> Result<()> {
    let key = device.signer.key().hex();
    let (said, done) = aurora(site, &[&["device", "enroll", device.id, "--key", &key], more].concat())?;
    ensure!(done, "{said}");
    Ok(())
}

/// Has `device` asked, and gives the nonce that it hears.
async fn ask(site: &Site, device: &mut Device) -> Result<String> {
    let (said, done) = aurora(site, &["device", "challenge", device.id, "--no-wait"])?;
    ensure!(done, "{said}");
    device.challenge().await
}

/// The status, the cause and the reason of each result, in order.
fn verdicts(entries: &[Entry]) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| {
            let data = entry.data();
            (text(&data["status"]), text(&data["fields"]["attestation.cause"]), text(&data["reason"]))
        })
        .collect()
}

/// Waits for `count` results, and gives the status and the cause of each.
async fn results(site: &Site, count: usize) -> Result<Vec<(String, String)>> {
    let entries = site.stream_of(RESULTS, count).await?;
    ensure!(entries.len() == count, "{:?}", verdicts(&entries));
    Ok(verdicts(&entries).into_iter().map(|(status, cause, _)| (status, cause)).collect())
}

fn pair(status: &str, cause: &str) -> (String, String) {
    (status.to_owned(), cause.to_owned())
}

/// Writes the site's file of devices.
fn write_devices(site: &Site, text: &str) -> Result<String> {
    let path = site.folder().join("devices.toml");
    fs::write(&path, text).context("cannot write the file of devices")?;
    Ok(path.display().to_string())
}
