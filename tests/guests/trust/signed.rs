//! Signatures.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use harness::stock_guest;

use super::Bench;

/// All three guests signed by `site`, the stock ones as copies.
fn signed() -> Result<Bench> {
    let bench = Bench::new()?;
    for stage in ["normalize", "federate"] {
        fs::copy(stock_guest(&format!("{stage}-core"))?, bench.path(&format!("{stage}.wasm")))?;
    }
    bench.aurora(&["guest", "keygen", "site"])?.is(0, &["site.key", "site.pub"]);
    bench.aurora(&["guest", "keygen", "other"])?.is(0, &[]);
    let sign = ["guest", "sign", "--key", "site.key", "normalize.wasm", "federate.wasm", "router.wasm"];
    bench.aurora(&sign)?.is(0, &["router.wasm.sig"]);
    Ok(bench)
}

impl Bench {
    fn require(&self, required: bool) -> Result<()> {
        self.configure(
            "path = 'router.wasm'",
            &format!("require_signature = {required}\ntrusted_keys = ['site.pub']"),
            "",
        )?;
        let mut text = fs::read_to_string(self.path("aurora.toml"))?;
        for stage in ["normalize", "federate"] {
            let stock = stock_guest(&format!("{stage}-core"))?.display().to_string();
            text = text.replace(&stock, &format!("{stage}.wasm"));
        }
        Ok(fs::write(self.path("aurora.toml"), text)?)
    }
}

#[test]
fn a_signature_is_of_these_bytes_and_by_this_key() -> Result<()> {
    let bench = signed()?;
    bench.aurora(&["guest", "verify", "--key", "site.pub", "router.wasm"])?.is(0, &["signed by site ("]);
    bench.aurora(&["guest", "verify", "--key", "other.pub", "router.wasm"])?.is(1, &["FAILED", "none of"]);
    bench.aurora(&["guest", "sign", "--key", "other.key", "router.wasm"])?.is(0, &["beside 1 by other keys"]);
    bench.aurora(&["guest", "verify", "--key", "other.pub", "router.wasm"])?.is(0, &["signed by other ("]);
    bench.aurora(&["guest", "inspect", "--key", "site.pub", "router.wasm"])?.is(0, &["signature  signed by site ("]);
    let mut wasm = fs::read(bench.path("router.wasm"))?;
    // A custom section more: the same guest for whoever runs it.
    wasm.extend([0, 2, 1, b'x']);
    fs::write(bench.path("router.wasm"), wasm)?;
    bench.aurora(&["guest", "verify", "--key", "site.pub", "router.wasm"])?.is(1, &["FAILED", "of other bytes"]);
    bench.aurora(&["guest", "inspect", "--key", "site.pub", "router.wasm"])?.is(1, &["of other bytes"]);
    bench.aurora(&["guest", "sign", "--key", "site.pub", "router.wasm"])?.is(1, &["site.pub"]);
    bench.aurora(&["guest", "sign", "--key", "site.key", "site.pub"])?.is(1, &["no WebAssembly"]);
    Ok(())
}

#[test]
fn openssl_can_check_what_aurora_signs() -> Result<()> {
    let bench = signed()?;
    let script = r#"set -e
        printf 'aurora guest v1\nsha256:%s\n' "$(sha256sum <router.wasm | cut -d' ' -f1)" >message
        sed -n 's/.*"signature": "\(.*\)".*/\1/p' router.wasm.sig | base64 -d >signature
        openssl pkeyutl -verify -rawin -pubin -inkey site.pub -in message -sigfile signature"#;
    let done = Command::new("sh").args(["-c", script]).current_dir(bench.folder.path()).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

#[test]
fn what_is_not_signed_as_it_must_be_does_not_run() -> Result<()> {
    let bench = signed()?;
    bench.require(true)?;
    bench.check()?.is(0, &["guest route", "signed by site ("]);
    let (run, pipe) = (["run", "--config", "aurora.toml"], ["pipe", "--config", "aurora.toml"]);

    let signature = fs::read(bench.path("router.wasm.sig"))?;
    fs::remove_file(bench.path("router.wasm.sig"))?;
    bench.check()?.is(1, &["may not run here: it is not signed", "1 problem"]);
    bench.aurora(&run)?.is(1, &["may not run here: it is not signed"]);
    bench.aurora(&pipe)?.is(1, &["may not run here: it is not signed"]);

    bench.aurora(&["guest", "sign", "--key", "other.key", "router.wasm"])?.is(0, &[]);
    bench.check()?.is(1, &["which is none of guests.trusted_keys"]);

    fs::write(bench.path("router.wasm.sig"), "{}")?;
    bench.check()?.is(1, &["file of signatures is damaged"]);
    fs::write(bench.path("router.wasm.sig"), signature)?;
    bench.check()?.is(0, &[]);
    Ok(())
}

#[test]
fn what_is_there_and_wrong_does_not_run_even_if_nothing_is_required() -> Result<()> {
    let bench = signed()?;
    bench.require(false)?;
    fs::copy(bench.path("federate.wasm.sig"), bench.path("router.wasm.sig"))?;
    bench.check()?.is(1, &["its signature by site (", "of other bytes"]);
    bench.aurora(&["run", "--config", "aurora.toml"])?.is(1, &["of other bytes"]);
    fs::remove_file(bench.path("router.wasm.sig"))?;
    bench.check()?.is(0, &["not signed"]);
    Ok(())
}

#[test]
fn keys_that_anybody_could_have_put_there_are_named() -> Result<()> {
    let bench = signed()?;
    bench.require(true)?;
    let mode = |file: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(bench.path(file), fs::Permissions::from_mode(mode))
    };
    mode("site.pub", 0o666)?;
    bench.check()?.is(1, &["guests.trusted_keys[0]", "changed by anybody"]);
    mode("site.key", 0o644)?;
    bench
        .aurora(&["guest", "sign", "--key", "site.key", "router.wasm"])?
        .is(1, &["read or changed by others", "chmod 600"]);
    bench.configure("path = 'router.wasm'", "require_signature = true", "")?;
    bench.check()?.is(1, &["guests.trusted_keys: is empty"]);
    Ok(())
}
