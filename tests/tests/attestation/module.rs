//! The mock behaves like a module.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use adyton_attestation::evidence::Evidence;
use adyton_attestation::measurement::{MEASUREMENT_LEN, PcrIndex, ZERO, extend};
use adyton_attestation::nsm::{self, Nsm, NsmCode, NsmError};
use adyton_tests::mock_nsm::{MockConfig, MockNsm};
use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};

use crate::{START, World, pcrs};

fn module() -> MockNsm {
    MockNsm::new(MockConfig { seed: [7; 32], clock: Arc::new(|| START), pcrs: pcrs() }).unwrap()
}

fn index(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}

#[test]
fn it_describes_itself() {
    let mut module = module();
    let description = nsm::describe(&mut module).unwrap();
    assert_eq!(description.max_pcrs, 32);
    assert_eq!(description.locked_pcrs, (0..16).collect());
    assert_eq!(description.module_id.len(), "i-0427ddbab759e293d-enc019e4a6ea7444bda".len());
    assert_eq!(nsm::read(&mut module, index(0)).unwrap(), (pcrs().pcr0, true));
    assert_eq!(nsm::read(&mut module, index(16)).unwrap(), (ZERO, false));
}

#[test]
fn registers_extend_until_they_are_locked() {
    let mut module = module();
    let refused = |code| Err(NsmError::Refused(code));
    let once = nsm::extend(&mut module, index(16), b"one").unwrap();
    assert_eq!(once, extend(&ZERO, b"one"));
    assert_eq!(nsm::extend(&mut module, index(16), b"two").unwrap(), extend(&once, b"two"));
    nsm::lock(&mut module, index(16)).unwrap();
    assert_eq!(nsm::extend(&mut module, index(16), b"x"), refused(NsmCode::ReadOnlyIndex));
    assert_eq!(nsm::lock(&mut module, index(16)), Err(NsmError::Refused(NsmCode::ReadOnlyIndex)));
    assert_eq!(nsm::extend(&mut module, index(0), b"x"), refused(NsmCode::ReadOnlyIndex));
    nsm::lock_range(&mut module, 20).unwrap();
    assert_eq!(nsm::extend(&mut module, index(19), b"x"), refused(NsmCode::ReadOnlyIndex));
    assert!(nsm::extend(&mut module, index(20), b"x").is_ok());
    assert_eq!(nsm::lock_range(&mut module, 33), Err(NsmError::Refused(NsmCode::InvalidIndex)));
    for request in [
        Request::DescribePCR { index: 32 },
        Request::ExtendPCR { index: 32, data: vec![] },
        Request::LockPCR { index: u16::MAX },
    ] {
        assert!(matches!(module.process(request), Response::Error(ErrorCode::InvalidIndex)));
    }
    let document = nsm::attest(&mut module, None, None, None).unwrap();
    assert_eq!(Evidence::parse(&document).unwrap().pcrs().count(), 20, "locked registers and no others");
}

#[test]
fn requests_have_limits() {
    let mut module = module();
    let largest = [0u8; 1024];
    let full = nsm::attest(&mut module, Some(&largest), Some(&largest), Some(&largest)).unwrap();
    assert_eq!(Evidence::parse(&full).unwrap().nonce(), Some(largest.as_slice()));
    let too_large = Err(NsmError::Refused(NsmCode::InputTooLarge));
    assert_eq!(nsm::attest(&mut module, Some(&[0; 1025]), None, None), too_large);
    assert!(nsm::extend(&mut module, index(16), &[0; 4000]).is_ok());
    assert_eq!(
        nsm::extend(&mut module, index(16), &[0; 4096]),
        Err(NsmError::Refused(NsmCode::InputTooLarge))
    );
}

#[test]
fn randomness_does_not_repeat() {
    let mut module = module();
    let one = nsm::random(&mut module, 300).unwrap();
    assert_eq!(one.len(), 300);
    assert_ne!(one[..256], nsm::random(&mut module, 256).unwrap()[..]);
    assert_eq!(nsm::random(&mut module, 4097), Err(NsmError::NoRandomness));
    let mut other = MockNsm::new(MockConfig::fresh(Arc::new(|| START), pcrs()).unwrap()).unwrap();
    assert_ne!(one, nsm::random(&mut other, 300).unwrap());
}

#[test]
fn a_seed_gives_the_same_bytes_and_a_fresh_one_another_root() {
    let ask = |module: &mut MockNsm| nsm::attest(module, Some(b"u"), Some(b"n"), None).unwrap();
    assert_eq!(ask(&mut module()), ask(&mut module()));
    let fresh = || MockNsm::new(MockConfig::fresh(Arc::new(|| START), pcrs()).unwrap()).unwrap();
    assert_ne!(fresh().root_der(), fresh().root_der());
}

#[test]
fn documents_have_the_shape_of_real_ones() {
    let mut module = module();
    let document = nsm::attest(&mut module, None, None, None).unwrap();
    assert_eq!(document[..8], [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59]);
    assert_eq!(document[10], 0xbf);
    let end = document.len() - 98;
    assert_eq!(document[end - 1..end + 2], [0xff, 0x58, 0x60]);
    // A real one of May 2026, with a nonce of 64 bytes, has 4524.
    assert!((4200..4800).contains(&document.len()), "{} bytes", document.len());
    assert_eq!(MEASUREMENT_LEN, 48);
}

#[test]
fn the_leaf_is_reused_for_three_hours_and_renewed() {
    let mut world = World::good();
    let leaf = |world: &mut World| world.nsm.chain().unwrap().certificate.clone();
    let first = leaf(&mut world);
    world.clock.store(START + 3 * 3600 * 1000 - 1000, Ordering::Relaxed);
    assert_eq!(leaf(&mut world), first);
    for later in [START + 3 * 3600 * 1000, START + 400 * 24 * 3600 * 1000, START - 1000] {
        world.clock.store(later, Ordering::Relaxed);
        let document = world.document();
        world.now = later;
        assert!(world.appraise(&document).1.is_ok());
        assert_ne!(leaf(&mut world), first);
    }
    world.clock.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(nsm::attest(&mut world.nsm, None, None, None), Err(NsmError::Refused(NsmCode::InternalError)));
}

#[test]
fn rustls_webpki_accepts_the_chain() {
    use rustls_pki_types::{CertificateDer, UnixTime};
    let mut module = module();
    let chain = module.chain().unwrap();
    let bundle: Vec<CertificateDer<'_>> =
        chain.cabundle.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors = [webpki::anchor_from_trusted_cert(&bundle[0]).unwrap()];
    let leaf = CertificateDer::from(chain.certificate.as_slice());
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_millis(START));
    let usage = webpki::KeyUsage::client_auth();
    leaf.verify_for_usage(&[webpki::ring::ECDSA_P384_SHA384], &anchors, &bundle[1..], at, usage, None, None)
        .unwrap();
}
