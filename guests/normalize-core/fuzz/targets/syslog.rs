#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| normalize_core_fuzz::normalize("syslog", payload));
