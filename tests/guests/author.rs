//! The author's loop, by the real binary, in a folder outside of the repository: new, build, test, bench, inspect.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::SystemTime,
};

use anyhow::{Context as _, Result, ensure};
use harness::{binary, hostile_guest, stock_guest, target, unix_ms, workspace};
use serde_json::json;
use tempfile::TempDir;

/// What a command printed, and its exit code.
pub(super) struct Said {
    pub text: String,
    pub code: Option<i32>,
}

/// Runs `aurora` in `folder`. All guests of these tests share one target folder, for their dependencies are the same.
pub(super) fn aurora(folder: &Path, arguments: &[&str]) -> Result<Said> {
    said(Command::new(binary()?).args(arguments).current_dir(folder))
}

fn said(command: &mut Command) -> Result<Said> {
    let command = command.env("CARGO_TARGET_DIR", target()?.join("author")).env("CARGO_NET_OFFLINE", "true");
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ok(Said { text, code: status.code() })
}

impl Said {
    /// It ended with this code and said all of this.
    #[track_caller]
    pub fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "no {word:?} in\n{}", self.text);
        }
    }
}

/// A new guest of `stage`, built. `name` is for one test only: the target folder is everybody's.
fn guest(stage: &str, name: &str) -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    aurora(folder.path(), &["guest", "new", stage, name])?.is(0, &["Next:", "aurora guest build ."]);
    let guest = folder.path().join(name);
    aurora(&guest, &["guest", "build", "."])?.is(0, &[&format!("{name}.wasm"), stage]);
    Ok((folder, guest))
}

#[test]
fn a_new_normalizer_builds_and_passes_its_tests_at_once_without_a_network() -> Result<()> {
    let (_folder, guest) = guest("normalize", "acme")?;
    aurora(&guest, &["guest", "test", ".", "--seed", "1"])?
        .is(0, &["ok    alarm", "ok    malformed", "ok    hostile", "0 failed"]);
    let natively = said(Command::new("cargo").args(["test", "--quiet"]).current_dir(&guest))?;
    natively.is(0, &["1 passed"]);
    aurora(&guest, &["guest", "inspect", "."])?.is(
        0,
        &[
            "aurora:normalizer/normalize@0.1.0",
            "needs the grant \"log\"",
            "runs it where its site writes grants = [\"log\"]",
        ],
    );
    aurora(&guest, &["guest", "bench", ".", "--seconds", "1"])?.is(0, &["events a second", "fuel an event", "p99"]);
    Ok(())
}

#[test]
fn a_new_router_a_new_policy_a_new_judge_and_a_new_agent_build_and_pass_their_tests_at_once() -> Result<()> {
    for stage in ["route", "federate", "inbound", "task"] {
        let (_folder, guest) = guest(stage, &format!("my-{stage}"))?;
        aurora(&guest, &["guest", "test", ".", "--seed", "1"])?.is(0, &["ok    hostile", "0 failed"]);
        aurora(&guest, &["guest", "inspect", "."])?.is(0, &["runs it"]);
    }
    Ok(())
}

#[test]
fn a_guest_of_ones_own_runs_in_the_demo() -> Result<()> {
    let (_folder, guest) = guest("normalize", "shown")?;
    let wasm = format!("normalize={}", target()?.join("author/guests/shown.wasm").display());
    let stock = stock_guest("normalize-core")?;
    let stock = stock.parent().and_then(Path::to_str).context("no folder of guests")?;
    let arguments = ["demo", "--seconds", "1", "--guests", stock, "--guest", &wasm, "--send", "cases/alarm/input"];
    let shown = aurora(&guest, &arguments)?;
    shown.is(
        0,
        &[
            "It works:",
            "3 events of your own, sent to site/shown/events:",
            "high \"forced open\"   by normalize/shown",
            "low \"opened by badge B7\"   by normalize/shown",
        ],
    );
    let pipe = ["--guests", stock, "--guest", &wasm];
    let lines = harness::pipe(&pipe, b"level=alarm msg=forced open")?.lines;
    ensure!(lines[0].event(0)["description"] == "Acme device reports: forced open", "{lines:?}");
    Ok(())
}

