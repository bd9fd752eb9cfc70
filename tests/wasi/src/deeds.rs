use crate::component::wasi::{
    cli::{environment, exit, stderr, stdin, stdout},
    clocks::{monotonic_clock, wall_clock},
    filesystem::preopens,
    io::{poll, streams::StreamError},
    random::random,
    sockets::{instance_network, ip_name_lookup, network::IpAddressFamily, tcp_create_socket, udp_create_socket},
};

const SECOND: u64 = 1_000_000_000;

/// What WASI answers to `deed`.
pub fn got(deed: &str) -> String {
    match deed {
        "files" => format!("{} folders", preopens::get_directories().len()),
        "environment" => {
            let (variables, arguments) = (environment::get_environment().len(), environment::get_arguments().len());
            format!("{variables} variables, {arguments} arguments, {:?}", environment::initial_cwd())
        }
        "network" => {
            let network = instance_network::instance_network();
            let name = ip_name_lookup::resolve_addresses(&network, "localhost").map(|_| ()).map_err(|code| code.name());
            let tcp =
                tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).map(|_| ()).map_err(|code| code.name());
            let udp =
                udp_create_socket::create_udp_socket(IpAddressFamily::Ipv6).map(|_| ()).map_err(|code| code.name());
            [name, tcp, udp].map(|got| got.err().unwrap_or("granted")).join(" ")
        }
        "clock" => {
            let now = wall_clock::now();
            format!("{}.{:09}", now.seconds, now.nanoseconds)
        }
        "random" => format!("{:016x} {:?}", random::get_random_u64(), random::get_random_bytes(4)),
        "input" => match stdin::get_stdin().blocking_read(16) {
            Err(StreamError::Closed) => "nothing to read".to_owned(),
            other => format!("{other:?}"),
        },
        "sleep" => {
            let (wall, began) = (wall_clock::now(), monotonic_clock::now());
            let (first, second) =
                (monotonic_clock::subscribe_duration(20 * SECOND), monotonic_clock::subscribe_duration(10 * SECOND));
            let ready = poll::poll(&[&first, &second]);
            let (slept, later) = (monotonic_clock::now() - began, wall_clock::now());
            format!("{ready:?} after {} s, {} s on the wall", slept / SECOND, later.seconds - wall.seconds)
        }
        "sleep-for-ever" => loop {
            poll::poll(&[&monotonic_clock::subscribe_duration(u64::MAX)]);
        },
        "timers" => {
            let timers: Vec<_> = (0..1_000_000).map(monotonic_clock::subscribe_duration).collect();
            format!("{} timers", timers.len())
        }
        "random-forever" => loop {
            std::hint::black_box(random::get_random_bytes(1 << 20));
        },
        "print" => {
            let output = stdout::get_stdout();
            let said = output.blocking_write_and_flush(b"one\ntwo\x1b[31m\nthr").is_ok();
            format!("{}", said && output.blocking_write_and_flush(b"ee").is_ok())
        }
        "flood" => {
            let errors = stderr::get_stderr();
            (0..10_000).for_each(|line| {
                let _ = errors.blocking_write_and_flush(format!("line {line} of a flood\n").as_bytes());
            });
            "said".to_owned()
        }
        "exit" => {
            let _ = stderr::get_stderr().blocking_write_and_flush(b"going\n");
            exit::exit(Err(()));
            "still here".to_owned()
        }
        other => other.to_owned(),
    }
}
