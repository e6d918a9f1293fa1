//! Parses one certificate of the Nitro PKI, and nothing more general.
//!
//! Nitro certificates are all of one kind: X.509 v3, P-384, ECDSA with SHA-384. A reader of that one kind is smaller
//! than a general one, and it sees what rustls-webpki does not look at, as keyUsage.
//!
//! # Promises
//! - Every other algorithm, curve, version and unknown critical extension is refused by name.
//! - An extension that occurs twice is refused.
//!
//! # Does not
//! - Check signatures or the order of a chain; that is [`crate::chain`].
//!
//! # Trusts
//! - Nobody: a certificate parsed is still an allegation.
//!
//! Source: RFC 5280, section 4; RFC 5758, section 3.2 (ecdsa-with-SHA384); RFC 5480, section 2.1.1 (secp384r1).

use ring::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

use crate::der::{self, Element, NotDer, Reader};
use crate::time::{Timestamp, days_from_civil};

/// AlgorithmIdentifier of ecdsa-with-SHA384, 1.2.840.10045.4.3.3, without parameters (RFC 5758, section 3.2).
const ECDSA_WITH_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

/// The 23 bytes before the point in the SubjectPublicKeyInfo of a P-384 key: SEQUENCE, AlgorithmIdentifier
/// (id-ecPublicKey, secp384r1), BIT STRING of 97 bytes and no unused bits (RFC 5480, section 2).
const P384_SPKI_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// An uncompressed point on P-384: `04`, x, y (SEC 1, section 2.3.3).
const P384_POINT_LEN: usize = 97;

/// Content bytes of the OIDs that we know (RFC 5280, section 4.2.1): 2.5.29.19, .15, .14, .35 and .31.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

/// RFC 5280, section 4.1.2.2, says at most 20 octets; real Nitro leaves have serials of up to 21.
const MAX_SERIAL: usize = 21;

/// Most extensions of one certificate. Real ones have at most six.
const MAX_EXTENSIONS: usize = 16;

/// Why a certificate is not one of the Nitro PKI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not DER, or not the structure of a certificate.
    #[error("it is not the DER of an X.509 certificate")]
    Malformed,
    /// Not version 3.
    #[error("it is not an X.509 version 3 certificate")]
    Version,
    /// The signature algorithm is not ECDSA with SHA-384, inside or outside.
    #[error("it is not signed with ECDSA and SHA-384")]
    SignatureAlgorithm,
    /// The key is not an uncompressed point on P-384.
    #[error("its key is not a P-384 key")]
    KeyAlgorithm,
    /// A validity time is not in the form that RFC 5280 requires.
    #[error("its validity is not written as RFC 5280 requires")]
    Validity,
    /// An extension occurs twice.
    #[error("it has the same extension twice")]
    DuplicateExtension,
    /// A critical extension that we do not know.
    #[error("it has a critical extension that this program does not know")]
    UnknownCriticalExtension,
    /// basicConstraints is missing or does not say CA where a CA belongs, or says CA on the leaf.
    #[error("its basicConstraints do not fit its place in the chain")]
    BasicConstraints,
    /// Below it are more CAs than its pathLenConstraint allows.
    #[error("its pathLenConstraint allows fewer certificates below it")]
    PathLength,
    /// keyCertSign is missing on a CA, or digitalSignature on the leaf.
    #[error("its keyUsage does not allow what it was used for")]
    KeyUsage,
    /// Its issuer is not the subject of the certificate above it.
    #[error("its issuer is not the subject of the certificate before it")]
    IssuerMismatch,
    /// It names itself as its issuer, and is not the root.
    #[error("it names itself as its issuer, which only the root may")]
    SelfIssued,
    /// The signature of the certificate above it does not verify.
    #[error("its signature does not verify under the certificate before it")]
    Signature,
}

impl From<NotDer> for CertificateError {
    fn from(_: NotDer) -> Self {
        Self::Malformed
    }
}

/// A certificate parsed and not verified. All slices point into the input.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// All of it, DER.
    pub(crate) whole: &'a [u8],
    tbs: &'a [u8],
    signature: &'a [u8],
    point: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u8>,
    pub(crate) key_usage: KeyUsage,
}

