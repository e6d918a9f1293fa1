//! Fuzzes release manifests; see `adyton_tests::fuzz::manifest` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::manifest(data));
