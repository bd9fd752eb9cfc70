//! Standard streams: there is nothing to read, and what is printed becomes lines of the guest's log.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    StreamError, StreamResult,
    bindings::{
        cli::{stderr, stdin, stdout},
        sync::io::{error, poll, streams},
    },
};

use super::{
    super::{
        bindings::aurora::event::log::Level,
        import::{LINE, State},
    },
    clock::ready,
};

/// Names of the streams.
pub(super) const INPUT: u32 = 0;
pub(super) const OUTPUT: u32 = 1;
const ERRORS: u32 = 2;

/// Most bytes that a guest is told it may write at once.
const AT_ONCE: u64 = 64 << 10;

/// What was printed and is no whole line yet.
#[derive(Debug, Default)]
pub(super) struct Printed {
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Printed {
    fn of(&mut self, stream: u32) -> &mut Vec<u8> {
        if stream == ERRORS { &mut self.errors } else { &mut self.output }
    }
}

impl State {
    fn print(&mut self, stream: u32, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let pending = self.wasi().printed.of(stream);
            pending.extend_from_slice(&part[..part.len().min(LINE)]);
            if part.ends_with(b"\n") || pending.len() >= LINE {
                let line = std::mem::take(pending);
                self.tell(stream, &line);
            }
        }
    }

    fn tell(&mut self, stream: u32, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        if stream == ERRORS {
            // A panic or an exception is told so, right before the trap, in several lines.
            self.hearing.add_last_words(line);
            self.say(Level::Warn, line);
        } else {
            self.say(Level::Info, line);
        }
    }

    /// The call has ended: what is left is a line as well.
    pub(in crate::sandbox) fn flush(&mut self) {
        let Some(wasi) = &mut self.wasi else { return };
        let (output, errors) = (std::mem::take(&mut wasi.printed.output), std::mem::take(&mut wasi.printed.errors));
        self.tell(OUTPUT, &output);
        self.tell(ERRORS, &errors);
    }
}

impl stdin::Host for State {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<streams::InputStream>> {
        Ok(Resource::new_own(INPUT))
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<streams::OutputStream>> {
        Ok(Resource::new_own(OUTPUT))
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<streams::OutputStream>> {
        Ok(Resource::new_own(ERRORS))
    }
}

impl streams::Host for State {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) | StreamError::Trap(error) => Err(error),
        }
    }
}

/// None is ever made.
impl error::Host for State {}

impl error::HostError for State {
    fn to_debug_string(&mut self, _error: Resource<error::Error>) -> wasmtime::Result<String> {
        Ok(String::new())
    }

    fn drop(&mut self, _error: Resource<error::Error>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl streams::HostInputStream for State {
    fn read(&mut self, _stream: Resource<streams::InputStream>, _count: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _stream: Resource<streams::InputStream>, _count: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _stream: Resource<streams::InputStream>, _count: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _stream: Resource<streams::InputStream>, _count: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _stream: Resource<streams::InputStream>) -> wasmtime::Result<Resource<poll::Pollable>> {
        Ok(ready())
    }

    fn drop(&mut self, _stream: Resource<streams::InputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl streams::HostOutputStream for State {
    fn check_write(&mut self, _stream: Resource<streams::OutputStream>) -> StreamResult<u64> {
        Ok(AT_ONCE)
    }

    fn write(&mut self, stream: Resource<streams::OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.print(stream.rep(), &bytes);
        Ok(())
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<streams::OutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn flush(&mut self, _stream: Resource<streams::OutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _stream: Resource<streams::OutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn subscribe(&mut self, _stream: Resource<streams::OutputStream>) -> wasmtime::Result<Resource<poll::Pollable>> {
        Ok(ready())
    }

    /// Nobody reads zeroes in a log.
    fn write_zeroes(&mut self, _stream: Resource<streams::OutputStream>, _count: u64) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        _stream: Resource<streams::OutputStream>,
        _count: u64,
    ) -> StreamResult<()> {
        Ok(())
    }

    fn splice(
        &mut self,
        _stream: Resource<streams::OutputStream>,
        _from: Resource<streams::InputStream>,
        _count: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _stream: Resource<streams::OutputStream>,
        _from: Resource<streams::InputStream>,
        _count: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn drop(&mut self, _stream: Resource<streams::OutputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}
