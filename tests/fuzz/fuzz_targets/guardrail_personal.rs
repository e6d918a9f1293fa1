//! Fuzzes what the guardrail sees of a text; see `adyton_tests::fuzz::guardrail_personal` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::guardrail_personal(data));
