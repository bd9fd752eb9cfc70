use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::{
    event::{Context, Delivery, Identity},
    state::Mark,
};

/// Digests of one delivery. The same whenever the source delivers it again; others for another delivery with the same
/// bytes.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint {
    payload: [u8; 32],
    delivery: [u8; 32],
}

impl Fingerprint {
    /// Of a delivery: SHA-256 over the source's identity of it, where it came from, and its bytes.
    #[must_use]
    pub fn of(context: &Context, identity: Identity, payload: &[u8]) -> Self {
        let payload: [u8; 32] = Sha256::digest(payload).into();
        let mut hash = Sha256::new();
        match identity {
            // Not `dup`: the first time it was not set.
            Identity::Packet { client, id, dup: _ } => {
                hash.update([0]);
                hash.update(client.to_le_bytes());
                hash.update(id.to_le_bytes());
            }
            Identity::Request { key, line } => {
                hash.update([1]);
                hash.update(key);
                hash.update(line.to_le_bytes());
            }
            Identity::Entry(id) | Identity::Letter(id) => {
                hash.update([if matches!(identity, Identity::Entry(_)) { 2 } else { 3 }]);
                hash.update(id.ms.to_le_bytes());
                hash.update(id.sequence.to_le_bytes());
            }
            // Which stream, the source says.
            Identity::Offer(_, id) => {
                hash.update([5]);
                hash.update(id.ms.to_le_bytes());
                hash.update(id.sequence.to_le_bytes());
            }
            Identity::Message { mark, day: _ } => {
                hash.update([6]);
                hash.update(mark);
            }
            Identity::Once(number) => {
                hash.update([4]);
                hash.update(number.to_le_bytes());
            }
        }
        for part in [context.source.as_str(), context.topic.as_deref().unwrap_or_default()] {
            text(&mut hash, part);
        }
        hash.update(payload);
        Self { payload, delivery: hash.finalize().into() }
    }

    /// Of a delivery that became a dead letter, out of what the letter keeps: see [`delivery`](Self::delivery).
    #[must_use]
    pub fn recall(delivery: &str, payload: &[u8]) -> Option<Self> {
        let mut digest = [0; 32];
        if delivery.len() != 2 * digest.len() {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(delivery.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self { payload: Sha256::digest(payload).into(), delivery: digest })
    }

    /// The digest of the delivery, in hexadecimal.
    #[must_use]
    pub fn delivery(&self) -> String {
        hex(&self.delivery)
    }

    /// The digest of the raw bytes alone, in hexadecimal: what `sha256sum` says of them.
    #[must_use]
    pub fn raw(&self) -> String {
        hex(&self.payload)
    }

    /// Id of the event at `position` of those that the delivery gave: a UUID of version 8 (RFC 9562, section 5.8).
    #[must_use]
    pub fn event_id(&self, position: u32) -> Uuid {
        let digest = match position {
            0 => self.delivery,
            _ => Sha256::new().chain_update(self.delivery).chain_update(position.to_le_bytes()).finalize().into(),
        };
        Builder::from_custom_bytes(first(&digest)).into_uuid()
    }

    /// What the mark of a packet id, or of a request's line, says of it: its bytes, and from where in `context` they
    /// came. The same for deliveries that are equal, which have their marks under different ids.
    #[must_use]
    pub fn mark<const N: usize>(&self, context: &Context) -> [u8; N] {
        let mut hash = Sha256::new();
        for part in [context.source.as_str(), context.topic.as_deref().unwrap_or_default()] {
            text(&mut hash, part);
        }
        first(&hash.chain_update(self.payload).finalize())
    }

    /// Under what the event at `position` is one with others of equal content: SHA-256 over `own`, the key that its
    /// guest gave, else over device, kind and payload; and over its source in any case.
    #[must_use]
    pub fn dedup_key(&self, own: &str, source: &str, device: &str, kind: &str, position: u32) -> [u8; 16] {
        let mut hash = Sha256::new();
        text(&mut hash, source);
        text(&mut hash, own);
        if own.is_empty() {
            text(&mut hash, device);
            text(&mut hash, kind);
            hash.update(position.to_le_bytes());
            hash.update(self.payload);
        }
        first(&hash.finalize())
    }

    /// The `key` of the same event where it matched: what it `matched`, and the severity that this `raised` it to.
    #[must_use]
    pub fn matched_key(key: [u8; 16], matched: &str, raised: &str) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(key);
        text(&mut hash, matched);
        text(&mut hash, raised);
        first(&hash.finalize())
    }
}

/// By what a guest's counters know the event at `position` of `delivery` again.
pub(super) fn mark_of(delivery: &Delivery, position: u32) -> Mark {
    let id = Fingerprint::of(&delivery.context, delivery.identity, &delivery.payload).event_id(position);
    // A packet without DUP is new, whatever had its id before. One that a guest has put off comes from us.
    let is_new = matches!(delivery.identity, Identity::Packet { dup: false, .. }) && delivery.attempts == 0;
    Mark { id: first(id.as_bytes()), may_repeat: !is_new }
}