#[test]
fn a_judge_of_ones_own_decides_in_the_demo_of_two_sites_and_without_brokers() -> Result<()> {
    let (_folder, guest) = guest("inbound", "judges")?;
    let wasm = format!("inbound={}", target()?.join("author/guests/judges.wasm").display());
    let stock = stock_guest("route-core")?;
    let stock = stock.parent().and_then(Path::to_str).context("no folder of guests")?;
    aurora(&guest, &["guest", "bench", ".", "--seconds", "1"])?.is(0, &["events a second", "fuel an event"]);
    aurora(&guest, &["demo", "--guests", stock, "--guest", &wasm])?.is(1, &["add --sites 2"]);
    let arguments = ["demo", "--sites", "2", "--guests", stock, "--guest", &wasm, "--send", "cases/judged/input"];
    aurora(&guest, &arguments)?.is(
        0,
        &[
            "South asks your guest whether it comes in.",
            "it does: it comes from a site that we know (by inbound@",
            "It works:",
            "4 messages of your own, sent to south:",
            "\"Beacon\"  → aurora:alerts, high: it comes from a site that we know (by inbound@",
            "\"Heartbeat\"  dropped",
            "\"ip 45.155.205.233\"  → recorded",
        ],
    );

    let message = |severity: &str, site: &str| {
        json!({
            "id": "3d1f0c1e-6f0e-8d0a-9a5b-000000000001", "severity": severity, "category": "network", "title": "Beacon",
            "iocs": [{ "type": "ip", "value": "45.155.205.233" }], "timestamp_ms": unix_ms(), "site": site,
        })
    };
    let input = format!("{}\n{}\n{}\n", message("high", "north"), message("info", "north"), message("high", "east"));
    let piped = harness::pipe(&["--guests", stock, "--guest", &wasm, "--site", "north"], input.as_bytes())?;
    let [high, info, east] = &piped.lines[..] else { anyhow::bail!("{:?}", piped.lines) };
    assert_eq!((high.outcome(), high.streams(0)), ("accepted", vec!["aurora:alerts"]));
    assert_eq!(high.0["indicators"][0], "ip:45.155.205.233");
    assert!(high.keep_reason(0).contains("never leaves again"), "{high:?}");
    assert_eq!((info.outcome(), info.reason()), ("dropped", "nobody here looks at it"));
    assert_eq!(east.outcome(), "rejected", "its header says north");
    Ok(())
}

#[test]
fn a_panic_tells_its_place_and_the_same_one_is_told_once() -> Result<()> {
    let (_folder, guest) = guest("normalize", "panics")?;
    change(&guest, "return Err(format!(\"expected key=value, found {pair:?}\"));", "panic!(\"of mine: {pair}\");")?;
    aurora(&guest, &["guest", "test", ".", "--seed", "1"])?
        .is(2, &["src/lib.rs is newer than", "aurora guest build ."]);
    aurora(&guest, &["guest", "build", "."])?.is(0, &[]);
    let input = "level\nlevel msg=a\nlevel msg=b\n";
    fs::write(guest.join("cases/malformed/input"), input)?;
    let told = aurora(&guest, &["guest", "test", ".", "--seed", "1"])?;
    told.is(
        1,
        &["ok    alarm", "event 2: trap", "it said: panicked at src/lib.rs:", "of mine: level", "same fault as"],
    );
    told.is(1, &["FAIL  hostile", "hostile inputs failed, as above"]);
    assert_eq!(told.text.matches("/faults/panics/").count(), 1, "{}", told.text);
    Ok(())
}

#[test]
fn hostile_input_and_recordings_come_with_the_guests_settings() -> Result<()> {
    let (_folder, guest) = guest("normalize", "demands")?;
    let demand = ".ok_or_else(|| Failure::InvalidSettings(\"vendor is missing\".to_owned()))?;";
    change(&guest, ".unwrap_or_else(|| \"Acme\".to_owned());", demand)?;
    aurora(&guest, &["guest", "build", "."])?.is(0, &[]);
    aurora(&guest, &["guest", "test", ".", "--seed", "1"])?
        .is(1, &["ok    alarm", "FAIL  malformed", "vendor is missing"]);
    fs::remove_dir_all(guest.join("cases/malformed"))?;
    aurora(&guest, &["guest", "test", ".", "--seed", "1"])?.is(0, &["ok    alarm", "ok    hostile"]);
    fs::write(guest.join("events.jsonl"), "{\"received_ms\":1,\"payload\":\"level=alarm msg=x\"}\n")?;
    let recorded = ["guest", "test", ".", "--recorded", "events.jsonl"];
    aurora(&guest, &recorded)?.is(1, &["FAIL  events.jsonl", "vendor is missing"]);
    fs::write(guest.join("options.toml"), "vendor = \"Acme\"\n")?;
    aurora(&guest, &[&recorded[..], &["--options", "options.toml"]].concat())?.is(0, &["ok    events.jsonl"]);
    let bench = ["guest", "bench", ".", "--input", "cases/alarm/input", "--seconds", "1"];
    aurora(&guest, &bench)?.is(1, &["vendor is missing"]);
    aurora(&guest, &[&bench[..], &["--options", "options.toml"]].concat())?.is(0, &["events a second"]);
    Ok(())
}

