//! Fuzzes snapshots of metrics; see `adyton_tests::fuzz::metrics_snapshot` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::metrics_snapshot(data));
