//! What other sites share comes in: from JetStream to the site's own streams, each message once, marked with its origin.
//!
//! A message goes the way of an event through the lanes, so that the spool, the atomic step and dead letters hold for it
//! as for everything else. The guest of `inbound`, where a site has one, judges it there. No normalizer sees it, for another
//! site has normalized it; no router, for its subject says what it is; no policy, for it never leaves again.
//!
//! | it is | what is done | JetStream hears |
//! |---|---|---|
//! | ours, come back | nothing | ack |
//! | older than `max_age` | nothing; counted | ack |
//! | on a subject that is not wanted | nothing; counted | ack |
//! | sound | stored in its stream, its indicators recorded | ack, after that |
//! | stored before | nothing; its indicators are recorded, which changes nothing the second time | ack |
//! | refused by the guest, or not judged for the guest's own fault | a dead letter with the reason; nothing is recorded | term, after that |
//! | dropped by the guest | a mark, so that it does not come again; nothing is recorded | ack, after that |
//! | one of these two, come again | nothing, whatever the guest says now | ack |
//! | not sound, too large, or begun too often | a dead letter with the reason | term, after that |
//! | not stored yet, for Redis is away | it waits in the lanes or on disk | working, before every third of `ack_wait` |
//! | given up, for this process ends | nothing | nak |
//!
//! # Why nothing is stored twice
//!
//! JetStream delivers again after a crash, a lost ack, or an `ack_wait` that has run out; a mirror, a source, or a stream
//! that was made anew has the same messages under other numbers; and a site that uses both sets of subjects sends an
//! alert in each. So what makes a message itself is its site and the id that the event has there. The step that stores it
//! keeps a mark of the two, in Redis, under the day of which the event speaks: copies of one message say the same. Marks
//! of a day are kept for `max_age` and two days more from when the last was written, and what was shared longer than
//! `max_age` ago is not taken. So whatever can still come again has its mark.
//!
//! The mark also says whether the message was turned away when it came first. So a message that a guest has refused or
//! dropped neither is stored nor has its indicators recorded when it comes again, in whichever stream, and also where the
//! guest, or its options, would let it in by then. A refused one is stored, and its indicators recorded, by a replay of
//! its dead letter.
//!
//! # Why nothing goes round
//!
//! What comes in has an origin, and the step that stores events writes nothing with an origin to the outbox, whatever
//! anybody decided. What was shared by this site and comes back is known by its site, and dropped.
//!
//! # What is trusted
//!
//! That NATS lets in only who may publish. What they say is read as hostile: its size, its shape, every length, count and
//! time is bounded, and what it is called and where it is from has to be the same in header and message. Its marking is
//! kept as it came.
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[federation.in]` |
//! | `sort` | what a message is, by its subject |
//! | `origin` | where it comes from, and under what name lanes know it |
//! | `wire` | messages as they are written |
//! | `message` | from bytes to an event, or why not |
//! | `rules` | which streams they go to |
//! | `arrival` | from a message of JetStream to a delivery, or what else becomes of it |
//! | `book` | what became of deliveries |
//! | `in_hand` | the messages that were taken, until JetStream has heard of each |
//! | `source` | the task |
//! | `probe` | what `aurora check --connect` sees of the streams |

mod config;
mod sort;
mod origin;
mod wire;
mod message;
mod rules;
mod arrival;
mod book;
mod in_hand;
mod source;
mod probe;

pub use config::{Config, Destinations};
pub use message::Message;
pub(crate) use origin::context;
pub use origin::{Origin, site_of};
pub use probe::probe;
pub use rules::Rules;
pub use sort::Sort;
pub use source::{Source, SourceError};

/// The durable consumer by which this site reads a stream.
fn consumer(site: &str) -> String {
    format!("site-{site}")
}
