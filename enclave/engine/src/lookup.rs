//! Guesses the next tokens from the text so far: what followed the last time that these tokens stood there.
//!
//! Promises: a guess changes no answer. It is computed beside the next token, and kept as far as the sampler chooses the same.
//!
//! Source: prompt look-up decoding (Saxena 2023); the first to keep only what the model chooses anyway: Leviathan et al.,
//! "Fast Inference from Transformers via Speculative Decoding", 2023.

/// Tokens that must be the same before a guess, the longest first.
const SUFFIXES: [usize; 2] = [3, 2];

/// At most `most` tokens that may come after `tokens`.
pub(crate) fn guess(tokens: &[u32], most: usize) -> &[u32] {
    for length in SUFFIXES {
        let Some(start) = tokens.len().checked_sub(length) else { continue };
        let suffix = &tokens[start..];
        // The latest place before the end itself.
        let found = tokens[..tokens.len() - 1].windows(length).rposition(|window| window == suffix);
        if let Some(at) = found {
            let from = at + length;
            return &tokens[from..tokens.len().min(from + most)];
        }
    }
    &[]
}
