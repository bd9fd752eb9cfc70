//! The files that a configuration names: where they are, and whether they hold what they should.

use std::{
    borrow::Cow,
    fs, io,
    io::Read as _,
    iter,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{Config, Purpose, findings::Findings, quoted};
use crate::{
    attestation::Registry,
    supply::PublicKey,
    swap::has_run,
    tasks,
    telemetry::{Chain, SlotName},
};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Authorities,
    Certificate,
    PrivateKey,
    Secret,
    Credentials,
    Component,
    TrustedKey,
    Cache,
    Spool,
    List,
    Devices,
}

/// Every path of a configuration, with its key.
pub(super) fn paths(config: &mut Config) -> Vec<(Cow<'static, str>, Use, &mut PathBuf)> {
    let mut all = Vec::new();
    let mut add = |key: &'static str, of, path| {
        if let Some(path) = path {
            all.push((Cow::Borrowed(key), of, path));
        }
    };
    if let Some(mqtt) = &mut config.mqtt {
        add("mqtt.password_file", Use::Secret, mqtt.password_file.as_mut());
        add("mqtt.ca", Use::Authorities, mqtt.ca.as_mut());
        add("mqtt.cert", Use::Certificate, mqtt.cert.as_mut());
        add("mqtt.key", Use::PrivateKey, mqtt.key.as_mut());
    }
    if let Some(ingest) = &mut config.ingest {
        add("ingest.token_file", Use::Secret, ingest.token_file.as_mut());
    }
    if let Some(broadcast) = &mut config.broadcast {
        add("broadcast.token_file", Use::Secret, broadcast.token_file.as_mut());
    }
    add("admin.token_file", Use::Secret, config.admin.token_file.as_mut());
    if let Some(attestation) = &mut config.attestation {
        add("attestation.devices", Use::Devices, attestation.devices.as_mut());
    }
    if let Some(redis) = &mut config.redis {
        add("redis.ca", Use::Authorities, redis.ca.as_mut());
    }
    if let Some(spool) = &mut config.spool {
        add("spool.path", Use::Spool, Some(&mut spool.path).filter(|path| !path.as_os_str().is_empty()));
    }
    if let Some(nats) = &mut config.nats {
        add("nats.credentials", Use::Credentials, nats.credentials.as_mut());
        add("nats.ca", Use::Authorities, nats.ca.as_mut());
        add("nats.cert", Use::Certificate, nats.cert.as_mut());
        add("nats.key", Use::PrivateKey, nats.key.as_mut());
    }
    for (index, list) in config.federation.ceiling.never.lists.iter_mut().enumerate() {
        all.push((list_key(index).into(), Use::List, list));
    }
    let mut add = |key: &'static str, of, path| {
        if let Some(path) = path {
            all.push((Cow::Borrowed(key), of, path));
        }
    };
    let guests = &mut config.guests;
    add("guests.cache", Use::Cache, guests.cache.as_mut());
    add("guests.registry.password_file", Use::Secret, guests.registry.password_file.as_mut());
    add("guests.registry.auth_file", Use::Secret, guests.registry.auth_file.as_mut());
    add("guests.registry.ca", Use::Authorities, guests.registry.ca.as_mut());
    for (index, path) in guests.trusted_keys.iter_mut().enumerate() {
        all.push((format!("guests.trusted_keys[{index}]").into(), Use::TrustedKey, path));
    }
    let always =
        [("normalize", &mut guests.normalize), ("route", &mut guests.route), ("federate", &mut guests.federate)];
    for (stage, guest) in always.into_iter().chain(guests.inbound.as_mut().map(|guest| ("inbound", guest))) {
        let of_rules = guest.rules.iter_mut().enumerate().map(|(index, rule)| (Some(index), &mut rule.guest.path));
        for (rule, path) in iter::once((None, &mut guest.path)).chain(of_rules) {
            let section = rule.map_or_else(String::new, |index| format!(".rule[{index}]"));
            if !path.as_os_str().is_empty() {
                all.push((format!("guests.{stage}{section}.path").into(), Use::Component, path));
            }
        }
    }
    for (name, agent) in config.tasks.iter_mut().flat_map(|tasks| &mut tasks.agents) {
        if !agent.path.as_os_str().is_empty() {
            all.push((format!("tasks.agents.{}.path", quoted(name)).into(), Use::Component, &mut agent.path));
        }
    }
    all
}

