//! Guests in JavaScript, Python and C: the templates of `aurora guest new`, each built, tested and run as an author would,
//! and held against the one in Rust. `.ci/languages` installs what they are built with.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};
use harness::{binary, pipe, stock_guest, target};
use tempfile::TempDir;

/// Runs `aurora` in `folder`, and gives what it printed; an error if it does not end with `code`.
fn aurora(folder: &Path, arguments: &[&str], code: i32) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(arguments).current_dir(folder).env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
    let Output { status, stdout, stderr } = command.output().context("cannot run aurora")?;
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.code() == Some(code), "{arguments:?} ended with {status}:\n{text}");
    Ok(text)
}

/// A new normalizer in `language`, with what builds it as its author would have installed it. None where that is not
/// there: in CI that is an error.
fn guest(language: &str) -> Result<Option<(TempDir, PathBuf)>> {
    let installed = target()?.join("languages").join(language);
    let tool = match language {
        "js" => Some(installed.join("node_modules")),
        "python" => Some(installed.join(".venv")),
        _ => None,
    };
    let there = match &tool {
        Some(_) => installed.join("done").is_file(),
        None => Command::new("clang").arg("--version").output().is_ok(),
    };
    if !there {
        ensure!(env::var("CI").as_deref() != Ok("true"), "what builds guests in {language} is not installed");
        eprintln!("SKIPPED: what builds guests in {language} is not installed; .ci/languages does it");
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let name = format!("acme-{language}");
    aurora(folder.path(), &["guest", "new", "normalize", &name, "--lang", language], 0)?;
    let guest = folder.path().join(&name);
    if let Some(tool) = &tool {
        let said = aurora(&guest, &["guest", "build", "."], 1)?;
        let remedy = if language == "js" { "run: npm install" } else { "run: python3 -m venv .venv" };
        ensure!(said.contains(remedy), "the remedy is not named: {said}");
        symlink(tool, guest.join(tool.file_name().unwrap_or_default()))?;
    }
    let said = aurora(&guest, &["guest", "build", "."], 0)?;
    ensure!(said.contains("needs grants = [\"log\"]"), "{said}");
    Ok(Some((folder, guest)))
}

/// What a new guest in `language` must do: its cases, whatever comes in, and the same as the one in Rust.
fn holds(language: &str) -> Result<()> {
    let Some((_folder, guest)) = guest(language)? else { return Ok(()) };
    let said = aurora(&guest, &["guest", "test", ".", "--seed", "1"], 0)?;
    for check in ["ok    alarm", "ok    malformed", "ok    hostile", "0 failed"] {
        ensure!(said.contains(check), "no {check} in {said}");
    }
    let alike = tempfile::tempdir()?;
    let case = alike.path().join("alike");
    fs::create_dir(&case)?;
    fs::write(case.join("input"), alike_input())?;
    fs::write(case.join("case.toml"), "source = \"acme\"\n[options]\nvendor = \"A\\\"\\n\\u00e9\\U0001F600\"\n")?;
    let cases = alike.path().to_str().context("a path that is not UTF-8")?;
    let rust = reference()?;
    let rust = rust.to_str().context("a path that is not UTF-8")?;
    let trial = ["guest", "test", "--hostile", "0", "--max-memory", "64MiB", "--cases", cases];
    aurora(&guest, &[&trial[..], &["--update", rust]].concat(), 0)?;
    aurora(&guest, &[&trial[..], &["."]].concat(), 0)?;
    // A setting of another type fails the call, and says why.
    fs::write(case.join("case.toml"), "source = \"acme\"\n[options]\nvendor = 5\n")?;
    let said = aurora(&guest, &[&trial[..], &["."]].concat(), 1)?;
    ensure!(said.contains("invalid settings: option vendor: expected a string"), "{said}");

    let stock = stock_guest("route-core")?;
    let stock = stock.parent().and_then(Path::to_str).context("no folder of guests")?;
    let own = format!("normalize={}/target/guests/acme-{language}.wasm", guest.display());
    let lines =
        pipe(&["--guests", stock, "--guest", &own], b"level=alarm src=45.155.205.233 msg=forced open\nx")?.lines;
    ensure!(lines[0].event(0)["severity"] == "high" && lines[0].outcome() == "accepted", "{lines:?}");
    ensure!(lines[0].event(0)["iocs"][0]["value"] == "45.155.205.233", "{lines:?}");
    ensure!(lines[1].outcome() == "rejected" && lines[1].reason().contains("at byte 1"), "{lines:?}");
    Ok(())
}

/// The template in Rust.
fn reference() -> Result<PathBuf> {
    let folder = tempfile::tempdir()?;
    let out = target()?.join("author/reference");
    aurora(folder.path(), &["guest", "new", "normalize", "reference"], 0)?;
    let mut build = Command::new(binary()?);
    build.args(["guest", "build", "reference", "--out"]).arg(&out).current_dir(folder.path());
    build.env("CARGO_TARGET_DIR", target()?.join("author")).env("CARGO_NET_OFFLINE", "true");
    let built = build.output()?;
    if !built.status.success() {
        bail!("{}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(out.join("reference.wasm"))
}

/// Lines on which libraries of different languages like to differ.
fn alike_input() -> Vec<u8> {
    let addresses = [
        "0.1.2.3",
        "9.255.255.255",
        "10.0.0.1",
        "100.63.1.1",
        "100.64.0.1",
        "127.1",
        "169.254.0.9",
        "172.31.255.255",
        "172.32.0.1",
        "192.0.0.8",
        "192.0.1.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.17.9.9",
        "198.19.9.9",
        "198.51.100.7",
        "203.0.113.9",
        "203.0.114.9",
        "223.255.255.255",
        "224.0.0.1",
        "255.255.255.255",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4 ",
        "::",
        "::1",
        "2001:db8::1",
        "2001:4860:4860::8888",
        "2001:2::1",
        "2001:20::1",
        "2001:40::1",
        "3fff::1",
        "3fff:1000::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
        "64:ff9b::a00:1",
        "2606:4700::",
        "2606:4700:::1",
        "1::2::3",
        "12345::1",
        "2606:4700:0:0:0:0:0:1:2",
        ":1",
        "g::1",
        "fe80::1%eth0",
        "::ffff:1.2.3.4",
        "::ffff:10.2.3.4",
        "",
    ];
    let times = [
        "2026-02-28T23:58:20Z",
        "2024-02-29t00:00:00z",
        "2023-02-29T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "2026-02-28T23:58:20.1+02:00",
        "2026-02-28T23:58:20.123456789-11:30",
        "2026-02-28",
        "2026-02-28T24:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-02-28T23:58:20",
        "2026-02-28T23:58:20.Z",
        "0001-01-01T00:00:00Z",
    ];
    // Canonical ones only: one SDK writes an address again, the others leave it as it came.
    let mut lines: Vec<Vec<u8>> = Vec::new();
    lines.extend(addresses.iter().map(|address| format!("src={address} msg=a").into_bytes()));
    lines.extend(times.iter().map(|time| format!("time={time} msg=t").into_bytes()));
    let odd: [&[u8]; 15] = [
        b"msg=",
        "a=\u{a0}b\u{b}c\u{85} d=\u{1c} msg=spaces".as_bytes(),
        b"",
        b"#",
        b"a=1 a=2 b==x =y msg=msg=z",
        b"a=1\tb=2 msg=\ttabs\t",
        b"__proto__=1 constructor=2 msg=p",
        b"2=b 1=a msg=order",
        "k\u{e9}y=\u{1f600} msg=\u{1f600}\u{0}\u{7f}".as_bytes(),
        b"\xff msg=",
        b"msg=\xe2\x82",
        b"msg=ok\xed\xa0\x80",
        b"msg=\xc0\x80",
        b"msg=\xf4\x90\x80\x80",
        "\u{feff}level=alarm msg=bom".as_bytes(),
    ];
    lines.extend(odd.iter().map(|line| line.to_vec()));
    lines.join(&b'\n')
}

#[test]
fn a_guest_in_javascript_does_what_the_one_in_rust_does() -> Result<()> {
    holds("js")
}

#[test]
fn a_guest_in_python_does_what_the_one_in_rust_does() -> Result<()> {
    holds("python")
}

#[test]
fn a_guest_in_c_does_what_the_one_in_rust_does() -> Result<()> {
    holds("c")
}

#[test]
fn a_folder_that_is_no_guest_or_lacks_its_manifest_is_told_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let said = aurora(folder.path(), &["guest", "build", "."], 1)?;
    ensure!(said.contains("Cargo.toml, guest.js, guest.py, guest.c"), "{said}");
    fs::write(folder.path().join("guest.c"), "")?;
    let said = aurora(folder.path(), &["guest", "build", "."], 1)?;
    ensure!(said.contains("no guest.toml"), "{said}");
    fs::write(folder.path().join("guest.toml"), "name = \"../x\"\nstage = \"normalize\"\n")?;
    let said = aurora(folder.path(), &["guest", "build", "."], 1)?;
    ensure!(said.contains("guest.toml is wrong") && said.contains("lower-case letters"), "{said}");
    Ok(())
}
