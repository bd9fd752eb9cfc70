//! What of an artifact is the guest.

use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};

use super::{OciError, reference::parse_digest};
use crate::{sandbox::Digest, supply};

/// A layer that is a component: as the CNCF's layout names it, and as older tools do.
const WASM: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// A layer that is the file of signatures.
pub(super) const SIGNATURE: &str = "application/vnd.aurora.guest.signature.v1+json";

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Most bytes of a manifest, as registries have it.
pub(super) const MOST: u64 = 4 << 20;

/// What to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub wasm: Part,
    pub signature: Option<Part>,
}

/// A blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub digest: Digest,
    pub size: u64,
}

impl Parts {
    /// Of the artifact with this manifest.
    pub(super) fn of(manifest: &[u8]) -> Result<Self, OciError> {
        let wrong = |why: String| OciError::Artifact(why);
        let layers = match serde_json::from_slice(manifest) {
            Ok(OciManifest::Image(OciImageManifest { layers, .. })) => layers,
            Ok(OciManifest::ImageIndex(_)) => {
                return Err(wrong("it is a list of others; name one of those".to_owned()));
            }
            Err(error) => return Err(wrong(format!("its manifest cannot be read: {error}"))),
        };
        let of_type = |types: &[&str]| -> Result<Vec<Part>, OciError> {
            layers.iter().filter(|layer| types.contains(&&*layer.media_type)).map(part).collect()
        };
        let wasm = match of_type(&WASM)?[..] {
            [wasm] => wasm,
            [] => {
                let types: Vec<_> = layers.iter().map(|layer| layer.media_type.escape_debug().to_string()).collect();
                return Err(wrong(format!("no layer is {}; there are {}", WASM[0], types.join(", "))));
            }
            _ => return Err(wrong("it has several layers of WebAssembly".to_owned())),
        };
        let signature = match of_type(&[SIGNATURE])?[..] {
            [] => None,
            [signature] => Some(signature),
            _ => return Err(wrong("it has several files of signatures".to_owned())),
        };
        if wasm.size > supply::MOST {
            return Err(OciError::TooLarge { what: "the component", most: supply::MOST });
        }
        if signature.is_some_and(|part| part.size > supply::signature::MOST) {
            return Err(OciError::TooLarge { what: "its file of signatures", most: supply::signature::MOST });
        }
        Ok(Self { wasm, signature })
    }
}

fn part(layer: &OciDescriptor) -> Result<Part, OciError> {
    let wrong = || OciError::Artifact("a layer has no SHA-256, or no size".to_owned());
    let digest = parse_digest(&layer.digest).ok_or_else(wrong)?;
    Ok(Part { digest, size: layer.size.try_into().map_err(|_| wrong())? })
}

/// The configuration and the manifest of an artifact with these parts, as they are put into a registry. What the layout
/// has of imports and exports is left out: it may be, and the component says it itself.
pub(super) fn artifact(wasm: &[u8], signature: Option<&[u8]>, created: &str) -> (Vec<u8>, Vec<u8>) {
    let descriptor = |media_type: &str, bytes: &[u8]| {
        serde_json::json!({
            "mediaType": media_type,
            "digest": Digest::of(bytes).to_string(),
            "size": bytes.len(),
        })
    };
    let signature = signature.map(|text| descriptor(SIGNATURE, text));
    let layers: Vec<_> = [Some(descriptor(WASM[0], wasm)), signature].into_iter().flatten().collect();
    let config = serde_json::json!({
        "created": created,
        "architecture": "wasm",
        // Of a component, whatever it imports.
        "os": "wasip2",
        "layerDigests": layers.iter().map(|layer| &layer["digest"]).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": layers,
    });
    (config, manifest.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_taken_apart_again() {
        let (_, manifest) = artifact(b"wasm", Some(b"signed"), "2026-01-01T00:00:00Z");
        let parts = Parts::of(&manifest).unwrap();
        assert_eq!(parts.wasm, Part { digest: Digest::of(b"wasm"), size: 4 });
        assert_eq!(parts.signature, Some(Part { digest: Digest::of(b"signed"), size: 6 }));
        let (_, bare) = artifact(b"wasm", None, "2026-01-01T00:00:00Z");
        assert_eq!(Parts::of(&bare).unwrap().signature, None);
    }

    #[test]
    fn what_is_no_guest_is_refused() {
        let (_, manifest) = artifact(b"wasm", Some(b"signed"), "2026-01-01T00:00:00Z");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let refused = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut changed = manifest.clone();
            change(&mut changed);
            Parts::of(changed.to_string().as_bytes()).unwrap_err().to_string()
        };
        let said = refused(&|manifest| manifest["layers"][0]["mediaType"] = "text/\u{1b}plain".into());
        assert!(said.contains("no layer is application/wasm") && !said.contains('\u{1b}'), "{said}");
        assert!(refused(&|manifest| manifest["layers"][1]["mediaType"] = WASM[1].into()).contains("several"));
        assert!(refused(&|manifest| manifest["layers"][0]["size"] = (-1).into()).contains("no size"));
        assert!(refused(&|manifest| manifest["layers"][0]["size"] = (1_u64 << 40).into()).contains("more than"));
        assert!(refused(&|manifest| manifest["layers"][1]["size"] = (1 << 20).into()).contains("signatures"));
        assert!(refused(&|manifest| manifest["layers"][0]["digest"] = "sha256:0".into()).contains("SHA-256"));
        assert!(refused(&|manifest| *manifest = "nonsense".into()).contains("cannot be read"));
    }
}
