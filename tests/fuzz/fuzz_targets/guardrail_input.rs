//! Fuzzes the input screen; see `adyton_tests::fuzz::guardrail_input` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::guardrail_input(data));
