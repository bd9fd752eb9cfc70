//! What made an event, as it is stored beside it and sent with it: the field `provenance`, and the header
//! `Aurora-Provenance`.
//!
//! A guest is its place and the first 64 bits of its digest, `route@0123456789abcdef`: that tells it from every other
//! one that a site has run, and three whole digests would be a fifth of a usual event, in each entry. Whoever has to be
//! sure of the bytes has the whole digest in the audit stream (`guest-load`).
//!
//! What leaves says neither why the router chose a stream of this site, nor what the ceiling cut, nor the digest of the
//! raw bytes: who has all of an event but a field that was removed could try values until the digest fits.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{
    decided::{DecidedEvent, Maker},
    leaving::{Name, Planned},
};
use crate::sandbox::answer::Piece;

/// Hexadecimal digits of a digest that are kept.
const DIGITS: usize = 16;

/// A digest as entries and people know it.
pub(crate) fn short(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..DIGITS).unwrap_or(digits)
}

/// Different ones that are remembered within a batch. Most batches have one or two.
const REMEMBERED: usize = 16;

/// The texts of a batch, each made once for all events that have it in common.
#[derive(Debug, Default)]
pub(super) struct Provenances(Vec<Known>);

/// The texts of one provenance.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// For this site.
    pub stored: Arc<str>,
    /// For other sites.
    pub leaving: Arc<str>,
}

#[derive(Debug)]
struct Known {
    makers: [Option<Maker>; 3],
    route_reason: String,
    share_reason: String,
    /// Subject that it is shared to, if it is.
    subject: Option<String>,
    /// The messages beside its own, each with its subject.
    also: Vec<(Name, String)>,
    /// What was cut of it.
    cut: Vec<String>,
    /// The reason as it leaves.
    leaving: String,
    texts: Texts,
}

#[derive(Serialize)]
struct Record<'a> {
    guests: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// What leaves beside it: what stands behind the event's id in the message's, and the subject.
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "as_map")]
    also: &'a [(String, &'a str)],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ceiling: &'a [String],
}

fn as_map<S: Serializer>(pairs: &[(String, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, subject)| (name, subject)))
}

impl Provenances {
    /// Those of `event`, of which the messages of `plan` leave.
    pub(super) fn of(&mut self, event: &DecidedEvent<'_>, plan: &[Planned<'_>]) -> Texts {
        let also = plan.get(1..).unwrap_or_default();
        let makers = [event.normalized_by, event.routed_by, event.federated_by];
        let subject = event.share.map(|share| share.subject.as_str());
        let cut = event.share.map_or(&[][..], |share| share.cut.as_slice());
        let left = event.share.map_or("", |share| share.text(Piece::Reason, event.share_reason));
        let known = self.0.iter().find(|known| {
            known.subject.as_deref() == subject
                && known
                    .also
                    .iter()
                    .map(|(name, subject)| (*name, &**subject))
                    .eq(also.iter().map(|one| (one.name, one.subject)))
                && known.cut == cut
                && known.leaving == left
                && makers.iter().zip(&known.makers).all(|(maker, known)| *maker == known.as_ref())
                && known.share_reason == event.share_reason
                && known.route_reason == event.route_reason
        });
        if let Some(known) = known {
            return known.texts.clone();
        }
        let guests: Vec<String> = makers.iter().flatten().map(|maker| maker.short()).collect();
        let (share, keep) =
            if subject.is_some() { (Some(event.share_reason), None) } else { (None, Some(event.share_reason)) };
        let route = Some(event.route_reason);
        let named: Vec<(String, &str)> = also.iter().map(|one| (one.name.to_string(), one.subject)).collect();
        let stored = Record { guests: &guests, route, share, keep, subject, also: &named, ceiling: cut };
        let share = share.map(|_| left);
        let leaving =
            Record { guests: &guests, route: None, share, keep: None, subject: None, also: &[], ceiling: &[] };
        let texts = Texts { stored: json(&stored), leaving: json(&leaving) };
        if self.0.len() < REMEMBERED {
            self.0.push(Known {
                makers: makers.map(Option::<&Maker>::cloned),
                route_reason: event.route_reason.to_owned(),
                share_reason: event.share_reason.to_owned(),
                subject: subject.map(str::to_owned),
                also: also.iter().map(|one| (one.name, one.subject.to_owned())).collect(),
                cut: cut.to_vec(),
                leaving: left.to_owned(),
                texts: texts.clone(),
            });
        }
        texts
    }
}

impl Maker {
    /// Its place and the beginning of its digest, as in `normalize/acme@0123456789abcdef`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}@{}", self.slot, short(&self.digest))
    }
}

fn json(record: &Record<'_>) -> Arc<str> {
    // Strings alone: nothing here can fail.
    serde_json::to_string(record).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{SlotName, Stage};

    #[test]
    fn a_guest_is_its_place_and_the_beginning_of_its_digest() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4)).into();
        let maker = Maker { slot: SlotName::of_rule(Stage::Normalize, "acme"), digest };
        assert_eq!(maker.short(), "normalize/acme@0123456789abcdef");
    }

    #[test]
    fn what_leaves_says_nothing_of_this_sites_streams() {
        let guests = ["route@00".to_owned()];
        let (route, share, cut) = (Some("to \"x\"\n"), Some("s"), ["c".to_owned()]);
        let also = [(":AURORA".to_owned(), "AURORA.alerts")];
        let stored = Record { guests: &guests, route, share, keep: None, subject: None, also: &also, ceiling: &cut };
        let expected = r#"{"guests":["route@00"],"route":"to \"x\"\n","share":"s","also":{":AURORA":"AURORA.alerts"},"ceiling":["c"]}"#;
        assert_eq!(&*json(&stored), expected);
        let leaving = Record { route: None, also: &[], ceiling: &[], ..stored };
        assert_eq!(&*json(&leaving), r#"{"guests":["route@00"],"share":"s"}"#);
    }
}
