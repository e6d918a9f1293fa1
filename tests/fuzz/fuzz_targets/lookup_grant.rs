//! Fuzzes grants of look-ups; see `adyton_tests::fuzz::lookup_grant` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::lookup_grant(data));
