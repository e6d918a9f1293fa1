//! Logistic regression by stochastic gradient descent (AdaGrad), over texts of several windows each.

use super::Dice;
use adyton_guardrail::injection::features::PLACES;

/// One text as its windows' features.
pub struct Bag {
    /// The features of each window.
    pub windows: Vec<Vec<u32>>,
    /// Whether it is an attack.
    pub attack: bool,
    /// How much it counts.
    pub weight: f32,
}

/// What training gives.
pub struct Fitted {
    /// By place.
    pub weights: Vec<f32>,
    /// Added to each score.
    pub bias: f32,
}

const RATE: f32 = 0.25;
/// Pull towards zero at each step in which a weight takes part.
const DECAY: f32 = 2e-5;
/// Windows of a harmless text that are learned from in each round.
const HARMLESS_WINDOWS: usize = 3;
/// One feature in so many is left out at each step, so that none is relied on alone.
const DROPPED: usize = 5;

impl Fitted {
    /// The log odds of a window.
    pub fn score(&self, places: &[u32]) -> f32 {
        let sum: f32 = places.iter().map(|place| self.weights[*place as usize]).sum();
        self.bias + sum / (places.len().max(1) as f32).sqrt()
    }
}

/// Fits weights. Of an attack the window that scores highest is learned from, for the others may be harmless; of a
/// harmless text the highest and some others.
pub fn fit(bags: &[Bag], rounds: usize, dice: &mut Dice) -> Fitted {
    let mut fitted = Fitted { weights: vec![0.0; PLACES], bias: 0.0 };
    let mut squares = vec![1e-3f32; PLACES + 1];
    let mut sum = vec![0f32; PLACES + 1];
    let mut order: Vec<usize> = (0..bags.len()).collect();
    for round in 0..rounds {
        dice.shuffle(&mut order);
        let mut loss = 0.0;
        for &at in &order {
            let bag = &bags[at];
            for window in chosen(&fitted, bag, dice) {
                loss += f64::from(step(&mut fitted, &mut squares, &bag.windows[window], bag, dice));
            }
        }
        // Later rounds count alike: their average errs less than the last.
        if round * 2 >= rounds {
            sum.iter_mut()
                .zip(fitted.weights.iter().chain([&fitted.bias]))
                .for_each(|(sum, weight)| *sum += weight);
        }
        eprintln!("round {} of {rounds}: loss {:.4}", round + 1, loss / bags.len() as f64);
    }
    let counted = (rounds - rounds.div_ceil(2)) as f32;
    let mut mean: Vec<f32> = sum.iter().map(|sum| sum / counted.max(1.0)).collect();
    let bias = mean.pop().unwrap_or(0.0);
    Fitted { weights: mean, bias }
}

/// The mean of several, which is a linear model as well.
pub fn mean(fits: Vec<Fitted>) -> Fitted {
    let share = 1.0 / fits.len().max(1) as f32;
    let mut mean = Fitted { weights: vec![0.0; PLACES], bias: 0.0 };
    for fitted in fits {
        mean.weights.iter_mut().zip(&fitted.weights).for_each(|(sum, weight)| *sum += weight * share);
        mean.bias += fitted.bias * share;
    }
    mean
}

fn chosen(fitted: &Fitted, bag: &Bag, dice: &mut Dice) -> Vec<usize> {
    let by_score =
        |a: &usize, b: &usize| fitted.score(&bag.windows[*a]).total_cmp(&fitted.score(&bag.windows[*b]));
    let highest = (0..bag.windows.len()).max_by(by_score);
    let mut chosen: Vec<usize> = highest.into_iter().collect();
    if !bag.attack && bag.windows.len() > 1 {
        chosen.extend((1..HARMLESS_WINDOWS).map(|_| dice.below(bag.windows.len())));
    }
    chosen
}

/// One step; the loss before it.
fn step(fitted: &mut Fitted, squares: &mut [f32], places: &[u32], bag: &Bag, dice: &mut Dice) -> f32 {
    let kept: Vec<u32> = places.iter().copied().filter(|_| dice.below(DROPPED) > 0).collect();
    let score = fitted.score(&kept);
    let target = if bag.attack { 1.0 } else { 0.0 };
    let odds = 1.0 / (1.0 + (-score).exp());
    let error = (odds - target) * bag.weight;
    let slope = error / (kept.len().max(1) as f32).sqrt();
    for place in kept {
        let at = place as usize;
        let gradient = slope + DECAY * fitted.weights[at];
        squares[at] += gradient * gradient;
        fitted.weights[at] -= RATE * gradient / squares[at].sqrt();
    }
    squares[PLACES] += error * error;
    fitted.bias -= RATE * error / squares[PLACES].sqrt();
    let likelihood = if bag.attack { odds } else { 1.0 - odds };
    -bag.weight * likelihood.max(1e-7).ln()
}
