//! Blind search in figures: sizes, and time on one core, to set against Apple's published 4,096 rows of 128 dimensions: 28 KB for
//! a question, 52 KB for an answer, 10 to 12 ms (swift-homomorphic-encryption, on their machines).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a bench that cannot go on ends

use std::time::{Duration, Instant};

use adyton_homomorphic::{Asker, Holder};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn random(rng: &mut StdRng, dimensions: usize) -> Vec<f32> {
    let vector: Vec<f32> = (0..dimensions).map(|_| rng.random::<f32>() - 0.5).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

fn median(mut run: impl FnMut(), times: usize) -> Duration {
    let mut timed: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    timed.sort();
    timed[times / 2]
}

fn main() {
    println!(
        "{:>8} {:>5} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}",
        "rows", "dim", "question", "answer", "keys", "encrypt", "evaluate", "rank"
    );
    for dimensions in [128, 384] {
        for rows in [4_096, 10_000, 100_000] {
            let mut rng = StdRng::seed_from_u64(1);
            let vectors: Vec<Vec<f32>> = (0..rows).map(|_| random(&mut rng, dimensions)).collect();
            let (asker, holder) = (Asker::new().unwrap(), Holder::new(&vectors).unwrap());
            let bytes = asker.keys().unwrap();
            let keys = holder.keys(&bytes).unwrap();
            let question = asker.ask(&vectors[0]).unwrap();
            let answer = holder.answer(&question, &keys).unwrap();
            assert_eq!(asker.rank(&answer, rows, 1).unwrap(), [0]);
            let times = if rows > 20_000 { 3 } else { 9 };
            let encrypt = median(|| drop(asker.ask(&vectors[0]).unwrap()), times);
            let evaluate = median(|| drop(holder.answer(&question, &keys).unwrap()), times);
            let rank = median(|| drop(asker.rank(&answer, rows, 10).unwrap()), times);
            let kb = |bytes: usize| format!("{:.0} KB", bytes as f64 / 1000.0);
            let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
            let sent: usize = answer.iter().map(Vec::len).sum();
            println!(
                "{rows:>8} {dimensions:>5} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}",
                kb(question.size()),
                kb(sent),
                kb(bytes.len()),
                ms(encrypt),
                ms(evaluate),
                ms(rank)
            );
        }
    }
}
