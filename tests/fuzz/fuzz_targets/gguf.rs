//! Fuzzes model files; see `adyton_tests::fuzz::gguf` for what must hold.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adyton_tests::fuzz::gguf(data));
