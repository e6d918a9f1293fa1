//! Encodes one entry of the audit log, in one way only.
//!
//! A CBOR map whose keys 0 to 6 are, in this order: the text "adyton/audit/v1", boot, index, time (ms),
//! principal (bytes or null), kind, and details: an array of `[name, value]`, values being unsigned, text,
//! bytes or boolean.
//!
//! # Promises
//! - `decode(encode(x)) == x`, and bytes that are not `encode(x)` for some `x` are refused.
//! - An entry is bounded, so that one frame holds it sealed to every auditor.
//!
//! # Does not
//! - Know which kinds there are: what is recorded describes itself, and an auditor's program shows kinds that
//!   are newer than it.
//! - Hold text of a request or an answer. The sentinel, which writes entries, never has any.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: RFC 8949, section 4.2 (deterministic encoding).

use crate::cbor::{CborError, Fields, Form, Item, Scalar, Writer, decode};
use crate::time::Timestamp;

/// Domain separation, and the version of the format.
const DOMAIN: &str = "adyton/audit/v1";

/// Entries of the map.
const KEYS: u64 = 7;

/// Longest encoding. The longest that the sentinel writes, a receipt's with eight verdicts, has below 1 KiB.
pub const MAX_ENTRY: usize = 4096;

/// Most details.
pub const MAX_DETAILS: usize = 32;

/// Longest kind or name, in bytes.
pub const MAX_NAME: usize = 48;

/// Longest text or bytes of a detail.
pub const MAX_VALUE: usize = 256;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which boot of the enclave; the receipts of the boot name it too.
    pub boot: [u8; 16],
    /// Its place in the log, from 0.
    pub index: u64,
    /// By the enclave's clock.
    pub at: Timestamp,
    /// The pseudonym of whoever it was done for, the same as in receipts; none where it was for nobody, or
    /// for somebody whose token did not hold.
    pub principal: Option<[u8; 32]>,
    /// What happened.
    pub kind: String,
    /// The rest, by name.
    pub details: Vec<(String, Scalar)>,
}

/// Why bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not the CBOR that an entry is.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The first field names another format.
    #[error("the entry is not an \"adyton/audit/v1\"; update this program, or do not rely on the log")]
    Domain,
    /// Too large, too many details, or too long a name.
    #[error("the entry has more than 4096 bytes or 32 details, or a name or value that is too long")]
    Limits,
    /// The same content in another encoding.
    #[error("the entry is not in its one encoding; it was written by another program")]
    NotDeterministic,
}

impl Entry {
    /// The entry's one encoding.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        if !self.within_limits() {
            return Err(EntryError::Limits);
        }
        let bytes = self.write();
        if bytes.len() <= MAX_ENTRY { Ok(bytes) } else { Err(EntryError::Limits) }
    }

    fn within_limits(&self) -> bool {
        let fits = |(name, value): &(String, Scalar)| {
            name.len() <= MAX_NAME
                && match value {
                    Scalar::Text(text) => text.len() <= MAX_VALUE,
                    Scalar::Bytes(bytes) => bytes.len() <= MAX_VALUE,
                    Scalar::Unsigned(_) | Scalar::Boolean(_) => true,
                }
        };
        self.kind.len() <= MAX_NAME && self.details.len() <= MAX_DETAILS && self.details.iter().all(fits)
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(KEYS).unsigned(0).text(DOMAIN).unsigned(1).bytes(&self.boot);
        writer.unsigned(2).unsigned(self.index).unsigned(3).unsigned(self.at.as_millis()).unsigned(4);
        match &self.principal {
            Some(principal) => writer.bytes(principal),
            None => writer.null(),
        };
        writer.unsigned(5).text(&self.kind).unsigned(6).array(self.details.len() as u64);
        for (name, value) in &self.details {
            writer.array(2).text(name);
            match value {
                Scalar::Unsigned(number) => writer.unsigned(*number),
                Scalar::Bytes(bytes) => writer.bytes(bytes),
                Scalar::Text(text) => writer.text(text),
                Scalar::Boolean(value) => writer.boolean(*value),
            };
        }
        writer.into_bytes()
    }

    /// Reads an entry, strictly.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::Limits);
        }
        let mut fields = decode(bytes, Form::Definite)?.fields("entry")?;
        if fields.take_number(0, "domain")?.text("domain")? != DOMAIN {
            return Err(EntryError::Domain);
        }
        let entry = Self::from_fields(&mut fields)?;
        fields.finish()?;
        if entry.encode()? == bytes { Ok(entry) } else { Err(EntryError::NotDeterministic) }
    }

    fn from_fields(fields: &mut Fields) -> Result<Self, EntryError> {
        let wrong = CborError::WrongType { field: "principal", wanted: "32 bytes or null" };
        let boot = fields.take_number(1, "boot")?.array("boot")?;
        let index = fields.take_number(2, "index")?.unsigned("index")?;
        let at = Timestamp::from_millis(fields.take_number(3, "time")?.unsigned("time")?);
        let principal = match fields.take_number(4, "principal")?.bytes_or_null("principal")? {
            Some(bytes) => Some(bytes.try_into().map_err(|_| wrong)?),
            None => None,
        };
        let kind = fields.take_number(5, "kind")?.text("kind")?;
        let details = fields.take_number(6, "details")?.items("details")?;
        let details = details.into_iter().map(detail).collect::<Result<_, _>>()?;
        Ok(Self { boot, index, at, principal, kind, details })
    }
}

