use std::borrow::Cow;

use super::{
    ceiling::Ceiling,
    cut::Cut,
    never::Why,
    secrets::{SHORTEST, Secrets},
};
use crate::{
    event::Context,
    pipeline::glob,
    sandbox::{
        Category, Scope,
        answer::{Piece, Share},
        events::EventRef,
    },
    telemetry::Metrics,
};

/// In the place of what was blotted out.
const MASKED: &str = "[masked]";

/// Tokens of subjects that are the same at every site, beside the names of categories.
const TOKENS: [&str; 9] =
    ["aurora", "AURORA", "alerts", "agent_results", "attestation", "audit", "cps", "ioc_sharing", "soar"];

/// Names of fields in a note.
const NAMED: usize = 8;

/// One event that leaves.
pub(super) struct Narrowing<'a> {
    pub ceiling: &'a Ceiling,
    pub event: EventRef<'a>,
    pub context: &'a Context,
    pub metrics: &'a Metrics,
}

impl Narrowing<'_> {
    /// Cuts from `share`, which its policy decided for `reason`. Why the event stays, if it does after all.
    pub fn narrow(&self, share: &mut Share, reason: &str) -> Option<(Cut, String)> {
        let judged = self.judged(share);
        let removed = self.fields(share);
        let mut secrets = Secrets::default();
        let mut named = 0;
        if self.ceiling.mask {
            named = self.keys(share);
            secrets = self.secrets(share, &judged);
            if let Some(why) = self.subject(&share.subject, &secrets) {
                return Some((Cut::Subject, format!("its subject {} names what never leaves: {why}", share.subject)));
            }
        }
        self.observables(share, &judged, &secrets);
        if !removed.is_empty() {
            self.metrics.federation_cut(Cut::Field).inc_by(removed.len() as u64);
            share.cut.push(listed("fields removed: ", &removed));
        }
        if named > 0 {
            self.metrics.federation_cut(Cut::Field).inc_by(named as u64);
            share.cut.push(format!("{named} fields removed for their names"));
        }
        if self.ceiling.mask {
            self.mask(share, reason, &secrets);
        }
        None
    }

    /// Of each observable why it stays, if it does; none: it was not to leave anyway.
    fn judged(&self, share: &Share) -> Vec<Option<Option<Why<'_>>>> {
        let mut judged = vec![None; self.event.observable_count()];
        for &position in &share.observables {
            let (kind, _, value) = self.event.observable(position as usize);
            judged[position as usize] = Some(self.ceiling.never.judge(kind, value));
        }
        judged
    }

    fn observables(&self, share: &mut Share, judged: &[Option<Option<Why<'_>>>], secrets: &Secrets) {
        let (mut causes, mut kept): (Vec<Cow<'static, str>>, _) = (Vec::new(), share.scoped_out);
        let mut count = |cut, times: u32, cause: Cow<'static, str>| {
            self.metrics.federation_cut(cut).inc_by(u64::from(times));
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        };
        if share.scoped_out > 0 {
            count(Cut::Scope, share.scoped_out, "not public".into());
        }
        share.observables.retain(|&position| {
            let (cut, cause) = match judged[position as usize].flatten() {
                Some(why) => (Cut::from(why), why.text()),
                // What is blotted out in a text is not sent beside it.
                None if secrets.are_in(self.event.observable(position as usize).2) => {
                    (Cut::Mask, "holds what is removed".into())
                }
                None => return true,
            };
            kept += 1;
            count(cut, 1, cause);
            false
        });
        if kept > 0 {
            share.cut.push(format!("{kept} observables kept: {}", causes.join(", ")));
        }
        // They stay in the event, which says of itself where it may go.
        let kinds = share.observables.iter().map(|&position| self.event.observable(position as usize).0);
        let unsent = kinds.filter(|&kind| !self.ceiling.sendable.anywhere(kind)).count();
        if unsent > 0 {
            self.metrics.federation_cut(Cut::Subject).inc_by(unsent as u64);
            share.cut.push("observables not sent by themselves: their subject".to_owned());
        }
    }

    /// What is removed for its key. As in a note, each with nothing before it.
    fn fields(&self, share: &mut Share) -> Vec<(&'static str, &str)> {
        let patterns = &self.ceiling.fields;
        let mut removed = Vec::new();
        if patterns.is_empty() {
            return removed;
        }
        for (key, _) in self.event.fields() {
            let lower = key.to_ascii_lowercase();
            let is_meant = patterns.iter().any(|pattern| glob(pattern.as_bytes(), lower.as_bytes()));
            if is_meant && !share.remove.iter().any(|known| known == key) {
                share.remove.push(key.to_owned());
                removed.push(("", key));
            }
        }
        removed
    }

    /// Why a message to `subject` would tell what never leaves, if it would. Subjects are seen by more than those who read
    /// the messages, and a token cannot be blotted out: whoever waits for it would wait for nothing.
    fn subject(&self, subject: &str, secrets: &Secrets) -> Option<Cow<'static, str>> {
        let is_fixed = |token: &str| TOKENS.contains(&token) || Category::ALL.iter().any(|one| one.as_str() == token);
        let mut first = None;
        for token in subject.split('.').filter(|token| !is_fixed(token)) {
            self.ceiling.never.find(token, |_, why| first = first.or(Some(why)));
            if secrets.are_in(token) {
                return Some("it is removed from the event".into());
            }
        }
        // The last names that every site has for itself are words there.
        self.ceiling.never.find(subject, |range, why| {
            let is_address = !subject[range].bytes().any(|byte| byte.is_ascii_alphabetic());
            first = first.or((why != Why::Reserved || is_address).then_some(why));
        });
        first.map(Why::text)
    }

    /// Blots out what never leaves, whether the event has it as an observable or not.
    fn mask(&self, share: &mut Share, reason: &str, secrets: &Secrets) {
        let (own_source, own_device) = (self.event.source(), self.event.device_id());
        let source = if own_source.is_empty() { self.context.source.as_str() } else { own_source };
        let device =
            if own_device.is_empty() { self.context.device_id.as_deref().unwrap_or_default() } else { own_device };
        let mut masked = Vec::new();
        let mut look = |piece, name, text| {
            if let Some(text) = self.masked(text, secrets) {
                share.masked.push((piece, text));
                masked.push((if matches!(piece, Piece::Field(_)) { "fields." } else { "" }, name));
            }
        };
        look(Piece::Title, "title", self.event.title());
        look(Piece::Description, "description", self.event.description());
        look(Piece::Source, "source", source);
        look(Piece::Device, "device_id", device);
        look(Piece::Reason, "reason", reason);
        for (position, (key, value)) in self.event.fields().enumerate() {
            if !share.remove.iter().any(|removed| removed == key) {
                look(Piece::Field(position), key, value);
            }
        }
        if !masked.is_empty() {
            self.metrics.federation_cut(Cut::Mask).inc_by(masked.len() as u64);
            share.cut.push(listed("masked in: ", &masked));
        }
    }

    /// Removes the fields whose very keys name what never leaves, and returns how many there are.
    fn keys(&self, share: &mut Share) -> usize {
        let keys = self.event.fields().map(|(key, _)| key);
        let named: Vec<_> = keys
            .filter(|key| !share.remove.iter().any(|removed| removed == key) && self.ceiling.never.in_key(key))
            .collect();
        let count = named.len();
        share.remove.extend(named.into_iter().map(str::to_owned));
        count
    }

    fn secrets(&self, share: &Share, judged: &[Option<Option<Why<'_>>>]) -> Secrets {
        let never = &self.ceiling.never;
        let mut secrets = Secrets::default();
        for ((kind, scope, value), judged) in self.event.observables().zip(judged) {
            let is_secret = || {
                let why = judged.unwrap_or_else(|| never.judge(kind, value));
                why.is_some_and(Why::is_secret)
            };
            if value.len() < SHORTEST || scope == Scope::Public && !is_secret() {
                continue;
            }
            let mut whole = false;
            never.find(value, |range, _| whole |= range == (0..value.len()));
            if !whole {
                secrets.add(value);
            }
        }
        for (key, value) in self.event.fields() {
            if share.remove.iter().any(|removed| removed == key) {
                secrets.add(value);
            }
        }
        secrets
    }

    /// `text` without what never leaves; none if there is nothing of it.
    pub(super) fn masked(&self, text: &str, secrets: &Secrets) -> Option<String> {
        let mut ranges = Vec::new();
        self.ceiling.never.find(text, |range, _| ranges.push(range));
        secrets.find(text, |range| ranges.push(range));
        if ranges.is_empty() {
            return None;
        }
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
        for range in ranges {
            if range.start >= at {
                masked.push_str(&text[at..range.start]);
                masked.push_str(MASKED);
            }
            at = at.max(range.end);
        }
        masked.push_str(&text[at..]);
        Some(masked)
    }
}

/// `what`, and not more names than a person reads, each with what stands before it.
fn listed(what: &str, names: &[(&str, &str)]) -> String {
    let mut text = what.to_owned();
    for (place, (above, name)) in names.iter().take(NAMED).enumerate() {
        text.push_str(if place > 0 { ", " } else { "" });
        text.push_str(above);
        text.push_str(name);
    }
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
