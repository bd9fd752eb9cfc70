//! The empty WASI (0.2), for guests in languages that cannot do without: no files, no environment, no arguments, no
//! network. What a guest prints becomes lines of its log. Its clock is that of the batch and its random numbers are the
//! same in every call, so that a batch replays bit for bit: no secret may come out of them.
//!
//! Nothing in here waits. Only the two interfaces whose functions all need a descriptor or a socket are wasmtime-wasi's
//! own, for there is no way to get one.

mod clock;
mod output;

use fastrand::Rng;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::{
        SocketError, SocketResult,
        bindings::{
            cli::{
                environment, exit, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
                terminal_stdout,
            },
            clocks::{monotonic_clock, wall_clock},
            filesystem::preopens,
            random::{insecure, insecure_seed, random},
            sockets::{instance_network, ip_name_lookup, network, tcp_create_socket},
            sync::{self, io},
        },
    },
    sockets::{WasiSockets, WasiSocketsView as _},
};

use self::{clock::Clock, output::Printed};
use super::import::State;

/// Of one instance. Made when it is first asked for.
pub(super) struct Wasi {
    clock: Clock,
    random: Rng,
    printed: Printed,
    context: WasiCtx,
    table: ResourceTable,
}

/// A guest has ended itself. Travels through wasmtime as the reason of a trap.
#[derive(Debug, thiserror::Error)]
#[error("it called exit with status {0}")]
pub(in crate::sandbox) struct Exited(u8);

/// Most random bytes of a call: a guest asks for a seed, or for a few numbers.
const MOST_RANDOM: u64 = 1 << 20;

/// Same numbers in every instance of every guest.
const SEED: u64 = 0x6175_726f_7261;

impl Wasi {
    /// `now` is the batch's time, milliseconds since 1970.
    fn new(now: i64) -> Box<Self> {
        let context = WasiCtx::builder().allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).build();
        Box::new(Self {
            clock: Clock::new(now),
            random: Rng::with_seed(SEED),
            printed: Printed::default(),
            context,
            table: ResourceTable::new(),
        })
    }
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        let now = self.now;
        self.wasi.get_or_insert_with(|| Wasi::new(now))
    }

    /// Another batch of this time begins. In an instance that lives on the clock goes on.
    pub(in crate::sandbox) fn set_time(&mut self, now: i64) {
        self.now = now;
        if let Some(wasi) = &mut self.wasi {
            wasi.clock.begin(now);
        }
    }
}

/// Only what needs a descriptor or a socket asks for it.
impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// Offers all of it.
pub(super) fn add_to(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    macro_rules! ours {
        ($($interface:path),* $(,)?) => {{
            $({
                use $interface as interface;
                interface::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
            })*
        }};
    }
    ours!(
        io::error,
        io::poll,
        io::streams,
        wall_clock,
        monotonic_clock,
        random,
        insecure,
        insecure_seed,
        environment,
        exit,
        stdin,
        stdout,
        wasmtime_wasi::p2::bindings::cli::stderr,
        terminal_input,
        terminal_output,
        terminal_stdin,
        terminal_stdout,
        terminal_stderr,
        instance_network,
        ip_name_lookup,
        tcp_create_socket,
        sync::sockets::udp_create_socket,
    );
    preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    network::add_to_linker::<State, HasSelf<State>>(linker, &network::LinkOptions::default(), |state| state)?;
    sync::sockets::tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sync::sockets::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    Ok(())
}

impl environment::Host for State {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for State {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Exited(u8::from(status.is_err())).into())
    }

    fn exit_with_code(&mut self, status: u8) -> wasmtime::Result<()> {
        Err(Exited(status).into())
    }
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        _error: Resource<io::error::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        Ok(None)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, _network: Resource<network::Network>) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// One that leads nowhere.
impl instance_network::Host for State {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<network::Network>> {
        Ok(Resource::new_own(0))
    }
}

impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        _network: Resource<network::Network>,
        _name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

/// None is ever made.
impl ip_name_lookup::HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        _stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<network::IpAddress>> {
        Err(network::ErrorCode::AccessDenied.into())
    }

    fn subscribe(
        &mut self,
        _stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<io::poll::Pollable>> {
        Ok(clock::ready())
    }

    fn drop(&mut self, _stream: Resource<ip_name_lookup::ResolveAddressStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl tcp_create_socket::Host for State {
    fn create_tcp_socket(
        &mut self,
        _family: network::IpAddressFamily,
    ) -> SocketResult<Resource<sync::sockets::tcp::TcpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl sync::sockets::udp_create_socket::Host for State {
    fn create_udp_socket(
        &mut self,
        _family: network::IpAddressFamily,
    ) -> SocketResult<Resource<sync::sockets::udp::UdpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl State {
    fn random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        wasmtime::ensure!(count <= MOST_RANDOM, "it asked for {count} random bytes at once");
        let mut bytes = vec![0; usize::try_from(count)?];
        self.wasi().random.fill(&mut bytes);
        Ok(bytes)
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(count)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().random.u64(..))
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().random.u64(..))
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let random = &mut self.wasi().random;
        Ok((random.u64(..), random.u64(..)))
    }
}

impl terminal_input::Host for State {}

impl terminal_input::HostTerminalInput for State {
    fn drop(&mut self, _terminal: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl terminal_output::Host for State {}

impl terminal_output::HostTerminalOutput for State {
    fn drop(&mut self, _terminal: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}
