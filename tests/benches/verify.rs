//! `make bench`: how far verification is from the signature checks that it cannot do without.
//!
//! Ring's ECDSA on P-384 is nearly all of the cost, so each time is given as a ratio to the same checks done bare, in
//! the same run, pair by pair. The documents are the mock's, which have the shape and the sizes of real ones.
//!
//! # Promises
//! - Each pair is measured one after the other, in turns; the ratio printed is the median over pairs.
//!
//! # Does not
//! - Fail on a slow machine.
//!
//! # Trusts
//! - The clock of this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)] // a bench that cannot go on ends

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adyton_attestation::appraisal::{Expectation, Refusal, appraise, appraise_cached};
use adyton_attestation::binding::{Role, SessionBinding, manifest_pcr16, manifest_sha384};
use adyton_attestation::cbor::Writer;
use adyton_attestation::measurement::MANIFEST_PCR;
use adyton_attestation::receipt::ReceiptSigner;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use adyton_attestation::{ChainCache, Timestamp, nsm};
use adyton_tests::mock_nsm::document::{PROTECTED, Payload, seal};
use adyton_tests::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use adyton_tests::pki::{Chain, SeededKey};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose};
use ring::signature::{ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, UnixTime};

const NOW: u64 = 1_793_701_230_000;
const NONCE: [u8; 32] = [0x5a; 32];
const MANIFEST: &[u8] = b"{\"release\":1}";
const PAIRS: usize = 200;
/// What AWS's text would let into a bundle of 16 KiB.
const FORGED: usize = 22;

/// One signature check, bare.
struct Check {
    point: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    fixed: bool,
}

impl Check {
    fn run(&self) -> bool {
        let algorithm = if self.fixed { &ECDSA_P384_SHA384_FIXED } else { &ECDSA_P384_SHA384_ASN1 };
        UnparsedPublicKey::new(algorithm, &self.point).verify(&self.message, &self.signature).is_ok()
    }
}

/// An element's whole and its content, and what follows; lengths of two bytes, as in every certificate here.
fn element(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (head, len) = match der[1] {
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        0x81 => (3, usize::from(der[2])),
        len => (2, usize::from(len)),
    };
    (&der[..head + len], &der[head..head + len], &der[head + len..])
}

/// The uncompressed point after the head of a P-384 key's BIT STRING.
fn point(der: &[u8]) -> Vec<u8> {
    let at = der.windows(4).position(|window| window == [0x03, 0x62, 0x00, 0x04]).unwrap() + 3;
    der[at..at + 97].to_vec()
}

/// The five checks of a document, from the region's certificate to the document itself.
fn checks(payload: &Payload, document: &[u8]) -> Vec<Check> {
    let chain: Vec<&Vec<u8>> = payload.cabundle.iter().chain([&payload.certificate]).collect();
    let mut all: Vec<Check> = chain
        .windows(2)
        .map(|pair| {
            let (_, certificate, _) = element(pair[1]);
            let (tbs, _, rest) = element(certificate);
            let (_, _, rest) = element(rest);
            let (_, signature, _) = element(rest);
            Check {
                point: point(pair[0]),
                message: tbs.to_vec(),
                signature: signature[1..].to_vec(),
                fixed: false,
            }
        })
        .collect();
    let mut message = Writer::new();
    message.array(4).text("Signature1").bytes(&PROTECTED).bytes(&[]).bytes(&payload.encode());
    all.push(Check {
        point: point(&payload.certificate),
        message: message.into_bytes(),
        signature: document[document.len() - 96..].to_vec(),
        fixed: true,
    });
    all
}

struct World {
    nsm: MockNsm,
    reference: ReferenceValues,
    binding: SessionBinding,
    key: [u8; 44],
}

