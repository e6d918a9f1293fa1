//! Fuzzes guardrail settings; see `adyton_tests::fuzz::guardrail_settings` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::guardrail_settings(data));
