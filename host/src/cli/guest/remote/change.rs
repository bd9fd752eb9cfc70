//! Commands that take one word: roll back, promote, end a rehearsal.

use std::process::ExitCode;

use reqwest::Method;

use super::{
    ask::{Which, path_of},
    asked,
};
use crate::cli::terminal::plain;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which, as in normalize, normalize/acme or task/triage.
    slot: String,
    #[command(flatten)]
    which: Which,
}

pub fn roll_back(args: &Args) -> anyhow::Result<ExitCode> {
    change(args, Method::POST, "rollback")
}

pub fn promote(args: &Args) -> anyhow::Result<ExitCode> {
    change(args, Method::POST, "promote")
}

pub fn end_rehearsal(args: &Args) -> anyhow::Result<ExitCode> {
    change(args, Method::DELETE, "rehearsal")
}

fn change(args: &Args, method: Method, what: &str) -> anyhow::Result<ExitCode> {
    asked(async {
        let done = args.which.daemon()?.change(method, &format!("{}/{what}", path_of(&args.slot))).await?;
        println!("{}: {}", args.slot, plain(done["done"].as_str().unwrap_or("done")));
        Ok(ExitCode::SUCCESS)
    })
}
