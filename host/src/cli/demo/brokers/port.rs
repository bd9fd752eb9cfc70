use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::Error;

/// Below the range that Linux takes ports for outgoing connections from (32768 and up): a broker that is down for a
/// moment would otherwise find its port in use by some client's connection, at times even its own client's.
const FIRST: u32 = 12_000;
const PORTS: u32 = 20_000;

/// A loopback port that nothing listens on just now, and that this process has not handed out before.
///
/// # Errors
/// Every port of the range is taken.
pub fn free_port() -> Result<u16, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        // Processes that run beside each other start at different places; 7919 is prime to the length of the range.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (process::id().wrapping_mul(7919) % PORTS + step) % PORTS;
        let Ok(port) = u16::try_from(port) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoFreePort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_no_port_twice() {
        let mut ports: Vec<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn passes_over_a_port_in_use() {
        let first = free_port().unwrap();
        let taken: Vec<_> = (1..5).filter_map(|i| TcpListener::bind((Ipv4Addr::LOCALHOST, first + i)).ok()).collect();
        let next = free_port().unwrap();
        assert!(taken.iter().all(|listener| listener.local_addr().unwrap().port() != next));
    }
}
