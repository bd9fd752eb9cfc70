//! Compiling in a process of its own, and what that process may do.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, binary, wait_until};

use super::Bench;

/// A component of some hundred kilobytes whose one function keeps `locals` values alive over `branches` branches: what
/// compiling it takes grows with their product.
pub(crate) fn bomb(locals: usize, branches: usize) -> Result<Vec<u8>> {
    let mut text = format!("(component (core module (func (param i32) (local {})", " i64".repeat(locals));
    for branch in 0..branches {
        let (a, b) = (branch % locals + 1, (branch * 7 + 3) % locals + 1);
        write!(
            text,
            "(if (i32.and (local.get 0) (i32.const {})) (then (local.set {a} (i64.add (local.get {b}) (local.get {a}))))
               (else (local.set {b} (i64.mul (local.get {a}) (local.get {b})))))",
            1 << (branch % 31)
        )?;
    }
    Ok(wat::parse_str(text + ")))")?)
}

#[test]
fn a_component_that_takes_too_much_to_compile_is_refused_and_the_others_are_not() -> Result<()> {
    let bench = Bench::new()?;
    fs::write(bench.path("bomb.wasm"), bomb(5000, 20_000)?)?;
    for (keys, told) in [
        ("memory = '512MiB'", "compiling it takes more than 512.0 MiB of address space"),
        ("time = '1s'", "compiling it takes more than 1s"),
    ] {
        bench.configure("path = 'bomb.wasm'", "", &format!("[guests.compile]\n{keys}"))?;
        let began = Instant::now();
        let said = bench.check()?;
        println!("a compile bomb with {keys}: refused after {:?}", began.elapsed());
        said.is(1, &["guest route      FAILED", told, "1 problem"]);
        said.is(1, &["guest normalize  ok", "guest federate   ok"]);
    }
    Ok(())
}

#[test]
fn guests_run_where_nothing_can_be_written() -> Result<()> {
    let bench = Bench::new()?;
    let guests = harness::stock_guest("route-core")?;
    let guests = guests.parent().context("no folder of guests")?;
    let mut pipe = Command::new(binary()?);
    pipe.arg("pipe").arg("--guests").arg(guests).env_clear().current_dir(bench.folder.path()).stdin(Stdio::null());
    let done = pipe.output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// The process that compiles, when it has bounded itself and waits for a component.
fn waiting(parent: &mut Command) -> Result<Child> {
    Ok(parent.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Its command line, as child of `parent`.
fn compile_guest(parent: &str) -> Vec<String> {
    let bounds = ["--memory=1073741824", "--seconds=60", "--nice=10"];
    let code = ["--guest-memory=67108864", "--counts-fuel=false", "--compatibility=0"];
    let parent = format!("--parent={parent}");
    let words = [&["compile-guest", &*parent][..], &bounds, &code].concat();
    words.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_process_that_compiles_is_bounded_before_it_reads_anything() -> Result<()> {
    // As if we had been started with a file open; a descriptor of ours that is inherited is what a shell leaves.
    let script = r#"exec 7</dev/null; exec "$@""#;
    let own = std::process::id().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(binary()?).args(compile_guest(&own));
    let mut child = waiting(&mut command)?;
    let of = |what: &str| format!("/proc/{}/{what}", child.id());
    let limits = wait_until("its limits", PATIENCE, async || {
        let limits = fs::read_to_string(of("limits"))?;
        let last = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default().to_owned();
        ensure!(last.split_whitespace().nth(3) == Some("3"), "{last}");
        anyhow::Ok(limits)
    })
    .await?;
    for (name, soft) in [
        ("Max address space", "1073741824"),
        ("Max cpu time", "60"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).context("no such limit")?;
        ensure!(line[name.len()..].split_whitespace().next() == Some(soft), "{line}");
    }
    let mut open: Vec<_> = fs::read_dir(of("fd"))?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    open.sort();
    ensure!(open == ["0", "1", "2"], "{open:?}");
    ensure!(fs::read_to_string(of("oom_score_adj"))?.trim() == "1000", "it is not the first to go");
    let stat = fs::read_to_string(of("stat"))?;
    let nice = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(16));
    ensure!(nice == Some("10"), "{stat}");
    // It is asked for code that would not fit us, and says so.
    child.stdin.take().context("no input")?.write_all(b"\0asm")?;
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.code() == Some(1) && said.contains("would not fit"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_process_that_compiles_ends_with_the_one_that_wanted_it() -> Result<()> {
    let arguments = compile_guest("$$").join(" ");
    // Its input stays open, so it would wait for ever. The shell says its number, and is killed.
    let script = format!("exec 3<&0; {} {arguments} <&3 & echo $!; wait", binary()?.display());
    let mut shell = waiting(Command::new("sh").args(["-c", &script]))?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().context("no output")?), &mut line)?;
    let proc = format!("/proc/{}", line.trim());
    let confined = async || {
        let limits = fs::read_to_string(format!("{proc}/limits"))?;
        ensure!(limits.lines().any(|line| line.starts_with("Max open files            3 ")), "{limits}");
        Ok(())
    };
    wait_until("its limits", PATIENCE, confined).await?;
    shell.kill()?;
    let gone = async || match fs::read_to_string(format!("{proc}/stat")) {
        // Nobody may have reaped it yet.
        Ok(stat) if !stat.contains(") Z") => Err(stat),
        _ => Ok(()),
    };
    wait_until("its end", PATIENCE, gone).await?;
    shell.wait()?;
    let orphan = Command::new(binary()?).args(compile_guest("1")).stdin(Stdio::null()).output()?;
    ensure!(String::from_utf8_lossy(&orphan.stderr).contains("has ended"), "{orphan:?}");
    Ok(())
}

#[test]
fn a_cached_guest_is_loaded_in_no_time() -> Result<()> {
    let bench = Bench::new()?;
    let guest = harness::stock_guest("normalize-core")?;
    let size = fs::metadata(&guest)?.len();
    let mut config = aurora::config::Guests { cache: Some(bench.path("cache")), ..Default::default() };
    config.normalize.path = guest;
    let metrics = aurora::telemetry::Metrics::new();
    let load = || -> Result<_> {
        let sandbox = aurora::sandbox::Sandbox::new(&config, 1)?.compiling_here();
        let stage = aurora::telemetry::Stage::Normalize;
        let began = Instant::now();
        aurora::sandbox::Guest::<aurora::sandbox::Normalizer>::load(
            &sandbox,
            &config.normalize,
            &metrics.guest(stage),
        )?;
        Ok(began.elapsed())
    };
    let cold = load()?;
    let mut warm: Vec<_> = (0..9).map(|_| load()).collect::<Result<_>>()?;
    warm.sort();
    println!(
        "a guest of {size} bytes: compiled and loaded in {cold:?}; out of the cache in {:?} (median of 9)",
        warm[4]
    );
    // Of the nine at least one is not disturbed by what else runs.
    ensure!(warm[0].as_millis() < 50, "{warm:?}");
    Ok(())
}
