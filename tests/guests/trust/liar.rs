//! A registry that lies: whatever it answers, nothing runs but what was named, and nothing waits for it for ever.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use aurora::sandbox::Digest;
use harness::PATIENCE;

use super::Bench;

/// What a liar does with a request for this path.
type Lie = Arc<dyn Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// Answers on a port of its own until the test ends. What was asked, line by line, is kept.
struct Liar {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    fn start(lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (lie, heard) = (Arc::clone(&lie), Arc::clone(&heard));
                thread::spawn(move || answer(stream, &lie, &heard));
            }
        });
        Ok(Self { port, asked })
    }

    fn named(&self, digest: &Digest) -> String {
        format!("oci = '127.0.0.1:{}/router@{digest}'", self.port)
    }

    fn asked(&self) -> String {
        self.asked.lock().expect("no test has panicked").join("\n")
    }
}

/// One request, then the end: a liar keeps no connection.
fn answer(mut stream: TcpStream, lie: &Lie, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    heard.lock().expect("no test has panicked").extend(std::iter::once(request.clone()).chain(head));
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    lie(&path, &mut stream)
}

fn whole(stream: &mut TcpStream, status: &str, head: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// The manifest of a guest whose component is `wasm`.
fn manifest(wasm: &[u8], size: usize) -> Vec<u8> {
    let blob = |media_type: &str, digest: &Digest, size: usize| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let config = blob("application/vnd.wasm.config.v0+json", &Digest::of(b"{}"), 2);
    let layer = blob("application/wasm", &Digest::of(wasm), size);
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#).into_bytes()
}

/// What is said of a guest that this liar gives.
fn told(lie: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Result<String> {
    let (bench, liar) = (Bench::new()?, Liar::start(Arc::new(lie))?);
    bench.configure(&liar.named(&Digest::of(&good())), "", "[guests.registry]\ntimeout = '2s'")?;
    let began = Instant::now();
    let said = bench.check()?;
    said.is(1, &["cannot take 127.0.0.1:"]);
    assert!(began.elapsed() < PATIENCE, "it was waited for: {:?}", began.elapsed());
    assert!(!bench.path("cache/oci").exists(), "something of it was kept");
    Ok(said.text)
}

const WASM: &[u8] = b"\0asm\r\0\x01\0";

fn good() -> Vec<u8> {
    manifest(WASM, WASM.len())
}

/// Tells the truth about the login and the manifest, and `blob` about the blob.
fn of_blob(blob: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Result<String> {
    told(move |path, stream| match path {
        "/v2/" => whole(stream, "200 OK", "", b"{}"),
        path if path.contains("/manifests/") => whole(stream, "200 OK", "", &good()),
        _ => blob(stream),
    })
}

/// The same about the manifest.
fn of_manifest(lie: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Result<String> {
    told(move |path, stream| match path {
        "/v2/" => whole(stream, "200 OK", "", b"{}"),
        _ => lie(stream),
    })
}

#[test]
fn another_manifest_or_another_component_is_not_taken() -> Result<()> {
    let other = of_manifest(|stream| whole(stream, "200 OK", "", &manifest(b"other", 5)))?;
    assert!(other.contains("the registry gave something else"), "{other}");
    let claimed = format!("Docker-Content-Digest: {}\r\n", Digest::of(&good()));
    let other = of_manifest(move |stream| whole(stream, "200 OK", &claimed, &manifest(b"other", 5)))?;
    assert!(other.contains("the registry gave something else"), "{other}");
    let other = of_blob(|stream| whole(stream, "200 OK", "", b"\0asm\r\0\x01\x01"))?;
    assert!(other.to_lowercase().contains("digest"), "{other}");
    Ok(())
}

#[test]
fn what_has_no_end_is_not_read_to_it() -> Result<()> {
    let endless = |stream: &mut TcpStream| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b' '; 64 << 10])?;
        }
    };
    let manifest = of_manifest(endless)?;
    assert!(manifest.contains("its manifest has more than 4194304 bytes"), "{manifest}");
    let blob = of_blob(endless)?;
    assert!(blob.contains(&format!("the component has more than {} bytes", WASM.len())), "{blob}");
    Ok(())
}

#[test]
fn a_registry_that_does_not_come_to_an_end_is_given_up() -> Result<()> {
    let silent = of_manifest(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        // Until the other side gives up.
        let _ = std::io::Read::read(stream, &mut [0]);
        Ok(())
    })?;
    assert!(silent.contains("has not given it within 2s"), "{silent}");
    let drips = of_blob(|stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\n")?;
        loop {
            stream.set_read_timeout(Some(Duration::from_millis(700)))?;
            stream.write_all(b"x")?;
            let _ = std::io::Read::read(stream, &mut [0]);
        }
    })?;
    assert!(drips.contains("within 2s") || drips.contains("digest") || drips.contains("half of it"), "{drips}");
    let circle = of_manifest(|stream| whole(stream, "307 Temporary Redirect", "Location: /v2/x\r\n", b""))?;
    assert!(circle.contains("redirect"), "{circle}");
    let half = of_blob(|stream| write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"))?;
    assert!(half.contains("half of it"), "{half}");
    Ok(())
}

#[test]
fn errors_are_told_and_do_not_steer_the_terminal() -> Result<()> {
    let refused = of_manifest(|stream| whole(stream, "403 Forbidden", "", b"\x1b[2Jno"))?;
    assert!(refused.contains("403") && !refused.contains('\u{1b}'), "{refused}");
    let refused = of_blob(|stream| whole(stream, "500 Oh", "", b"\x1b[2Jno"))?;
    assert!(refused.contains("500") && !refused.contains('\u{1b}'), "{refused}");
    Ok(())
}

#[test]
fn a_redirect_elsewhere_is_followed_without_the_password() -> Result<()> {
    let elsewhere = Liar::start(Arc::new(|_, stream| whole(stream, "200 OK", "", WASM)))?;
    let to = format!("Location: http://localhost:{}/blob\r\n", elsewhere.port);
    let liar = Liar::start(Arc::new(move |path, stream| match path {
        "/v2/" => whole(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        path if path.contains("/manifests/") => whole(stream, "200 OK", "", &good()),
        _ => whole(stream, "307 Temporary Redirect", &to, b""),
    }))?;
    let bench = Bench::new()?;
    std::fs::write(bench.path("password"), "secret")?;
    let registry =
        format!("[guests.registry]\nhost = '127.0.0.1:{}'\nusername = 'aurora'\npassword_file = 'password'", liar.port);
    bench.configure(&liar.named(&Digest::of(&good())), "", &registry)?;
    // It is pulled, and is no guest; that it was, the store shows.
    bench.check()?.is(1, &["exports nothing"]);
    assert!(liar.asked().to_lowercase().contains("authorization: basic"), "{}", liar.asked());
    let asked = elsewhere.asked();
    assert!(asked.starts_with("GET /blob") && !asked.to_lowercase().contains("authorization"), "{asked}");
    Ok(())
}
