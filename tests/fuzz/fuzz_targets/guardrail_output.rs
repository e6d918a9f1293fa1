//! Fuzzes the output screen; see `adyton_tests::fuzz::guardrail_output` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::guardrail_output(data));
