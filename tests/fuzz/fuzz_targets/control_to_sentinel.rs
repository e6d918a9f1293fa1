//! Fuzzes control frames; see `adyton_tests::fuzz::control_to_sentinel` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::control_to_sentinel(data));