impl World {
    fn new() -> Self {
        let pcrs = InitialPcrs::named("bench");
        let mut nsm = MockNsm::new(MockConfig { seed: [7; 32], clock: Arc::new(|| NOW), pcrs }).unwrap();
        nsm::extend(&mut nsm, MANIFEST_PCR, &manifest_sha384(MANIFEST)).unwrap();
        nsm::lock(&mut nsm, MANIFEST_PCR).unwrap();
        let image = Image { pcr0: pcrs.pcr0, pcr1: pcrs.pcr1, pcr2: pcrs.pcr2 };
        let owner = Owner::Signer { pcr8: pcrs.pcr8 };
        let reference = ReferenceValues::new(vec![image], vec![manifest_pcr16(MANIFEST)], owner).unwrap();
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: [1; 48],
            spki_sha384: [2; 48],
            manifest_sha384: manifest_sha384(MANIFEST),
        };
        let key = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap().public_key_spki();
        Self { nsm, reference, binding, key }
    }

    fn payload(&mut self) -> Payload {
        let user_data = self.binding.user_data().to_vec();
        self.nsm.payload(Some(user_data), Some(NONCE.to_vec()), Some(self.key.to_vec())).unwrap()
    }

    fn appraise(&self, document: &[u8], known: Option<&mut ChainCache>) -> Result<(), Refusal> {
        let anchor = self.nsm.trust_anchor();
        let expect = Expectation {
            anchor: &anchor,
            reference: &self.reference,
            now: Timestamp::from_millis(NOW),
            nonce: NONCE,
            max_age: Duration::from_secs(300),
            binding: self.binding,
            endorsement: None,
        };
        match known {
            Some(known) => appraise_cached(document, &expect, known).1.map(drop),
            None => appraise(document, &expect).1.map(drop),
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints the median times of two works and the median of their ratio, in turns.
fn compare(name: &str, mark: Option<f64>, mut ours: impl FnMut(), mut floor: impl FnMut()) {
    let (mut times, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let (time, bare) = if pair % 2 == 0 {
            let time = timed(&mut ours);
            (time, timed(&mut floor))
        } else {
            let bare = timed(&mut floor);
            (timed(&mut ours), bare)
        };
        times.push(time.as_secs_f64() * 1e3);
        floors.push(bare.as_secs_f64() * 1e3);
        ratios.push(time.as_secs_f64() / bare.as_secs_f64());
    }
    let mark = mark.map_or(String::new(), |mark| format!("   (mark {mark})"));
    println!(
        "{name:<58} {:>7.3} ms  floor {:>7.3} ms  ratio {:>7.4}{mark}",
        median(times),
        median(floors),
        median(ratios)
    );
}

/// Authorities that nobody has issued: names fit, signatures do not.
fn forged(world: &mut World, count: usize, names: impl Fn(usize) -> String) -> Vec<u8> {
    let key = SeededKey::new(&[3; 32], "forger", 0).unwrap();
    let root = world.nsm.root_der().to_vec();
    let root_name = subject(&root);
    let mut cabundle = vec![root];
    for number in 0..=count {
        let leaf = number == count;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&names(number));
        params.is_ca = if leaf { IsCa::ExplicitNoCa } else { IsCa::Ca(BasicConstraints::Unconstrained) };
        let usage = if leaf { KeyUsagePurpose::DigitalSignature } else { KeyUsagePurpose::KeyCertSign };
        params.key_usages = vec![usage];
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = name(&if number == 0 { "root".to_owned() } else { names(number - 1) });
        let der = params.signed_by(&key, &Issuer::new(issuer, key.clone())).unwrap().der().to_vec();
        cabundle.push(if number == 0 { renamed(&der, &root_name) } else { der });
    }
    let certificate = cabundle.pop().unwrap();
    let mut payload = world.payload();
    (payload.certificate, payload.cabundle) = (certificate.clone(), cabundle.clone());
    seal(&payload.encode(), &Chain { cabundle, certificate, key, not_before: 0, not_after: 0 })
}

/// The name of a certificate, DER: the sixth element of its TBSCertificate.
fn subject(der: &[u8]) -> Vec<u8> {
    let (_, certificate, _) = element(der);
    let (_, tbs, _) = element(certificate);
    let before = (0..5).fold(tbs, |rest, _| element(rest).2);
    element(before).0.to_vec()
}

/// The certificate with the root's name for its issuer. Its signature is wrong anyway.
fn renamed(der: &[u8], name: &[u8]) -> Vec<u8> {
    let (_, certificate, _) = element(der);
    let (_, mut rest, after) = element(certificate);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (whole, _, next) = element(rest);
        parts.push(if parts.len() == 3 { name.to_vec() } else { whole.to_vec() });
        rest = next;
    }
    let sequence =
        |content: &[u8]| [&[0x30, 0x82, (content.len() >> 8) as u8, content.len() as u8], content].concat();
    sequence(&[&sequence(&parts.concat()), after].concat())
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// The same forged bundle, given to a path search.
fn path_search(world: &mut World) -> Duration {
    let key = SeededKey::new(&[3; 32], "forger", 0).unwrap();
    let root_name = subject(world.nsm.root_der());
    let certificate = |number: u8, leaf: bool| {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(if leaf { "leaf" } else { "forged" });
        params.is_ca = if leaf { IsCa::ExplicitNoCa } else { IsCa::Ca(BasicConstraints::Unconstrained) };
        params.serial_number = Some(vec![1, number].into());
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = name("forged");
        let der = params.signed_by(&key, &Issuer::new(issuer, key.clone())).unwrap().der().to_vec();
        // Each forged authority says that the root has issued it, so that each makes a path of its own.
        CertificateDer::from(if leaf { der } else { renamed(&der, &root_name) })
    };
    let bundle: Vec<_> = (0..FORGED as u8).map(|number| certificate(number, false)).collect();
    let leaf = certificate(0, true);
    let root = CertificateDer::from(world.nsm.root_der().to_vec());
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    timed(|| {
        let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
        let verified = leaf.verify_for_usage(
            &[webpki::ring::ECDSA_P384_SHA384],
            &anchors,
            &bundle,
            UnixTime::since_unix_epoch(Duration::from_millis(NOW)),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        assert!(verified.is_err());
    })
}

fn main() {
    let mut world = World::new();
    let payload = world.payload();
    let document = seal(&payload.encode(), world.nsm.chain().unwrap());
    let checks = checks(&payload, &document);
    assert!(checks.iter().all(Check::run), "the floor must verify, too");
    assert_eq!(world.appraise(&document, None), Ok(()));
    println!("medians of {PAIRS} pairs, in turns; the floor is the bare ECDSA P-384 checks with ring");
    let five = || assert!(checks.iter().all(|check| black_box(check.run())));
    let one = || assert!(black_box(checks[4].run()));
    let cold = || assert!(world.appraise(black_box(&document), None).is_ok());
    compare("a document, nothing known (5 checks)", Some(1.15), cold, five);
    let mut known = ChainCache::new();
    assert!(world.appraise(&document, Some(&mut known)).is_ok());
    let warm = || assert!(world.appraise(black_box(&document), Some(&mut known)).is_ok());
    compare("a document, its chain known (1 check)", Some(1.15), warm, one);
    let many = forged(&mut world, 7, |number| format!("forged {number}"));
    let failed = Err("certificate-signature");
    assert_eq!(world.appraise(&many, None).map_err(|refusal| refusal.code()), failed);
    let refused = || assert!(world.appraise(black_box(&many), None).is_err());
    compare("7 forged authorities, the most that fit (1 failed check)", None, refused, one);
    let too_many = forged(&mut world, FORGED, |number| format!("forged {number}"));
    let code = world.appraise(&too_many, None).map_err(|refusal| refusal.code());
    assert!(matches!(code, Err("field-cabundle-count" | "document-too-large")), "{code:?}");
    let refused = || assert!(world.appraise(black_box(&too_many), None).is_err());
    compare("22 forged authorities (refused before any check)", None, refused, one);
    let searched = median((0..15).map(|_| path_search(&mut world).as_secs_f64() * 1e3).collect());
    let bare = median((0..PAIRS).map(|_| timed(one).as_secs_f64() * 1e3).collect());
    println!(
        "the same 22 by a path search (rustls-webpki) {searched:.1} ms, {:.0} checks' worth",
        searched / bare
    );
}
