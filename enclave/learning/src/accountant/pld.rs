//! Accounting by privacy loss distributions: tighter than Renyi divergences, for many steps of one mechanism.
//!
//! The loss of one step is put on a grid in such a way that the hockey-stick divergence is exact on it and too large between
//! ("connect the dots"); composition is convolution. So epsilon is an upper bound, for each grid, but for the rounding of the
//! transform, which is below 1e-11 of probability.
//!
//! Sources: Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022 (arXiv:2207.04380), algorithm 1; Koskela, Jalko and Honkela
//! 2020 (arXiv:1906.03049) for the transform; Zhu, Dong and Wang 2022 (arXiv:2106.08567) for the pair of the sampled Gaussian.

use super::special::{falling_root, log_add, log_normal, normal};
use super::{AccountError, fft};

/// Grid of the reference and the default: a thousandth of epsilon.
pub const INTERVAL: f64 = 1e-3;
/// Logarithm of the mass of noise that is left out on either side, and counted as a loss without bound.
const TAIL: f64 = -50.0;
/// Mass that composition may leave out, and counts as a loss without bound.
const TRUNCATED: f64 = 1e-15;

/// Which of two neighbouring data sets has the additional row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Adjacency {
    Add,
    Remove,
}

/// A distribution on multiples of `interval`, from `lowest`, and the rest at infinity.
#[derive(Clone, Debug)]
struct Losses {
    interval: f64,
    lowest: i64,
    masses: Vec<f64>,
    infinite: f64,
}

/// The losses of a mechanism, for a row that is added and for one that is removed.
#[derive(Clone, Debug)]
pub struct PrivacyLoss {
    add: Losses,
    remove: Losses,
}

impl PrivacyLoss {
    /// `steps` releases of the Gaussian mechanism on samples in which each row is with probability `rate`; `sigma` in units of
    /// the sensitivity, on a grid of `interval`.
    ///
    /// # Errors
    /// [`AccountError`] for numbers out of range, or a grid of more than four million points.
    pub fn gaussian(rate: f64, sigma: f64, steps: u64, interval: f64) -> Result<PrivacyLoss, AccountError> {
        super::check_gaussian(rate, sigma, steps)?;
        if !(1e-6..=0.1).contains(&interval) {
            return Err(AccountError::Interval);
        }
        let one = |adjacency| {
            let pair = Pair { q: rate, sigma, adjacency };
            pair.losses(interval)?.repeated(steps)
        };
        let remove = one(Adjacency::Remove)?;
        let add = if rate < 1.0 { one(Adjacency::Add)? } else { remove.clone() };
        Ok(PrivacyLoss { add, remove })
    }

    /// Both, one after the other.
    ///
    /// # Errors
    /// [`AccountError::Interval`] if the grids differ, [`AccountError::Overflow`] if the sum's is too large.
    pub fn plus(&self, other: &PrivacyLoss) -> Result<PrivacyLoss, AccountError> {
        Ok(PrivacyLoss { add: self.add.plus(&other.add)?, remove: self.remove.plus(&other.remove)? })
    }

    /// The least epsilon at `delta`; infinity if there is none.
    pub fn epsilon(&self, delta: f64) -> f64 {
        self.add.epsilon(delta).max(self.remove.epsilon(delta))
    }

    /// The least delta at `epsilon`.
    pub fn delta(&self, epsilon: f64) -> f64 {
        self.add.delta(epsilon).max(self.remove.delta(epsilon))
    }
}

/// The two distributions of one step that are hardest to tell apart.
#[derive(Clone, Copy, Debug)]
struct Pair {
    q: f64,
    sigma: f64,
    adjacency: Adjacency,
}

impl Pair {
    /// The loss where the outcome is `x`; it falls.
    fn loss(&self, x: f64) -> f64 {
        let remove = |x: f64| {
            let whole = (-0.5 - x) / (self.sigma * self.sigma);
            if self.q >= 1.0 { whole } else { log_add((-self.q).ln_1p(), self.q.ln() + whole) }
        };
        if self.adjacency == Adjacency::Remove { remove(x) } else { -remove(-x) }
    }

    /// Where the loss is `epsilon`; none if it is nowhere.
    fn outcome(&self, epsilon: f64) -> Option<f64> {
        let signed = if self.adjacency == Adjacency::Remove { epsilon } else { -epsilon };
        let inner = if self.q >= 1.0 {
            signed
        } else if signed > 1.0 {
            // ln(1 + (e^s - 1) / q), without the overflow.
            signed + (1.0 / self.q + (1.0 - 1.0 / self.q) * (-signed).exp()).ln()
        } else {
            let sum = signed.exp_m1() / self.q;
            (sum > -1.0).then(|| sum.ln_1p())?
        };
        let variance = self.sigma * self.sigma;
        Some(if self.adjacency == Adjacency::Remove {
            -0.5 - inner * variance
        } else {
            0.5 + inner * variance
        })
    }

    /// The hockey-stick divergence at `epsilon`.
    fn delta(&self, epsilon: f64) -> f64 {
        let Some(x) = self.outcome(epsilon) else {
            return match self.adjacency {
                Adjacency::Add => 0.0,
                Adjacency::Remove => (-epsilon.exp_m1()).clamp(0.0, 1.0),
            };
        };
        let z = |x: f64| x / self.sigma;
        let (q, rest) = (self.q, 1.0 - self.q);
        let (upper, lower) = match self.adjacency {
            Adjacency::Remove if q >= 1.0 => (normal(z(x + 1.0)), log_normal(z(x))),
            Adjacency::Remove => (rest * normal(z(x)) + q * normal(z(x + 1.0)), log_normal(z(x))),
            Adjacency::Add => {
                let shifted = q.ln() + log_normal(z(x - 1.0));
                (normal(z(x)), log_add(rest.ln() + log_normal(z(x)), shifted))
            }
        };
        (upper - (epsilon + lower).exp()).clamp(0.0, 1.0)
    }

