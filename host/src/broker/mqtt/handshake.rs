//! CONNECT and what the broker says to it.

use std::time::Duration;

use super::{
    Config, Error,
    dial::Dial,
    packet::{self, Hello, Packet, Welcome},
    wire::Wire,
};

/// Longest time from the first packet to CONNACK, name look-up and TLS included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a client presents itself.
pub(super) struct Guise<'a> {
    /// Client id.
    pub client_id: &'a str,
    /// Whether what was kept before is thrown away.
    pub clean: bool,
    /// Whether the session is to be kept.
    pub lasting: bool,
}

/// Opens a connection and has it accepted.
pub(super) async fn connect(config: &Config, dial: &Dial, guise: &Guise<'_>) -> Result<(Wire, Welcome), Error> {
    tokio::time::timeout(PATIENCE, accepted(config, dial, guise)).await.map_err(|_| Error::Slow(PATIENCE))?
}

async fn accepted(config: &Config, dial: &Dial, guise: &Guise<'_>) -> Result<(Wire, Welcome), Error> {
    let mut wire = Wire::new(dial.open().await?, config.version, longest(config));
    let expiry = config.session_expiry.as_secs().min(u64::from(u32::MAX));
    let hello = Hello {
        client_id: guise.client_id,
        clean: guise.clean,
        keep_alive: u16::try_from(config.keep_alive.as_secs().max(1)).unwrap_or(u16::MAX),
        session_expiry: if guise.lasting { u32::try_from(expiry).unwrap_or(u32::MAX) } else { 0 },
        receive_maximum: config.max_in_flight.max(1),
        login: dial.login.as_ref(),
    };
    packet::connect(config.version, &hello, &mut wire.out)?;
    loop {
        match wire.next()? {
            None => wire.turn(true).await?,
            Some(Packet::Welcome(Welcome { refusal: Some((reason, remedy)), .. })) => {
                return Err(Error::Refused { reason, remedy });
            }
            Some(Packet::Welcome(welcome)) => return Ok((wire, welcome)),
            Some(Packet::Farewell(error)) => return Err(error),
            Some(other) => return Err(Error::Malformed(format!("{other:?} instead of CONNACK").into())),
        }
    }
}

/// How much of a message is kept: what fits becomes a whole dead letter even where it is too large to be an event.
fn longest(config: &Config) -> usize {
    usize::try_from(config.max_in_flight_bytes.0.max(config.max_payload.0)).unwrap_or(usize::MAX)
}
