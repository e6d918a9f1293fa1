//! The real model against its published formulas, and files that are none.
//!
//! The weights are fetched by `make model`. Without them the tests of real weights say that they were skipped.

#![allow(clippy::unwrap_used)] // helpers of tests

use adyton_encoder::{EncodeError, Encoder, LoadError, Workspace};
use std::path::Path;
use std::sync::OnceLock;

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    tokens: usize,
    vector: String,
}

fn golden() -> Vec<(Golden, Vec<f32>)> {
    let list: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    let vector = |text: &str| {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    list.into_iter().map(|one| (vector(&one.vector), one)).map(|(vector, one)| (one, vector)).collect()
}

fn files() -> Option<(Vec<u8>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/models");
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let both = read("all-MiniLM-L6-v2.safetensors").zip(read("all-MiniLM-L6-v2.tokenizer.json"));
    if both.is_none() {
        println!("SKIPPED: the encoder is absent, fetch it with `make model`");
    }
    both
}

fn encoder() -> Option<&'static Encoder> {
    static ENCODER: OnceLock<Option<Encoder>> = OnceLock::new();
    ENCODER.get_or_init(|| files().map(|(weights, words)| Encoder::load(&weights, &words).unwrap())).as_ref()
}

#[test]
fn vectors_are_the_references() {
    let Some(encoder) = encoder() else { return };
    let mut work = Workspace::new(encoder, 512, 2).unwrap();
    for (golden, expected) in golden() {
        let tokens = encoder.tokens(&golden.text).unwrap();
        assert_eq!(tokens.count(), golden.tokens, "{:?}", golden.text);
        let vector = &encoder.embed(&mut work, &[tokens]).unwrap()[0];
        let dot: f64 =
            vector.elements().iter().zip(&expected).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!(dot > 0.999_99, "{:?}: cosine {dot}", golden.text);
    }
}

#[test]
fn a_vector_does_not_depend_on_its_neighbours_or_the_threads() {
    let Some(encoder) = encoder() else { return };
    let texts: Vec<_> = golden().into_iter().map(|(one, _)| encoder.tokens(&one.text).unwrap()).collect();
    let mut one = Workspace::new(encoder, 512, 1).unwrap();
    let alone: Vec<_> = texts
        .iter()
        .map(|text| encoder.embed(&mut one, std::slice::from_ref(text)).unwrap().remove(0))
        .collect();
    let mut many = Workspace::new(encoder, 2048, 3).unwrap();
    assert!(encoder.embed(&mut many, &texts).unwrap() == alone);
    let (mut back, mut backwards) = (texts, alone);
    back.reverse();
    backwards.reverse();
    assert!(encoder.embed(&mut many, &back).unwrap() == backwards);
    for isa in adyton_kernels::Isa::all() {
        let mut work = Workspace::with(encoder, 512, 2, isa).unwrap();
        for (text, vector) in back.iter().zip(&backwards).filter(|(text, _)| text.count() < 20) {
            assert!(
                encoder.embed(&mut work, std::slice::from_ref(text)).unwrap()[0] == *vector,
                "{}",
                isa.name()
            );
        }
    }
}

#[test]
fn what_is_too_long_is_said_and_nothing_is_cut() {
    let Some(encoder) = encoder() else { return };
    let long = "word ".repeat(511);
    assert_eq!(encoder.tokens(&long).unwrap_err(), EncodeError::TooLong { found: 513, limit: 512 });
    // In halves all of it is there: 511 words, and two ends of each half.
    let halves: Vec<usize> =
        encoder.parts(&long).unwrap().iter().map(adyton_encoder::Tokens::count).collect();
    assert!(halves.len() == 2 && halves.iter().sum::<usize>() >= 511 + 4, "{halves:?}");
    let fits = encoder.tokens(&"word ".repeat(510)).unwrap();
    let mut work = Workspace::new(encoder, 512, 1).unwrap();
    let both = [fits.clone(), encoder.tokens("").unwrap()];
    assert_eq!(encoder.embed(&mut work, &both), Err(EncodeError::TooMany { found: 514, limit: 512 }));
    assert!(encoder.embed(&mut work, &[fits]).is_ok());
    assert_eq!(encoder.embed(&mut work, &[]).unwrap().len(), 0);
}

