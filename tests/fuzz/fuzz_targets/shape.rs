//! Fuzzes JSON schemas of clients; see `adyton_tests::fuzz::shape` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::shape(data));
