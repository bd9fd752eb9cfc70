//! Whether devices are what they say they are: challenges, answers, verdicts, and whether devices are there at all.
//!
//! A device is asked with a nonce on `aurora/attestation/<id>/request`, and answers on `aurora/attestation/<id>/response`
//! with the hash of its firmware, its boot count, and an ECDSA P-256 signature. The answer is an ordinary delivery: the
//! normalizer says that it is of kind `attestation`, and then the verdict is the host's, before route and federate see
//! the event. So result, alert and what leaves the site come out of the one commit that also settles the delivery.
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[attestation]` |
//! | `hex`, `key` | keys and signatures as devices and people write them |
//! | `message` | the bytes that a device signs |
//! | `response` | what a device answers |
//! | `record`, `registry` | who is enrolled: a file, and Redis |
//! | `verdict` | what may come out, and why |
//! | `examine` | an answer against all that is known; no input or output |
//! | `judge` | the same with Redis, which uses the nonce up |
//! | `repeats` | failures that repeat, of which one is told |
//! | `attestor`, `rewrite` | the verdict of a lane's batch, in the lane's thread |
//! | `notice` | what the host tells of a device by itself, on the way that answers take |
//! | `reach` | one challenge to one device |
//! | `challenger` | the task that asks devices, and misses their answers |
//! | `silence` | devices that send no heartbeat any more, and those that are back |
//! | `health` | who is online, from heartbeats |
//! | `overview` | all of it, to look at |
//! | `simulate` | a device of our own, to try it with |
//!
//! # What a verdict rests on
//!
//! * **The key** is that of the registry. One that comes with an answer is taken only where somebody has opened the gate for
//!   that device (`aurora device enroll --await`), and even then the answer is not `valid`: it proves that somebody has a
//!   key, not who.
//! * **The nonce** is ours, from the system's source of chance, for this device, not expired, and used by no other answer.
//!   It is used up in a step of Redis, for all hosts of a site, and bound to the delivery that used it: see
//!   `devices_claim.lua`. A signature that does not hold uses up nothing, so nobody without the key can.
//! * **The boot count** never goes back, **the firmware** is one that is expected, where any is.
//!
//! ECDSA signatures are malleable: with `(r, s)` goes `(r, n − s)`, for the same message and key. So no signature ever stands
//! for an answer here: the second one finds the nonce used. Half of the signers in the field never choose the lower `s`,
//! which is why both are taken, unless `require_low_s` says otherwise.
//!
//! Without Redis there is no verdict: the delivery is put off, unacknowledged, and asked for again.

mod config;
mod hex;
mod key;
mod message;
mod response;
mod record;
mod registry;
mod verdict;
mod examine;
mod notice;
mod judge;
mod repeats;
mod attestor;
mod rewrite;
mod reach;
mod challenger;
mod health;
mod silence;
mod overview;
mod simulate;

pub use attestor::Attestor;
pub use challenger::{Challenger, Means};
pub use config::Config;
pub use health::{Health, Heard};
pub use judge::Judge;
pub use key::{Key, KeyError};
pub use message::{Form, message};
pub use overview::Overview;
pub use record::{Awaiting, Enrolled, Record, Revoked};
pub use registry::{Listed, Registry, RegistryError, Standing};
pub use simulate::{Signer, answer};
pub use verdict::{Cause, Last, Status, Verdict};
