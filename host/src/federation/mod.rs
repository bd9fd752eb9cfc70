//! Federation with other sites, both ways. [`inbound`] is the way in; the rest is what may leave the site at the most,
//! whatever a policy says: promise four, kept by the host.
//!
//! A policy decides, and [`Ceiling`] narrows what it decided before anything is encoded. It never widens: what the policy
//! keeps stays kept. What it cuts it writes down beside the event, and `aurora explain` and `aurora pipe` show it.
//!
//! | cut | where it is set | what becomes of the event |
//! |---|---|---|
//! | kind, severity, subject, marking | `[federation.ceiling]` | it is kept, with the reason of the policy behind that of the ceiling |
//! | observables that mean nothing elsewhere or are the site's own | `[federation.ceiling.never]` | it leaves without them |
//! | fields | `never.fields` | it leaves without them |
//! | texts that hold what never leaves | `never.mask` | it leaves with `[masked]` in their place, and without such observables |
//! | a subject that names what never leaves | `never.mask` | it is kept |
//!
//! Besides events, three streams of the site can be offered to the others: see [`Offer`].
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[federation]` |
//! | `offer` | streams of the site that can be shared beside events |
//! | `sendable` | which messages go out beside an event's own |
//! | `ceiling`, `narrowing`, `cut` | from what a policy decided to what leaves; what stays of an event that does; what was cut |
//! | `never`, `host`, `words` | what never leaves: whether an observable is one, and where in a text one stands |
//! | `reading` | what a text says to whoever reads it: escapes undone, what was defanged mended |
//! | `secrets` | what else is looked for in the texts of one event |
//! | `short_form` | addresses as only programs still read them |
//! | `networks`, `names` | sets of addresses and of names |
//! | `warning_list`, `commonplace` | files of what never leaves; what everybody has |
//! | `inbound` | what other sites share comes in |

mod config;
mod networks;
mod names;
mod host;
mod words;
mod short_form;
mod warning_list;
mod commonplace;
mod never;
mod reading;
mod offer;
mod sendable;
mod cut;
mod secrets;
mod narrowing;
mod ceiling;
pub mod inbound;

pub use ceiling::Ceiling;
pub(crate) use config::CAPITAL;
pub use config::{CeilingConfig, Config, Marking, NeverConfig, Set, Streams, WarningLists};
pub use cut::Cut;
pub(crate) use names::canonical as canonical_name;
pub(crate) use networks::meanings;
pub use offer::Offer;
pub use sendable::Sendable;
