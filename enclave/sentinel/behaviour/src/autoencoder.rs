//! A small autoencoder: what it cannot say in eight numbers is strange.
//!
//! # Promises
//! - The same rows and seed give the same weights on the same kind of processor.
//!
//! # Does not
//! - Use candle to score: tensors of one row cost more in allocations than in arithmetic. A test compares
//!   both.
//!
//! # Source
//! - M. Sakurada, T. Yairi: Anomaly detection using autoencoders with nonlinear dimensionality reduction,
//!   MLSDA 2014.
//! - D. P. Kingma, J. Ba: Adam, ICLR 2015; its step, moments and epsilon are those of algorithm 1.

use crate::chance::Chance;
use crate::features::{COUNT, Vector};
use crate::scaling::{quantile, sorted_column};
use candle_core::{DType, Device, Result, Tensor, Var};

/// Widths. Eight in the middle, for about as many independent ways in which workloads differ (how much, how
/// large, when, how broad, how new, with which tools, in how many sessions, with which growth); wider learns
/// to copy.
const WIDTHS: [usize; 5] = [COUNT, 32, 8, 32, COUNT];
const LAYERS: usize = WIDTHS.len() - 1;
/// Bounds the time of a lesson: 4096 rows take about a second.
const EPOCHS: usize = 40;
const BATCH: usize = 128;
const STEP: f64 = 3e-3;
const MOMENTS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;
/// Least tail, in robust standard deviations: a feature that never varied must not alarm at a trifle.
const MIN_TAIL: f32 = 0.5;

/// One layer, row by row of its outputs.
#[derive(Clone, Debug)]
struct Layer {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// The trained network.
#[derive(Clone, Debug)]
pub(crate) struct Autoencoder {
    layers: Vec<Layer>,
    /// The quantile 0.99 of each feature's residual in training: what is seldom is measured by its own tail.
    tails: Vector,
}

impl Autoencoder {
    /// Trains on scaled rows.
    pub(crate) fn fit(rows: &[Vector], chance: &mut Chance) -> Result<Autoencoder> {
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        let data = Tensor::from_vec(flat, (rows.len(), COUNT), &Device::Cpu)?;
        let variables = start(chance)?;
        let mut adam = Adam::new(&variables)?;
        let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
        for _ in 0..EPOCHS {
            chance.shuffle(&mut order);
            for batch in order.chunks(BATCH) {
                let input = data.index_select(&Tensor::new(batch, &Device::Cpu)?, 0)?;
                let loss = forward(&variables, &input)?.sub(&input)?.sqr()?.mean_all()?;
                adam.step(&variables, &loss.backward()?)?;
            }
        }
        let layers = variables.chunks(2).map(layer).collect::<Result<Vec<Layer>>>()?;
        let mut trained = Autoencoder { layers, tails: [1.0; COUNT] };
        trained.tails = trained.measure(rows);
        Ok(trained)
    }

    fn measure(&self, rows: &[Vector]) -> Vector {
        let left: Vec<Vector> = rows.iter().map(|row| self.residual(row).map(f32::abs)).collect();
        std::array::from_fn(|at| quantile(&sorted_column(&left, at), 0.99).max(MIN_TAIL))
    }

    /// What is left of each feature after reconstruction; 1 is the quantile 0.99 of normal.
    pub(crate) fn residual(&self, row: &Vector) -> Vector {
        let mut values = row.to_vec();
        for (at, layer) in self.layers.iter().enumerate() {
            values = layer.apply(&values, at + 1 < LAYERS);
        }
        let mut out = *row;
        let parts = values.iter().zip(&self.tails);
        out.iter_mut().zip(parts).for_each(|(out, (value, tail))| *out = (*out - value) / tail);
        out
    }

