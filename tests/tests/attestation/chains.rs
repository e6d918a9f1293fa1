//! Chains whose signatures are good and whose certificates still must be refused.

use adyton_attestation::appraisal::{CertificateError, Refusal};
use adyton_tests::mock_nsm::document::seal;
use adyton_tests::pki::{Chain, Pki, Place, SeededKey};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};

use crate::{NONCE, START, World};

const AT: i64 = (START / 1000) as i64;

/// The refusal of a document whose chain is this one; the root is that of the world's seed.
fn refused(world: &mut World, chain: &Chain) -> Refusal {
    let (user_data, key) = (world.binding.user_data().to_vec(), world.signer.public_key_spki().to_vec());
    let mut payload = world.nsm.payload(Some(user_data), Some(NONCE.to_vec()), Some(key)).unwrap();
    payload.certificate = chain.certificate.clone();
    payload.cabundle = chain.cabundle.clone();
    world.refusal(&seal(&payload.encode(), chain))
}

fn certificate(position: usize, problem: CertificateError) -> Refusal {
    Refusal::Certificate { position, problem }
}

#[test]
fn profiles_that_are_not_nitros() {
    type Tweak = fn(Place, &mut CertificateParams);
    let table: Vec<(Tweak, Refusal)> = vec![
        // A region that may not sign certificates: rustls-webpki would not notice.
        (
            |place, params| {
                if place == Place::Region {
                    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                }
            },
            certificate(1, CertificateError::KeyUsage),
        ),
        (
            |place, params| {
                if place == Place::Zone {
                    params.key_usages = vec![];
                }
            },
            certificate(2, CertificateError::KeyUsage),
        ),
        // A leaf without digitalSignature.
        (
            |place, params| {
                if place == Place::Leaf {
                    params.custom_extensions = vec![CustomExtension::from_oid_content(
                        &[2, 5, 29, 15],
                        vec![0x03, 0x02, 0x06, 0x40],
                    )];
                }
            },
            certificate(4, CertificateError::KeyUsage),
        ),
        // A leaf that may sign certificates, with and without being a CA.
        (
            |place, params| {
                if place == Place::Leaf {
                    params.custom_extensions = vec![CustomExtension::from_oid_content(
                        &[2, 5, 29, 15],
                        vec![0x03, 0x02, 0x02, 0x84],
                    )];
                }
            },
            certificate(4, CertificateError::KeyUsage),
        ),
        (
            |place, params| {
                if place == Place::Leaf {
                    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                }
            },
            certificate(4, CertificateError::BasicConstraints),
        ),
        // An instance that is no CA, and one that says nothing about it.
        (
            |place, params| {
                if place == Place::Instance {
                    params.is_ca = IsCa::ExplicitNoCa;
                }
            },
            certificate(3, CertificateError::BasicConstraints),
        ),
        (
            |place, params| {
                if place == Place::Instance {
                    params.is_ca = IsCa::NoCa;
                }
            },
            certificate(3, CertificateError::BasicConstraints),
        ),
        // An authority whose basicConstraints are not critical.
        (
            |place, params| {
                if place == Place::Zone {
                    params.is_ca = IsCa::NoCa;
                    let constraints = vec![0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x01];
                    params.custom_extensions =
                        vec![CustomExtension::from_oid_content(&[2, 5, 29, 19], constraints)];
                }
            },
            certificate(2, CertificateError::BasicConstraints),
        ),
        // A zone that may have no CA below it, and a region that may have one.
        (
            |place, params| {
                if place == Place::Zone {
                    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                }
            },
            certificate(2, CertificateError::PathLength),
        ),
        (
            |place, params| {
                if place == Place::Region {
                    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
                }
            },
            certificate(1, CertificateError::PathLength),
        ),
        // A critical extension that nobody knows, and one extension twice.
        (
            |place, params| {
                if place == Place::Leaf {
                    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x05, 0x00]);
                    extension.set_criticality(true);
                    params.custom_extensions.push(extension);
                }
            },
            certificate(4, CertificateError::UnknownCriticalExtension),
        ),
        (
            |place, params| {
                if place == Place::Leaf {
                    let again = params.custom_extensions[0].clone();
                    params.custom_extensions.push(again);
                }
            },
            certificate(4, CertificateError::DuplicateExtension),
        ),
    ];
    for (at, (tweak, expected)) in table.into_iter().enumerate() {
        let mut world = World::good();
        let chain = Pki::new([7; 32]).issue_with(AT, &tweak).unwrap();
        assert_eq!(refused(&mut world, &chain), expected, "row {at}");
    }
}

