//! Fuzzes checkpoints of a log; see `adyton_tests::fuzz::log_checkpoint` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::log_checkpoint(data));
