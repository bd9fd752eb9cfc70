//! A normalizer that asks WASI for what its event names, and says in the event's title what it got. Built on the bare
//! interfaces, for a standard library would refuse by itself what a hostile guest would try.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod deeds;
