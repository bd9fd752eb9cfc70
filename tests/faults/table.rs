//! What a case found, and the table of all.

use std::{
    fmt,
    io::{self, Write as _},
};

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub case: String,
    /// Nothing was done, and it proves nothing.
    pub skipped: bool,
    /// How often something was broken.
    pub breaks: u64,
    pub sent: u64,
    /// Sent, and never acknowledged by the MQTT broker: may be there or not.
    pub doubt: u64,
    pub redis: u64,
    pub jetstream: u64,
    /// Missing in Redis or in JetStream.
    pub lost: u64,
    /// More than once in Redis or in JetStream.
    pub twice: u64,
    /// After a later event of the same device.
    pub disorder: u64,
    /// Missing because a broker forgot what it had acknowledged, or because the case itself spoiled it.
    pub forgotten: u64,
    /// More than once because the MQTT broker made another message of it.
    pub repeated: u64,
    /// From the MQTT broker's acknowledgement to the entry in Redis.
    pub median_ms: i64,
    pub p99_ms: i64,
    pub stall_ms: i64,
    /// Longest time without any entry.
    pub gap_ms: i64,
    /// Whatever else must not be.
    pub problems: Vec<String>,
    /// What else is to be said.
    pub remarks: Vec<String>,
}

impl Row {
    /// A case that cannot be had here, which is said aloud.
    pub fn passed_over(case: &str, why: &str) -> Self {
        // Not by a macro, whose text is only shown of tests that fail.
        writeln!(io::stderr(), "PASSED OVER: {case}: {why}").ok();
        let remarks = vec![format!("passed over: {why}")];
        Self { case: case.replace('_', " "), skipped: true, remarks, ..Self::default() }
    }

    /// Notes what must not be.
    pub fn problem(&mut self, problem: String) {
        // A wrong batch has hundreds of the same kind.
        if self.problems.len() < 8 {
            self.problems.push(problem);
        }
    }

    /// Whether the bar is met.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.disorder == 0 && self.problems.is_empty()
    }

    /// Adds another run of the same case.
    pub fn add(&mut self, other: Self) {
        self.skipped &= other.skipped;
        self.breaks += other.breaks;
        self.sent += other.sent;
        self.doubt += other.doubt;
        self.redis += other.redis;
        self.jetstream += other.jetstream;
        self.lost += other.lost;
        self.twice += other.twice;
        self.disorder += other.disorder;
        self.forgotten += other.forgotten;
        self.repeated += other.repeated;
        self.median_ms = self.median_ms.max(other.median_ms);
        self.p99_ms = self.p99_ms.max(other.p99_ms);
        self.stall_ms = self.stall_ms.max(other.stall_ms);
        self.gap_ms = self.gap_ms.max(other.gap_ms);
        self.problems.extend(other.problems);
        self.remarks.extend(other.remarks);
    }

    /// The line above all rows.
    pub fn heading() -> String {
        format!(
            "{:<44} {:>6} {:>8} {:>6} {:>8} {:>9} {:>6} {:>6} {:>6} {:>8} {:>8}",
            "case", "breaks", "sent", "doubt", "Redis", "JetStream", "lost", "twice", "order", "stall", "gap"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.disorder == 0 { "kept".to_owned() } else { self.disorder.to_string() };
        write!(
            f,
            "{:<44} {:>6} {:>8} {:>6} {:>8} {:>9} {:>6} {:>6} {:>6} {:>6.1} s {:>6.1} s",
            self.case,
            self.breaks,
            self.sent,
            self.doubt,
            self.redis,
            self.jetstream,
            self.lost,
            self.twice,
            order,
            self.stall_ms as f64 / 1000.0,
            self.gap_ms as f64 / 1000.0,
        )?;
        if self.forgotten + self.repeated > 0 {
            let (forgotten, repeated) = (self.forgotten, self.repeated);
            write!(
                f,
                "\n    excused, as the case says: {forgotten} forgotten, {repeated} delivered as another message"
            )?;
        }
        for remark in &self.remarks {
            write!(f, "\n    {remark}")?;
        }
        for problem in &self.problems {
            write!(f, "\n    PROBLEM: {problem}")?;
        }
        Ok(())
    }
}
