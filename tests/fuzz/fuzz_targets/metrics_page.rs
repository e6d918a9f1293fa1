//! Fuzzes a host's page of metrics; see `adyton_tests::fuzz::metrics_page` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::metrics_page(data));
