//! Guests out of a registry: Debian's `docker-registry`, on a port of its own.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use harness::{Child, PATIENCE, free_port};

use super::{Bench, text};

/// A registry with a folder of its own.
pub(super) struct Registry {
    child: Child,
    pub host: String,
}

/// `aurora` with the password `secret`.
const USERS: &str = "aurora:$2b$04$B1lLkZAmfTQmNT/6FzOfaerGPsauaIojPa4FpF7B.BnVYOhUAKqzm\n";

impl Registry {
    pub async fn start(folder: &Path, asks: bool) -> Result<Self> {
        let port = free_port()?;
        let users = folder.join("users");
        fs::write(&users, USERS)?;
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display());
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}', debug: {{addr: '127.0.0.1:0'}}}}\n{}",
            folder.join("registry").display(),
            if asks { &*auth } else { "" },
        );
        fs::write(folder.join("registry.yml"), config)?;
        let arguments = ["serve".into(), folder.join("registry.yml")];
        let log = folder.join("registry.log");
        let mut child = Child::start("docker-registry", Path::new("docker-registry"), arguments, &log)?;
        let answers = async |_: &Child| {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        };
        child.wait_until(PATIENCE, answers).await?;
        Ok(Self { child, host: format!("127.0.0.1:{port}") })
    }
}

/// The reference that a command printed as a line of configuration.
pub(super) fn named(said: &super::Said) -> Result<String> {
    let line = said.text.lines().find_map(|line| line.strip_prefix("oci = \"")?.strip_suffix('"'));
    Ok(line.with_context(|| format!("no reference in {}", said.text))?.to_owned())
}

#[tokio::test]
async fn a_guest_comes_from_a_registry_and_later_needs_none() -> Result<()> {
    let bench = Bench::new()?;
    let mut registry = Registry::start(bench.folder.path(), false).await?;
    let tag = format!("{}/site/router:1", registry.host);
    bench.aurora(&["guest", "keygen", "site"])?.is(0, &[]);
    bench.aurora(&["guest", "sign", "--key", "site.key", "router.wasm"])?.is(0, &[]);
    let pushed = bench.aurora(&["guest", "push", "router.wasm", &tag])?;
    pushed.is(0, &["with its signatures", "@sha256:"]);
    let reference = named(&pushed)?;
    let pulled = bench.aurora(&["guest", "pull", &tag, "--out", "pulled.wasm"])?;
    ensure!(named(&pulled)? == reference, "{}", pulled.text);
    ensure!(fs::read(bench.path("pulled.wasm"))? == fs::read(bench.path("router.wasm"))?, "other bytes");
    bench.aurora(&["guest", "verify", "--key", "site.pub", "pulled.wasm"])?.is(0, &["signed by site"]);

    let trusted = "trusted_keys = ['site.pub']";
    bench.configure(&format!("oci = '{tag}'"), trusted, "")?;
    bench.check()?.is(1, &["a tag may stand for another guest tomorrow", &reference]);
    bench.configure(&format!("oci = '{reference}'"), trusted, "")?;
    bench.check()?.is(0, &["guest route      ok     router sha256:", "signed by site"]);

    registry.child.kill();
    bench.check()?.is(0, &["signed by site"]);
    let pipe = ["pipe", "--config", "aurora.toml"];
    bench.aurora(&pipe)?.is(0, &[]);

    // Each part of what is kept is damaged in turn, and missed as long as the registry is away.
    let kept: Vec<_> = fs::read_dir(bench.path("cache/oci"))?.collect::<Result<_, _>>()?;
    ensure!(kept.len() == 3, "manifest, component and signatures: {kept:?}");
    for entry in kept {
        let (path, whole) = (entry.path(), fs::read(entry.path())?);
        fs::write(&path, &whole[..whole.len() - 1])?;
        bench.check()?.is(1, &["cannot take 127.0.0.1:"]);
        fs::write(&path, whole)?;
    }
    bench.check()?.is(0, &[]);
    Ok(())
}

#[tokio::test]
async fn what_is_damaged_is_pulled_again() -> Result<()> {
    let bench = Bench::new()?;
    let registry = Registry::start(bench.folder.path(), false).await?;
    let pushed = bench.aurora(&["guest", "push", "router.wasm", &format!("{}/router:1", registry.host)])?;
    pushed.is(0, &["not signed"]);
    bench.configure(&format!("oci = '{}'", named(&pushed)?), "", "")?;
    bench.check()?.is(0, &["not signed"]);
    let kept: Vec<_> = fs::read_dir(bench.path("cache/oci"))?.collect::<Result<_, _>>()?;
    for entry in &kept {
        fs::write(entry.path(), "damaged")?;
        bench.check()?.is(0, &[]);
        ensure!(fs::read(entry.path())? != b"damaged", "{} was used as it was", entry.path().display());
    }
    Ok(())
}

#[tokio::test]
async fn a_registry_that_asks_who_we_are_is_told_from_a_file() -> Result<()> {
    let bench = Bench::new()?;
    let registry = Registry::start(bench.folder.path(), true).await?;
    fs::write(bench.path("password"), "secret\n")?;
    let reach = format!("host = '{}'\nusername = 'aurora'\npassword_file = 'password'", registry.host);
    let configure = |oci: &str, reach: &str| bench.configure(oci, "", &format!("[guests.registry]\n{reach}"));
    configure("path = 'router.wasm'", &reach)?;
    let tag = format!("{}/router:1", registry.host);
    bench.aurora(&["guest", "push", "router.wasm", &tag])?.is(1, &["registry"]);
    let pushed = bench.aurora(&["guest", "push", "--config", "aurora.toml", "router.wasm", &tag])?;
    pushed.is(0, &[]);
    let oci = format!("oci = '{}'", named(&pushed)?);
    configure(&oci, "timeout = '30s'")?;
    bench.check()?.is(1, &["cannot take 127.0.0.1:"]);
    configure(&oci, &reach.replace(&registry.host, "127.0.0.2:5000"))?;
    bench.check()?.is(1, &["cannot take 127.0.0.1:"]);
    configure(&oci, &reach)?;
    bench.check()?.is(0, &["router sha256:"]);
    fs::remove_dir_all(bench.path("cache"))?;
    // As `docker login` leaves it; `aurora:secret`.
    let login = format!(r#"{{"auths": {{"{}": {{"auth": "YXVyb3JhOnNlY3JldA=="}}}}}}"#, registry.host);
    fs::write(bench.path("config.json"), login)?;
    configure(&oci, &format!("auth_file = '{}'", text(&bench.path("config.json"))))?;
    bench.check()?.is(0, &["router sha256:"]);
    Ok(())
}

#[test]
fn what_names_no_guest_is_told_without_asking_anybody() -> Result<()> {
    let bench = Bench::new()?;
    for (written, told) in [
        ("oci = 'acme:1'", "names no registry"),
        ("oci = 'registry.example/acme@sha256:00'", "guests.route.oci"),
        ("oci = 'registry.example/acme:1'\npath = 'router.wasm'", "is set beside `path`"),
    ] {
        bench.configure(written, "", "")?;
        bench.check()?.is(1, &[told]);
    }
    Ok(())
}
