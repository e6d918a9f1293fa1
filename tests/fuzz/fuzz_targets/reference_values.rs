//! Fuzzes reference values; see `adyton_tests::fuzz::reference_values` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::reference_values(data));
