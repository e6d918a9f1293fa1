//! Checks that receipts of one start of one enclave follow each other without gap or repeat.
//!
//! A client sees only its own receipts, and gaps between them are other people's. One who holds all receipts of an
//! enclave, as an auditor does, sees with this whether one was kept from him.
//!
//! # Promises
//! - A [`Sequence`] exists only for receipts of one boot under one key, each number once, none missing in between.
//!
//! # Does not
//! - Show that the last receipt is the last that was issued: that is for a log.
//! - Compare times: the system's clock of an honest enclave may be set back by its host.
//!
//! # Trusts
//! - The enclave whose key signed them to count.

use super::Receipt;

/// Why receipts are not a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceRefusal {
    /// None was given.
    #[error("no receipt was given; name at least one")]
    Empty,
    /// They come from two enclaves, or from two starts of one.
    #[error("receipt {sequence} comes from another enclave or another start; check each start by itself")]
    OtherBoot {
        /// Its number.
        sequence: u64,
    },
    /// One number occurs twice.
    #[error(
        "there are two receipts {sequence}; an enclave never issues a number twice, do not rely on either"
    )]
    Repeat {
        /// The number.
        sequence: u64,
    },
    /// A number below the one that must come first.
    #[error(
        "receipt {sequence} comes before {first}, where you said that they begin; begin earlier, or leave it out"
    )]
    BeforeFirst {
        /// The number.
        sequence: u64,
        /// Where they begin.
        first: u64,
    },
    /// A number is missing.
    #[error("receipt {missing} is missing before receipt {next}; ask for it, it may have been kept from you")]
    Gap {
        /// The first number that is missing.
        missing: u64,
        /// The number that comes instead.
        next: u64,
    },
}

/// Receipts of one boot, without gap or repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    first: u64,
    last: u64,
}

impl Sequence {
    /// Looks at receipts in any order. `first` is the number that must come first: 0 for all of a start.
    ///
    /// # Errors
    /// One [`SequenceRefusal`] for each reason.
    pub fn of(receipts: &[&Receipt], first: u64) -> Result<Self, SequenceRefusal> {
        let mut sorted: Vec<&Receipt> = receipts.to_vec();
        sorted.sort_by_key(|receipt| receipt.body().sequence);
        let start = sorted.first().ok_or(SequenceRefusal::Empty)?;
        let mut expected = first;
        for receipt in &sorted {
            let body = receipt.body();
            let sequence = body.sequence;
            if body.boot != start.body().boot || receipt.key() != start.key() {
                return Err(SequenceRefusal::OtherBoot { sequence });
            }
            if sequence < first {
                return Err(SequenceRefusal::BeforeFirst { sequence, first });
            }
            if sequence < expected {
                return Err(SequenceRefusal::Repeat { sequence });
            }
            if sequence > expected {
                return Err(SequenceRefusal::Gap { missing: expected, next: sequence });
            }
            expected = expected.saturating_add(1);
        }
        Ok(Self { first, last: expected.saturating_sub(1) })
    }

    /// The first and the last number.
    pub fn bounds(&self) -> (u64, u64) {
        (self.first, self.last)
    }
}