    /// The logarithm of the squared length of the residual.
    pub(crate) fn score(&self, row: &Vector) -> f32 {
        self.residual(row).iter().map(|r| r * r).sum::<f32>().max(1e-6).ln()
    }
}

impl Layer {
    fn apply(&self, input: &[f32], bend: bool) -> Vec<f32> {
        let rows = self.weights.chunks_exact(input.len().max(1));
        let sums = rows.zip(&self.bias).map(|(weights, bias)| {
            bias + weights.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>()
        });
        sums.map(|sum| if bend { sum.tanh() } else { sum }).collect()
    }
}

/// Weights by Glorot and Bengio (2010), biases zero.
fn start(chance: &mut Chance) -> Result<Vec<Var>> {
    let mut variables = Vec::new();
    for pair in WIDTHS.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let bound = (6.0 / (from + to) as f32).sqrt();
        let weights: Vec<f32> = (0..from * to).map(|_| bound * (2.0 * chance.unit() - 1.0)).collect();
        variables.push(Var::from_vec(weights, (to, from), &Device::Cpu)?);
        variables.push(Var::zeros(to, DType::F32, &Device::Cpu)?);
    }
    Ok(variables)
}

fn forward(variables: &[Var], input: &Tensor) -> Result<Tensor> {
    let mut values = input.clone();
    for (at, pair) in variables.chunks(2).enumerate() {
        values = values.matmul(&pair[0].t()?)?.broadcast_add(&pair[1])?;
        if at + 1 < LAYERS {
            values = values.tanh()?;
        }
    }
    Ok(values)
}

fn layer(pair: &[Var]) -> Result<Layer> {
    Ok(Layer { weights: pair[0].flatten_all()?.to_vec1()?, bias: pair[1].to_vec1()? })
}

/// Adam's two moments for each variable.
struct Adam {
    moments: Vec<(Tensor, Tensor)>,
    steps: i32,
}

impl Adam {
    fn new(variables: &[Var]) -> Result<Adam> {
        let zeros = variables.iter().map(|v| Ok((v.zeros_like()?, v.zeros_like()?)));
        Ok(Adam { moments: zeros.collect::<Result<_>>()?, steps: 0 })
    }

    fn step(&mut self, variables: &[Var], gradients: &candle_core::backprop::GradStore) -> Result<()> {
        self.steps += 1;
        let unbias = |rate: f64| 1.0 / (1.0 - rate.powi(self.steps));
        for (variable, (first, second)) in variables.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(variable) else { continue };
            *first = ((&*first * MOMENTS.0)? + (gradient * (1.0 - MOMENTS.0))?)?;
            *second = ((&*second * MOMENTS.1)? + (gradient.sqr()? * (1.0 - MOMENTS.1))?)?;
            let spread = ((&*second * unbias(MOMENTS.1))?.sqrt()? + EPSILON)?;
            let change = ((&*first * (STEP * unbias(MOMENTS.0)))? / spread)?;
            variable.set(&variable.sub(&change)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows on a line, with a little noise.
    fn rows(chance: &mut Chance, n: usize) -> Vec<Vector> {
        let row = |chance: &mut Chance| {
            let along = chance.normal();
            std::array::from_fn(|i| along * if i % 2 == 0 { 1.0 } else { -0.5 } + 0.1 * chance.normal())
        };
        (0..n).map(|_| row(chance)).collect()
    }

    #[test]
    fn plain_loops_score_as_candle_does_and_what_is_off_the_line_scores_higher() {
        let mut chance = Chance::new(1);
        let rows = rows(&mut chance, 1024);
        let variables = start(&mut chance).unwrap();
        let layers = variables.chunks(2).map(|p| layer(p).unwrap()).collect();
        let plain = Autoencoder { layers, tails: [1.0; COUNT] };
        let input = Tensor::from_vec(rows[0].to_vec(), (1, COUNT), &Device::Cpu).unwrap();
        let theirs: Vec<f32> = forward(&variables, &input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let ours = plain.residual(&rows[0]);
        let apart =
            rows[0].iter().zip(&theirs).zip(&ours).map(|((row, said), left)| (row - said - left).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-4);

        let trained = Autoencoder::fit(&rows, &mut chance).unwrap();
        let on = rows[1];
        let mut off = on;
        off[3] += 4.0;
        assert!(trained.score(&off) > trained.score(&on) + 1.0);
    }
}
