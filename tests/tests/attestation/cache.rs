//! The cache of verified links changes how long an appraisal takes, and nothing else.

use adyton_attestation::ChainCache;
use adyton_attestation::appraisal::{CertificateError, Outcome, Refusal};
use adyton_tests::mock_nsm::document::seal;

use crate::{NONCE, START, World};

#[test]
fn a_known_chain_gives_the_same_report() {
    let mut world = World::good();
    let document = world.document();
    let mut known = ChainCache::new();
    let (cold, claims) = world.appraise_cached(&document, &mut known);
    assert!(claims.is_ok());
    assert_eq!(known.len(), 4, "region, zone, instance and leaf");
    let (warm, claims) = world.appraise_cached(&document, &mut known);
    assert!(claims.is_ok());
    assert_eq!(cold, warm);
    assert_eq!(known.len(), 4);
}

#[test]
fn everything_but_the_links_is_checked_again() {
    let mut world = World::good();
    let document = world.document();
    let mut known = ChainCache::new();
    assert!(world.appraise_cached(&document, &mut known).1.is_ok());
    let mut forged = document.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(world.appraise_cached(&forged, &mut known).1.unwrap_err(), Refusal::Signature);
    world.now = START + 4 * 3600 * 1000;
    let refusal = world.appraise_cached(&document, &mut known).1.unwrap_err();
    assert!(matches!(refusal, Refusal::ClockAhead { position: 4, .. }), "{refusal:?}");
    world.now = START;
    world.anchor = adyton_attestation::anchor::TrustAnchor::aws_nitro_g1();
    assert_eq!(world.appraise_cached(&document, &mut known).1.unwrap_err(), Refusal::Root);
}

#[test]
fn a_chain_that_differs_in_one_bit_is_not_known() {
    let mut world = World::good();
    let document = world.document();
    let mut known = ChainCache::new();
    assert!(world.appraise_cached(&document, &mut known).1.is_ok());
    let (user_data, key) = (world.binding.user_data().to_vec(), world.signer.public_key_spki().to_vec());
    for position in 1..=4usize {
        let mut payload =
            world.nsm.payload(Some(user_data.clone()), Some(NONCE.to_vec()), Some(key.clone())).unwrap();
        let der = payload.cabundle.get_mut(position).unwrap_or(&mut payload.certificate);
        *der.last_mut().unwrap() ^= 1;
        let document = seal(&payload.encode(), world.nsm.chain().unwrap());
        let expected = Refusal::Certificate { position, problem: CertificateError::Signature };
        let (report, refusal) = world.appraise_cached(&document, &mut known);
        assert_eq!(refusal.unwrap_err(), expected);
        assert_eq!(report.failed().unwrap().outcome, Outcome::Fail);
        assert_eq!(known.len(), 4, "what does not verify is not entered");
    }
}
