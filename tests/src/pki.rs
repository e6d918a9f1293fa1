//! Issues certificates shaped like those of the Nitro PKI: root, region, zone, instance and leaf.
//!
//! # Promises
//! - The same seed and the same times give the same bytes: keys come from the seed, signatures are those of RFC 6979.
//! - Names, validities, path lengths, key usages and their criticality are those of real documents of 2026.
//!
//! # Does not
//! - Keep keys safe: a seed that is known is a key that is known. Give a random one where it matters.
//!
//! # Trusts
//! - Whoever chooses the seed.

use std::fmt;

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use p384::elliptic_curve::sec1::ToEncodedPoint as _;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SerialNumber,
};
use ring::digest::{SHA384, digest};
use time::OffsetDateTime;

/// Validities in seconds, as real certificates have them: 481 hours, 5 days and 15 hours, a day, three hours.
const REGION_SECS: i64 = 481 * 3600;
const ZONE_SECS: i64 = (5 * 24 + 15) * 3600;
const INSTANCE_SECS: i64 = 24 * 3600;
/// How long a leaf lives.
pub const LEAF_SECS: i64 = 3 * 3600;

/// The AWS root's own dates, 2019-10-28T13:28:05Z to 2049-10-28T14:28:05Z.
const ROOT_FROM: i64 = 1_572_269_285;
const ROOT_TO: i64 = 2_519_044_085;

/// keyUsage of a leaf: digitalSignature and nonRepudiation, and *not* critical.
const LEAF_KEY_USAGE: [u8; 4] = [0x03, 0x02, 0x06, 0xc0];

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// No key came out of the seed.
    #[error("no key could be made from the seed; take another seed")]
    Key,
    /// The time is beyond what a certificate can say.
    #[error("the clock says a time that no certificate can carry; set it right")]
    Time,
    /// rcgen refused.
    #[error("a certificate could not be written: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// A certificate's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `aws.nitro-enclaves`, pinned by the verifier.
    Root,
    /// One AWS region, path length 2.
    Region,
    /// One zone, path length 1.
    Zone,
    /// One parent instance, path length 0.
    Instance,
    /// One enclave.
    Leaf,
}

/// A P-384 key made from a seed.
#[derive(Clone)]
pub struct SeededKey {
    key: SigningKey,
    point: Vec<u8>,
}

impl fmt::Debug for SeededKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededKey(..)")
    }
}

impl SeededKey {
    /// The key for a label and a number under a seed.
    pub fn new(seed: &[u8; 32], label: &str, number: u64) -> Result<Self, PkiError> {
        // A digest that is no scalar (about one in 2^190) is hashed once more.
        let mut candidate = derive(seed, label, number);
        for _ in 0..4 {
            if let Ok(key) = SigningKey::from_slice(&candidate) {
                let point = key.verifying_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
                return Ok(Self { key, point });
            }
            candidate = digest(&SHA384, &candidate).as_ref().to_vec();
        }
        Err(PkiError::Key)
    }

    /// The key itself, for certificates that this file does not write.
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The public key, an uncompressed point.
    pub(crate) fn point(&self) -> &[u8] {
        &self.point
    }

    /// The private key as PEM, for a program that takes no other: RFC 5915, `ECPrivateKey`, curve secp384r1.
    pub fn pem(&self) -> String {
        const HEAD: [u8; 8] = [0x30, 0x81, 0xa4, 0x02, 0x01, 0x01, 0x04, 0x30];
        const CURVE: [u8; 9] = [0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
        const POINT: [u8; 5] = [0xa1, 0x64, 0x03, 0x62, 0x00];
        pem("EC PRIVATE KEY", &[&HEAD, &self.key.to_bytes()[..], &CURVE, &POINT, &self.point].concat())
    }

    /// r || s over SHA-384 of the message, 96 bytes.
    pub fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.to_bytes().to_vec()
    }
}

impl rcgen::PublicKeyData for SeededKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for SeededKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.key.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_bytes().to_vec())
    }
}

/// RFC 7468.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Bytes that depend on the seed, a label and a number.
pub(crate) fn derive(seed: &[u8; 32], label: &str, number: u64) -> Vec<u8> {
    let input = [b"adyton/mock/v1".as_slice(), seed, label.as_bytes(), &number.to_be_bytes()].concat();
    digest(&SHA384, &input).as_ref().to_vec()
}

/// A leaf and the certificates above it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Root, region, zone and instance, in the order of `cabundle`.
    pub cabundle: Vec<Vec<u8>>,
    /// The leaf.
    pub certificate: Vec<u8>,
    /// The leaf's key.
    pub key: SeededKey,
    /// First second of the leaf's validity.
    pub not_before: i64,
    /// Last second of the leaf's validity.
    pub not_after: i64,
}

/// A root, and the chains that it issues.
#[derive(Debug)]
pub struct Pki {
    seed: [u8; 32],
    issued: u64,
}