/// Opens what the purpose needs and looks inside. A rehearsal with `pipe` reaches no broker, so it needs no secrets.
pub(super) fn check(config: &mut Config, findings: &mut Findings) {
    let replaceable = replaceable(config, findings.purpose());
    for (key, of, path) in paths(config) {
        if findings.purpose() == Purpose::Pipe
            && !matches!(of, Use::Component | Use::Cache | Use::TrustedKey | Use::List)
            || replaceable.iter().any(|known| *known == key)
        {
            continue;
        }
        if let Err((what, remedy)) = check_one(of, path) {
            findings.problem(key, what, remedy);
        }
    }
    // Those that are no files were told of above.
    for (index, what) in config.federation.ceiling.never.read() {
        if !findings.has(&list_key(index)) {
            findings.problem(
                list_key(index),
                what,
                "name a warning list of MISP, or a file with one observable a line",
            );
        }
    }
    if findings.purpose() == Purpose::Run {
        let mqtt = config.mqtt.as_ref().map(|mqtt| (&mqtt.cert, &mqtt.key));
        let nats = config.nats.as_ref().map(|nats| (&nats.cert, &nats.key));
        for (key, pair) in [("mqtt.key", mqtt), ("nats.key", nats)] {
            if let Some((Some(cert), Some(private))) = pair
                && is_other_pair(cert, private)
            {
                let what = "belongs to another certificate than `cert`";
                findings.problem(key, what, "name the key that the certificate was made for");
            }
        }
    }
}

/// Keys of components without which the daemon may start all the same: with the guest that ran before, or with the last
/// good one of their stage. Whether there is one, the loader knows, and it tells what is wrong with the file as well.
fn replaceable(config: &Config, purpose: Purpose) -> Vec<String> {
    let (guests, mut keys) = (&config.guests, Vec::new());
    let Some(cache) = guests.cache.as_ref().filter(|_| purpose == Purpose::Run) else { return keys };
    for (stage, guest) in guests.stages() {
        if guest.breaker.may_stand_in(stage) || has_run(cache, &stage.into()) {
            keys.push(format!("guests.{stage}.path"));
        }
        for (index, rule) in guest.rules.iter().enumerate() {
            if has_run(cache, &SlotName::of_rule(stage, &rule.name)) {
                keys.push(format!("guests.{stage}.rule[{index}].path"));
            }
        }
    }
    for name in config.tasks.iter().flat_map(|tasks| tasks.agents.keys()) {
        if has_run(cache, &tasks::place(name)) {
            keys.push(format!("tasks.agents.{}.path", quoted(name)));
        }
    }
    keys
}

const KEY: &str = "name the public key that `aurora guest keygen` or `openssl pkey -pubout` wrote";

fn list_key(index: usize) -> String {
    format!("federation.ceiling.never.lists[{index}]")
}

type Refusal = (String, String);

fn refuse<T>(path: &Path, what: &str, remedy: &str) -> Result<T, Refusal> {
    Err((format!("{} {what}", path.display()), remedy.to_owned()))
}

