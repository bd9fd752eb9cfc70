//! Aurora's host: it owns the connections, the guests own the meaning of events.
//!
//! # Code map, in the order in which an event flows
//!
//! | module | what lives there |
//! |---|---|
//! | [`config`] | one TOML file, every problem in it named at once |
//! | [`event`] | what travels: a delivery, its context, and the duty to settle it |
//! | [`broker`] | the only place that opens connections to brokers: [`broker::mqtt`], [`broker::redis_streams`], [`broker::jetstream`] |
//! | `ledger` | what becomes of deliveries, as their source's task hears it |
//! | [`ingest`] | events over HTTP, from collectors that speak no MQTT |
//! | [`raw`] | events out of a Redis stream |
//! | [`federation`] | the ceiling of what may leave the site, the streams that are offered to others, and what comes in from them |
//! | [`intel`] | indicators that sites tell each other of: the table, matches, sightings |
//! | [`pipeline`] | lanes, and the stages `normalize → route → federate → dedup → publish → settle` |
//! | [`attestation`] | challenges to devices, and verdicts on their answers |
//! | [`spool`] | decided batches on disk while Redis is away |
//! | [`supply`] | where guests come from, files and registries, and whether their signatures are believed |
//! | [`sandbox`] | the only place that knows wasmtime |
//! | [`state`] | what guests remember from call to call |
//! | [`trial`] | one guest on its own: cases, hostile input, recordings |
//! | [`tasks`] | tasks for agents, apart from the pipeline: a worker, and who brings results to those who asked |
//! | [`swap`] | other guests while events flow: installed, rehearsed, rolled back |
//! | [`supervise`] | starts the tasks, watches them, drains them in flow order |
//! | [`broadcast`] | live events for who watches, over WebSockets |
//! | [`lag`] | how long streams are, and how far their readers are behind |
//! | [`console`] | the page that shows all of it |
//! | `mark` | what TLP forbids to show around |
//! | `moment` | moments as records and people are told them |
//! | [`admin`], [`telemetry`] | health, metrics, logs |
//! | [`listen`] | how the HTTP listeners are bound, bounded and ended |
//! | [`cli`] | the commands |

pub mod cli;
pub mod config;
pub mod supervise;
pub mod event;
mod ledger;
pub mod broker;
pub mod ingest;
pub mod raw;
pub mod federation;
pub mod intel;
pub mod pipeline;
pub mod attestation;
pub mod spool;
pub mod supply;
pub mod sandbox;
pub mod state;
pub mod trial;
pub mod tasks;
pub mod swap;
pub mod broadcast;
pub mod lag;
pub mod console;
mod mark;
mod moment;
pub mod admin;
pub mod telemetry;
pub mod listen;
