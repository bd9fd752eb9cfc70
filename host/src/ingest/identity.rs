use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

use crate::event::{Context, Identity};

/// Tells requests apart, or recognises them: see "Sending again" in the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Identities {
    // SipHash under a random key of this process: nobody else can aim at the same number.
    random: RandomState,
    requests: AtomicU64,
}

impl Identities {
    /// Numbers the lines of one request.
    pub(super) fn of_request(&self, context: &Context, key: Option<&[u8]>) -> impl Fn(u64) -> Identity {
        let key = key.map(|key| {
            let device = context.device_id.as_deref().unwrap_or_default();
            // Each part with its length, so that no two requests spell the same bytes.
            let parts = [context.source.as_bytes(), device.as_bytes(), key];
            let digest = parts.into_iter().fold(Sha256::new(), |hash, part| {
                hash.chain_update((part.len() as u64).to_le_bytes()).chain_update(part)
            });
            let digest: [u8; 32] = digest.finalize().into();
            std::array::from_fn(|index| digest[index])
        });
        let (request, random) = (self.requests.fetch_add(1, Ordering::Relaxed), self.random.clone());
        move |line| match key {
            Some(key) => Identity::Request { key, line },
            None => Identity::Once(random.hash_one((request, line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, device: Option<&str>) -> Context {
        Context { source: source.to_owned(), device_id: device.map(str::to_owned), ..Context::default() }
    }

    #[test]
    fn recognises_a_request_after_a_restart() {
        let context = named("zeek", None);
        let before = Identities::default().of_request(&context, Some(b"k"))(1);
        assert_eq!(before, Identities::default().of_request(&context, Some(b"k"))(1));
        assert_ne!(before, Identities::default().of_request(&context, Some(b"k"))(2));
    }

    #[test]
    fn tells_requests_apart_whose_parts_join_to_the_same_text() {
        let identities = Identities::default();
        let all = [
            identities.of_request(&named("a", Some("bc")), Some(b"d"))(1),
            identities.of_request(&named("ab", Some("c")), Some(b"d"))(1),
            identities.of_request(&named("a", Some("b")), Some(b"cd"))(1),
        ];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    }

    #[test]
    fn never_repeats_itself_without_a_key() {
        let identities = Identities::default();
        let context = named("http", None);
        let first = identities.of_request(&context, None);
        assert_ne!(first(1), first(2));
        assert_ne!(first(1), identities.of_request(&context, None)(1));
        assert_ne!(first(1), Identities::default().of_request(&context, None)(1));
    }
}
