//! Fuzzes row rules of policy packs; see `adyton_tests::fuzz::row_rules` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::row_rules(data));