fn detail(item: Item) -> Result<(String, Scalar), CborError> {
    let mut parts = item.items("detail")?.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(value), None) => Ok((name.text("detail")?, value.scalar("detail")?)),
        _ => Err(CborError::WrongType { field: "detail", wanted: "a pair" }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample(index: u64) -> Entry {
        Entry {
            boot: [1; 16],
            index,
            at: Timestamp::from_secs(1_793_701_230),
            principal: Some([2; 32]),
            kind: "grant".into(),
            details: vec![
                ("purpose".into(), Scalar::Text("general".into())),
                ("max-tokens".into(), Scalar::Unsigned(1024)),
                ("digest".into(), Scalar::Bytes(vec![3; 32])),
                ("attested".into(), Scalar::Boolean(false)),
            ],
        }
    }

    #[test]
    fn one_entry_has_one_encoding() {
        for entry in [sample(0), Entry { principal: None, details: Vec::new(), ..sample(1 << 40) }] {
            let bytes = entry.encode().unwrap();
            assert_eq!(Entry::decode(&bytes), Ok(entry));
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                // A change is another entry, or none; never the same one.
                assert_ne!(Entry::decode(&changed).ok().map(|e| e.encode().unwrap()), Some(bytes.clone()));
                assert!(Entry::decode(&bytes[..at]).is_err());
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(Entry::decode(&longer).is_err());
        }
    }

    #[test]
    fn limits_hold_both_ways() {
        let long = |n: usize| "x".repeat(n);
        let with = |name: String, value: Scalar| Entry { details: vec![(name, value)], ..sample(0) };
        for entry in [
            Entry { kind: long(MAX_NAME + 1), ..sample(0) },
            with(long(MAX_NAME + 1), Scalar::Unsigned(0)),
            with("n".into(), Scalar::Text(long(MAX_VALUE + 1))),
            with("n".into(), Scalar::Bytes(vec![0; MAX_VALUE + 1])),
            Entry { details: vec![("n".into(), Scalar::Unsigned(0)); MAX_DETAILS + 1], ..sample(0) },
        ] {
            assert_eq!(entry.encode(), Err(EntryError::Limits));
            assert_eq!(Entry::decode(&entry.write()), Err(EntryError::Limits));
        }
        assert!(with(long(MAX_NAME), Scalar::Text(long(MAX_VALUE))).encode().is_ok());
        let large = vec![("n".into(), Scalar::Bytes(vec![0; MAX_VALUE])); MAX_DETAILS];
        assert_eq!(Entry { details: large, ..sample(0) }.encode(), Err(EntryError::Limits));
    }
}
