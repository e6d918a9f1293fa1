//! Walks the structure of CBOR and refuses all that we do not accept, before a decoder sees it.
//!
//! # Promises
//! - Nothing is allocated but the list of one map's keys, of at most 64 slices.
//!
//! # Does not
//! - Check that text is UTF-8; the decoder does.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: RFC 8949, section 3 and appendix C.

use super::{CborError, Form, MAX_SIZE};

/// Deepest nesting. The payload needs three: the map, `pcrs` in it, a value in that.
const MAX_DEPTH: usize = 4;

/// Most items in all. A document with 32 PCRs and 16 certificates has about 100; a receipt with 64 verdicts has 225.
const MAX_ITEMS: usize = 512;

/// Most entries of one map or array: above 32 PCRs and 64 verdicts, and small enough to look for duplicates naively.
const MAX_ENTRIES: u64 = 64;

/// The structural check alone.
pub fn check(bytes: &[u8], form: Form) -> Result<(), CborError> {
    if bytes.len() > MAX_SIZE {
        return Err(CborError::TooLarge { size: bytes.len() });
    }
    let mut walk = Walk { rest: bytes, items: 0 };
    walk.item(0, form)?;
    if walk.rest.is_empty() { Ok(()) } else { Err(CborError::TrailingBytes { count: walk.rest.len() }) }
}

struct Walk<'a> {
    rest: &'a [u8],
    items: usize,
}

/// The initial byte and argument of an item (RFC 8949, section 3).
struct Head {
    major: u8,
    /// `None`: indefinite length.
    argument: Option<u64>,
    info: u8,
}

impl<'a> Walk<'a> {
    fn item(&mut self, depth: usize, form: Form) -> Result<(), CborError> {
        if depth >= MAX_DEPTH {
            return Err(CborError::TooDeep);
        }
        self.items = self.items.saturating_add(1);
        if self.items > MAX_ITEMS {
            return Err(CborError::TooManyItems);
        }
        let head = self.head()?;
        match (head.major, head.argument) {
            (0 | 1, Some(_)) => Ok(()),
            (2 | 3, Some(len)) => self.take(len).map(|_| ()),
            (4, Some(len)) => self.array(len, depth),
            (5, Some(len)) => self.map(Some(len), depth),
            (5, None) if depth == 0 && form == Form::OutermostMapMayBeIndefinite => self.map(None, depth),
            (2..=5, None) => Err(CborError::IndefiniteLength),
            (6, _) => Err(CborError::Tag),
            (7, Some(_)) if matches!(head.info, 20..=22) => Ok(()),
            (7, Some(_)) => Err(CborError::SimpleValue),
            // A break where a value belongs, or an integer of indefinite length.
            _ => Err(CborError::Reserved),
        }
    }

    fn array(&mut self, len: u64, depth: usize) -> Result<(), CborError> {
        if len > MAX_ENTRIES {
            return Err(CborError::TooManyItems);
        }
        (0..len).try_for_each(|_| self.item(depth.saturating_add(1), Form::Definite))
    }

    /// `len` is `None` for an indefinite map, which ends with `ff`.
    fn map(&mut self, len: Option<u64>, depth: usize) -> Result<(), CborError> {
        if len.is_some_and(|len| len > MAX_ENTRIES) {
            return Err(CborError::TooManyItems);
        }
        let mut keys: Vec<&'a [u8]> = Vec::new();
        for entry in 0..=MAX_ENTRIES {
            if len.is_none() && self.rest.first() == Some(&0xff) {
                return self.take(1).map(|_| ());
            }
            if len == Some(entry) {
                return Ok(());
            }
            let key = self.key()?;
            if keys.contains(&key) {
                return Err(CborError::DuplicateKey);
            }
            keys.push(key);
            self.item(depth.saturating_add(1), Form::Definite)?;
        }
        Err(CborError::TooManyItems)
    }

    /// A key as it is encoded. Integers and lengths are in shortest form, so equal keys have equal bytes.
    fn key(&mut self) -> Result<&'a [u8], CborError> {
        let before = self.rest;
        let head = self.head()?;
        match (head.major, head.argument) {
            (0, Some(_)) => {}
            (3, Some(len)) => {
                self.take(len)?;
            }
            _ => return Err(CborError::KeyType),
        }
        let used = before.len().saturating_sub(self.rest.len());
        before.get(..used).ok_or(CborError::Truncated)
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let initial = self.take(1)?.first().copied().ok_or(CborError::Truncated)?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => Some(self.argument(1u64 << info.saturating_sub(24), major)?),
            31 => None,
            _ => return Err(CborError::Reserved),
        };
        Ok(Head { major, argument, info })
    }

    /// An argument of 1, 2, 4 or 8 bytes, which must not have fitted into fewer.
    fn argument(&mut self, width: u64, major: u8) -> Result<u64, CborError> {
        let bytes = self.take(width)?;
        if major == 7 {
            return Err(CborError::SimpleValue);
        }
        let value = bytes.iter().fold(0u64, |acc, byte| (acc << 8) | u64::from(*byte));
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if value < least { Err(CborError::NotShortest) } else { Ok(value) }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}
