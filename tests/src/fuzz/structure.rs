//! Documents whose structure is altered, and which are then rightly signed: what is left in the way is the checks.
//!
//! The input is read as a script of edits to the certificates' DER, to the payload's CBOR and to the envelope. An edited
//! certificate is signed again by its issuer and the document by its leaf, but only where a signature is what refused
//! it: most scripts fail before, and cost microseconds.
//!
//! # Promises
//! - A document that is believed says what the verifier expects, whatever was edited.
//! - Report and claims agree, and the class and code of every refusal can be had.
//!
//! # Does not
//! - Alter the verifier's expectations.
//!
//! # Trusts
//! - The mock module.

use std::sync::LazyLock;

use adyton_attestation::appraisal::Refusal;
use adyton_attestation::evidence::Evidence;

use super::evidence::{HOUSE, House};
use crate::corpus::der::{Node, sign};
use crate::corpus::payloads::Raw;
use crate::mock_nsm::document::{Payload, seal};
use crate::pki::{Chain, Place, SeededKey};

/// Most edits of one script.
const MAX_EDITS: u8 = 6;
/// Bytes that mean something somewhere in CBOR or DER.
const TELLING: [u8; 16] =
    [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31, 0x80, 0xa0, 0xa3, 0xbf, 0xc0, 0xf6, 0xff];

/// Where the certificates' keys come from, the root's first.
static KEYS: LazyLock<Vec<SeededKey>> = LazyLock::new(|| {
    let key = |(place, number)| SeededKey::new(&[7; 32], &format!("{place:?}"), number).unwrap();
    [(Place::Root, 0), (Place::Region, 1), (Place::Zone, 1), (Place::Instance, 1), (Place::Leaf, 1)]
        .map(key)
        .into()
});

/// Numbers from the input; zeros once it has ended.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Below `end`, which is above zero.
    fn below(&mut self, end: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide % end.max(1)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(9);
        (0..len).map(|_| self.byte()).collect()
    }

    fn telling(&mut self) -> u8 {
        TELLING[self.below(TELLING.len())]
    }
}

/// A document in its parts, and which of its certificates were edited.
struct Subject {
    certificates: Vec<Node>,
    edited: Vec<bool>,
    /// Edits of the payload and of the envelope, to be done again after each signing.
    late: Vec<u8>,
}

/// A document with its structure altered by a script, and rightly signed.
pub fn attestation_structure(data: &[u8]) {
    let house = &*HOUSE;
    let mut script = Script(data);
    let mut subject = Subject::of(&house.chain);
    for _ in 0..script.byte() % MAX_EDITS {
        let at = script.below(subject.certificates.len());
        subject.edited[at] = true;
        edit(&mut subject.certificates[at], &mut script);
    }
    subject.late = script.0.to_vec();
    let unsigned = subject.document(house, None);
    let refused = house.judge(&unsigned);
    let (Err(Refusal::Signature | Refusal::Certificate { .. }) | Ok(())) = refused else {
        return told(&refused);
    };
    subject.sign();
    let document = subject.document(house, Some(&KEYS[4]));
    match house.judge(&document) {
        Err(refusal) => told(&Err(refusal)),
        Ok(()) => {
            let evidence = Evidence::parse(&document).unwrap();
            let right = Evidence::parse(&house.document).unwrap();
            assert_eq!(evidence.nonce(), right.nonce());
            assert_eq!(evidence.user_data(), right.user_data());
            let registers = |evidence: &Evidence| {
                evidence
                    .pcrs()
                    .filter(|(index, _)| [0, 1, 2, 8, 16].contains(&index.get()))
                    .map(|(_, v)| *v)
                    .collect::<Vec<_>>()
            };
            assert_eq!(registers(&evidence), registers(&right), "other registers are believed");
        }
    }
}

/// Every refusal has a code, a class and two halves.
fn told(refused: &Result<(), Refusal>) {
    if let Err(refusal) = refused {
        assert!(!refusal.code().is_empty() && refusal.to_string().contains([';', ',']), "{refusal}");
        let _ = refusal.class();
    }
}

impl Subject {
    fn of(chain: &Chain) -> Self {
        let certificates: Vec<Node> =
            chain.cabundle.iter().chain([&chain.certificate]).map(|der| Node::parse(der)).collect();
        Self { edited: vec![false; certificates.len()], certificates, late: Vec::new() }
    }

    /// Signs what was edited, each by the issuer that its place has. The root's bytes are pinned, so it stays.
    fn sign(&mut self) {
        for at in 1..self.certificates.len() {
            if !self.edited[at] {
                continue;
            }
            let Node::Inner(_, parts) = &mut self.certificates[at] else { continue };
            let Some(tbs) = parts.first().map(Node::encode) else { continue };
            let signature = sign(KEYS[at - 1].signing_key(), &tbs, false);
            if let Some(last) = parts.get_mut(2) {
                *last = Node::Leaf(0x03, [&[0], signature.as_slice()].concat());
            }
        }
    }

