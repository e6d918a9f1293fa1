//! What the model sees of a text: which character n-grams, words and pairs of words a window has, and a few of its habits.
//!
//! Weights lie at the hash of a feature, so there is no vocabulary. The trainer uses this same code.

/// Places for weights. A window has about 2,000 features, so two that matter rarely meet.
pub const PLACES: usize = 1 << 19;
/// Characters of a window, and from one window to the next. An order of two sentences fits.
pub const WINDOW: usize = 480;
/// See [`WINDOW`].
pub const STRIDE: usize = 240;

/// Lower case, digits as `0`, runs of space as one, so that forms of one text are one.
pub fn normalised(text: &str) -> Vec<char> {
    let mut form = Vec::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_whitespace() => {
                if form.last() != Some(&' ') {
                    form.push(' ');
                }
            }
            c if c.is_ascii_digit() => form.push('0'),
            c => form.push(c),
        }
    }
    form
}

/// The windows of a normalised text; one, if it is short.
pub fn windows(text: &[char]) -> impl Iterator<Item = &[char]> {
    let last = text.len().saturating_sub(WINDOW).div_ceil(STRIDE);
    (0..=last).map(move |at| {
        let start = at * STRIDE;
        text.get(start..text.len().min(start + WINDOW)).unwrap_or_default()
    })
}

/// Collects the places of features, each once.
#[derive(Debug)]
pub struct Places {
    seen: Vec<u64>,
    list: Vec<u32>,
}

impl Default for Places {
    fn default() -> Self {
        Places { seen: vec![0; PLACES / 64], list: Vec::new() }
    }
}

impl Places {
    /// The places of one window's features.
    pub fn of(&mut self, window: &[char]) -> &[u32] {
        for place in self.list.drain(..) {
            if let Some(word) = self.seen.get_mut(place as usize / 64) {
                *word = 0;
            }
        }
        self.grams(window);
        self.words(window);
        self.habits(window);
        &self.list
    }

    fn add(&mut self, kind: u64, hash: u64) {
        // The last step of splitmix64 spreads what the sums left close together.
        let mut mixed = hash ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let place = ((mixed ^ (mixed >> 31)) % PLACES as u64) as u32;
        let (word, bit) = (place as usize / 64, 1u64 << (place % 64));
        if let Some(seen) = self.seen.get_mut(word).filter(|seen| **seen & bit == 0) {
            *seen |= bit;
            self.list.push(place);
        }
    }

    /// Character n-grams of 3 to 5, over the window with a space at each end.
    fn grams(&mut self, window: &[char]) {
        let padded: Vec<char> = [' '].iter().chain(window).chain(&[' ']).copied().collect();
        for at in 0..padded.len() {
            let mut hash = 0u64;
            for (length, c) in padded.iter().skip(at).take(5).enumerate() {
                hash = next(hash, *c);
                if length >= 2 {
                    self.add(length as u64, hash);
                }
            }
        }
    }

    /// Words, pairs and triples of them.
    fn words(&mut self, window: &[char]) {
        let (mut before, mut last) = (0u64, 0u64);
        for word in window.split(|c| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let hash = word.iter().fold(7, |hash, c| next(hash, *c));
            self.add(11, hash);
            self.add(12, last.wrapping_mul(31).wrapping_add(hash));
            self.add(13, before.wrapping_mul(961).wrapping_add(last.wrapping_mul(31)).wrapping_add(hash));
            (before, last) = (last, hash);
        }
    }

    /// Its length, its signs, and how it begins.
    fn habits(&mut self, window: &[char]) {
        let length = window.len().max(1);
        let share = |of: usize| (of * 16 / length) as u64;
        let signs = window.iter().filter(|c| c.is_ascii_punctuation()).count();
        let foreign = window.iter().filter(|c| !c.is_ascii()).count();
        self.add(21, u64::from(length.ilog2()));
        self.add(22, share(signs));
        self.add(23, share(foreign));
        self.add(24, u64::from(window.last() == Some(&'?')));
        let first = window.iter().take_while(|c| c.is_alphanumeric()).fold(7, |hash, c| next(hash, *c));
        self.add(25, first);
    }
}

fn next(hash: u64, c: char) -> u64 {
    (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
}
