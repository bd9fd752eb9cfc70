//! A trace for a person.

use std::fmt::Write as _;

use super::{
    arrived::Told,
    sent::Sent,
    trace::{Intel, Place, Stored, Traced, Traces},
};
use crate::cli::terminal::plain;

/// All of it. `config` is what commands are told of the configuration.
pub(super) fn text(traced: &Traced, config: &str) -> String {
    let mut text = String::new();
    for event in &traced.events {
        text += &of_event(event);
        text.push('\n');
    }
    for told in &traced.indicators {
        let Told { indicator, site, tlp, count, until } = told;
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let what =
            format!("{indicator}, which this message of site {site} told; told {times}, TLP:{tlp}, until {until}");
        row(&mut text, "indicator", &what);
    }
    for letter in &traced.dead_letters {
        row(&mut text, "dead letter", &format!("{} of {}: {}", letter.id, letter.kept, letter.reason));
        row(&mut text, "", &format!("stage {}, {}", letter.stage, letter.effect));
        row(&mut text, "", &format!("aurora dead-letter show{config} {}", letter.id));
    }
    if !traced.is_found() {
        text += &format!("There is no trace of {}.\n", traced.subject);
        text += "\
It may have been trimmed from its streams, or its dead letter was replayed or discarded; its content may have been that
of an earlier event, and then it was counted towards that one; a guest may have dropped it, also where another site sent
it, or routed it nowhere and kept it; or it lies beyond what was looked at:
";
    } else if !(traced.dead_letters.is_empty() && traced.indicators.is_empty()) {
        text.push('\n');
    }
    text += "looked at:\n";
    for place in &traced.looked_at {
        let _ = writeln!(text, "  {}", looked_at(place));
    }
    text
}

fn of_event(event: &Traces) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| row(&mut text, name, value);
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "not known".to_owned());
    row("event", &event.id.to_string());
    // Of an entry that was offered only its stream knows.
    if !event.severity.is_empty() {
        row("what", &format!("{} {}: {}", event.severity, event.category, event.title));
    }
    if let Some(timestamp) = &event.timestamp {
        row("when", timestamp);
    }
    match &event.offered {
        Some(Stored { stream, entry, stored }) => {
            let entry = if entry.is_empty() { "an entry that was a dead letter" } else { entry.as_str() };
            row("offered", &format!("{stream} {entry}, decided {stored}"));
        }
        None => row("raw", &format!("sha256:{}", or_unknown(&event.raw))),
    }
    row("source", &event.source);
    if let Some(origin) = &event.origin {
        let marking = event.tlp.as_deref().map(|tlp| format!(", TLP:{tlp}")).unwrap_or_default();
        row("from", &format!("site {origin}{marking}"));
    }
    for (name, value) in [("topic", &event.topic), ("device", &event.device_id)] {
        if let Some(value) = value {
            row(name, value);
        }
    }
    for guest in &event.guests {
        let name = guest.name.as_deref().unwrap_or("of an unknown name");
        row(&guest.slot, &format!("{name} {}", guest.digest));
    }
    if let Some(intel) = &event.intel {
        row("intel", &of_intel(intel));
    }
    if let Some(reason) = &event.route_reason {
        row("routed", reason);
    }
    for stored in &event.streams {
        row("stream", &format!("{} {} of {}", stored.stream, stored.entry, stored.stored));
    }
    if event.suppressed > 0 {
        row("repeats", &format!("{} of equal content were counted and not stored", event.suppressed));
    }
    match (&event.share, &event.keep_reason) {
        (Some(share), _) => row("shared", &format!("{}: {}", or_unknown(&share.subject), share.reason)),
        (None, Some(reason)) => row("kept", reason),
        (None, None) => {}
    }
    for cut in &event.ceiling {
        row("ceiling", cut);
    }
    for message in &event.outbox {
        row(
            "outbox",
            &format!("{} {} waits since {} ({})", message.kind, message.entry, message.since, message.subject),
        );
    }
    if let Some(sent) = &event.jetstream {
        row("jetstream", &of_sent(sent, !event.outbox.is_empty()));
    }
    for message in event.messages.iter().skip(1) {
        let sent = message.jetstream.as_ref().map(|sent| of_sent(sent, message.waits)).unwrap_or_default();
        row("and to", &format!("{} ({}): {sent}", message.subject, message.id));
    }
    text
}

