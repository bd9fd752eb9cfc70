//! What the kernel says of a process.

use std::fs;

use anyhow::{Context as _, Result};

/// CPU seconds, in user and kernel mode.
pub fn cpu(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the process has gone")?;
    // The name, in parentheses, may hold spaces; what follows does not.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts in hundredths of a second here, whatever its timer does.
    Ok(ticks as f64 / 100.0)
}

/// Most resident memory so far, MB.
pub fn peak_memory(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process has gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
    Ok(kibibytes * 1024.0 / 1e6)
}
