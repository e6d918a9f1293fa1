//! Fuzzes the list of protected documents; see `adyton_tests::fuzz::protected_list` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::protected_list(data));
