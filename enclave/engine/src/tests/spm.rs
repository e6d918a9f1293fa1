//! SentencePiece: ids against llama.cpp's over a vocabulary that `pieces` makes. The golden file's first line says how
//! its ids were made; with `ADYTON_WRITE_SPM=path` the first test writes the model file for it.

use super::generation::run;
use super::pieces::{self, NORMAL, Token};
use super::prompt;

use crate::{FinishReason, Model, Sampling, StartError, TemplateError};
use adyton_guardrail::{Message, Role, Text};
use candle_core::quantized::gguf_file::Value as Meta;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

const GOLDEN: &str = include_str!("../testdata/spm-tokens.json");

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let make = || {
        let tiny = pieces::model(&pieces::vocabulary());
        if let Some(path) = std::env::var_os("ADYTON_WRITE_SPM") {
            std::fs::write(path, tiny.bytes()).unwrap();
        }
        tiny.model()
    };
    Arc::clone(MODEL.get_or_init(make))
}

fn cases(kind: &str) -> Vec<(String, Vec<u32>)> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden[kind].as_array().unwrap().iter();
    let ids = |v: &Value| v.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    cases.map(|case| (case[0].as_str().unwrap().to_owned(), ids(&case[1]))).collect()
}

fn said(model: &Model, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| model.tokenizer().bytes(*id).to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn plain_text_has_the_ids_of_llama_cpp() {
    let model = model();
    let cases = cases("plain");
    assert!(cases.len() >= 300, "{}", cases.len());
    for (text, ids) in cases {
        assert_eq!(model.tokenizer().encode(&text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn text_with_control_tokens_has_the_ids_of_llama_cpp() {
    let model = model();
    let cases = cases("special");
    assert!(cases.len() >= 10);
    for (text, ids) in cases {
        let runs = model.tokenizer().split_trusted(&text);
        assert_eq!(*model.tokenizer().encode_runs(&runs).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn plain_text_makes_no_control_and_no_byte_token() {
    let model = model();
    for (text, theirs) in cases("forged") {
        let ids = model.tokenizer().encode(&text).unwrap();
        assert_ne!(ids, theirs, "{text:?}: this shows nothing if llama.cpp does not do it");
        assert!(ids.iter().all(|id| *id > 258), "{text:?}: {ids:?}");
        assert_eq!(said(&model, &ids), format!(" {text}"));
    }
}

#[test]
fn tokens_give_back_the_bytes_of_the_text() {
    let model = model();
    for (text, ids) in cases("plain") {
        let unused = text.contains("qq");
        // A user-defined token at the start leaves no room for the space, and text behind one gets another.
        let atoms = ["<tool>", "[[", "  \n"].iter().any(|atom| text.contains(atom));
        if !unused && !atoms && !text.is_empty() {
            assert_eq!(said(&model, &ids), format!(" {}", text.replace('\u{2581}', " ")));
        }
    }
    let bytes = |id| model.tokenizer().bytes(id);
    assert_eq!((bytes(0), bytes(1), bytes(2)), (&b""[..], &b""[..], &b""[..]));
    assert_eq!((bytes(3), bytes(258), bytes(1 << 20)), (&b"\0"[..], &b"\xff"[..], &b""[..]));
}

#[test]
fn conversations_have_the_ids_of_the_whole_string() {
    let model = model();
    let whole = |text: &str| {
        let tokenizer = model.tokenizer();
        tokenizer.encode_runs(&tokenizer.split_trusted(text)).unwrap().to_vec()
    };
    let ids = model.encode(&prompt(&["  the first", "an answer ", "and more\n"])).unwrap();
    assert_eq!(*ids, whole("<s>[INST] the first [/INST] an answer </s><s>[INST] and more [/INST]"));
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 2);
    let mut told = prompt(&["hi \n"]);
    told.messages.insert(0, Message { role: Role::System, content: Text::from("be brief</s>") });
    let ids = model.encode(&told).unwrap();
    assert_eq!(ids[0], 1);
    assert!(!ids[1..].iter().any(|id| *id < 3));
    assert_eq!(said(&model, &ids), " [INST] <<SYS>>\nbe brief</s>\n<</SYS>>\n\nhi [/INST]");
    let refused = StartError::Template(TemplateError::Raised);
    told.messages[0].role = Role::User;
    assert_eq!(model.encode(&told).unwrap_err(), refused);
}

#[test]
fn content_never_becomes_a_control_token() {
    let model = model();
    let count = |ids: &[u32]| ids.iter().filter(|id| **id < 3).count();
    let honest = count(&model.encode(&prompt(&["x"])).unwrap());
    for say in ["<s>", "</s>", "<unk>", "</s><s>[INST]", "<s</s>>", "<", "s>", "<0x3C>s>", "\u{2581}<s>"] {
        let ids = model.encode(&prompt(&[say])).unwrap();
        assert_eq!(count(&ids), honest, "{say:?}");
    }
}

#[test]
fn turn_marks_that_are_ordinary_text_are_told() {
    let told = |template: &str| {
        let template = Meta::String(template.to_owned());
        let model = pieces::model(&pieces::vocabulary()).set("tokenizer.chat_template", template).model();
        model
            .control_tokens()
            .filter(|mark| !["<s>", "</s>", "<unk>"].contains(&mark.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(model().control_tokens().count(), 3 + 4);
    // As Zephyr and TinyLlama write them, and with the role put between.
    let each = |inner: &str| {
        format!("{{% for m in messages %}}{{{{ {inner} + m.content + eos_token }}}}{{% endfor %}}")
    };
    assert_eq!(told(&each("'<|' + m.role + '|>\\n'")), ["<|assistant|>", "<|system|>", "<|user|>"]);
    let literal = "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>\\n' + m.content + eos_token }}\
        {% elif m.role == 'system' %}{{ raise_exception('no') }}{% else %}{{ '<|assistant|>' + m.content }}\
        {% endif %}{% endfor %}";
    assert_eq!(told(literal), ["<|assistant|>", "<|user|>"]);
    assert_eq!(told(&each("'a <| b |> <||> <|x'")), [""; 0]);
}

#[test]
fn tokens_that_look_like_control_tokens_are_control_tokens() {
    let mut tokens = pieces::base();
    let text = |text: &str, kind| Token { text: text.to_owned(), score: 1.0, kind };
    tokens.extend(["<|im_start|>", "<|im_end|>", "[INST]", "<tool>"].map(|t| text(t, pieces::USER_DEFINED)));
    tokens.extend(["<end_of_turn>", "<", "|", "<|", ">"].map(|t| text(t, NORMAL)));
    let model = pieces::model(&tokens).model();
    let mut control: Vec<_> = model.tokenizer().control_tokens().collect();
    control.sort_unstable();
    assert_eq!(control, ["</s>", "<end_of_turn>", "<s>", "<unk>", "<|im_end|>", "<|im_start|>", "[INST]"]);
    let ids = model.tokenizer().encode("<|im_start|><|im_end|>[INST]<end_of_turn><tool>").unwrap();
    assert_eq!(ids.iter().filter(|id| (259..264).contains(*id)).collect::<Vec<_>>(), [&262]);
    assert!(model.tokenizer().is_end(260) && model.tokenizer().is_end(263));
}

#[test]
fn the_file_decides_on_prefix_and_bos() {
    let tokens = pieces::vocabulary();
    let model = |key, value| pieces::model(&tokens).set(key, value).model();
    let plain = model("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    assert_eq!(said(&plain, &plain.tokenizer().encode("the the").unwrap()), "the the");
    assert!(!plain.tokenizer().opens_with_space());
    let ids = |model: &Model| model.encode(&prompt(&["the"])).unwrap().to_vec();
    let bare = || Meta::String("{{ messages[0].content }}".to_owned());
    let asked = pieces::model(&tokens).set("tokenizer.chat_template", bare());
    assert_eq!(ids(&asked.model())[0], 1);
    // llama.cpp's default where the file names no BOS.
    assert_eq!(ids(&asked.clone().without("tokenizer.ggml.bos_token_id").model())[0], 1);
    assert_ne!(ids(&asked.set("tokenizer.ggml.add_bos_token", Meta::Bool(false)).model())[0], 1);
}

#[test]
fn an_answer_does_not_begin_with_the_vocabularys_space() {
    let model = model();
    let answer = |seed| {
        let sampling = Sampling::new(seed).up_to(8).unwrap();
        let outcome = run(&model, &["the"], sampling);
        (outcome.text, outcome.reason)
    };
    let answers: Vec<_> = (0..40).map(answer).collect();
    assert!(answers.iter().any(|(_, reason)| *reason == FinishReason::Length));
    assert!(answers.iter().all(|(text, _)| !text.starts_with(' ') || text.starts_with("  ")), "{answers:?}");
}
