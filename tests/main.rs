//! Every test that needs the built daemon or the built guests.
//!
//! | module | what it shows |
//! |---|---|
//! | [`contract`] | what each stock guest answers, by `aurora pipe` |
//! | [`isolation`] | a guest cannot hurt its host, its neighbours, or the site's secrets |
//! | [`delivery`] | from MQTT to Redis and JetStream, over real brokers |
//! | [`faults`] | nothing is lost or doubled, whatever breaks; `make soak` is the long form |
//! | [`federation`] | nothing leaves the site that should not, and what should leaves once |
//! | [`servers`] | other servers than an ordinary site's, a cluster, and what `aurora check --connect` says of them |
//! | [`attestation`] | devices that prove what they are, and those that cannot |
//! | [`intel`] | indicators of other sites: kept, matched, seen again, exported and imported |
//! | [`consumers`] | what people and programs of the site see: metrics, alerts, live events, the page |
//! | [`tasks`] | tasks for agents: one result for each, whoever does it, dies, or is written in Python |
//! | [`guests`] | guests that sites ship: from `aurora guest new` to chosen by rule, exchanged while events flow |

mod contract;
mod isolation;
pub(crate) mod delivery;
mod faults;
mod federation;
mod servers;
mod guests;
mod attestation;
mod intel;
mod consumers;
mod tasks;
