//! Fuzzes chat requests; see `adyton_tests::fuzz::chat_request` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::chat_request(data));
