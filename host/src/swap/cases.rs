//! A guest's own cases, run before it takes anybody's place: `aurora guest test`, as its author runs it, in a process of
//! its own. That one has another engine, which counts fuel, and ends with what it holds.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Refused;

/// Longest run of all cases. On a busy machine it may well take seconds: the lanes come first.
const PATIENCE: Duration = Duration::from_secs(60);

/// As low as it goes.
const NICE: i32 = 19;

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Most bytes that are kept of what it says.
const SAID: u64 = 4000;

/// Where a guest's own cases lie: in a folder of its name, or in `cases` if it has the folder for itself. What was built
/// in a folder of its own has them there.
pub(crate) fn beside(guest: &Path) -> Option<PathBuf> {
    let named = guest.with_extension("cases");
    if named.is_dir() {
        return Some(named);
    }
    let folder = guest.parent()?;
    if folder.ends_with("target/guests") {
        return folder.ancestors().nth(2).map(|own| own.join("cases")).filter(|cases| cases.is_dir());
    }
    let is_guest = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "wasm");
    let guests = fs::read_dir(folder).ok()?.flatten().filter(is_guest).count();
    Some(folder.join("cases")).filter(|cases| guests == 1 && cases.is_dir())
}

/// Runs the component `wasm` on `cases`. Blocks.
pub(crate) fn run(wasm: &[u8], cases: &Path) -> Result<(), Refused> {
    let failed = |what: &str, error: std::io::Error| Refused::Cases(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(|error| failed("no temporary folder", error))?;
    let component = folder.path().join("guest.wasm");
    fs::write(&component, wasm).map_err(|error| failed("cannot write it down", error))?;
    // Its output goes to a file, so that nobody has to read while it runs.
    let said = folder.path().join("said");
    let output = fs::File::create(&said).map_err(|error| failed("no file for its output", error))?;
    let errors = output.try_clone().map_err(|error| failed("no file for its output", error))?;
    let mut child = Command::new("/proc/self/exe")
        .args(["guest", "test", "--hostile", "0", "--wasm"])
        .arg(&component)
        .arg("--cases")
        .arg(cases)
        // The daemon's environment has secrets in it.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| failed("the process for it cannot be started", error))?;
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        // Without it the cases only get more of the machine than they should.
        let _ = rustix::process::setpriority_process(Some(pid), NICE);
    }
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|error| failed("waiting for it failed", error))? {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Refused::Cases(format!("they take more than {PATIENCE:?}")));
            }
            None => thread::sleep(LOOK),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = fs::File::open(&said).map(|file| file.take(SAID).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).trim().replace('\n', "; ");
    Err(Refused::Cases(if text.is_empty() { status.to_string() } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_lie_beside_a_guest_that_has_the_folder_for_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let guest = at("one.wasm");
        fs::write(&guest, "").expect("written");
        assert_eq!(beside(&guest), None);
        fs::create_dir(at("cases")).expect("made");
        assert_eq!(beside(&guest), Some(at("cases")));
        fs::write(at("two.wasm"), "").expect("written");
        assert_eq!(beside(&guest), None, "whose are they?");
        fs::create_dir(at("one.cases")).expect("made");
        assert_eq!(beside(&guest), Some(at("one.cases")));
        assert_eq!(beside(&at("target/guests/one.wasm")), Some(at("cases")), "that is where it is built");
    }
}
