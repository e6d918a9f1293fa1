//! Counters that forget, sets that estimate, habits that are surprised: each of a size known at compile time.
//!
//! # Promises
//! - None allocates, whatever it is fed.
//! - A clock that goes back counts as one that stands.

/// A minute, in milliseconds.
pub(crate) const MINUTE: f32 = 60_000.0;
/// An hour.
pub(crate) const HOUR: f32 = 60.0 * MINUTE;
/// A day.
pub(crate) const DAY: f32 = 24.0 * HOUR;

/// What is left after `elapsed_ms` of a counter whose time constant is `tau_ms`.
pub(crate) fn decay(elapsed_ms: u64, tau_ms: f32) -> f32 {
    (-(elapsed_ms as f32) / tau_ms).exp()
}

/// Spreads a digest over all bits (Steele, Lea, Flood 2014: the finaliser of SplitMix64).
pub(crate) fn mix(digest: u64) -> u64 {
    let z = digest.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Quantities, counted over one span that forgets exponentially.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates<const N: usize> {
    tau_ms: f32,
    counts: [f32; N],
    /// How much of the span has been lived: 0 at first, 1 after a few spans. Without it a newcomer's counts
    /// would look low over a month and normal over a day, which reads as growth.
    lived: f32,
    at_ms: u64,
}

impl<const N: usize> Rates<N> {
    pub(crate) fn new(tau_ms: f32, at_ms: u64) -> Self {
        Self { tau_ms, counts: [0.0; N], lived: 0.0, at_ms }
    }

    /// Forgets what is past.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        let left = decay(now_ms.saturating_sub(self.at_ms), self.tau_ms);
        self.counts.iter_mut().for_each(|count| *count *= left);
        self.lived = 1.0 - (1.0 - self.lived) * left;
        self.at_ms = self.at_ms.max(now_ms);
    }

    pub(crate) fn add(&mut self, amounts: &[f32; N]) {
        self.counts.iter_mut().zip(amounts).for_each(|(count, amount)| *count += amount);
    }

    /// The count now.
    pub(crate) fn count(&self, quantity: usize) -> f32 {
        self.counts.get(quantity).copied().unwrap_or(0.0)
    }

    /// The count per day, corrected for a life shorter than the span.
    pub(crate) fn per_day(&self, quantity: usize) -> f32 {
        self.count(quantity) * DAY / (self.tau_ms * self.lived.max(0.02))
    }
}

/// How many different things there were: linear counting (Whang 1990) over this window and the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distinct<const WORDS: usize> {
    now: [u64; WORDS],
    before: [u64; WORDS],
    window: u64,
}

impl<const WORDS: usize> Distinct<WORDS> {
    pub(crate) fn new() -> Self {
        Self { now: [0; WORDS], before: [0; WORDS], window: 0 }
    }

    /// Turns the page. `window` numbers windows from 1970 on.
    pub(crate) fn advance(&mut self, window: u64) {
        if window <= self.window {
            return;
        }
        self.before = if window == self.window + 1 { self.now } else { [0; WORDS] };
        self.now = [0; WORDS];
        self.window = window;
    }

    /// Puts a thing in. True if it was not in before, as far as can be told.
    pub(crate) fn insert(&mut self, digest: u64) -> bool {
        let mut fresh = false;
        // Two bits: a thing that is not in is taken for one that is only where both are set by others.
        for mixed in [mix(digest), mix(mix(digest))] {
            let (word, bit) = Self::place(mixed);
            let known =
                self.now.get(word).copied().unwrap_or(0) | self.before.get(word).copied().unwrap_or(0);
            fresh |= known & bit == 0;
            if let Some(word) = self.now.get_mut(word) {
                *word |= bit;
            }
        }
        fresh
    }

    fn place(mixed: u64) -> (usize, u64) {
        let at = ((mixed >> 32) * (WORDS as u64 * 64)) >> 32;
        (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
    }

    /// Roughly how many. Two bits a thing, so half of what linear counting says.
    pub(crate) fn estimate(&self) -> f32 {
        let set: u32 =
            self.now.iter().zip(&self.before).map(|(now, before)| (now | before).count_ones()).sum();
        let bits = WORDS as f32 * 64.0;
        let clear = (bits - set as f32).max(1.0);
        bits * (bits / clear).ln() / 2.0
    }
}

/// What is usual among `N` kinds (at most 64), forgetting over weeks. Counts the hours in which a kind was
/// seen, not the times, and only from the next day on: whoever repeats something a hundred times today has
/// not made it a habit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit<const N: usize> {
    weights: [f32; N],
    total: f32,
    /// Of today, in quarters.
    pending: [u8; N],
    /// The hour of the last note.
    hour: u64,
    /// Kinds counted in that hour.
    noted: u64,
}

