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

/// Longest run of all cases. On a busy machine it may well take seconds: the lanes come first.
const PATIENCE: Duration = Duration::from_secs(60);

/// It yields to the lanes; with less than a tenth of a core it would not be done in time on a busy host.
const NICE: i32 = 10;

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
///
/// # Errors
/// What `aurora guest test` has against it, in its many lines.
pub(crate) fn run(wasm: &[u8], cases: &Path) -> Result<(), String> {
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
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
        // It compiles first, and that takes every core it is given.
        .env("RAYON_NUM_THREADS", "1")
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
                return Err(format!("they take more than {PATIENCE:?}"));
            }
            None => thread::sleep(LOOK),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = fs::File::open(&said).map(|file| file.take(SAID).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    Err(if text.trim().is_empty() { status.to_string() } else { of_failures(&text).to_owned() })
}

/// Without what it says first: which guest it is, in a file that is gone by now.
fn of_failures(said: &str) -> &str {
    let begins = ["  FAIL", "aurora:"].iter().filter_map(|begin| said.find(&format!("\n{begin}"))).min();
    said[begins.unwrap_or_default()..].trim_matches('\n').trim_end()
}

/// What [`run`] says, on one line.
pub(crate) fn on_one_line(said: &str) -> String {
    let lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_what_fails_and_not_of_the_rest() {
        let said = "guest  stage route  sha256:00\n/tmp/x/guest.wasm\n  ok    a\n  FAIL  b   1 event\n        why\n";
        assert_eq!(of_failures(said), "  FAIL  b   1 event\n        why");
        assert_eq!(on_one_line(of_failures(said)), "FAIL b 1 event; why");
        assert_eq!(of_failures("x\naurora: no such file\n"), "aurora: no such file");
    }

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
