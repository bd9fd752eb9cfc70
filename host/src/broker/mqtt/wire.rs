//! A socket with its two buffers.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    Error, Version,
    dial::Socket,
    packet::{Decoder, Packet},
};

/// Size of a read buffer. Payloads are slices of it, so a delivery that stays long keeps all of it in memory.
const CHUNK: usize = 128 * 1024;

/// A new buffer is made when less than this is left of the one before.
const LEAST: usize = 16 * 1024;

/// A connection: what came and is not yet decoded, what is to be sent.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    decoder: Decoder,
    incoming: BytesMut,
    /// What goes out with the next [`Wire::turn`].
    pub out: BytesMut,
}

impl Wire {
    pub fn new(socket: Box<dyn Socket>, version: Version, keep: usize) -> Self {
        Self { socket, decoder: Decoder::new(version, keep), incoming: BytesMut::new(), out: BytesMut::new() }
    }

    /// The next packet that has come as a whole.
    pub fn next(&mut self) -> Result<Option<Packet>, Error> {
        self.decoder.next(&mut self.incoming)
    }

    /// Writes what is to be written and, if wanted, reads. Returns when something was read; cancel-safe.
    pub async fn turn(&mut self, read: bool) -> Result<(), Error> {
        poll_fn(|cx| self.poll_turn(cx, read)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Result<(), Error>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(Error::Broken(error)));
        }
        if read { self.poll_read(cx) } else { Poll::Pending }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        // TLS holds back what the socket did not take.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.incoming.capacity() - self.incoming.len() < LEAST {
            self.incoming.reserve(CHUNK.max(self.decoder.missing));
        }
        // Made anew for each poll, which `read_buf` allows: it keeps nothing between polls.
        let read = pin!(self.socket.read_buf(&mut self.incoming));
        match ready!(read.poll(cx)) {
            Ok(0) => Poll::Ready(Err(Error::Closed)),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(Error::Broken(error))),
        }
    }

    /// Sends what is left and waits for the broker to close, so that it has read all of it: closing with unread bytes
    /// on our side would be a reset, which may overtake the last acknowledgements.
    pub async fn finish(mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.socket.write_buf(&mut self.out).await?;
        }
        self.socket.shutdown().await?;
        let mut unread = vec![0; 16 * 1024];
        while self.socket.read(&mut unread).await? > 0 {}
        Ok(())
    }
}
