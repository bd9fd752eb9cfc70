use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::event::{Context, Identity};

/// Id of the event at `position` of those that one delivery gave: the same whenever the source delivers it again, so
/// that a repeat can be recognised by it; another one for another delivery with the same bytes.
///
/// A UUID of version 8 (RFC 9562, section 5.8): the first 122 bits of a SHA-256 over the source's identity of the
/// delivery, where it came from, and its bytes.
#[must_use]
pub fn event_id(context: &Context, identity: Identity, payload: &[u8], position: u32) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(identity.0.to_le_bytes());
    hash.update(position.to_le_bytes());
    for part in [context.source.as_str(), context.topic.as_deref().unwrap_or_default()] {
        hash.update((part.len() as u32).to_le_bytes());
        hash.update(part);
    }
    hash.update(payload);
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}
