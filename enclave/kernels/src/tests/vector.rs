//! Norm, gate, rotation and the exponential, against f64 and between instruction sets.

use super::{Numbers, bits, others, plain};
use crate::{Isa, vector};

#[test]
fn rows_come_out_the_same_everywhere() {
    let mut numbers = Numbers::new(1);
    for width in [16, 32, 48, 576, 1536] {
        let (x, w) = (numbers.floats(width), numbers.floats(width));
        let angles: Vec<f32> = numbers.floats(width / 2);
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
        let run = |isa: Isa| {
            let mut out = vec![0.0; 6 * width];
            vector::norm(isa, &x, &w, 1e-5, &mut out[..width]);
            vector::gated(isa, &x, &w, &mut out[width..2 * width]);
            out[2 * width..3 * width].copy_from_slice(&x);
            vector::rotate(isa, &mut out[2 * width..3 * width], width, (&cos, &sin), 0.125);
            for part in 3..6 {
                out[part * width..][..width].copy_from_slice(&x);
            }
            vector::add(isa, &mut out[3 * width..4 * width], &w);
            vector::layer_norm(isa, &mut out[4 * width..5 * width], &w, &x, 1e-12);
            vector::gelu(isa, &mut out[5 * width..], &w);
            bits(&out)
        };
        let expected = run(plain());
        for isa in others() {
            assert!(run(isa) == expected, "{width} {}", isa.name());
        }
    }
}

#[test]
fn they_are_what_their_formulas_say() {
    let mut numbers = Numbers::new(2);
    let (x, w) = (numbers.floats(64), numbers.floats(64));
    let mut out = vec![0.0; 64];
    vector::norm(Isa::best(), &x, &w, 1e-5, &mut out);
    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 64.0;
    for ((out, x), w) in out.iter().zip(&x).zip(&w) {
        let expected = f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*w);
        assert!((f64::from(*out) - expected).abs() < 1e-5);
    }
    // The gate shows the exponential: from far below zero to far above.
    let gate: Vec<f32> = (0..1600).map(|i| i as f32 / 8.0 - 100.0).collect();
    let (ones, mut out) = (vec![1.0; 1600], vec![0.0; 1600]);
    vector::gated(Isa::best(), &gate, &ones, &mut out);
    for (gate, out) in gate.iter().zip(&out) {
        let gate = f64::from(*gate);
        let expected = gate / (1.0 + (-gate).exp());
        assert!(
            (f64::from(*out) - expected).abs() <= expected.abs() * 1e-6 + 1e-35,
            "{gate}: {out} {expected}"
        );
    }
    let mut out = x.clone();
    vector::layer_norm(Isa::best(), &mut out, &w, &x, 1e-12);
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / 64.0;
    let spread = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / 64.0;
    for ((out, x), w) in out.iter().zip(&x).zip(&w) {
        let expected = (f64::from(*x) - mean) / spread.sqrt() * f64::from(*w) + f64::from(*x);
        assert!((f64::from(*out) - expected).abs() < 1e-5);
    }
    // Against values of the normal distribution from a table.
    let normal =
        [(0.0, 0.5), (0.5, 0.691_462_461), (1.0, 0.841_344_746), (1.96, 0.975_002_105), (3.0, 0.998_650_102)];
    for (size, below) in normal {
        for (x, below) in [(size, below), (-size, 1.0 - below)] {
            let mut out = [x as f32 - 0.25; 16];
            vector::gelu(Isa::best(), &mut out, &[0.25; 16]);
            assert!(out.iter().all(|out| (f64::from(*out) - x * below).abs() < 1e-6), "{x}: {}", out[0]);
        }
    }
    let mut far = [100.0; 16];
    far[0] = -100.0;
    vector::gelu(Isa::best(), &mut far, &[0.0; 16]);
    assert_eq!((far[0], far[1]), (0.0, 100.0));
    let mut turned = vec![0.0; 32];
    turned[3] = 1.0;
    vector::rotate(Isa::best(), &mut turned, 32, (&[0.6; 16], &[0.8; 16]), 2.0);
    assert_eq!((turned[3], turned[19]), (1.2, 1.6));
}

#[test]
fn the_best_is_the_first_of_the_largest() {
    let mut numbers = Numbers::new(3);
    for isa in Isa::all() {
        for length in [1, 15, 16, 17, 1000] {
            let mut values = numbers.floats(length);
            let at = numbers.below(length);
            values[at] = 50.0;
            values.push(50.0);
            assert_eq!(vector::best(isa, &values), Some((at, 50.0)));
            for bad in [f32::NAN, f32::INFINITY] {
                values[at] = bad;
                assert_eq!(vector::best(isa, &values), None);
            }
        }
        assert_eq!(vector::best(isa, &[]), None);
        assert_eq!(vector::best(isa, &[-5.0; 40]), Some((0, -5.0)));
    }
}

#[test]
fn weights_are_exponentials_and_their_sum() {
    let mut numbers = Numbers::new(4);
    for length in [1, 16, 33, 1000] {
        let values = numbers.floats(length);
        let run = |isa| {
            let mut out = vec![0.0; length];
            let sum = vector::weigh(isa, &values, 20.0, 0.5, &mut out);
            (bits(&out), out, sum)
        };
        let (expected, out, sum) = run(plain());
        assert!((sum - out.iter().map(|w| f64::from(*w)).sum::<f64>()).abs() <= sum * 1e-6);
        for (value, weight) in values.iter().zip(&out) {
            let exact = ((f64::from(*value) - 20.0) * 0.5).exp();
            assert!((f64::from(*weight) - exact).abs() <= exact * 1e-6);
        }
        for isa in others() {
            let (got, _, got_sum) = run(isa);
            assert!(got == expected && got_sum == sum, "{length} {}", isa.name());
        }
    }
}