/// The two bits that matter here (RFC 5280, section 4.2.1.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyUsage {
    pub(crate) digital_signature: bool,
    pub(crate) key_cert_sign: bool,
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut outer = Reader::new(der);
        let mut certificate = outer.enter(der::SEQUENCE)?;
        outer.finish()?;
        let tbs = certificate.expect(der::SEQUENCE)?;
        signature_algorithm(&mut certificate)?;
        let signature = bit_string(certificate.expect(der::BIT_STRING)?)?;
        certificate.finish()?;
        Self::parse_tbs(der, tbs, signature)
    }

    /// TBSCertificate (RFC 5280, section 4.1).
    fn parse_tbs(whole: &'a [u8], tbs: Element<'a>, signature: &'a [u8]) -> Result<Self, CertificateError> {
        let mut reader = Reader::new(tbs.content);
        version_3(&mut reader)?;
        if !positive_serial(reader.expect(der::INTEGER)?.content) {
            return Err(CertificateError::Malformed);
        }
        signature_algorithm(&mut reader)?;
        let issuer = reader.expect(der::SEQUENCE)?.whole;
        let (not_before, not_after) = validity(reader.enter(der::SEQUENCE)?)?;
        let subject = reader.expect(der::SEQUENCE)?.whole;
        let point = p384_point(reader.expect(der::SEQUENCE)?.whole)?;
        // Unique identifiers ([1], [2]) have no place in the Nitro PKI, so extensions ([3]) follow at once.
        let mut wrapper = reader.enter(0xa3)?;
        reader.finish()?;
        let extensions = Extensions::parse(wrapper.enter(der::SEQUENCE)?)?;
        wrapper.finish()?;
        let Extensions { ca, path_len, key_usage } = extensions;
        Ok(Self {
            whole,
            tbs: tbs.whole,
            signature,
            point,
            issuer,
            subject,
            not_before,
            not_after,
            ca,
            path_len,
            key_usage,
        })
    }

    /// Whether this certificate's key made `child`'s signature.
    pub(crate) fn verifies(&self, child: &Certificate<'_>) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, self.point).verify(child.tbs, child.signature).is_ok()
    }

    /// The uncompressed point of its key.
    pub(crate) fn point(&self) -> &'a [u8] {
        self.point
    }
}

/// Above zero and in the shortest form (RFC 5280, section 4.1.2.2; X.690, section 8.3.2).
fn positive_serial(content: &[u8]) -> bool {
    match content {
        [] | [0] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => false,
        _ => content.len() <= MAX_SERIAL,
    }
}

fn version_3(reader: &mut Reader<'_>) -> Result<(), CertificateError> {
    // [0] EXPLICIT INTEGER 2. Version 1 omits the field.
    let version = reader.optional(0xa0)?.ok_or(CertificateError::Version)?;
    if version.content == [der::INTEGER, 1, 2] { Ok(()) } else { Err(CertificateError::Version) }
}

fn signature_algorithm(reader: &mut Reader<'_>) -> Result<(), CertificateError> {
    let algorithm = reader.expect(der::SEQUENCE)?;
    if algorithm.whole == ECDSA_WITH_SHA384 { Ok(()) } else { Err(CertificateError::SignatureAlgorithm) }
}

fn bit_string(element: Element<'_>) -> Result<&[u8], CertificateError> {
    match element.content.split_first() {
        Some((0, bits)) => Ok(bits),
        _ => Err(CertificateError::Malformed),
    }
}

fn p384_point(spki: &[u8]) -> Result<&[u8], CertificateError> {
    match spki.strip_prefix(P384_SPKI_PREFIX) {
        Some(point) if point.len() == P384_POINT_LEN && point.first() == Some(&4) => Ok(point),
        _ => Err(CertificateError::KeyAlgorithm),
    }
}

fn validity(mut reader: Reader<'_>) -> Result<(Timestamp, Timestamp), CertificateError> {
    let not_before = time(reader.any()?).ok_or(CertificateError::Validity)?;
    let not_after = time(reader.any()?).ok_or(CertificateError::Validity)?;
    reader.finish()?;
    Ok((not_before, not_after))
}

/// UTCTime `YYMMDDHHMMSSZ` up to 2049 and GeneralizedTime `YYYYMMDDHHMMSSZ` from 2050 (RFC 5280, section 4.1.2.5).
fn time(element: Element<'_>) -> Option<Timestamp> {
    let text = element.content.strip_suffix(b"Z")?;
    let (year, rest) = match (element.tag, text.len()) {
        (der::UTC_TIME, 12) => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { year.checked_add(2000)? } else { year.checked_add(1900)? }, rest)
        }
        (der::GENERALIZED_TIME, 14) => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year).filter(|year| *year >= 2050)?, rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks_exact(2).map(number);
    let mut next = || parts.next().flatten();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    let secs =
        days.checked_mul(24)?.checked_add(hour)?.checked_mul(60)?.checked_add(minute)?.checked_mul(60)?;
    Some(Timestamp::from_secs(secs.checked_add(second)?))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |acc, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value <= 9)?;
        acc.checked_mul(10)?.checked_add(u64::from(value))
    })
}

struct Extensions {
    ca: bool,
    path_len: Option<u8>,
    key_usage: KeyUsage,
}

