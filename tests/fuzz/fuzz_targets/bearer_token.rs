//! Fuzzes bearer tokens; see `adyton_tests::fuzz::bearer_token` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::bearer_token(data));
