//! Names one PCR and one value of a PCR, and computes what an extension makes of it.
//!
//! # Promises
//! - A [`PcrIndex`] is 0 to 31; 32 cannot be made.
//! - Two [`Measurement`]s are compared in constant time.
//!
//! # Does not
//! - Say whether a value is good: that is for [`crate::reference`].
//!
//! # Trusts
//! - Nobody.

use std::fmt;

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use subtle::ConstantTimeEq;

/// Bytes in a PCR: SHA-384 (AWS "Nitro Enclaves attestation process", section 2.2; every real document says SHA384).
pub const MEASUREMENT_LEN: usize = 48;

/// How many PCRs a document may list (same source, section 3.2.2.2: 1 to 32 entries, index 0 to 31).
pub const MAX_PCRS: u8 = 32;

/// The PCR that holds the release manifest, the first that Nitro leaves to the enclave.
pub const MANIFEST_PCR: PcrIndex = PcrIndex(16);

/// One SHA-384 value of a PCR. Equality takes constant time.
#[derive(Clone, Copy)]
pub struct Measurement([u8; MEASUREMENT_LEN]);

/// The value of a register that nobody has extended, and of PCR0, 1 and 2 in a debug enclave.
pub const ZERO: Measurement = Measurement([0; MEASUREMENT_LEN]);

impl Measurement {
    /// From the 48 bytes.
    pub const fn new(bytes: [u8; MEASUREMENT_LEN]) -> Self {
        Self(bytes)
    }

    /// From a slice that must have 48 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 48 bytes.
    pub const fn as_bytes(&self) -> &[u8; MEASUREMENT_LEN] {
        &self.0
    }

    /// Whether all bytes are zero.
    pub fn is_zero(&self) -> bool {
        *self == ZERO
    }
}

impl PartialEq for Measurement {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Measurement {}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Measurement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; MEASUREMENT_LEN];
        hex::decode_to_slice(text.as_ref(), &mut bytes)
            .map_err(|_| D::Error::custom("a measurement is 96 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

/// The index of a PCR, 0 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// `None` from 32 on.
    pub const fn new(index: u8) -> Option<Self> {
        if index < MAX_PCRS { Some(Self(index)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What a register holds after `data` was extended into it: SHA-384(old || data).
pub fn extend(old: &Measurement, data: &[u8]) -> Measurement {
    Measurement(sha384(&[&old.0, data]))
}

/// SHA-384 (FIPS 180-4) over the parts one after another.
pub(crate) fn sha384(parts: &[&[u8]]) -> [u8; MEASUREMENT_LEN] {
    let mut out = [0; MEASUREMENT_LEN];
    hash_into(&digest::SHA384, parts, &mut out);
    out
}

/// SHA-256 (FIPS 180-4) over the parts one after another.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    hash_into(&digest::SHA256, parts, &mut out);
    out
}

fn hash_into(algorithm: &'static digest::Algorithm, parts: &[&[u8]], out: &mut [u8]) {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    // Both lengths are fixed by the two callers above; zip cannot leave a byte unwritten.
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_32_does_not_exist() {
        assert_eq!(PcrIndex::new(31).map(PcrIndex::get), Some(31));
        assert_eq!(PcrIndex::new(32), None);
    }

    #[test]
    fn measurement_reads_only_96_digits() {
        let one = extend(&ZERO, b"x");
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(json.len(), 98);
        assert_eq!(serde_json::from_str::<Measurement>(&json).unwrap(), one);
        for bad in ["\"00\"", "1", "\"zz\"", &format!("\"{}\"", "0".repeat(98))] {
            assert!(serde_json::from_str::<Measurement>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn extension_is_sha384_of_old_and_data() {
        let mut input = vec![0u8; 48];
        input.extend_from_slice(b"abc");
        assert_eq!(
            extend(&ZERO, b"abc").as_bytes().as_slice(),
            digest::digest(&digest::SHA384, &input).as_ref()
        );
    }
}
