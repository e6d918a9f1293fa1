//! Fuzzes the hybrid vsock line; see `adyton_tests::fuzz::hybrid_line` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::hybrid_line(data));
