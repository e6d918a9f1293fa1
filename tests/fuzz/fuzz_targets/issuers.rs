//! Fuzzes the list of issuers; see `adyton_tests::fuzz::issuers` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::issuers(data));
