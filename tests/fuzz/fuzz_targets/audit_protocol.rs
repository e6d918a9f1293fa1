//! Fuzzes the audit protocol and its files; see `adyton_tests::fuzz::audit_protocol` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::audit_protocol(data));
