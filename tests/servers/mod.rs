//! Redis of every make and as a cluster, and what `aurora check --connect` says of servers that are set up badly.

mod makes;
mod cluster;
mod check;
mod nats;

/// A JSON alert that leaves the site, with a number.
fn alert(number: u32) -> String {
    format!(r#"{{"severity":"high","title":"alert {number}","number":{number}}}"#)
}