impl Extensions {
    fn parse(mut reader: Reader<'_>) -> Result<Self, CertificateError> {
        // RFC 5280, section 4.1: SIZE (1..MAX).
        if reader.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut found = Self { ca: false, path_len: None, key_usage: KeyUsage::default() };
        while !reader.is_empty() {
            let mut extension = reader.enter(der::SEQUENCE)?;
            let oid = extension.expect(der::OID)?.content;
            let critical = critical(&mut extension)?;
            let value = extension.expect(der::OCTET_STRING)?.content;
            extension.finish()?;
            if seen.contains(&oid) {
                return Err(CertificateError::DuplicateExtension);
            }
            if seen.len() >= MAX_EXTENSIONS {
                return Err(CertificateError::Malformed);
            }
            seen.push(oid);
            found.take(oid, critical, value)?;
        }
        if seen.contains(&BASIC_CONSTRAINTS) { Ok(found) } else { Err(CertificateError::BasicConstraints) }
    }

    fn take(&mut self, oid: &[u8], critical: bool, value: &[u8]) -> Result<(), CertificateError> {
        match oid {
            BASIC_CONSTRAINTS => (self.ca, self.path_len) = basic_constraints(value, critical)?,
            KEY_USAGE => self.key_usage = key_usage(value)?,
            _ if critical => return Err(CertificateError::UnknownCriticalExtension),
            // Key identifiers and CRL distribution points are hints to path building, and we walk a fixed order.
            _ => {}
        }
        Ok(())
    }
}

/// BOOLEAN DEFAULT FALSE: DER writes it only when true.
fn critical(extension: &mut Reader<'_>) -> Result<bool, CertificateError> {
    match extension.optional(der::BOOLEAN)? {
        None => Ok(false),
        Some(flag) if flag.content == [0xff] => Ok(true),
        Some(_) => Err(CertificateError::Malformed),
    }
}

/// RFC 5280, section 4.2.1.9, which also demands that an authority's are critical.
fn basic_constraints(value: &[u8], marked_critical: bool) -> Result<(bool, Option<u8>), CertificateError> {
    let mut outer = Reader::new(value);
    let mut reader = outer.enter(der::SEQUENCE)?;
    outer.finish()?;
    let ca = critical(&mut reader)?;
    if ca && !marked_critical {
        return Err(CertificateError::BasicConstraints);
    }
    let path_len = match reader.optional(der::INTEGER)?.map(|element| element.content) {
        None => None,
        Some([len @ 0..=0x7f]) if ca => Some(*len),
        Some(_) => return Err(CertificateError::BasicConstraints),
    };
    reader.finish()?;
    Ok((ca, path_len))
}

/// RFC 5280, section 4.2.1.3: bit 0 is digitalSignature, bit 5 is keyCertSign, both in the first byte.
fn key_usage(value: &[u8]) -> Result<KeyUsage, CertificateError> {
    let mut reader = Reader::new(value);
    let bits = reader.expect(der::BIT_STRING)?.content;
    reader.finish()?;
    match bits {
        [0..=7, first] | [0..=7, first, _] => {
            Ok(KeyUsage { digital_signature: first & 0x80 != 0, key_cert_sign: first & 0x04 != 0 })
        }
        _ => Err(CertificateError::KeyUsage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &[u8] = include_bytes!("aws-nitro-root-g1.der");

    #[test]
    fn the_aws_root_parses_and_signs_itself() {
        let root = Certificate::parse(ROOT).unwrap();
        assert!(root.ca && root.key_usage.key_cert_sign && root.path_len.is_none());
        assert_eq!(root.not_before.to_string(), "2019-10-28T13:28:05Z");
        assert_eq!(root.not_after.to_string(), "2049-10-28T14:28:05Z");
        assert_eq!(root.issuer, root.subject);
        assert!(root.verifies(&root));
    }

    #[test]
    fn no_single_byte_change_of_the_root_still_signs_itself() {
        for at in 0..ROOT.len() {
            let mut bytes = ROOT.to_vec();
            bytes[at] ^= 1;
            if let Ok(changed) = Certificate::parse(&bytes) {
                assert!(!changed.verifies(&changed), "byte {at}");
            }
        }
    }

    #[test]
    fn times_follow_rfc_5280() {
        let read =
            |tag, content: &[u8]| time(Element { tag, content, whole: content }).map(|at| at.to_string());
        assert_eq!(read(der::UTC_TIME, b"491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(read(der::GENERALIZED_TIME, b"20560101000000Z").as_deref(), Some("2056-01-01T00:00:00Z"));
        for (tag, bad) in [
            (der::UTC_TIME, &b"4912312359Z"[..]),
            (der::UTC_TIME, b"491231235959+"),
            (der::UTC_TIME, b"491331235959Z"),
            (der::UTC_TIME, b"491231245959Z"),
            (der::UTC_TIME, b"49123a235959Z"),
            (der::GENERALIZED_TIME, b"20490101000000Z"),
        ] {
            assert_eq!(read(tag, bad), None);
        }
    }
}
