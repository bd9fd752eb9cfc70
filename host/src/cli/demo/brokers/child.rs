//! A process of ours, its log, and the promise that it does not outlive us.

use std::{
    env,
    fs::{File, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// What goes wrong with a private broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One line that says what to install.
    #[error("{program} is not installed; install it with: apt-get install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// Twenty thousand ports, all in use.
    #[error("no free loopback port below 32768")]
    NoFreePort,
    /// A file of the broker's folder.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program is there and does not start.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended when it should run.
    #[error("{program} ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// It runs and does not do what we wait for.
    #[error("{program} is not ready after {waited:?}: {last}; the end of its log:\n{log}")]
    Silent {
        /// The program.
        program: String,
        /// How long we waited.
        waited: Duration,
        /// What was seen last.
        last: String,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    /// Whether another port may help.
    #[must_use]
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.to_ascii_lowercase().contains("address already in use"))
    }
}

/// A program that Debian has.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name of the binary.
    pub name: &'static str,
    /// Debian's package.
    pub package: &'static str,
}

impl Program {
    /// Where it is: in `PATH`, or where Debian puts daemons that a user's `PATH` leaves out.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn find(self) -> Result<PathBuf, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from))
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
            .ok_or(Error::Missing { program: self.name, package: self.package })
    }
}

/// A child process with a log file. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    child: std::process::Child,
    log: PathBuf,
    /// Length of the log before this start.
    log_offset: u64,
}

impl Child {
    /// Starts `program`; what it prints is appended to `log`.
    ///
    /// # Errors
    /// [`Error::Start`] or [`Error::File`].
    pub fn start<A: Into<PathBuf>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(arguments.into_iter().map(Into::into));
        Self::start_command(name, &command, log)
    }

    /// As [`start`](Self::start), with the arguments, environment and folder of `command`.
    ///
    /// # Errors
    /// [`Error::Start`] or [`Error::File`].
    pub fn start_command(name: &str, command: &Command, log: &Path) -> Result<Self, Error> {
        let file_error = |source| Error::File { path: log.to_owned(), source };
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(file_error)?;
        let log_offset = output.metadata().map_err(file_error)?.len();
        let command = mortal(command, output).map_err(file_error)?;
        let child = spawn(command).map_err(|source| Error::Start { program: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), log_offset })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything in its log file.
    #[must_use]
    pub fn log(&self) -> String {
        self.log_from(0)
    }

    /// Length of the log file when this process started.
    #[must_use]
    pub fn log_offset(&self) -> u64 {
        self.log_offset
    }

    /// The log from byte `offset` on. A log that cannot be read is empty.
    #[must_use]
    pub fn log_from(&self, offset: u64) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[offset..]).into_owned()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`Error::Ended`] if it has gone.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        // A child that was not waited for keeps its pid, so this cannot hit a stranger.
        if let Some(status) = self.exit_status() {
            return Err(self.ended(status));
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let sent = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| kill_process(pid, signal));
        sent.map_err(|errno| Error::Start { program: self.name.clone(), source: errno.into() })
    }

    /// SIGTERM, then SIGKILL after `grace`. Returns how it ended.
    ///
    /// # Errors
    /// It could not be signalled.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        if let Some(status) = self.exit_status() {
            return Ok(status);
        }
        // A paused process does not hear SIGTERM before it goes on.
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT).ok();
        match self.wait(grace).await {
            Some(status) => Ok(status),
            None => {
                self.kill();
                self.child.wait().map_err(|source| Error::Start { program: self.name.clone(), source })
            }
        }
    }

    /// Waits at most `patience` for its end.
    pub async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            if began.elapsed() >= patience {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL, and waits until it has gone.
    pub fn kill(&mut self) {
        // Either call fails only if it has gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks `probe` again and again until it says yes, at most for `patience`.
    ///
    /// # Errors
    /// [`Error::Ended`] as soon as the process ends, [`Error::Silent`] with the probe's last answer.
    pub async fn wait_until(
        &mut self,
        patience: Duration,
        mut probe: impl AsyncFnMut(&Self) -> Result<(), String>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let seen = probe(self).await;
            if let Some(status) = self.exit_status() {
                return Err(self.ended(status));
            }
            match seen {
                Ok(()) => return Ok(()),
                Err(last) if began.elapsed() >= patience => {
                    return Err(Error::Silent {
                        program: self.name.clone(),
                        waited: patience,
                        last,
                        log: self.log_end(),
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn ended(&self, status: ExitStatus) -> Error {
        Error::Ended { program: self.name.clone(), status: status.to_string(), log: self.log_end() }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The command so wrapped that the kernel kills the process when we die, even of SIGKILL. `setpriv` is part of every
/// Debian; elsewhere the wrapping is left out, and only [`Drop`] remains.
fn mortal(command: &Command, output: File) -> io::Result<Command> {
    let setpriv = Program { name: "setpriv", package: "util-linux" };
    let mut mortal = match setpriv.find() {
        Ok(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
            wrapped
        }
        Err(_) => Command::new(command.get_program()),
    };
    mortal.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => mortal.env(key, value),
            None => mortal.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        mortal.current_dir(folder);
    }
    mortal.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // A group of its own: Ctrl-C at the terminal is for us, who then end the others in order.
    mortal.process_group(0);
    Ok(mortal)
}

type Start = (Command, mpsc::SyncSender<io::Result<std::process::Child>>);

/// Spawns from a thread that lives as long as the process: the kernel's parent-death signal comes when the parent
/// *thread* ends, and a test's thread or a runtime's worker may end early.
fn spawn(command: Command) -> io::Result<std::process::Child> {
    static STARTS: LazyLock<Option<mpsc::Sender<Start>>> = LazyLock::new(|| {
        let (sender, receiver) = mpsc::channel::<Start>();
        let serve = move || {
            for (mut command, answer) in receiver {
                answer.send(command.spawn()).ok();
            }
        };
        thread::Builder::new().name("children".to_owned()).spawn(serve).ok().map(|_| sender)
    });
    let gone = || io::Error::other("the thread that starts children is gone");
    let (answer, child) = mpsc::sync_channel(1);
    STARTS.as_ref().ok_or_else(gone)?.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Child::start_command("sh", &command, &folder.join("log")).unwrap()
    }

    fn is_running(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Program { name: "no-such-broker", package: "no-such-package" }.find().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-broker is not installed; install it with: apt-get install no-such-package"
        );
    }

    #[test]
    fn dropping_a_child_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 1000", folder.path());
        let pid = child.pid();
        assert!(is_running(pid));
        drop(child);
        assert!(!is_running(pid));
    }

    #[tokio::test]
    async fn an_early_end_shows_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("echo bind: Address already in use; exit 3", folder.path());
        let error = child.wait_until(READY_FOR_TEST, async |_| Err("waiting".to_owned())).await.unwrap_err();
        assert!(matches!(&error, Error::Ended { log, .. } if log.contains("bind:")), "{error}");
        assert!(error.is_port_taken());
    }

    #[tokio::test]
    async fn a_child_deaf_to_sigterm_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("trap '' TERM; echo up; while :; do sleep 0.01; done", folder.path());
        let up = async |child: &Child| if child.log().contains("up") { Ok(()) } else { Err("not up".to_owned()) };
        child.wait_until(READY_FOR_TEST, up).await.unwrap();
        let status = child.stop(Duration::from_millis(50)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

    const READY_FOR_TEST: Duration = Duration::from_secs(10);
}
