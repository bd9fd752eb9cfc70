//! Guests in OCI registries: one artifact with one layer of WebAssembly, as the CNCF's layout for it has it, and if it is
//! signed a second layer with the file of signatures. What is named in a configuration is the digest of the artifact's
//! manifest, so it stays the same guest whatever becomes of tags.

mod reference;
mod artifact;
mod error;
mod login;
mod client;
mod registry;
mod store;

pub use error::OciError;
pub use reference::Reference;
pub use registry::{Pulled, Registry};
pub use store::Store;
