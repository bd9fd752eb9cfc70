//! Events out of a Redis stream, for collectors that can reach Redis: anybody may `XADD` to `aurora:raw`.
//!
//! # The entry
//!
//! | field | meaning |
//! |---|---|
//! | `payload` | required; the raw event, any bytes |
//! | `source` | name of the origin, `[A-Za-z0-9_.-]{1,64}`. Default: `redis` |
//! | `format` | `cef`, `leef`, `syslog`, `json`, …: what the payload is written in. Default: `auto` |
//! | `topic` | topic that it came by, at most 1024 bytes; gives device and channel as that of an MQTT message does |
//! | `device_id` | device that it concerns, `[A-Za-z0-9_-]{1,64}` |
//! | `source_ip` | address of its sender |
//! | `timestamp_ms` | when the collector had it, milliseconds since 1970-01-01 UTC. Default: when it was added |
//!
//! Empty fields count as missing, save `payload`: an empty one is an event without bytes. Unknown fields are ignored. An
//! entry that breaks a rule becomes a dead letter with the reason; without a `payload` it is kept there whole, as JSON. No
//! dead letter has more than the first `raw.max_payload` bytes of either, and it says so.
//!
//! # What is promised
//!
//! An entry is acknowledged (and removed, unless `raw.remove` is off) by the very step that stores its events: see
//! [`redis_streams`](crate::broker::redis_streams). So it is stored once, however often it is delivered and to however
//! many hosts. Nothing here acknowledges anything; what is done here only decides who works on what:
//!
//! | what happened | what is done |
//! |---|---|
//! | this process died, or an answer of Redis was lost | entries pending with our name that we do not have in hand are taken first, before new ones |
//! | another host died | its entries are taken over when they have been pending for `raw.stale` |
//! | a batch waits long, for Redis or on disk | a look every quarter of `raw.stale`, or every five seconds, says that its entries are in good hands |
//! | entries wait in the spool | those that the last look found pending count against `raw.max_in_flight`: they wait in their stream rather than on our disk |
//! | a record of the spool was damaged | its entries, settled and pending for ten times `raw.stale`, are taken again |
//! | a duty was dropped | a look within two seconds finds the entry pending and not in hand |
//! | an entry ends the host each time | see below |
//! | an entry was deleted before it was stored | it is lost as soon as anybody claims it or says that it is in good hands; that is counted and said |
//! | stream or group was deleted | the group is made again from the beginning of the stream, and that is said. With `raw.remove` off everything in the stream is read again |
//! | this process ends in order | what is left is given back, as if it had not been delivered. What is settled and waits on our disk is not: it stays pending with our name, until it is stored by our next run, or becomes stale |
//!
//! Order per device is kept within a host. Hosts of one group share the entries as Redis deals them out.
//!
//! # Poison
//!
//! Redis counts deliveries. Entries that were delivered twice and not settled are suspects: they are handed on one at a
//! time, so that one that ends the host raises no other's count. A suspect that was delivered `raw.max_deliveries` times
//! becomes a dead letter without being looked at.
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[raw]` |
//! | `entry` | from fields to an event |
//! | `sort` | what differs where entries are no raw events, but what other sites are offered |
//! | `window` | which entries are in hand; no input or output |
//! | `origins` | contexts, each with its lane |
//! | `source` | the task: connects, reads, hands on |
//! | `looks` | what it does beside reading: which pending entries are in whose hands |
//! | `probe` | `aurora check --connect` |

mod config;
mod entry;
mod sort;
mod window;
mod origins;
mod source;
mod looks;
mod probe;

pub use config::Config;
pub(crate) use origins::Origins;
pub use probe::probe;
pub use sort::Sort;
pub use source::{Reach, Source};