#[test]
fn an_unknown_extension_that_is_not_critical_is_ignored() {
    let mut world = World::good();
    let chain = Pki::new([7; 32])
        .issue_with(AT, &|_, params| {
            params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x05, 0x00]));
        })
        .unwrap();
    // The root is altered too, so the anchor has to be that one.
    world.anchor = adyton_attestation::anchor::dangerous::development_anchor(chain.cabundle[0].clone());
    let (user_data, key) = (world.binding.user_data().to_vec(), world.signer.public_key_spki().to_vec());
    let mut payload = world.nsm.payload(Some(user_data), Some(NONCE.to_vec()), Some(key)).unwrap();
    payload.certificate = chain.certificate.clone();
    payload.cabundle = chain.cabundle.clone();
    assert!(world.appraise(&seal(&payload.encode(), &chain)).1.is_ok());
}

#[test]
fn validity_of_every_certificate_counts() {
    for (place, position) in [(Place::Region, 1), (Place::Zone, 2), (Place::Instance, 3)] {
        let mut world = World::good();
        let ended = |which: Place, params: &mut CertificateParams| {
            if which == place {
                params.not_after = params.not_before;
            }
        };
        let chain = Pki::new([7; 32]).issue_with(AT, &ended).unwrap();
        let refusal = refused(&mut world, &chain);
        assert!(matches!(refusal, Refusal::ClockAhead { position: at, .. } if at == position), "{refusal:?}");
    }
}

#[test]
fn a_document_outside_its_leafs_validity_is_refused() {
    let mut world = World::good();
    world.max_age = std::time::Duration::from_secs(86_400);
    // The leaf begins 30 s after the document: within a verifier's leeway, but one clock wrote both.
    let early = Pki::new([7; 32]).issue(AT + 30).unwrap();
    assert!(matches!(refused(&mut world, &early), Refusal::TimestampOutsideLeaf { .. }));
    let late = Pki::new([7; 32]).issue(AT - 3 * 3600 - 1).unwrap();
    assert!(matches!(refused(&mut world, &late), Refusal::TimestampOutsideLeaf { .. }));
}

#[test]
fn orders_and_lengths() {
    let mut world = World::good();
    let chain = Pki::new([7; 32]).issue(AT).unwrap();
    let spoilt = |spoil: &dyn Fn(&mut Chain)| {
        let mut chain = chain.clone();
        spoil(&mut chain);
        chain
    };
    let mut check = |chain: Chain, expected| assert_eq!(refused(&mut world, &chain), expected);
    check(spoilt(&|chain| chain.cabundle.reverse()), Refusal::Root);
    check(spoilt(&|chain| drop(chain.cabundle.remove(0))), Refusal::Root);
    check(spoilt(&|chain| chain.cabundle.swap(1, 2)), certificate(1, CertificateError::PathLength));
    check(spoilt(&|chain| drop(chain.cabundle.remove(2))), certificate(2, CertificateError::IssuerMismatch));
    check(spoilt(&|chain| chain.certificate.push(0)), certificate(4, CertificateError::Malformed));
    check(
        spoilt(&|chain| chain.cabundle.push(chain.cabundle[3].clone())),
        certificate(1, CertificateError::PathLength),
    );
    // Another seed's certificates under this root: names fit, the first signature does not.
    let foreign = Pki::new([8; 32]).issue(AT).unwrap();
    check(
        spoilt(&|chain| {
            let root = chain.cabundle[0].clone();
            *chain = foreign.clone();
            chain.cabundle[0] = root;
        }),
        certificate(1, CertificateError::Signature),
    );
}

#[test]
fn a_leaf_cannot_issue_a_leaf() {
    let mut world = World::good();
    let mut chain = Pki::new([7; 32]).issue(AT).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("forged");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = SeededKey::new(&[9; 32], "forger", 0).unwrap();
    let mut leaf_params = CertificateParams::default();
    leaf_params.distinguished_name = name("leaf");
    let issuer = Issuer::new(leaf_params, chain.key.clone());
    let forged = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    chain.cabundle.push(std::mem::replace(&mut chain.certificate, forged));
    chain.key = key;
    // The region's path length already forbids a fourth authority.
    assert_eq!(refused(&mut world, &chain), certificate(1, CertificateError::PathLength));
}

#[test]
fn other_algorithms_are_refused() {
    let mut world = World::good();
    let mut chain = Pki::new([7; 32]).issue(AT).unwrap();
    // The instance of this seed signs a P-256 leaf; then a P-256 key signs a leaf.
    let instance = SeededKey::new(&[7; 32], "Instance", 1).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("leaf");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut issuer_params = CertificateParams::default();
    issuer_params.distinguished_name = name("instance");
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let issuer = Issuer::from_params(&issuer_params, &instance);
    chain.certificate = params.signed_by(&p256, &issuer).unwrap().der().to_vec();
    assert_eq!(refused(&mut world, &chain), certificate(4, CertificateError::KeyAlgorithm));
    let issuer = Issuer::from_params(&issuer_params, &p256);
    chain.certificate = params.signed_by(&p384, &issuer).unwrap().der().to_vec();
    assert_eq!(refused(&mut world, &chain), certificate(4, CertificateError::SignatureAlgorithm));
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