fn check_one(of: Use, path: &Path) -> Result<(), Refusal> {
    if path.as_os_str().is_empty() {
        return Err(("is empty".to_owned(), "give a path, or leave the key out".to_owned()));
    }
    match of {
        Use::Cache | Use::Spool if path.exists() && !path.is_dir() => refuse(path, "is not a folder", "name a folder"),
        Use::Cache | Use::Spool => Ok(()),
        Use::Component => check_component(path),
        Use::TrustedKey => {
            PublicKey::read(path).map(|_| ()).map_err(|error| (Chain(&error).to_string(), KEY.to_owned()))
        }
        Use::List => open(path).map(drop),
        Use::Devices => match Registry::load(Some(path)) {
            Ok(_) => Ok(()),
            Err(error) => Err((Chain(&error).to_string(), "see deploy/README.md, \"Attestation\"".to_owned())),
        },
        Use::Secret if read(path)?.trim_ascii().is_empty() => {
            refuse(path, "holds no secret", "write it on the first line")
        }
        Use::Secret => Ok(()),
        Use::Credentials => {
            let bytes = read(path)?;
            let holds = |marker: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
            if holds(b"BEGIN NATS USER JWT") && holds(b"BEGIN USER NKEY SEED") {
                return Ok(());
            }
            refuse(path, "holds no NATS credentials (a user JWT and its seed)", "write them with `nsc generate creds`")
        }
        Use::PrivateKey => check_key(path),
        Use::Authorities => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                if let Err(error) = roots.add(certificate) {
                    return refuse(path, &format!("holds a damaged certificate: {error}"), "export it again as PEM");
                }
            }
            Ok(())
        }
        Use::Certificate => certificates(path).map(drop),
    }
}

fn open(path: &Path) -> Result<fs::File, Refusal> {
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path).or_else(|error| unreadable(path, &error))?.is_file() {
        return refuse(path, "is not a file", "name a file");
    }
    fs::File::open(path).or_else(|error| unreadable(path, &error))
}

fn unreadable<T>(path: &Path, error: &io::Error) -> Result<T, Refusal> {
    match error.kind() {
        io::ErrorKind::NotFound => refuse(path, "does not exist", "correct the path, or create the file"),
        io::ErrorKind::PermissionDenied => {
            refuse(path, "may not be read", "give the daemon's user permission to read it")
        }
        _ => refuse(path, &format!("cannot be read: {error}"), "make it readable"),
    }
}

/// Reads at most 1 MiB, far more than a chain or a secret takes.
fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    match open(path)?.take(1 << 20).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => unreadable(path, &error),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if PrivateKeyDer::from_pem_slice(&bytes).is_ok() => {
            refuse(path, "holds a private key and no certificate", "name the certificate's file")
        }
        Ok(_) => refuse(path, "holds no PEM certificate", "it needs a -----BEGIN CERTIFICATE----- section"),
        Err(error) => refuse(path, &format!("holds damaged PEM: {error}"), "export it again as PEM"),
    }
}

fn check_key(path: &Path) -> Result<(), Refusal> {
    let bytes = read(path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => match rustls::crypto::ring::default_provider().key_provider.load_private_key(key) {
            Ok(_) => Ok(()),
            Err(_) => refuse(path, "holds a private key that TLS cannot use", "make an ECDSA, Ed25519 or RSA key"),
        },
        Err(_) if bytes.windows(9).any(|window| window == b"ENCRYPTED") => {
            refuse(path, "holds an encrypted private key", "decrypt it with `openssl pkey`, and guard the file instead")
        }
        Err(_) if CertificateDer::from_pem_slice(&bytes).is_ok() => {
            refuse(path, "holds a certificate and no private key", "name the key's file")
        }
        Err(_) => refuse(path, "holds no PEM private key", "it needs a -----BEGIN PRIVATE KEY----- section"),
    }
}

/// Whether both files are sound and do not belong together.
fn is_other_pair(cert: &Path, key: &Path) -> bool {
    let (Ok(chain), Ok(bytes)) = (certificates(cert), read(key)) else { return false };
    let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) else { return false };
    let pair = rustls::sign::CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
    matches!(pair, Err(rustls::Error::InconsistentKeys(_)))
}

/// Looks at the first eight bytes. What the component imports and exports is the sandbox's to check.
fn check_component(path: &Path) -> Result<(), Refusal> {
    let mut head = [0; 8];
    let length = open(path)?.take(8).read(&mut head).unwrap_or(0);
    match (&head[..4], &head[4..], length) {
        (b"\0asm", [_, _, 1, 0], 8) => Ok(()),
        (b"\0asm", [1, 0, 0, 0], 8) => {
            refuse(path, "is a core module, not a component", "build it with `make guests` or `cargo component build`")
        }
        _ => refuse(path, "is not a WebAssembly component", "build it with `make guests` or `cargo component build`"),
    }
}
