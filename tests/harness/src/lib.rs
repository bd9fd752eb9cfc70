//! The bench on which Aurora is tried: real brokers, the built daemon as a child process, and the means to hurt them.
//!
//! * [`Site`] is all of it together; [`Site::plan`] says what is different from an ordinary one.
//! * [`Proxy`] stands between the daemon and a broker and cuts, delays, throttles, freezes, loses
//!   answers, leads elsewhere; with a [`Tap`] it knows what MQTT handed over.
//! * [`Server`] and [`Cluster`] are other servers than an ordinary site's Redis.
//! * [`wait_until`] is the only way to wait: for something, with a limit, and with the last sight of it on failure.
//! * [`pipe`] runs `aurora pipe`, which needs no broker.

mod built;
pub mod frames;
mod guests;
mod passing;
mod pipe;
mod proxy;
mod reading;
mod scrape;
mod servers;
mod plan;
mod configuration;
mod site;
mod tap;
mod waiting;

pub use aurora::cli::demo::{
    brokers::{Broker, Child, Fsync, Mosquitto, Nats, Persistence, Redis, Setup, Tls, free_port},
    daemon::{Answer, Daemon},
    publisher::Publisher,
};
pub use built::{binary, built_guest, guest_cache, hostile_guest, stock_guest, target, workspace};
pub use guests::{Said, TOKEN, variant};
pub use pipe::{PipeLine, Piped, pipe};
pub use plan::{Place, Plan};
pub use proxy::{Faults, Proxy};
pub use reading::{Entry, Message, connect_redis, read_jetstream, read_stream, walk_jetstream, walk_stream};
pub use scrape::Scrape;
pub use servers::{Cluster, Make, Server};
pub use site::Site;
pub use tap::{Handed, Tap};
pub use waiting::{PATIENCE, unix_ms, wait_until};