impl Pki {
    /// The PKI of a seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, issued: 0 }
    }

    /// A fresh chain for the second `at` since the epoch.
    pub fn issue(&mut self, at: i64) -> Result<Chain, PkiError> {
        self.issue_with(at, &|_, _| {})
    }

    /// A fresh chain whose certificates `tweak` may spoil before they are signed, for tests of what must be refused.
    pub fn issue_with(
        &mut self,
        at: i64,
        tweak: &dyn Fn(Place, &mut CertificateParams),
    ) -> Result<Chain, PkiError> {
        self.issued = self.issued.saturating_add(1);
        let (root_params, root_key) = self.certificate(Place::Root, at, tweak)?;
        let mut cabundle = vec![root_params.self_signed(&root_key)?.der().to_vec()];
        let mut issuer = Issuer::new(root_params, root_key);
        for place in [Place::Region, Place::Zone, Place::Instance] {
            let (params, key) = self.certificate(place, at, tweak)?;
            cabundle.push(params.signed_by(&key, &issuer)?.der().to_vec());
            issuer = Issuer::new(params, key);
        }
        let (params, key) = self.certificate(Place::Leaf, at, tweak)?;
        let certificate = params.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Chain { cabundle, certificate, key, not_before: at, not_after: at.saturating_add(LEAF_SECS) })
    }

    /// The root certificate, DER.
    pub fn root_der(&self) -> Result<Vec<u8>, PkiError> {
        let (params, key) = self.certificate(Place::Root, 0, &|_, _| {})?;
        Ok(params.self_signed(&key)?.der().to_vec())
    }

    /// Twelve hexadecimal digits and more that name the mock's instance and enclave.
    pub(crate) fn module_id(&self) -> String {
        let id = derive(&self.seed, "module", 0);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (instance, enclave) = id.split_at(id.len() / 2);
        format!("i-0{:.16}-enc0{:.15}", hex(instance), hex(enclave))
    }

    fn certificate(
        &self,
        place: Place,
        at: i64,
        tweak: &dyn Fn(Place, &mut CertificateParams),
    ) -> Result<(CertificateParams, SeededKey), PkiError> {
        let label = format!("{place:?}");
        // The root stays; everything below it is new with each chain.
        let number = if place == Place::Root { 0 } else { self.issued };
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = validity(place, at)?;
        params.serial_number = Some(serial(&self.seed, &label, number));
        params.distinguished_name = name(place, &self.module_id(), number);
        params.use_authority_key_identifier_extension = !matches!(place, Place::Root | Place::Leaf);
        usage(place, &mut params);
        tweak(place, &mut params);
        Ok((params, SeededKey::new(&self.seed, &label, number)?))
    }
}

fn validity(place: Place, at: i64) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    // How far into its life each certificate is, as in a document of May 2026: a leaf is not backdated.
    let (from, length) = match place {
        Place::Root => (ROOT_FROM, ROOT_TO.saturating_sub(ROOT_FROM)),
        Place::Region => (at.saturating_sub(36 * 3600), REGION_SECS),
        Place::Zone => (at.saturating_sub(6 * 3600), ZONE_SECS),
        Place::Instance => (at.saturating_sub(4 * 3600), INSTANCE_SECS),
        Place::Leaf => (at, LEAF_SECS),
    };
    let time = |secs| OffsetDateTime::from_unix_timestamp(secs).map_err(|_| PkiError::Time);
    Ok((time(from)?, time(from.saturating_add(length))?))
}

fn serial(seed: &[u8; 32], label: &str, number: u64) -> SerialNumber {
    let bytes: Vec<u8> = derive(seed, label, number).into_iter().skip(8).take(16).collect();
    // A leading byte below 0x80 and above zero keeps the number positive and at 16 octets.
    SerialNumber::from(std::iter::once(0x01).chain(bytes.into_iter().skip(1)).collect::<Vec<u8>>())
}

/// The names of real certificates, with the mock's own numbers in them.
fn name(place: Place, module_id: &str, number: u64) -> DistinguishedName {
    let instance = module_id.split("-enc").next().unwrap_or(module_id);
    let common = match place {
        Place::Root => "aws.nitro-enclaves".to_owned(),
        Place::Region => format!("{number:016x}.us-east-1.aws.nitro-enclaves"),
        Place::Zone => format!("{number:015x}.zonal.us-east-1.aws.nitro-enclaves"),
        Place::Instance => format!("{instance}.us-east-1.aws.nitro-enclaves"),
        Place::Leaf => format!("{module_id}.us-east-1.aws"),
    };
    let mut name = DistinguishedName::new();
    if let Ok(country) = rcgen::string::PrintableString::try_from("US") {
        name.push(DnType::CountryName, DnValue::PrintableString(country));
    }
    if !matches!(place, Place::Root | Place::Region) {
        name.push(DnType::StateOrProvinceName, "Washington");
        name.push(DnType::LocalityName, "Seattle");
    }
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::OrganizationalUnitName, "AWS");
    name.push(DnType::CommonName, common);
    name
}

fn usage(place: Place, params: &mut CertificateParams) {
    let path_len = match place {
        Place::Root => BasicConstraints::Unconstrained,
        Place::Region => BasicConstraints::Constrained(2),
        Place::Zone => BasicConstraints::Constrained(1),
        Place::Instance => BasicConstraints::Constrained(0),
        Place::Leaf => {
            params.is_ca = IsCa::ExplicitNoCa;
            // 2.5.29.15; rcgen's own would be critical.
            let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], LEAF_KEY_USAGE.to_vec());
            params.custom_extensions = vec![usage];
            return;
        }
    };
    params.is_ca = IsCa::Ca(path_len);
    params.key_usages = match place {
        Place::Instance => vec![KeyUsagePurpose::KeyCertSign],
        _ => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
    };
}