fn of_sent(sent: &Sent, waits: bool) -> String {
    match sent {
        Sent::Stored { stream, sequence, acknowledged } => {
            format!("{stream} sequence {sequence}, acknowledged {acknowledged}")
        }
        Sent::Missing { stream } if waits => format!("not in {stream} yet"),
        Sent::Missing { stream } => format!("not in {stream}: gone by its limits, or it became a dead letter"),
        Sent::Unknown { reason } => format!("not known: {reason}"),
    }
}

fn of_intel(intel: &Intel) -> String {
    let Some(matches) = &intel.matches else { return intel.status.clone().unwrap_or_default() };
    let mut text = format!("{matches}, told by {}", intel.sources.as_deref().unwrap_or("nobody"));
    if let Some(tlp) = &intel.tlp {
        let _ = write!(text, " under TLP:{tlp}");
    }
    if let Some(raised) = &intel.raised {
        let _ = write!(text, "; raised from {raised}");
    }
    if let Some(status) = &intel.status {
        let _ = write!(text, "; some was {status}");
    }
    text
}

fn row(text: &mut String, name: &str, value: &str) {
    // What a device or a guest wrote must not move the cursor.
    let _ = writeln!(text, "{name:<14} {}", plain(value));
}

fn looked_at(place: &Place) -> String {
    let Place { stream, entries, oldest, complete } = place;
    let back = oldest.as_ref().map(|oldest| format!(", back to {oldest}")).unwrap_or_default();
    let more = if *complete { "" } else { "; there is more: raise --most" };
    format!("{stream}: {entries} entries{back}{more}")
}

#[cfg(test)]
mod tests {
    use super::{
        super::trace::{Buried, Leaving},
        *,
    };

    #[test]
    fn says_where_it_looked_when_it_found_nothing() {
        let place = |complete| Place {
            stream: "aurora:alerts".to_owned(),
            entries: 7,
            oldest: Some("2026-01-01T00:00:00.000Z".to_owned()),
            complete,
        };
        let traced = Traced { subject: "event x".to_owned(), looked_at: vec![place(true)], ..Traced::default() };
        let said = text(&traced, "");
        assert!(said.contains("no trace of event x") && said.contains("7 entries, back to 2026-01-01"), "{said}");
        assert!(looked_at(&place(false)).ends_with("raise --most"));
    }

    #[test]
    fn says_what_the_ceiling_cut() {
        let ceiling = vec!["2 observables kept: reserved".to_owned(), "masked in: title".to_owned()];
        let traced = Traced { events: vec![Traces { ceiling, ..Traces::default() }], ..Traced::default() };
        let said = text(&traced, "");
        assert!(
            said.contains("ceiling        2 observables kept: reserved\nceiling        masked in: title\n"),
            "{said}"
        );
    }

    #[test]
    fn names_every_subject_and_which_entry_it_was() {
        let message = |id: &str, subject: &str, waits| Leaving {
            id: id.to_owned(),
            subject: subject.to_owned(),
            waits,
            jetstream: Some(Sent::Missing { stream: "AURORA".to_owned() }),
        };
        let offered = Stored { stream: "s".to_owned(), entry: "1-0".to_owned(), stored: "then".to_owned() };
        let messages =
            vec![message("e", "a.b", false), message("e:AURORA", "A.b", true), message("e:ioc:0", "i", false)];
        let event = Traces { offered: Some(offered), messages, ..Traces::default() };
        let said = text(&Traced { events: vec![event], ..Traced::default() }, "");
        for line in [
            "offered        s 1-0, decided then\n",
            "A.b (e:AURORA): not in AURORA yet\n",
            "i (e:ioc:0): not in AURORA: ",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(!said.contains("what  ") && !said.contains("sha256"), "{said}");
    }

    #[test]
    fn neither_titles_nor_reasons_reach_the_terminal_as_they_are() {
        let (severity, title) = ("low".to_owned(), "a\x1b[2J".to_owned());
        let event = Traces { severity, title, keep_reason: Some("b\x1b".to_owned()), ..Traces::default() };
        let letter = Buried {
            id: "1-0".to_owned(),
            kept: String::new(),
            stage: "normalize".to_owned(),
            reason: "c\x1b".to_owned(),
            effect: String::new(),
        };
        let traced = Traced { events: vec![event], dead_letters: vec![letter], ..Traced::default() };
        let said = text(&traced, " --config c.toml");
        assert!(!said.contains('\x1b'), "{said:?}");
        assert!(said.contains("aurora dead-letter show --config c.toml 1-0\n"), "{said}");
    }
}
