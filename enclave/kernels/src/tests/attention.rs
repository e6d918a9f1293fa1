//! Attention against the formula in f64, between instruction sets, and beside other queries.

use super::{Numbers, bits, others, plain};
use crate::Isa;
use crate::attention::{Attend, BLOCK, block_len, scores_len, write};
use half::f16;

struct Head {
    dim: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    blocks: Vec<Vec<u16>>,
}

fn head(isa: Isa, dim: usize, positions: usize, numbers: &mut Numbers) -> Head {
    let (keys, values) = (numbers.floats(dim * positions), numbers.floats(dim * positions));
    let mut blocks = vec![vec![0; block_len(dim)]; positions.div_ceil(BLOCK)];
    for (position, (key, value)) in keys.chunks_exact(dim).zip(values.chunks_exact(dim)).enumerate() {
        write(isa, &mut blocks[position / BLOCK], position, key, value);
    }
    Head { dim, keys, values, blocks }
}

fn attend(isa: Isa, head: &Head, queries: &[f32], ends: &[usize]) -> Vec<f32> {
    let longest = ends.iter().copied().max().unwrap();
    let mut scores = vec![f32::NAN; scores_len(ends.len(), longest)];
    let mut out = vec![f32::NAN; queries.len()];
    let block = |index: usize| head.blocks[index].as_slice();
    Attend { dim: head.dim, queries, ends, block, scores: &mut scores, out: &mut out }.run(isa);
    out
}

fn expected(head: &Head, query: &[f32], end: usize) -> Vec<f64> {
    let half = |x: &f32| f64::from(f16::from_f32(*x).to_f32());
    let rows = |all: &'_ [f32]| -> Vec<Vec<f64>> {
        all.chunks_exact(head.dim).take(end).map(|row| row.iter().map(half).collect()).collect()
    };
    let (keys, values) = (rows(&head.keys), rows(&head.values));
    let score = |key: &Vec<f64>| key.iter().zip(query).map(|(k, q)| k * f64::from(*q)).sum::<f64>();
    let scores: Vec<f64> = keys.iter().map(score).collect();
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..head.dim).map(|i| values.iter().zip(&weights).map(|(v, w)| v[i] * w / sum).sum()).collect()
}

#[test]
fn it_is_what_the_formula_says() {
    let mut numbers = Numbers::new(1);
    for dim in [16, 32, 64, 80, 128] {
        for positions in [1, 15, 16, 17, 100] {
            let head = head(Isa::best(), dim, positions, &mut numbers);
            let query: Vec<f32> = numbers.floats(dim).iter().map(|q| q / (dim as f32).sqrt()).collect();
            let got = attend(Isa::best(), &head, &query, &[positions]);
            for (got, expected) in got.iter().zip(expected(&head, &query, positions)) {
                assert!((f64::from(*got) - expected).abs() < 1e-4, "{dim} {positions}: {got} {expected}");
            }
        }
    }
}

#[test]
fn a_query_sees_its_own_past_only_and_the_same_bits_everywhere() {
    let mut numbers = Numbers::new(2);
    for dim in [16, 64, 96] {
        let all = head(plain(), dim, 70, &mut numbers);
        let queries = numbers.floats(dim * 18);
        let ends: Vec<usize> = (0..18).map(|i| 40 + i).collect();
        let together = attend(plain(), &all, &queries, &ends);
        for (i, query) in queries.chunks_exact(dim).enumerate() {
            let own = &together[i * dim..][..dim];
            assert_eq!(bits(own), bits(&attend(plain(), &all, query, &[ends[i]])), "{dim}, query {i}");
            // What stands behind its end changes nothing.
            let mut other = head(plain(), dim, 70, &mut Numbers::new(99));
            for position in 0..ends[i] {
                let at = position * dim..(position + 1) * dim;
                let block = &mut other.blocks[position / BLOCK];
                write(plain(), block, position, &all.keys[at.clone()], &all.values[at]);
            }
            assert_eq!(bits(own), bits(&attend(plain(), &other, query, &[ends[i]])), "{dim}, query {i}");
        }
        for isa in others() {
            let rewritten = head(isa, dim, 70, &mut Numbers::new(3));
            assert_eq!(rewritten.blocks, head(plain(), dim, 70, &mut Numbers::new(3)).blocks);
            assert_eq!(bits(&attend(isa, &all, &queries, &ends)), bits(&together), "{dim} {}", isa.name());
        }
    }
}

#[test]
fn keys_that_f16_cannot_hold_are_cut_to_what_it_can() {
    for isa in Isa::all() {
        let mut block = vec![0; block_len(16)];
        write(isa, &mut block, 3, &[1e9; 16], &[-1e9; 16]);
        assert!(block.iter().all(|half| f16::from_bits(*half).is_finite()), "{}", isa.name());
    }
}

#[test]
#[should_panic(expected = "different sizes")]
fn sizes_that_do_not_fit_are_refused() {
    let head = head(plain(), 16, 16, &mut Numbers::new(4));
    attend(plain(), &head, &[0.0; 15], &[16]);
}