/// Changes the guest's logic.
fn change(guest: &Path, from: &str, to: &str) -> Result<()> {
    let path = guest.join("src/lib.rs");
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains(from), "the template has no {from}");
    // The clock of files ticks slowly: what is written in the tick in which a build ended is not newer than it.
    let begun = SystemTime::now();
    while fs::metadata(&path)?.modified()? <= begun {
        fs::write(&path, text.replace(from, to))?;
    }
    Ok(())
}

#[test]
fn nobodys_files_are_overwritten() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("mine"), "mine")?;
    aurora(folder.path(), &["guest", "new", "route", "x", "--path", "."])?.is(1, &["is not empty"]);
    aurora(folder.path(), &["guest", "new", "route", "../x"])?.is(2, &["lower-case letters"]);
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

/// A case of the hostile guest in a folder of its own.
fn case(input: &str) -> Result<(TempDir, String)> {
    let folder = tempfile::tempdir()?;
    fs::copy(hostile_guest()?, folder.path().join("hostile.wasm"))?;
    fs::create_dir_all(folder.path().join("cases/one"))?;
    fs::write(folder.path().join("cases/one/input"), input)?;
    let path = folder.path().to_str().context("a temporary folder that is not UTF-8")?.to_owned();
    Ok((folder, path))
}

const TEST: [&str; 7] = ["guest", "test", "hostile.wasm", "--cases", "cases", "--hostile", "0"];

#[test]
fn a_trap_tells_its_functions_its_input_and_a_command_that_shows_it_again() -> Result<()> {
    let (folder, _) = case("plain 1\nplain 2\nnormalize panic 3\nplain 4\n")?;
    let told = aurora(folder.path(), &TEST)?;
    told.is(
        1,
        &[
            "event 3: trap",
            "unreachable",
            "hostile::deeds::common",
            "it said: panicked at",
            "told to",
            "input: normalize panic 3",
            "again: aurora",
        ],
    );
    let again = told.text.lines().find_map(|line| line.trim().strip_prefix("again: aurora ")).context("no command")?;
    let again = aurora(folder.path(), &again.split(' ').collect::<Vec<_>>())?;
    again.is(1, &["event 1: trap", "hostile::deeds::common", "input: normalize panic 3"]);
    Ok(())
}

#[test]
fn a_dead_letters_reason_names_the_function_and_the_place_of_a_panic() -> Result<()> {
    let stock = stock_guest("route-core")?;
    let stock = stock.parent().and_then(Path::to_str).context("no folder of guests")?;
    let own = format!("normalize={}", hostile_guest()?.display());
    let lines = harness::pipe(&["--guests", stock, "--guest", &own], b"plain 1\nnormalize panic 2\n")?.lines;
    assert_eq!(lines.iter().map(|line| line.outcome()).collect::<Vec<_>>(), ["accepted", "rejected"]);
    let reason = lines[1].reason();
    for told in ["trap", "hostile::deeds::common", "it said: panicked at"] {
        assert!(reason.contains(told), "no {told:?} in {reason}");
    }
    Ok(())
}

#[test]
fn what_no_guest_may_do_ends_and_is_named() -> Result<()> {
    let deeds = [
        ("spin", "within its fuel"),
        ("hoard", "memory: wants"),
        ("recurse", "in hostile::deeds::recurse ("),
        ("huge", "output of more than"),
        ("not-utf8", "not UTF-8"),
        ("miscount", "answer that fails a check"),
    ];
    for (deed, named) in deeds {
        let (folder, _) = case(&format!("normalize {deed}\n"))?;
        aurora(folder.path(), &TEST)?.is(1, &[named, "again: aurora guest test"]);
    }
    Ok(())
}

#[test]
fn a_difference_is_shown_and_an_update_takes_it_up() -> Result<()> {
    let (folder, _) = case("plain 1\n")?;
    aurora(folder.path(), &TEST)?.is(1, &["there is no expected.json"]);
    let update = [&TEST[..], &["--update"]].concat();
    aurora(folder.path(), &update)?.is(0, &["expected.json is new"]);
    aurora(folder.path(), &TEST)?.is(0, &["ok    one"]);
    let expected = folder.path().join("cases/one/expected.json");
    fs::write(&expected, fs::read_to_string(&expected)?.replace("\"high\"", "\"low\""))?;
    let junit = [&TEST[..], &["--junit", "report.xml"]].concat();
    aurora(folder.path(), &junit)?
        .is(1, &["-           \"severity\": \"low\"", "+           \"severity\": \"high\"", "1 failed"]);
    let report = fs::read_to_string(folder.path().join("report.xml"))?;
    ensure!(report.contains("failures=\"1\"") && report.contains("name=\"one\""), "{report}");
    Ok(())
}

