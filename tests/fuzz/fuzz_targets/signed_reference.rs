//! Fuzzes signed reference values; see `adyton_tests::fuzz::signed_reference` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::signed_reference(data));
