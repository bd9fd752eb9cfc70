//! What the child does, from its first instruction.

use std::{
    fs,
    io::{self, Read, Write},
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setpriority_process, setrlimit,
};
use wasmtime::Engine;

use super::{super::engine::compiling, compatibility};

/// What the child is told, all of it in its arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct CompileJob {
    /// Most address space, bytes.
    #[arg(long)]
    pub(super) memory: u64,
    /// Most CPU time, seconds.
    #[arg(long)]
    pub(super) seconds: u64,
    /// By how much less we count than others.
    #[arg(long)]
    pub(super) nice: i32,
    /// Who started us.
    #[arg(long)]
    pub(super) parent: i32,
    /// Most memory of a guest.
    #[arg(long)]
    pub(super) guest_memory: usize,
    /// Whether the code counts fuel.
    #[arg(long, action = clap::ArgAction::Set)]
    pub(super) counts_fuel: bool,
    /// What the code has to fit.
    #[arg(long)]
    pub(super) compatibility: u64,
}

/// The exit code of a child that does not like the component, and says why.
pub(super) const REFUSED: i32 = 1;

impl CompileJob {
    /// The command line, without the program. Of options that no other program has: a test that forgets to compile in its
    /// own process executes itself, and must end by that and not run its tests again.
    pub(super) fn arguments(&self) -> [String; 8] {
        let Self { memory, seconds, nice, parent, guest_memory, counts_fuel, compatibility } = self;
        [
            "compile-guest".to_owned(),
            format!("--memory={memory}"),
            format!("--seconds={seconds}"),
            format!("--nice={nice}"),
            format!("--parent={parent}"),
            format!("--guest-memory={guest_memory}"),
            format!("--counts-fuel={counts_fuel}"),
            format!("--compatibility={compatibility}"),
        ]
    }

    /// Gives up what we do not need, and bounds the rest. Before the first byte of the component is read, so all that has
    /// run until then is ours.
    fn confine(&self) -> io::Result<()> {
        // Where memory is short the system ends us and not the daemon. Where this is forbidden, our limit must do.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
        close_inherited()?;
        if self.nice != 0 {
            setpriority_process(None, self.nice)?;
        }
        let limits = [
            (Resource::As, self.memory, self.memory),
            // A second to be told of it; then for good.
            (Resource::Cpu, self.seconds, self.seconds + 1),
            (Resource::Core, 0, 0),
            (Resource::Fsize, 0, 0),
            (Resource::Nofile, 3, 3),
        ];
        for (resource, soft, hard) in limits {
            setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
        }
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended just before.
        if getppid() != Pid::from_raw(self.parent) {
            return Err(io::Error::other("whoever wanted this has ended"));
        }
        Ok(())
    }

    fn compile(&self) -> Result<(), String> {
        self.confine().map_err(|error| format!("cannot confine the process that compiles: {error}"))?;
        let mut wasm = Vec::new();
        io::stdin().lock().read_to_end(&mut wasm).map_err(|error| format!("cannot read the component: {error}"))?;
        let text = |error: wasmtime::Error| format!("{error:#}");
        let engine = Engine::new(&compiling(self.guest_memory, self.counts_fuel)).map_err(text)?;
        if compatibility(&engine) != self.compatibility {
            return Err("the code would not fit the engine that wants it".to_owned());
        }
        let code = engine.precompile_component(&wasm).map_err(text)?;
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&code).and_then(|()| stdout.flush());
        written.map_err(|error| format!("cannot hand the code over: {error}"))
    }
}

/// Compiles what comes on standard input. The exit code.
#[must_use]
pub fn compile_in_child(job: &CompileJob) -> i32 {
    match job.compile() {
        Ok(()) => 0,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            REFUSED
        }
    }
}

/// Closes what we have open beside the three standard streams. The daemon's own files close by themselves when it
/// executes us; these are such as it was started with.
fn close_inherited() -> io::Result<()> {
    let numbers = fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // The list is one of them, and closed by now.
    let inherited: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in inherited {
        // The one with which the folder was listed is no longer open.
        if fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err() {
            continue;
        }
        // SAFETY: this process has just begun, has one thread, and has opened nothing that it still uses, so nobody
        // else owns this descriptor.
        #[allow(unsafe_code)]
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        job: CompileJob,
    }

    #[test]
    fn the_child_reads_what_it_is_told() {
        let job = CompileJob {
            memory: 1 << 30,
            seconds: 60,
            nice: 10,
            parent: 7,
            guest_memory: 64 << 20,
            counts_fuel: true,
            compatibility: u64::MAX,
        };
        let read = Line::try_parse_from(job.arguments()).unwrap().job;
        assert_eq!(read.arguments(), job.arguments());
    }
}
