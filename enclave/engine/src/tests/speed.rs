//! Measurements, run by hand: `cargo test --release -p adyton-engine speed -- --ignored --nocapture`.

use super::{model_path, smollm};
use crate::cache::KvCache;
use crate::{Limits, Model};
use std::fs::File;
use std::time::Instant;

#[test]
#[ignore = "a measurement, not a check"]
fn speed() {
    let Some(model) = smollm() else { return };
    let start = Instant::now();
    let file = File::open(model_path().unwrap()).unwrap();
    let size = file.metadata().unwrap().len();
    drop(Model::load(file, size, Limits::default()).unwrap());
    println!("load: {:.3} s", start.elapsed().as_secs_f64());
    let tokens = model.tokenizer().encode(include_str!("../testdata/text.txt")).unwrap();
    for chunk in [1, 4, 8, 16, 32, 64, 128, 256, 512] {
        let mut cache = KvCache::new(&model.transformer.config);
        let n = if chunk == 1 { 128 } else { 512 };
        let start = Instant::now();
        for chunk in tokens[..n].chunks(chunk) {
            if chunk.len() == 1 {
                model.transformer.forward(chunk, &mut cache).unwrap();
            } else {
                model.transformer.prefill(chunk, &mut cache).unwrap();
            }
        }
        println!("rows per step {chunk}: {:.0} tokens/s", n as f64 / start.elapsed().as_secs_f64());
    }
}
