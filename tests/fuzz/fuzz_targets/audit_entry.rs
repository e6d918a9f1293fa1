//! Fuzzes entries of an audit log; see `adyton_tests::fuzz::audit_entry` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::audit_entry(data));
