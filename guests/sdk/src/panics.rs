/// Has a panic say where it was and why, in the host's log, before it traps: a trap by itself names only functions.
///
/// To be called at the start of a call; it costs some hundred nanoseconds a batch, and the guest then imports
/// `aurora:event/log`. Natively it does nothing.
pub fn panics_to_log() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let line = match panic.location() {
            Some(at) => format!("panicked at {}:{}: {text}", at.file(), at.line()),
            None => format!("panicked: {text}"),
        };
        crate::log::write(crate::log::Level::Error, &line);
    }));
}