#[test]
fn rows_are_one_for_each_token_and_of_all_layers_the_vector() {
    let Some(encoder) = encoder() else { return };
    let mut work = Workspace::new(encoder, 512, 1).unwrap();
    let text = encoder.tokens("Employees accrue paid leave.").unwrap();
    let rows = encoder.rows(&mut work, &text, usize::MAX).unwrap();
    assert_eq!(rows.iter().len(), text.count());
    let mut mean = vec![0f32; encoder.width()];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x));
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    let vector = encoder.embed(&mut work, std::slice::from_ref(&text)).unwrap().remove(0);
    let cosine: f32 = mean.iter().zip(vector.elements()).map(|(a, b)| a / length * b).sum();
    assert!(cosine > 0.9999, "{cosine}");
    let middle = encoder.rows(&mut work, &text, 4).unwrap();
    assert!(middle.iter().flatten().zip(rows.iter().flatten()).any(|(a, b)| a != b));
}

#[test]
fn nothing_of_a_text_is_left_in_the_workspace() {
    let Some(encoder) = encoder() else { return };
    let mut work = Workspace::new(encoder, 512, 2).unwrap();
    let text = |words: &str| encoder.tokens(words).unwrap();
    // A long text, then a short one: only what a pass has written is wiped.
    for texts in [vec![text(&"payment ".repeat(300)), text("due")], vec![text("Is it?")]] {
        encoder.embed(&mut work, &texts).unwrap();
        assert!(work.is_wiped());
        encoder.rows(&mut work, &texts[0], 4).unwrap();
        assert!(work.is_wiped());
    }
}

#[test]
fn near_in_meaning_is_near_in_angle() {
    let Some(encoder) = encoder() else { return };
    let mut work = Workspace::new(encoder, 512, 2).unwrap();
    let texts = [
        "How many days of holiday do I get?",
        "Employees accrue 2.5 days of paid leave per month.",
        "The printer is out of paper.",
    ];
    let tokens: Vec<_> = texts.iter().map(|text| encoder.tokens(text).unwrap()).collect();
    let v = encoder.embed(&mut work, &tokens).unwrap();
    assert!(v[0].cosine(&v[1]) > v[0].cosine(&v[2]) + 0.2);
}

#[test]
fn files_that_are_no_encoder_are_refused() {
    assert_eq!(Encoder::load(b"", b"{}").unwrap_err(), LoadError::NotSafetensors);
    assert_eq!(Encoder::load(&u64::MAX.to_le_bytes(), b"{}").unwrap_err(), LoadError::NotSafetensors);
    let header = br#"{"embeddings.word_embeddings.weight":{"dtype":"F32","shape":[18446744073709551615,384],"data_offsets":[0,0]}}"#;
    let huge = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    assert_eq!(Encoder::load(&huge, b"{}").unwrap_err(), LoadError::NotSafetensors);
    let Some((weights, words)) = files() else { return };
    assert!(matches!(Encoder::load(&weights, b"{}"), Err(LoadError::Tokenizer(_))));
    let cut = &weights[..weights.len() - 1];
    assert_eq!(Encoder::load(cut, &words).unwrap_err(), LoadError::NotSafetensors);
    // A number that is none, and one that f16 does not hold.
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&weights[8..8 + length]).unwrap();
    for name in ["encoder.layer.3.output.dense.bias", "embeddings.word_embeddings.weight"] {
        let at = 8 + length + header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        for bad in [f32::NAN, f32::NEG_INFINITY, 1e6] {
            let mut weights = weights.clone();
            weights[at..at + 4].copy_from_slice(&bad.to_le_bytes());
            assert_eq!(
                Encoder::load(&weights, &words).unwrap_err(),
                LoadError::NotFinite { name: name.into() }
            );
        }
    }
}
