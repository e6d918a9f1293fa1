//! Token ids against llama.cpp's, for SmolLM2. The golden file's first line says how it was made.

use super::smollm;
use crate::tokenizer::Run;
use serde_json::Value;

const GOLDEN: &str = include_str!("../testdata/smollm2-tokens.json");

fn cases(kind: &str) -> Vec<(String, Vec<u32>)> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden[kind].as_array().unwrap().iter();
    let ids = |v: &Value| v.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    cases.map(|case| (case["text"].as_str().unwrap().to_owned(), ids(&case["ids"]))).collect()
}

#[test]
fn plain_text_has_the_ids_of_llama_cpp() {
    let Some(model) = smollm() else { return };
    let cases = cases("plain");
    assert!(cases.len() >= 100);
    for (text, ids) in cases {
        assert_eq!(model.tokenizer().encode(&text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn text_with_control_tokens_has_the_ids_of_llama_cpp() {
    let Some(model) = smollm() else { return };
    for (text, ids) in cases("special") {
        let runs: Vec<Run> = model.tokenizer().split_trusted(&text);
        assert_eq!(*model.tokenizer().encode_runs(&runs).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn tokens_give_back_the_bytes_of_the_text() {
    let Some(model) = smollm() else { return };
    for (text, ids) in cases("plain") {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| model.tokenizer().bytes(*id).to_vec()).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }
}

#[test]
fn long_runs_of_space_lose_nothing() {
    let Some(model) = smollm() else { return };
    for text in [" ".repeat(100_000), "a ".repeat(50_000), "\n".repeat(100_000), "é".repeat(50_000)] {
        let ids = model.tokenizer().encode(&text).unwrap();
        let length: usize = ids.iter().map(|id| model.tokenizer().bytes(*id).len()).sum();
        assert_eq!(length, text.len());
    }
}