#[test]
fn a_component_is_tested_without_a_folder_of_sources_and_without_an_environment() -> Result<()> {
    let (folder, _) = case("plain 1\n")?;
    aurora(folder.path(), &[&TEST[..], &["--update"]].concat())?.is(0, &[]);
    let elsewhere = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    command.args(["guest", "test", "--hostile", "0", "--wasm"]).arg(folder.path().join("hostile.wasm"));
    command.arg("--cases").arg(folder.path().join("cases")).env_clear().current_dir(elsewhere.path());
    said(&mut command)?.is(0, &["1 passed"]);
    Ok(())
}

#[test]
fn a_budget_that_is_exceeded_fails() -> Result<()> {
    let (folder, _) = case("plain 1\n")?;
    aurora(folder.path(), &[&TEST[..], &["--update"]].concat())?.is(0, &[]);
    aurora(folder.path(), &[&TEST[..], &["--max-fuel", "10"]].concat())?.is(1, &["max_fuel is 10"]);
    fs::write(folder.path().join("cases/budget.toml"), "max_memory = \"1KiB\"\n")?;
    aurora(folder.path(), &TEST)?.is(1, &["max_memory is 1.0 KiB"]);
    aurora(folder.path(), &[&TEST[..], &["--max-memory", "64MiB"]].concat())?.is(0, &[]);
    Ok(())
}

#[test]
fn inspect_says_what_is_refused_and_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wants = wat::parse_str(r#"(component (import "wasi:http/types@0.2.0" (instance)))"#)?;
    fs::write(folder.path().join("wants.wasm"), wants)?;
    fs::write(folder.path().join("module.wasm"), wat::parse_str("(module)")?)?;
    let said = aurora(folder.path(), &["guest", "inspect", "wants.wasm", "module.wasm"])?;
    said.is(1, &["wasi:http/types@0.2.0", "refused: no grant", "does not run it: it exports none of", "core module"]);
    let stock = stock_guest("route-core")?;
    let stock = stock.to_str().context("a path that is not UTF-8")?;
    let said = aurora(folder.path(), &["guest", "inspect", "--json", stock])?;
    said.is(0, &["\"digest\":\"sha256:", "\"needs\":[]", "\"ungranted\":[]", "\"refused\":null"]);
    Ok(())
}

#[test]
fn what_cannot_be_tested_is_neither_passed_nor_failed() -> Result<()> {
    let (folder, _) = case("plain 1\n")?;
    fs::write(folder.path().join("x.wasm"), "hello")?;
    aurora(folder.path(), &["guest", "test", "x.wasm"])?.is(2, &["x.wasm"]);
    aurora(folder.path(), &["guest", "test", "nowhere"])?.is(2, &["neither a folder nor a file"]);
    aurora(folder.path(), &["guest", "test", ".", "--seed", "1"])?.is(2, &["is not built", "aurora guest build ."]);
    Ok(())
}

#[test]
fn the_stock_guests_give_again_what_was_recorded_of_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let record = folder.path().join("events.jsonl");
    let record = record.to_str().context("a temporary folder that is not UTF-8")?;
    let guests = stock_guest("normalize-core")?;
    let guests = guests.parent().and_then(Path::to_str).context("no folder of guests")?;
    let lines = "{\"severity\":\"critical\",\"title\":\"Beacon\",\"src_ip\":\"45.155.205.233\"}\nnonsense\n<13>Mar  5 12:34:56 h a: b\n";
    harness::pipe(&["--guests", guests, "--record", record], lines.as_bytes())?;
    for name in ["normalize-core", "route-core", "federate-core"] {
        let wasm = stock_guest(name)?;
        let wasm = wasm.to_str().context("a path that is not UTF-8")?;
        let arguments = ["guest", "test", wasm, "--recorded", record, "--hostile", "0"];
        aurora(folder.path(), &arguments)?.is(0, &["compared", "1 passed"]);
    }
    let changed = fs::read_to_string(record)?.replace("by category", "x").replace("is not cps", "is another");
    fs::write(record, changed)?;
    let router = stock_guest("route-core")?;
    let router = router.to_str().context("a path that is not UTF-8")?;
    aurora(folder.path(), &["guest", "test", router, "--recorded", record, "--hostile", "0"])?.is(1, &["differs"]);
    Ok(())
}

#[test]
fn the_stock_normalizer_passes_its_cases_as_it_is_shipped() -> Result<()> {
    let (wasm, folder) = (stock_guest("normalize-core")?, workspace().join("guests/normalize-core"));
    let wasm = wasm.to_str().context("a path that is not UTF-8")?;
    aurora(&folder, &["guest", "test", ".", "--wasm", wasm])?
        .is(0, &["ok    cef/escapes", "ok    hostile", "0 failed"]);
    Ok(())
}