/// How much one hour with a kind weighs, in quarters.
pub(crate) const WHOLE: u8 = 4;

impl<const N: usize> Habit<N> {
    pub(crate) fn new() -> Self {
        const { assert!(N > 0 && N <= 64) };
        Self { weights: [0.0; N], total: 0.0, pending: [0; N], hour: 0, noted: 0 }
    }

    /// Forgets a little, and makes yesterday a habit.
    pub(crate) fn advance(&mut self, left: f32, hour: u64) {
        self.weights.iter_mut().for_each(|weight| *weight *= left);
        self.total *= left;
        if hour / 24 > self.hour / 24 {
            let settled =
                std::mem::replace(&mut self.pending, [0; N]).map(|quarters| f32::from(quarters) / 4.0);
            self.weights.iter_mut().zip(settled).for_each(|(weight, more)| *weight += more);
            self.total += settled.iter().sum::<f32>();
        }
        if hour > self.hour {
            (self.hour, self.noted) = (hour, 0);
        }
    }

    /// Counts a kind, if it was not counted in this hour. True if it was counted now.
    pub(crate) fn note(&mut self, kind: usize) -> bool {
        let bit = 1 << (kind % N);
        let first = self.noted & bit == 0;
        self.noted |= bit;
        if first {
            self.add(kind, WHOLE);
        }
        first
    }

    /// Counts quarters of a kind.
    pub(crate) fn add(&mut self, kind: usize, quarters: u8) {
        if let Some(slot) = self.pending.get_mut(kind % N) {
            *slot = slot.saturating_add(quarters);
        }
    }

    /// In nats: minus the logarithm of the kind's share, with one observation spread evenly before the first.
    pub(crate) fn surprise(&self, kind: usize) -> f32 {
        let weight = self.weights.get(kind % N).copied().unwrap_or(0.0);
        ((self.total + 1.0) / (weight + 1.0 / N as f32)).ln()
    }
}

/// Mean and spread of a number, forgetting a share of `rate` at each step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    mean: f32,
    variance: f32,
    seen: u32,
}

impl Running {
    pub(crate) fn add(&mut self, value: f32, rate: f32) {
        // The first few count in full, so that the mean does not start at zero.
        let rate = rate.max(1.0 / (self.seen as f32 + 1.0));
        let off = value - self.mean;
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.seen = self.seen.saturating_add(1);
    }

    pub(crate) fn mean(&self) -> Option<f32> {
        (self.seen > 0).then_some(self.mean)
    }

    pub(crate) fn spread(&self) -> Option<f32> {
        (self.seen > 2).then(|| self.variance.max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_forget_at_their_own_pace() {
        let mut rates = Rates::<1>::new(HOUR, 0);
        rates.add(&[10.0]);
        rates.advance(3_600_000);
        assert!((rates.count(0) - 10.0 / std::f32::consts::E).abs() < 0.01);
        rates.advance(0); // the clock went back
        assert!((rates.count(0) - 10.0 / std::f32::consts::E).abs() < 0.01);
    }

    #[test]
    fn distinct_things_are_counted_within_a_tenth() {
        let mut set = Distinct::<32>::new();
        for thing in 0..500_u64 {
            set.insert(thing.wrapping_mul(0xd134_2543_de82_ef95));
            set.insert(thing.wrapping_mul(0xd134_2543_de82_ef95));
        }
        assert!((set.estimate() - 500.0).abs() < 50.0, "{}", set.estimate());
        set.advance(1);
        assert!(set.estimate() > 400.0, "the window before counts");
        set.advance(3);
        assert!(set.estimate() < 1.0);
    }

    #[test]
    fn the_unusual_surprises_more() {
        let mut habit = Habit::<8>::new();
        let at_first = habit.surprise(3);
        for hour in 0..48 {
            habit.advance(1.0, hour);
            assert!(habit.note(3) && !habit.note(3));
        }
        habit.advance(1.0, 48);
        assert!(habit.surprise(3) < 0.1 && habit.surprise(4) > at_first);
        let before = habit.surprise(4);
        (48..60).for_each(|hour| {
            habit.advance(1.0, hour);
            habit.note(4);
        });
        assert_eq!(habit.surprise(4), before, "a day makes no habit");
    }
}