    /// The bytes: with a signature by `key`, or with the good document's signature.
    fn document(&self, house: &House, key: Option<&SeededKey>) -> Vec<u8> {
        let mut ders: Vec<Vec<u8>> = self.certificates.iter().map(Node::encode).collect();
        let certificate = ders.pop().unwrap_or_default();
        let mut script = Script(&self.late);
        let mut raw = Raw::of(&Payload { certificate, cabundle: ders, ..house.good.clone() });
        for _ in 0..script.byte() % MAX_EDITS {
            edit_payload(&mut raw, &mut script);
        }
        let payload = raw.bytes();
        let mut document = match key {
            Some(key) => seal(&payload, &Chain { key: key.clone(), ..house.chain.clone() }),
            None => unsigned(&payload, &house.document),
        };
        // One script in four also touches the envelope, in its first bytes or in its last.
        if script.byte() % 4 == 3 {
            let at = script.below(12);
            let at = if script.byte() % 2 == 0 { at } else { document.len().saturating_sub(at + 1) };
            if let Some(byte) = document.get_mut(at) {
                *byte = script.telling();
            }
        }
        document
    }
}

/// The payload in an envelope with a signature that is not its own.
fn unsigned(payload: &[u8], good: &[u8]) -> Vec<u8> {
    let mut document = good[..7].to_vec();
    let mut writer = adyton_attestation::cbor::Writer::new();
    writer.bytes(payload);
    document.extend(writer.into_bytes());
    document.extend_from_slice(&good[good.len() - 98..]);
    document
}

/// One edit somewhere in a tree.
fn edit(node: &mut Node, script: &mut Script<'_>) {
    // Three times in four a level down, so that all depths are met.
    if let Node::Inner(_, inner) = node
        && !inner.is_empty()
        && script.byte() & 3 != 0
    {
        let at = script.below(inner.len());
        return edit(&mut inner[at], script);
    }
    match node {
        Node::Inner(tag, inner) => edit_inner(tag, inner, script),
        Node::Leaf(tag, bytes) => edit_leaf(tag, bytes, script),
        Node::Raw(bytes) => bytes.push(script.byte()),
    }
}

fn edit_inner(tag: &mut u8, inner: &mut Vec<Node>, script: &mut Script<'_>) {
    let (one, other) = (script.below(inner.len()), script.below(inner.len()));
    match script.byte() % 6 {
        _ if inner.is_empty() => inner.push(Node::Leaf(script.telling(), script.bytes())),
        0 => drop(inner.remove(one)),
        1 => inner.insert(other, inner[one].clone()),
        2 => inner.swap(one, other),
        3 => inner.insert(one, Node::Leaf(script.telling(), script.bytes())),
        4 => *tag = script.telling(),
        _ => inner[one] = Node::Raw(script.bytes()),
    }
}

fn edit_leaf(tag: &mut u8, bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    let at = script.below(bytes.len());
    match script.byte() % 6 {
        0 => *tag = script.telling(),
        1 => bytes.truncate(at),
        2 => *bytes = script.bytes(),
        3 => bytes.insert(at, script.telling()),
        4 => bytes.extend(script.bytes()),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << script.below(8)),
    }
}

/// One edit of the payload's map.
fn edit_payload(raw: &mut Raw, script: &mut Script<'_>) {
    if raw.entries.is_empty() {
        return raw.entries.push((script.bytes(), script.bytes()));
    }
    let (one, other) = (script.below(raw.entries.len()), script.below(raw.entries.len()));
    match script.byte() % 10 {
        0 => drop(raw.entries.remove(one)),
        1 => raw.entries.insert(other, raw.entries[one].clone()),
        2 => raw.entries.swap(one, other),
        3 => raw.entries[one].1 = raw.entries[other].1.clone(),
        4 => raw.entries[one].1.insert(0, script.telling()),
        5 => raw.entries[one].1 = script.bytes(),
        6 => raw.entries.push((script.bytes(), script.bytes())),
        7 => *raw = raw.clone().definite(),
        8 => {
            let value = &mut raw.entries[one].1;
            let at = script.below(value.len());
            value.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << script.below(8));
        }
        _ => raw.tail = script.bytes(),
    }
}

/// Scripts that do nothing, and one for each kind of edit.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0; 4], vec![0; 64], (0..=255).collect(), (0..=255).rev().collect()];
    for kind in 0..24u8 {
        seeds.push((0..48u8).map(|at| at.wrapping_mul(kind | 1).wrapping_add(kind)).collect());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_edits_is_believed() {
        let house = &*HOUSE;
        let mut subject = Subject::of(&house.chain);
        subject.sign();
        assert_eq!(subject.document(house, Some(&KEYS[4])), house.document);
        assert_eq!(house.judge(&subject.document(house, Some(&KEYS[4]))), Ok(()));
    }

    #[test]
    fn edited_certificates_are_signed_again() {
        let house = &*HOUSE;
        let mut subject = Subject::of(&house.chain);
        // The serial number of the zone: nothing that a verifier compares.
        subject.edited[2] = true;
        subject.certificates[2].inner()[0].inner()[1].bytes()[3] ^= 1;
        let unsigned = subject.document(house, Some(&KEYS[4]));
        assert!(matches!(house.judge(&unsigned), Err(Refusal::Certificate { position: 2, .. })));
        subject.sign();
        assert_eq!(house.judge(&subject.document(house, Some(&KEYS[4]))), Ok(()));
    }
}
