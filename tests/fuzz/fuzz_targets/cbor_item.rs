//! Fuzzes CBOR items; see `adyton_tests::fuzz::cbor_item` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::cbor_item(data));
