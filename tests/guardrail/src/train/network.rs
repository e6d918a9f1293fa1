//! Fits heads: three networks of one hidden layer, by Adam (Kingma and Ba 2015), seeded.

use super::Dice;
use adyton_guardrail::meaning::FEATURES;
use adyton_guardrail::meaning::head::{Fitted, HIDDEN};

/// Networks whose mean is the head.
const NETWORKS: usize = 3;
/// Units of each.
const UNITS: usize = HIDDEN / NETWORKS;
const ROUNDS: usize = 6;
const BATCH: usize = 100;
const RATE: f32 = 1e-3;
/// Pull towards zero.
const DECAY: f32 = 3e-4;
/// One feature in so many is left out of a step.
const DROPPED: usize = 10;

/// A text that is learned from.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What the encoder says of it.
    pub features: &'a [f32],
    /// Whether it is what is looked for.
    pub positive: bool,
    /// How much it counts.
    pub weight: f32,
}

#[derive(Clone)]
struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
    step: i32,
}

impl Adam {
    fn new(numbers: usize) -> Adam {
        Adam { mean: vec![0.0; numbers], square: vec![0.0; numbers], step: 0 }
    }

    fn apply(&mut self, numbers: &mut [f32], slopes: &[f32]) {
        self.step += 1;
        let (a, b) = (1.0 - 0.9f32.powi(self.step), 1.0 - 0.999f32.powi(self.step));
        let kept = self.mean.iter_mut().zip(&mut self.square);
        for ((number, slope), (mean, square)) in numbers.iter_mut().zip(slopes).zip(kept) {
            *mean = 0.9 * *mean + 0.1 * slope;
            *square = 0.999 * *square + 0.001 * slope * slope;
            *number -= RATE * (*mean / a) / ((*square / b).sqrt() + 1e-8);
        }
    }
}

/// One network: (unit, feature), then a bias of each unit, its weight of the score, and the bias of the score.
struct Network(Vec<f32>);

const BIAS: usize = UNITS * FEATURES;
const OUT: usize = BIAS + UNITS;
const NUMBERS: usize = OUT + UNITS + 1;

impl Network {
    fn new(dice: &mut Dice) -> Network {
        let mut random = |scale: f32| (dice.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0) * scale;
        let mut numbers: Vec<f32> = (0..BIAS).map(|_| random((2.0 / FEATURES as f32).sqrt())).collect();
        numbers.resize(OUT, 0.0);
        numbers.extend((0..UNITS).map(|_| random((2.0 / UNITS as f32).sqrt())));
        numbers.push(0.0);
        Network(numbers)
    }

    /// Adds the slopes of one row; its loss.
    fn slopes(&self, features: &[f32], row: &Row<'_>, slopes: &mut [f32]) -> f32 {
        let numbers = &self.0;
        let unit = |unit: usize| {
            let weights = &numbers[unit * FEATURES..][..FEATURES];
            dot(weights, features) + numbers[BIAS + unit]
        };
        let mut units = [0.0; UNITS];
        units.iter_mut().enumerate().for_each(|(at, value)| *value = unit(at).max(0.0));
        let score = numbers[NUMBERS - 1] + dot(&units, &numbers[OUT..OUT + UNITS]);
        let odds = 1.0 / (1.0 + (-score).exp());
        let error = (odds - if row.positive { 1.0 } else { 0.0 }) * row.weight;
        slopes[NUMBERS - 1] += error;
        for (at, value) in units.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            slopes[OUT + at] += error * value;
            let inner = error * numbers[OUT + at];
            slopes[BIAS + at] += inner;
            let slopes = &mut slopes[at * FEATURES..][..FEATURES];
            slopes.iter_mut().zip(features).for_each(|(slope, x)| *slope += inner * x);
        }
        let likelihood = if row.positive { odds } else { 1.0 - odds };
        -row.weight * likelihood.max(1e-7).ln()
    }
}

/// In eight sums, which the compiler makes vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Fits a head.
pub fn fit(rows: &[Row<'_>], dice: &mut Dice) -> Fitted {
    let (mean, scale) = spread(rows);
    let mut fitted = Fitted {
        weights: Vec::with_capacity(HIDDEN * FEATURES),
        bias: [0.0; HIDDEN],
        out: [0.0; HIDDEN],
        out_bias: 0.0,
    };
    for at in 0..NETWORKS {
        let network = one(rows, &mean, &scale, dice).0;
        // What was done to the features is done to the weights, so that a head takes features as they are.
        for unit in 0..UNITS {
            let weights =
                network[unit * FEATURES..][..FEATURES].iter().zip(&scale).map(|(w, scale)| w * scale);
            let weights: Vec<f32> = weights.collect();
            fitted.bias[at * UNITS + unit] = network[BIAS + unit] - dot(&weights, &mean);
            fitted.out[at * UNITS + unit] = network[OUT + unit] / NETWORKS as f32;
            fitted.weights.extend(weights);
        }
        fitted.out_bias += network[NUMBERS - 1] / NETWORKS as f32;
    }
    fitted
}

fn one(rows: &[Row<'_>], mean: &[f32], scale: &[f32], dice: &mut Dice) -> Network {
    let mut network = Network::new(dice);
    let mut adam = Adam::new(NUMBERS);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut features = vec![0.0; FEATURES];
    let mut slopes = vec![0.0; NUMBERS];
    for round in 0..ROUNDS {
        dice.shuffle(&mut order);
        let mut loss = 0.0;
        for batch in order.chunks(BATCH) {
            slopes.fill(0.0);
            for row in batch.iter().map(|at| &rows[*at]) {
                for (x, ((feature, mean), scale)) in
                    features.iter_mut().zip(row.features.iter().zip(mean).zip(scale))
                {
                    *x = (feature - mean) * scale;
                }
                for _ in 0..FEATURES / DROPPED {
                    features[dice.below(FEATURES)] = 0.0;
                }
                loss += f64::from(network.slopes(&features, row, &mut slopes));
            }
            let share = 1.0 / batch.len() as f32;
            for (slope, number) in slopes.iter_mut().zip(&network.0) {
                *slope = *slope * share + DECAY * number;
            }
            adam.apply(&mut network.0, &slopes);
        }
        if round + 1 == ROUNDS {
            eprintln!("{} rows, loss {:.4}", rows.len(), loss / rows.len().max(1) as f64);
        }
    }
    network
}

/// Of each feature its mean, and one over its deviation.
fn spread(rows: &[Row<'_>]) -> (Vec<f32>, Vec<f32>) {
    let (mut sum, mut squares) = (vec![0f64; FEATURES], vec![0f64; FEATURES]);
    for row in rows {
        for (at, x) in row.features.iter().enumerate() {
            sum[at] += f64::from(*x);
            squares[at] += f64::from(x * x);
        }
    }
    let count = rows.len().max(1) as f64;
    let mean: Vec<f32> = sum.iter().map(|sum| (sum / count) as f32).collect();
    let deviation =
        |(sum, squares): (&f64, &f64)| (squares / count - (sum / count).powi(2)).max(1e-9).sqrt() + 1e-6;
    let scale = sum.iter().zip(&squares).map(|both| (1.0 / deviation(both)) as f32).collect();
    (mean, scale)
}