    /// Algorithm 1 on the grid.
    fn losses(&self, interval: f64) -> Result<Losses, AccountError> {
        let tail = TAIL - std::f64::consts::LN_2;
        let far = self.sigma * falling_root(0.0, 40.0, |z| log_normal(-z) - tail);
        let (low, high) = match self.adjacency {
            Adjacency::Add => (-far, far + 1.0),
            Adjacency::Remove => (-far - 1.0, far),
        };
        let lowest = (self.loss(high) / interval).floor();
        let highest = (self.loss(low) / interval).ceil();
        let points = highest - lowest + 1.0;
        if !(points >= 1.0 && points <= fft::MAX_LEN as f64) {
            return Err(AccountError::Overflow);
        }
        let (lowest, points) = (lowest as i64, points as usize);
        let mut least = 1.0f64;
        let deltas: Vec<f64> = (0..points)
            .map(|at| {
                // It falls; where rounding says otherwise, the lower one counts.
                least = least.min(self.delta((lowest + at as i64) as f64 * interval));
                least
            })
            .collect();
        Ok(Losses { interval, lowest, masses: connected(&deltas, interval), infinite: least })
    }
}

/// Masses whose divergence on the grid is `deltas`.
fn connected(deltas: &[f64], interval: f64) -> Vec<f64> {
    let (grow, more) = (interval.exp(), interval.exp_m1());
    let step = |at: usize| deltas[at + 1] - deltas[at];
    let last = deltas.len() - 1;
    let mass = |at: usize| match at {
        _ if last == 0 => 1.0 - deltas[0],
        0 => 1.0 - deltas[0] + step(0) / more,
        at if at == last => step(at - 1) / (-interval).exp_m1(),
        at => (step(at) - step(at - 1) * grow) / more,
    };
    (0..deltas.len()).map(|at| mass(at).max(0.0)).collect()
}

impl Losses {
    fn repeated(&self, times: u64) -> Result<Losses, AccountError> {
        if times == 1 {
            return Ok(self.clone());
        }
        let (from, to) = self.bounds(times);
        let wanted = usize::try_from(to - from + 1).map_err(|_| AccountError::Overflow)?;
        let len = wanted.max(self.masses.len()).next_power_of_two();
        if len > fft::MAX_LEN {
            return Err(AccountError::Overflow);
        }
        let mut masses = fft::self_convolve(&self.masses, times, len);
        // The transform went round: what belongs to `from` stands at `from` modulo its length.
        masses.rotate_left(usize::try_from(from).map_err(|_| AccountError::Overflow)? % len);
        masses.truncate(wanted);
        let times_real = times as f64;
        let infinite = TRUNCATED - (times_real * (-self.infinite).ln_1p()).exp_m1();
        let lowest = i64::try_from(times).ok().and_then(|times| self.lowest.checked_mul(times));
        let lowest = lowest.and_then(|lowest| lowest.checked_add(from)).ok_or(AccountError::Overflow)?;
        Ok(Losses { interval: self.interval, lowest, masses, infinite })
    }

    /// Between which points nearly all mass of the sum lies, by Chernoff's bound.
    fn bounds(&self, times: u64) -> (i64, i64) {
        let len = self.masses.len() as f64;
        let (mut from, mut to) = (0.0f64, (len - 1.0) * times as f64);
        for n in 1..=20 {
            let order = f64::from(n) / len;
            let generate = |order: f64| {
                let terms = self.masses.iter().enumerate().map(|(at, mass)| mass * (at as f64 * order).exp());
                times as f64 * terms.sum::<f64>().ln() - (0.5 * TRUNCATED).ln()
            };
            to = to.min((generate(order) / order).ceil());
            from = from.max((generate(-order) / -order).floor());
        }
        (from as i64, to as i64)
    }

    fn plus(&self, other: &Losses) -> Result<Losses, AccountError> {
        if self.interval != other.interval {
            return Err(AccountError::Interval);
        }
        if self.masses.len() + other.masses.len() > fft::MAX_LEN {
            return Err(AccountError::Overflow);
        }
        Ok(Losses {
            interval: self.interval,
            lowest: self.lowest + other.lowest,
            masses: fft::convolve(&self.masses, &other.masses),
            infinite: self.infinite + other.infinite - self.infinite * other.infinite,
        })
    }

    fn falling(&self) -> impl Iterator<Item = (f64, f64)> {
        let masses = self.masses.iter().copied().enumerate().rev();
        masses.map(|(at, mass)| ((self.lowest + at as i64) as f64 * self.interval, mass))
    }

    fn delta(&self, epsilon: f64) -> f64 {
        let above = self.falling().take_while(|(loss, _)| *loss > epsilon);
        self.infinite + above.map(|(loss, mass)| -(epsilon - loss).exp_m1() * mass).sum::<f64>()
    }

    fn epsilon(&self, delta: f64) -> f64 {
        if self.infinite > delta {
            return f64::INFINITY;
        }
        let (mut upper, mut lower) = (self.infinite, 0.0);
        for (loss, mass) in self.falling() {
            if upper > delta && lower > 0.0 && ((upper - delta) / lower).ln() >= loss {
                break;
            }
            upper += mass;
            lower += (-loss).exp() * mass;
            if upper >= delta && lower == 0.0 {
                return loss.max(0.0);
            }
        }
        if upper <= lower + delta { 0.0 } else { ((upper - delta) / lower).ln() }
    }
}
