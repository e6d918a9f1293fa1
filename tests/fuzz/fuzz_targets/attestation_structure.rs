//! Fuzzes the structure of attestation documents; see `adyton_tests::fuzz::attestation_structure` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::attestation_structure(data));
