//! The `aurora` binary. See the library for the code map.

fn main() -> std::process::ExitCode {
    aurora::cli::run()
}
