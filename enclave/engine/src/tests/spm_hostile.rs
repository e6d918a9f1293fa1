//! SentencePiece vocabularies that are not what they claim, and texts that would make merging slow.

use super::pieces::{self, BYTE, CONTROL, NORMAL, Token, UNUSED, USER_DEFINED};
use super::tiny::Tiny;
use crate::LoadError;
use crate::config::Metadata;
use crate::spm::{Spm, token_bytes};
use crate::vocabulary::{kinds, texts};
use candle_core::quantized::gguf_file::Value;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

fn token(text: &str, score: f32, kind: u32) -> Token {
    Token { text: text.to_owned(), score, kind }
}

/// The merging part alone, and the bytes of its tokens.
fn read(tiny: &Tiny) -> (Spm, Vec<Box<[u8]>>) {
    let metadata = tiny.metadata.iter().cloned().collect();
    let meta = Metadata(&metadata);
    let texts = texts(&meta).unwrap();
    let kinds = kinds(&meta, &texts, false).unwrap();
    (Spm::read(&meta, &texts, &kinds).unwrap(), token_bytes(&texts, &kinds))
}

/// Base and these.
fn with(more: Vec<Token>) -> Tiny {
    pieces::model(&pieces::base().into_iter().chain(more).collect::<Vec<_>>())
}

#[test]
fn lists_fit_together() {
    let error = |tiny: Tiny| tiny.load().unwrap_err();
    let scores = |value| error(with(vec![]).set("tokenizer.ggml.scores", value));
    let bad = |why| LoadError::BadValue { key: "tokenizer.ggml.scores".to_owned(), why };
    assert_eq!(scores(Value::Array(vec![Value::F32(0.0)])), bad("is not as long as the list of tokens"));
    let why = "holds something else than finite numbers";
    for value in [Value::F32(f32::NAN), Value::F32(f32::INFINITY), Value::U8(1)] {
        assert_eq!(scores(Value::Array(vec![value; 259])), bad(why));
    }
    let missing = error(with(vec![]).without("tokenizer.ggml.scores"));
    assert_eq!(missing, LoadError::MissingKey("tokenizer.ggml.scores".to_owned()));
    let twice = error(with(vec![token("a", 0.0, NORMAL), token("a", 0.0, NORMAL)]));
    assert_eq!(twice, LoadError::Tokenizer("two tokens have the same text"));
    let long = error(with(vec![token(&"a".repeat(257), 0.0, NORMAL)]));
    assert_eq!(long, LoadError::Tokenizer("a token that text can merge into is longer than 256 bytes"));
    let atoms = (0..4097).map(|i| token(&format!("{i:05}"), 0.0, USER_DEFINED)).collect();
    assert_eq!(error(with(atoms)), LoadError::Tokenizer("more than 4096 user-defined tokens"));
    let phi = error(with(vec![]).set("general.name", Value::String("Phi-3 mini".to_owned())));
    assert_eq!(phi, LoadError::Tokenizer("Phi-3's way with spaces is not supported"));
}

#[test]
fn every_byte_has_its_token() {
    let bytes = LoadError::Tokenizer("the byte tokens are not <0x00> to <0xFF>");
    let error = |change: &dyn Fn(&mut Vec<Token>)| {
        let mut tokens = pieces::base();
        change(&mut tokens);
        pieces::model(&tokens).load().unwrap_err()
    };
    assert_eq!(error(&|t| drop(t.pop())), bytes);
    assert_eq!(error(&|t| t[100].kind = NORMAL), bytes);
    assert_eq!(error(&|t| t[200].text = "<0xZZ>".to_owned()), bytes);
    assert_eq!(error(&|t| t.push(token("\u{e9}\u{e9}\u{e9}", 0.0, BYTE))), bytes);
}

/// The bytes that one text may look up: four look-ups for each character, each of at most the longest piece.
fn bound(text: &str, longest: usize) -> usize {
    4 * (text.chars().count() + 1) * longest
}

