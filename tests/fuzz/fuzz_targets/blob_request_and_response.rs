//! Fuzzes the blob protocol; see `adyton_tests::fuzz::blob_request_and_response` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::blob_request_and_response(data));
