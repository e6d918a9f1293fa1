//! Holds the root certificate to which a chain must lead.
//!
//! # Promises
//! - [`TrustAnchor::aws_nitro_g1`] is compiled in; no file, variable or argument changes it.
//! - The only other maker lives in [`dangerous`], and everything that it vouches for says `simulated() == true`.
//!
//! # Does not
//! - Read files or offer a list of roots.
//!
//! # Trusts
//! - The 533 bytes beside this file, whose SHA-256 a test compares with the one that AWS publishes.
//!
//! Source: AWS "Verifying the root of trust" in the Nitro Enclaves user guide:
//! `https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip`.

use std::borrow::Cow;

/// A pinned root certificate, and whether it is a real one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    der: Cow<'static, [u8]>,
    simulated: bool,
}

impl TrustAnchor {
    /// The AWS Nitro Enclaves root G1, valid from 2019-10-28 to 2049-10-28.
    pub const fn aws_nitro_g1() -> Self {
        Self { der: Cow::Borrowed(include_bytes!("aws-nitro-root-g1.der")), simulated: false }
    }

    /// The root certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether this is a development root, so that all it vouches for is a simulation.
    pub fn simulated(&self) -> bool {
        self.simulated
    }
}

/// Makers that a production binary must not call.
pub mod dangerous {
    use std::borrow::Cow;

    use super::TrustAnchor;

    /// Trusts whatever is signed under `der`. For simulators and tests: all that verifies under it is SIMULATED.
    ///
    /// The bytes are not judged here; a root that is no certificate makes every appraisal fail. If they are AWS's own
    /// root, the anchor still counts as simulated.
    pub fn development_anchor(der: impl Into<Vec<u8>>) -> TrustAnchor {
        TrustAnchor { der: Cow::Owned(der.into()), simulated: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_published_one() {
        let anchor = TrustAnchor::aws_nitro_g1();
        assert_eq!(anchor.der().len(), 533);
        assert_eq!(
            hex::encode(crate::measurement::sha256(&[anchor.der()])),
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
        assert!(!anchor.simulated());
        assert!(dangerous::development_anchor(anchor.der()).simulated());
    }
}