#[test]
fn work_is_linear_in_the_text() {
    let run = |c: char, score: fn(usize) -> f32| {
        let pieces = (1..=256 / c.len_utf8()).map(|n| token(&c.to_string().repeat(n), score(n), NORMAL));
        read(&with(pieces.collect())).0
    };
    // Joins grow from the left, from everywhere at once, or are undone by better ones beside them.
    let orders: [fn(usize) -> f32; 3] = [|_| 0.0, |n| n as f32, |n| -(n as f32)];
    for (c, order) in ['a', 'é', '世'].into_iter().flat_map(|c| orders.map(|order| (c, order))) {
        let spm = run(c, order);
        let text = c.to_string().repeat(100_000);
        let mut ids = Vec::new();
        let work = spm.encode(&text, true, &mut ids).unwrap();
        assert!(work <= bound(&text, 256), "{work}");
        assert!(ids.len() >= text.len() / 256);
    }
}

#[test]
fn honest_vocabularies_look_up_little() {
    let (spm, _) = read(&pieces::model(&pieces::vocabulary()));
    for text in [" ".repeat(100_000), "the ".repeat(25_000), "xyz".repeat(33_333), "\u{1f600}".repeat(25_000)]
    {
        let work = spm.encode(&text, true, &mut Vec::new()).unwrap();
        assert!(work <= 20 * text.len(), "{work} for {} bytes", text.len());
    }
}

/// Letters that the random vocabularies and texts are made of.
const LETTERS: [&str; 8] = ["a", "b", " ", "\u{2581}", "é", "世", "<", "\u{1f600}"];

fn string(rng: &mut ChaCha12Rng, most: u32) -> String {
    let length = 1 + rng.next_u32() % most;
    (0..length).map(|_| LETTERS[rng.next_u32() as usize % LETTERS.len()]).collect()
}

fn random_vocabulary(rng: &mut ChaCha12Rng) -> Vec<Token> {
    let mut tokens = pieces::base();
    let mut seen = BTreeSet::new();
    for _ in 0..rng.next_u32() % 200 {
        let text = string(rng, 6);
        let kind =
            [NORMAL, NORMAL, NORMAL, NORMAL, CONTROL, USER_DEFINED, UNUSED, 77][rng.next_u32() as usize % 8];
        let scores = [0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, rng.next_u32() as f32];
        let score = scores[rng.next_u32() as usize % 8];
        if seen.insert(text.clone()) {
            tokens.push(token(&text, score, kind));
        }
    }
    tokens
}

#[test]
fn random_vocabularies_keep_the_text_and_the_bound() {
    let mut rng = ChaCha12Rng::seed_from_u64(31);
    for _ in 0..400 {
        let tokens = random_vocabulary(&mut rng);
        let (spm, bytes) = read(&pieces::model(&tokens));
        for _ in 0..20 {
            let text = string(&mut rng, 60);
            let fresh = rng.next_u32() % 2 == 0;
            let mut ids = Vec::new();
            let work = spm.encode(&text, fresh, &mut ids).unwrap();
            assert!(work <= bound(&text, 256));
            check(&tokens, &bytes, &text, fresh, &ids);
        }
    }
}

/// No control token, and the text again; tokens that are not for text count by what the file calls them.
fn check(tokens: &[Token], bytes: &[Box<[u8]>], text: &str, fresh: bool, ids: &[u32]) {
    let mut said = Vec::new();
    for id in ids {
        let token = &tokens[*id as usize];
        assert!(token.kind != CONTROL && token.kind != pieces::UNKNOWN, "{text:?} became {:?}", token.text);
        let of_text = bytes[*id as usize].is_empty() || token.kind == USER_DEFINED;
        said.extend_from_slice(if of_text { token.text.as_bytes() } else { &bytes[*id as usize] });
    }
    let expected = if fresh { format!(" {text}") } else { text.to_owned() };
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.replace('\u{2581}', " "), expected.replace('\u{2581}', " "));
}

#[test]
fn random_vocabularies_load_and_run_or_are_refused() {
    let mut rng = ChaCha12Rng::seed_from_u64(37);
    let mut loaded = 0;
    for _ in 0..200 {
        let mut tokens = random_vocabulary(&mut rng);
        for _ in 0..rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % tokens.len();
            tokens[at].kind = rng.next_u32() % 8;
        }
        if let Ok(model) = pieces::model(&tokens).load() {
            loaded += 1;
            let ids = model.tokenizer().encode("<s>a b</s> <unk> \u{1f600}").unwrap();
            let control = |id: &u32| tokens[*id as usize].kind == CONTROL;
            assert!(!ids.iter().any(control));
            super::hostile::run(model);
        }
    }
    println!("{loaded} of 200 loaded");
    assert!((20..200).contains(&loaded));
}
