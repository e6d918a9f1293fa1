//! Walks the certificates of a document in their fixed order, from the pinned root to the leaf.
//!
//! # Promises
//! - The shape of the whole chain is checked before the first signature, and the walk stops at the first signature that
//!   fails: forged certificates cost at most one verification.
//! - [`LeafKey`] exists only for a chain whose every link was verified, now or by this process before.
//!
//! # Does not
//! - Search for a path (a path search can be made to cost a hundred verifications), or fetch anything.
//! - Judge the time; the caller takes the validities and its own `now`.
//!
//! # Trusts
//! - The root's bytes, which the caller has pinned.
//!
//! Source: AWS "Nitro Enclaves attestation process", section 3.2.3; RFC 5280, section 6.1.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use crate::chain_cache::{ChainCache, prefixes};
use crate::time::Timestamp;
use crate::x509::{Certificate, CertificateError};

/// What is wrong with which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// 0 is the root; the leaf comes last.
    pub(crate) position: usize,
    pub(crate) problem: CertificateError,
}

/// A chain whose shape is right and whose signatures nobody has checked.
#[derive(Debug)]
pub(crate) struct Shaped<'a>(Vec<Certificate<'a>>);

/// A chain whose every link was verified, up to the pinned root.
#[derive(Debug)]
pub(crate) struct Linked<'a>(Vec<Certificate<'a>>);

/// The key of a leaf whose chain was verified.
#[derive(Debug)]
pub(crate) struct LeafKey<'a>(&'a [u8]);

/// When a certificate of the chain is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) position: usize,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl<'a> Shaped<'a> {
    /// Parses all certificates and checks all that can be checked without a signature.
    pub(crate) fn new(cabundle: &'a [Vec<u8>], leaf: &'a [u8]) -> Result<Self, Broken> {
        let all = cabundle.iter().map(Vec::as_slice).chain(std::iter::once(leaf));
        let mut chain: Vec<Certificate<'a>> = Vec::new();
        for (position, der) in all.enumerate() {
            let broken = |problem| Broken { position, problem };
            let certificate = Certificate::parse(der).map_err(broken)?;
            // CAs below this one: the bundle without the root's side and without the leaf.
            let below = cabundle.len().saturating_sub(position).checked_sub(1);
            place(&certificate, below, chain.last()).map_err(broken)?;
            chain.push(certificate);
        }
        Ok(Self(chain))
    }

    /// Verifies link after link and stops at the first that fails. Links that `cache` knows are not verified again.
    pub(crate) fn verify(self, cache: &mut ChainCache) -> Result<Linked<'a>, Broken> {
        let prefixes: Vec<_> = prefixes(self.0.iter().map(|certificate| certificate.whole)).collect();
        // The longest known prefix; at least the root, which is the anchor and signed by nobody else.
        let known = prefixes.iter().rposition(|prefix| cache.knows(prefix)).unwrap_or(0);
        let links = self.0.iter().zip(self.0.iter().skip(1)).zip(prefixes.iter().skip(1)).enumerate();
        for (position, ((issuer, child), prefix)) in links.skip(known) {
            if !issuer.verifies(child) {
                return Err(Broken {
                    position: position.saturating_add(1),
                    problem: CertificateError::Signature,
                });
            }
            cache.enter(*prefix);
        }
        Ok(Linked(self.0))
    }
}

impl<'a> Linked<'a> {
    /// The validity of each certificate, from the root on.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.0.iter().enumerate().map(|(position, certificate)| Window {
            position,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        })
    }

    /// The leaf's validity.
    pub(crate) fn leaf_window(&self) -> Option<Window> {
        self.windows().last()
    }

    /// The key that may sign the document.
    pub(crate) fn leaf_key(&self) -> Option<LeafKey<'a>> {
        self.0.last().map(|leaf| LeafKey(leaf.point()))
    }
}

impl LeafKey<'_> {
    /// Whether this key made the 96-byte signature r || s over `message` (RFC 9053, section 2.1).
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, self.0).verify(message, signature).is_ok()
    }
}

/// `below` is the number of CAs between this certificate and the leaf; `None` for the leaf itself.
fn place(
    certificate: &Certificate<'_>,
    below: Option<usize>,
    issuer: Option<&Certificate<'_>>,
) -> Result<(), CertificateError> {
    if certificate.ca != below.is_some() {
        return Err(CertificateError::BasicConstraints);
    }
    if let (Some(below), Some(allowed)) = (below, certificate.path_len)
        && below > usize::from(allowed)
    {
        return Err(CertificateError::PathLength);
    }
    let usage = certificate.key_usage;
    let usable =
        if below.is_some() { usage.key_cert_sign } else { usage.digital_signature && !usage.key_cert_sign };
    if !usable {
        return Err(CertificateError::KeyUsage);
    }
    match issuer {
        // RFC 5280, section 6.1.4 (l), would not count it against a path length; the Nitro PKI has none.
        Some(_) if certificate.issuer == certificate.subject => Err(CertificateError::SelfIssued),
        Some(issuer) if certificate.issuer != issuer.subject => Err(CertificateError::IssuerMismatch),
        _ => Ok(()),
    }
}
