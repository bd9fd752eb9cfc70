use std::borrow::Cow;

use super::{ceiling::Ceiling, cut::Cut, never::Why};
use crate::{
    event::Context,
    pipeline::glob,
    sandbox::{
        Scope,
        answer::{Piece, Share},
        events::EventRef,
    },
    telemetry::Metrics,
};

/// In the place of what was blotted out.
const MASKED: &str = "[masked]";

/// Shortest observable that is looked for in texts: a shorter one is in many words.
const SHORTEST: usize = 4;

/// Values of fields that say nothing by themselves.
const COMMON: [&str; 4] = ["true", "false", "null", "none"];

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
    /// Cuts from `share`, which its policy decided for `reason`.
    pub fn narrow(&self, share: &mut Share, reason: &str) {
        let judged = self.observables(share);
        self.fields(share);
        if self.ceiling.mask {
            self.mask(share, reason, &judged);
        }
    }

    /// Returns of each observable whether it stays and is to be in no text; none: it was not to leave anyway.
    fn observables(&self, share: &mut Share) -> Vec<Option<bool>> {
        let mut judged = vec![None; self.event.observable_count()];
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
            let (kind, _, value) = self.event.observable(position as usize);
            let why = self.ceiling.never.judge(kind, value);
            judged[position as usize] = Some(why.is_some_and(Why::is_secret));
            let Some(why) = why else { return true };
            kept += 1;
            count(why.into(), 1, why.text());
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
        judged
    }

    fn fields(&self, share: &mut Share) {
        let patterns = &self.ceiling.fields;
        if patterns.is_empty() {
            return;
        }
        let mut removed = Vec::new();
        for (key, _) in self.event.fields() {
            let lower = key.to_ascii_lowercase();
            let is_meant = patterns.iter().any(|pattern| glob(pattern.as_bytes(), lower.as_bytes()));
            if is_meant && !share.remove.iter().any(|known| known == key) {
                share.remove.push(key.to_owned());
                removed.push(("", key));
            }
        }
        if !removed.is_empty() {
            self.metrics.federation_cut(Cut::Field).inc_by(removed.len() as u64);
            share.cut.push(listed("fields removed: ", &removed));
        }
    }

    /// Blots out what never leaves, whether the event has it as an observable or not.
    fn mask(&self, share: &mut Share, reason: &str, judged: &[Option<bool>]) {
        self.keys(share);
        let secrets: Vec<String> = self.secrets(share, judged);
        let (own_source, own_device) = (self.event.source(), self.event.device_id());
        let source = if own_source.is_empty() { self.context.source.as_str() } else { own_source };
        let device =
            if own_device.is_empty() { self.context.device_id.as_deref().unwrap_or_default() } else { own_device };
        let mut masked = Vec::new();
        let mut look = |piece, name, text| {
            if let Some(text) = self.masked(text, &secrets) {
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

    /// Fields whose very keys name what never leaves.
    fn keys(&self, share: &mut Share) {
        let keys = self.event.fields().map(|(key, _)| key);
        let named: Vec<_> = keys
            .filter(|key| !share.remove.iter().any(|removed| removed == key) && self.ceiling.never.in_key(key))
            .collect();
        if !named.is_empty() {
            self.metrics.federation_cut(Cut::Field).inc_by(named.len() as u64);
            share.cut.push(format!("{} fields removed for their names", named.len()));
            share.remove.extend(named.into_iter().map(str::to_owned));
        }
    }

    /// What is not found in a text by what it is: observables of the event that never leave, and the values of fields that
    /// are removed, for a title is often made of one.
    fn secrets(&self, share: &Share, judged: &[Option<bool>]) -> Vec<String> {
        let never = &self.ceiling.never;
        let mut secrets = Vec::new();
        for ((kind, scope, value), judged) in self.event.observables().zip(judged) {
            let is_secret = || judged.unwrap_or_else(|| never.judge(kind, value).is_some_and(Why::is_secret));
            if value.len() < SHORTEST || scope == Scope::Public && !is_secret() {
                continue;
            }
            let mut whole = false;
            never.find(value, |range, _| whole |= range == (0..value.len()));
            if !whole {
                secrets.push(value.to_ascii_lowercase());
            }
        }
        for (key, value) in self.event.fields() {
            let value = value.trim();
            let is_removed = || share.remove.iter().any(|removed| removed == key);
            if is_removed() && value.len() >= SHORTEST && !COMMON.contains(&value) {
                secrets.push(value.to_ascii_lowercase());
            }
        }
        secrets
    }

    /// `text` without what never leaves; none if there is nothing of it.
    pub(super) fn masked(&self, text: &str, secrets: &[String]) -> Option<String> {
        let mut ranges = Vec::new();
        self.ceiling.never.find(text, |range, _| ranges.push(range));
        if !secrets.is_empty() {
            // Byte by byte of the same length, so that places in one are places in the other.
            let lower = text.to_ascii_lowercase();
            for secret in secrets {
                let whole = |(start, _): &(usize, &str)| {
                    let before = lower.as_bytes()[..*start].last();
                    let after = lower.as_bytes().get(start + secret.len());
                    ![before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric)
                };
                ranges
                    .extend(lower.match_indices(&**secret).filter(whole).map(|(start, _)| start..start + secret.len()));
            }
        }
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
