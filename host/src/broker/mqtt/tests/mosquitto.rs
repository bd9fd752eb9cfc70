//! A mosquitto of the test's own.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::wait_until;

pub(super) struct Mosquitto {
    child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

/// A port that nobody has at the moment. Somebody may take it before we do, so the caller tries again.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Mosquitto {
    /// Starts one that lets everybody in.
    pub async fn start() -> Self {
        Self::with("allow_anonymous true\n", |_| {}).await
    }

    /// Starts one with more configuration lines, in which `DIR` is the broker's folder, after `prepare` filled it.
    pub async fn with(lines: &str, prepare: impl Fn(&Path)) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            prepare(folder.path());
            let port = free_port();
            let dir = folder.path().display().to_string();
            let configuration = format!(
                "listener {port} 127.0.0.1\nuser root\npersistence true\npersistence_location {dir}/\n\
                 autosave_interval 86400\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n{}",
                lines.replace("DIR", &dir)
            );
            fs::write(folder.path().join("mosquitto.conf"), configuration).expect("a writable folder");
            let mut broker = Self { child: spawn(folder.path()), port, folder };
            if broker.is_up().await {
                return broker;
            }
        }
        panic!("mosquitto does not start; is Debian's package `mosquitto` installed?");
    }

    /// Ends it as an administrator does, so that it saves its sessions, and starts it again.
    pub async fn restart(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a running broker");
        wait_until(|| match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(other),
        })
        .await;
        self.child = spawn(self.folder.path());
        assert!(self.is_up().await, "the port was taken meanwhile");
    }

    async fn is_up(&mut self) -> bool {
        wait_until(|| match (TcpStream::connect(("127.0.0.1", self.port)), self.child.try_wait()) {
            (_, Ok(Some(_))) => Ok(false),
            (Ok(_), _) => Ok(true),
            (error, status) => Err((error, status)),
        })
        .await
    }
}

fn spawn(folder: &Path) -> Child {
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    Command::new(program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto, from Debian's package `mosquitto`")
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
