//! `aurora demo --sites 2`: what one site sees raises what happens at the other.
//!
//! Two whole sites, north and south, each with its own MQTT broker, Redis and daemon, and one NATS between them. The demo
//! plays the sensors and reads the streams, as consumers would: what it shows has crossed. With a guest of `inbound`, south
//! asks that one, and `messages` are what a visitor has further sites send.

mod party;
mod story;
mod messages;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;

pub(super) use self::messages::Messages;
use self::{
    party::Party,
    story::{Story, Told},
};
use super::{
    Signals,
    brokers::{Broker, Nats, Setup},
    own::Own,
    screen::Screen,
};
use crate::cli::stock;

/// Shows it, with `judge` at south, and what that one says of `messages`. The exit code is 0 only if all of it came true.
///
/// # Errors
/// A site cannot be started or breaks down; the error says what to do.
pub(super) async fn show(
    guests: Option<&Path>,
    judge: Option<&Own>,
    messages: Option<&Messages>,
    keep: bool,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let screen = Screen::new();
    let paint = screen.paint();
    let guests = stock::folder(guests)?;
    screen
        .say(&["Starting two sites, north and south: private brokers and a daemon each, and one NATS between them …"
            .into()]);
    let folder = tempfile::Builder::new().prefix("aurora-demo-").tempdir().context("cannot make a temporary folder")?;
    let start = async {
        let nats = Broker::start(Setup::Nats(Nats::default()), &folder.path().join("nats")).await?;
        let north = Party::start("north", folder.path(), &guests, &nats, None).await?;
        let south = Party::start("south", folder.path(), &guests, &nats, judge).await?;
        anyhow::Ok((nats, north, south))
    };
    let (mut nats, north, south) = tokio::select! {
        started = start => started?,
        () = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let told = {
        let mut story = Story::new(&screen, &north, &south, judge.is_some());
        tokio::select! {
            told = story.tell() => told?,
            () = signals.next() => Told::Interrupted,
        }
    };
    let mut lines = vec![String::new()];
    match &told {
        Told::True { raised } => lines.push(format!(
            "{} what a sensor of north saw raised an alert at south {} ms later, and nothing went round.",
            paint.bold("It works:"),
            raised.as_millis()
        )),
        Told::TurnedAway(why) => lines.push(format!(
            "{} your guest has turned away what north shared ({why}), and nothing was raised at south.",
            paint.bold("It works:")
        )),
        Told::False(why) => {
            lines.push(paint.bold("It does not work:"));
            lines.push(format!("  {why}"));
            for party in [&north, &south] {
                lines.push(format!("The end of the log of {}:", party.name));
                let log = party.daemon.log();
                let log: Vec<&str> = log.lines().collect();
                lines.extend(log[log.len().saturating_sub(8)..].iter().map(|line| format!("  {line}")));
            }
        }
        Told::Interrupted => lines.push("Interrupted.".to_owned()),
    }
    screen.say(&lines);
    if let Some(messages) = messages.filter(|_| !matches!(told, Told::Interrupted)) {
        tokio::select! {
            sent = messages.send(&nats, &south, &screen) => sent?,
            () = signals.next() => {}
        }
    }
    if keep && !matches!(told, Told::Interrupted) {
        let mut lines = vec![String::new(), paint.bold("Both stay until you press Ctrl-C. Try:")];
        for party in [&north, &south] {
            lines.extend(party.hints());
        }
        screen.say(&lines);
        signals.next().await;
    }
    for party in [north, south] {
        party.stop().await?;
    }
    nats.stop().await?;
    Ok(if matches!(told, Told::True { .. } | Told::TurnedAway(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
