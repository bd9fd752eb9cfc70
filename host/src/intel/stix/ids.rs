use sha2::{Digest, Sha256};
use uuid::Builder;

/// The id of an object of `kind` that is about `parts`: a UUID of version 4, whose random bits are a digest.
pub(super) fn id(kind: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in [kind].iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let uuid = Builder::from_random_bytes(std::array::from_fn(|place| digest[place])).into_uuid();
    format!("{kind}--{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_same_has_one_id() {
        let one = id("indicator", &["site", "ip", "a"]);
        assert_eq!(one, id("indicator", &["site", "ip", "a"]));
        assert_ne!(one, id("indicator", &["site", "ip", "b"]));
        assert_ne!(id("indicator", &["a", "bc"]), id("indicator", &["ab", "c"]));
        let (kind, uuid) = one.split_once("--").unwrap();
        let uuid: uuid::Uuid = uuid.parse().unwrap();
        assert_eq!((kind, uuid.get_version_num()), ("indicator", 4));
    }
}