fn hex(digest: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    // Once an event, so not through `fmt`.
    let mut text = String::with_capacity(2 * digest.len());
    text.extend(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

/// With its length, so that no two lists of texts spell the same bytes.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u32).to_le_bytes());
    hash.update(text);
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Identity = Identity::Packet { client: 1, id: 7, dup: false };

    fn of(identity: Identity, payload: &[u8]) -> Fingerprint {
        Fingerprint::of(&Context::default(), identity, payload)
    }

    #[test]
    fn a_redelivery_has_the_ids_of_the_first_delivery() {
        let (first, again) = (of(PACKET, b"p"), of(Identity::Packet { client: 1, id: 7, dup: true }, b"p"));
        assert_eq!((first.event_id(0), first.event_id(1)), (again.event_id(0), again.event_id(1)));
    }

    #[test]
    fn equal_deliveries_have_one_mark_whatever_their_ids() {
        let mark = |topic: &str, identity, payload| {
            let context = Context { topic: Some(topic.into()), ..Context::default() };
            Fingerprint::of(&context, identity, payload).mark::<6>(&context)
        };
        let first = mark("a", PACKET, b"p");
        assert_eq!(first, mark("a", Identity::Packet { client: 2, id: 8, dup: true }, b"p"));
        assert!([mark("a", PACKET, b"q"), mark("b", PACKET, b"p")].iter().all(|other| *other != first));
    }

    #[test]
    fn deliveries_and_positions_have_ids_of_their_own() {
        let all = [
            of(PACKET, b"p").event_id(0),
            of(PACKET, b"p").event_id(1),
            of(PACKET, b"q").event_id(0),
            of(Identity::Packet { client: 1, id: 8, dup: false }, b"p").event_id(0),
            of(Identity::Packet { client: 2, id: 7, dup: false }, b"p").event_id(0),
            of(Identity::Once(7), b"p").event_id(0),
        ];
        for (index, id) in all.iter().enumerate() {
            assert!(!all[..index].contains(id), "{index}");
            assert_eq!(id.get_version_num(), 8);
        }
    }

    #[test]
    fn a_letter_recalls_the_ids_and_the_key_of_its_delivery() {
        let first = of(PACKET, b"p");
        let again = Fingerprint::recall(&first.delivery(), b"p").unwrap();
        assert_eq!((first.event_id(0), first.event_id(1)), (again.event_id(0), again.event_id(1)));
        assert_eq!(first.dedup_key("", "s", "d", "alert", 0), again.dedup_key("", "s", "d", "alert", 0));
        for broken in ["", "00", &"x".repeat(64), &"é".repeat(32)] {
            assert!(Fingerprint::recall(broken, b"p").is_none(), "{broken}");
        }
    }

    #[test]
    fn the_raw_digest_is_that_of_the_bytes_alone() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(PACKET, b"abc").raw(), abc);
        assert_eq!(of(Identity::Once(1), b"abc").raw(), abc);
    }

    #[test]
    fn equal_content_has_one_key_whatever_delivered_it() {
        let key = |fingerprint: Fingerprint| fingerprint.dedup_key("", "s", "d", "alert", 0);
        assert_eq!(key(of(PACKET, b"p")), key(of(Identity::Once(1), b"p")));
        assert_ne!(key(of(PACKET, b"p")), key(of(PACKET, b"q")));
        assert_ne!(key(of(PACKET, b"p")), of(PACKET, b"p").dedup_key("", "s", "e", "alert", 0));
        assert_ne!(key(of(PACKET, b"p")), of(PACKET, b"p").dedup_key("", "s", "d", "alert", 1));
    }

    #[test]
    fn a_guests_own_key_is_all_that_counts_within_a_source() {
        let key = |payload, source| of(PACKET, payload).dedup_key("k", source, "d", "alert", 0);
        assert_eq!(key(b"p", "s"), key(b"q", "s"));
        assert_ne!(key(b"p", "s"), key(b"p", "t"));
    }

    #[test]
    fn what_matched_has_a_key_of_its_own() {
        let key = of(PACKET, b"p").dedup_key("", "s", "d", "alert", 0);
        let all = [("", ""), ("ip:1.2.3.4", ""), ("ip:1.2.3.4", "high"), ("ip:1.2.3.5", "high")];
        let keys: Vec<_> =
            all.into_iter().map(|(matched, raised)| Fingerprint::matched_key(key, matched, raised)).collect();
        for (index, one) in keys.iter().enumerate() {
            assert!(*one != key && !keys[..index].contains(one), "{index}");
        }
        assert_eq!(keys[2], Fingerprint::matched_key(key, "ip:1.2.3.4", "high"));
    }
}
