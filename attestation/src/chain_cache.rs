//! Remembers which certificate signatures were verified, so that the same chain is not paid for twice.
//!
//! A leaf lives three hours and its authorities live longer, so one who appraises many documents sees the same
//! certificates again and again. What is kept is the digest of a *prefix* of a chain, from the root down to one
//! certificate: it says that every signature in this prefix verifies, which stays true for ever.
//!
//! # Promises
//! - What is kept are digests of bytes whose signatures this process has verified; nothing else is ever entered.
//! - No verdict is kept. Bytes, profile, order, validity, the document's signature and everything after it are checked
//!   each time, at that time's clock.
//! - At most [`ChainCache::CAPACITY`] entries; the one longest unused goes first.
//!
//! # Does not
//! - Shorten the way of a document whose chain differs in one bit from those known.
//!
//! # Trusts
//! - SHA-256 not to collide. The root is part of each prefix, so chains of two anchors never meet.
//!
//! Source: RFC 5280, section 6.1.3 (a)(1) is the one check that is remembered; (a)(2) to (4) are not.

use std::collections::VecDeque;

use ring::digest;

/// Verified prefixes of chains.
#[derive(Clone, Debug, Default)]
pub struct ChainCache {
    /// The one used last stands first.
    known: VecDeque<Prefix>,
}

/// SHA-256 over the certificates from the root down to one, each with its length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix([u8; 32]);

impl ChainCache {
    /// Most entries. A chain enters four; sixteen chains are more than the enclaves that one client talks to in
    /// the three hours of a leaf, and looking through 64 digests costs a thousandth of one signature check.
    pub const CAPACITY: usize = 64;

    /// Without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many prefixes are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether this prefix was verified before. It counts as used.
    pub(crate) fn knows(&mut self, prefix: &Prefix) -> bool {
        let Some(known) = self.known.iter().position(|known| known == prefix) else { return false };
        if let Some(prefix) = self.known.remove(known) {
            self.known.push_front(prefix);
        }
        true
    }

    /// Enters a prefix whose every signature was verified.
    pub(crate) fn enter(&mut self, prefix: Prefix) {
        if self.knows(&prefix) {
            return;
        }
        self.known.truncate(Self::CAPACITY.saturating_sub(1));
        self.known.push_front(prefix);
    }
}

/// The prefixes of a chain, each longer by one certificate, the root's alone first.
pub(crate) fn prefixes<'a>(chain: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Prefix> {
    let mut context = digest::Context::new(&digest::SHA256);
    chain.map(move |der| {
        context.update(&(der.len() as u64).to_be_bytes());
        context.update(der);
        let mut prefix = [0; 32];
        for (to, from) in prefix.iter_mut().zip(context.clone().finish().as_ref()) {
            *to = *from;
        }
        Prefix(prefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u16) -> Prefix {
        prefixes([number.to_be_bytes().as_slice()].into_iter()).next().unwrap()
    }

    #[test]
    fn it_is_bounded_and_forgets_the_longest_unused() {
        let mut cache = ChainCache::new();
        for number in 0..64 {
            cache.enter(prefix(number));
        }
        assert!(cache.knows(&prefix(0)));
        for number in 64..1000 {
            assert!(cache.knows(&prefix(0)));
            cache.enter(prefix(number));
            assert_eq!(cache.len(), ChainCache::CAPACITY);
        }
        assert!(cache.knows(&prefix(999)) && cache.knows(&prefix(0)) && !cache.knows(&prefix(1)));
    }

    #[test]
    fn where_one_certificate_ends_counts() {
        let of = |chain: &[&[u8]]| prefixes(chain.iter().copied()).last().unwrap();
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"abc"]), of(&[b"ab", b"c"]));
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
    }
}
