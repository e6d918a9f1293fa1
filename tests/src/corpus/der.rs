//! Takes certificates apart and puts them together again, so that one thing in them can be wrong.
//!
//! # Promises
//! - What is not touched comes out as it went in.
//!
//! # Does not
//! - Judge: whatever is built is signed.
//!
//! # Trusts
//! - Its caller, and that what it takes apart is the DER that this crate wrote.

use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use ring::digest::{SHA256, SHA384, digest};

use crate::pki::SeededKey;

/// SEQUENCE, SET, and the explicit tags `[0]` and `[3]`: what has elements inside.
const CONSTRUCTED: [u8; 4] = [0x30, 0x31, 0xa0, 0xa3];

/// Positions in a TBSCertificate (RFC 5280, section 4.1).
pub(super) const VERSION: usize = 0;
pub(super) const SERIAL: usize = 1;
pub(super) const SIGNATURE: usize = 2;
pub(super) const ISSUER: usize = 3;
pub(super) const VALIDITY: usize = 4;
pub(super) const SUBJECT: usize = 5;
pub(super) const SPKI: usize = 6;
pub(super) const EXTENSIONS: usize = 7;

/// Contents of the OIDs of extensions: 2.5.29.19, 2.5.29.15, 2.5.29.30, and one that nobody knows.
pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
pub(super) const UNKNOWN: &[u8] = &[0x2a, 0x03, 0x04];

/// ecdsa-with-SHA384 and ecdsa-with-SHA256 (RFC 5758, section 3.2).
const ECDSA_SHA384: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
pub(super) const ECDSA_SHA256: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// One element and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// With elements inside.
    Inner(u8, Vec<Node>),
    /// With bytes inside.
    Leaf(u8, Vec<u8>),
    /// Bytes that stand as they are, also if they are no DER.
    Raw(Vec<u8>),
}

impl Node {
    /// The one element that `der` is.
    pub(crate) fn parse(der: &[u8]) -> Self {
        let (node, rest) = element(der);
        assert!(rest.is_empty(), "bytes follow the element");
        node
    }

    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Inner(tag, inner) => tlv(*tag, &inner.iter().flat_map(Node::encode).collect::<Vec<_>>()),
            Self::Leaf(tag, bytes) => tlv(*tag, bytes),
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    /// The elements inside.
    pub(crate) fn inner(&mut self) -> &mut Vec<Node> {
        match self {
            Self::Inner(_, inner) => inner,
            Self::Leaf(..) | Self::Raw(_) => panic!("nothing is inside this element"),
        }
    }

    /// The bytes inside.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Leaf(_, bytes) => bytes,
            Self::Inner(..) | Self::Raw(_) => panic!("this element has elements inside"),
        }
    }
}

fn element(der: &[u8]) -> (Node, &[u8]) {
    let (tag, len, head) = match der {
        [tag, 0x82, high, low, ..] => (*tag, usize::from(*high) << 8 | usize::from(*low), 4),
        [tag, 0x81, len, ..] => (*tag, usize::from(*len), 3),
        [tag, len @ 0..=0x7f, ..] => (*tag, usize::from(*len), 2),
        _ => panic!("this is not DER that we wrote"),
    };
    let (content, rest) = der[head..].split_at(len);
    let node = if CONSTRUCTED.contains(&tag) {
        Node::Inner(tag, elements(content))
    } else {
        Node::Leaf(tag, content.to_vec())
    };
    (node, rest)
}

fn elements(mut content: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    while !content.is_empty() {
        let (node, rest) = element(content);
        nodes.push(node);
        content = rest;
    }
    nodes
}

/// Tag, length in its shortest form, content.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = match content.len() {
        len @ 0..=0x7f => vec![len as u8],
        len @ 0x80..=0xff => vec![0x81, len as u8],
        len => vec![0x82, (len >> 8) as u8, len as u8],
    };
    [&[tag], len.as_slice(), content].concat()
}

/// An extension (RFC 5280, section 4.1).
pub(super) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Node {
    let mut parts = vec![Node::Leaf(0x06, oid.to_vec())];
    if critical {
        parts.push(Node::Leaf(0x01, vec![0xff]));
    }
    parts.push(Node::Leaf(0x04, value.to_vec()));
    Node::Inner(0x30, parts)
}

/// The extensions of a TBSCertificate.
pub(super) fn extensions(tbs: &mut Node) -> &mut Vec<Node> {
    tbs.inner()[EXTENSIONS].inner()[0].inner()
}

/// Puts another in the place of the extension with this OID, or takes it out.
pub(super) fn replace_extension(tbs: &mut Node, oid: &[u8], by: Option<Node>) {
    let all = extensions(tbs);
    let is =
        |node: &Node| matches!(node, Node::Inner(_, parts) if parts[0] == Node::Leaf(0x06, oid.to_vec()));
    let at = all.iter().position(is).expect("the extension is there");
    all.splice(at..=at, by);
}

/// A P-384 key that signs certificates with whichever digest.
pub(crate) fn sign(key: &SigningKey, message: &[u8], sha256: bool) -> Vec<u8> {
    let hash = digest(if sha256 { &SHA256 } else { &SHA384 }, message);
    let signature: Signature = key.sign_prehash(hash.as_ref()).expect("the digest is long enough");
    let der: DerSignature = signature.to_der();
    der.as_bytes().to_vec()
}

/// The certificate with `edit` done to its TBSCertificate, signed again by its issuer.
pub(super) fn reissue(der: &[u8], issuer: &SeededKey, edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let mut certificate = Node::parse(der);
    edit(&mut certificate.inner()[0]);
    let tbs = certificate.inner()[0].encode();
    let sha256 = tbs.windows(ECDSA_SHA256.len()).any(|window| window == ECDSA_SHA256);
    let algorithm = if sha256 { ECDSA_SHA256 } else { ECDSA_SHA384 };
    certificate.inner()[1] = Node::Raw(algorithm.to_vec());
    certificate.inner()[2] =
        Node::Leaf(0x03, [&[0], sign(issuer.signing_key(), &tbs, sha256).as_slice()].concat());
    certificate.encode()
}
