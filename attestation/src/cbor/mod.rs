//! Reads CBOR strictly and writes it deterministically; the only module that touches `serde_cbor`.
//!
//! `serde_cbor` 0.11 is unmaintained (RUSTSEC-2021-0127) and lenient, so it sees nothing that the structural check
//! here has not passed. Two readers must agree before a value exists.
//!
//! # Promises
//! - Refused before `serde_cbor` sees a byte: more than 16 KiB, more than four levels, more than 512 items, tags,
//!   floats, undefined, integers or lengths that are not in their shortest form, indefinite lengths (one map excepted,
//!   where the caller allows it), keys that are neither unsigned integers nor text, duplicate keys, trailing bytes.
//! - [`Fields::finish`] refuses every key that nobody has asked for.
//!
//! # Does not
//! - Demand sorted keys: the NSM does not sort them. What we write ourselves is compared byte by byte after reading.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: RFC 8949, sections 3 and 4.2.

use std::collections::BTreeMap;

use serde_cbor::Value;

mod check;
mod writer;

pub use check::check;
pub use writer::Writer;

/// Largest input. The largest real attestation document has 7539 bytes; the NSM's responses end at 12288 (`0x3000`,
/// `NSM_RESPONSE_MAX_SIZE` in aws-nitro-enclaves-nsm-api, `src/driver/mod.rs`).
pub const MAX_SIZE: usize = 16 * 1024;

/// Whether the outermost map may have indefinite length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Definite lengths everywhere.
    Definite,
    /// The outermost map may be `bf .. ff`: the NSM writes its payload so since the middle of 2025.
    OutermostMapMayBeIndefinite,
}

/// Why bytes are not the CBOR that we accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// More than [`MAX_SIZE`] bytes.
    #[error("the input has {size} bytes, more than the 16384 allowed; discard it")]
    TooLarge {
        /// Bytes offered.
        size: usize,
    },
    /// The input ends inside an item.
    #[error("the input ends in the middle of an item; it was cut on its way, ask for it again")]
    Truncated,
    /// Bytes follow the outermost item.
    #[error("{count} bytes follow the end of the outermost item; discard the input")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Nested too deeply.
    #[error("the input is nested more than four levels deep; discard it")]
    TooDeep,
    /// Too many items or entries.
    #[error("the input has more entries than any attestation document or receipt; discard it")]
    TooManyItems,
    /// A tag (major type 6).
    #[error("the input carries a tag where none belongs; discard it")]
    Tag,
    /// A float, undefined, or an unassigned simple value.
    #[error("the input carries a float or a simple value other than false, true and null; discard it")]
    SimpleValue,
    /// An integer or length that has a shorter encoding.
    #[error("a number in the input is not in its shortest form; discard the input")]
    NotShortest,
    /// An indefinite length where none may be.
    #[error("the input uses an indefinite length where none is allowed; discard it")]
    IndefiniteLength,
    /// A reserved additional-information value, or a break where a value belongs.
    #[error("the input uses a reserved encoding; discard it")]
    Reserved,
    /// A key that is neither an unsigned integer nor text.
    #[error("a map in the input has a key that is neither a number nor text; discard the input")]
    KeyType,
    /// The same key twice in one map.
    #[error("a map in the input has the same key twice; discard the input")]
    DuplicateKey,
    /// `serde_cbor` refused what the structural check had passed, as for text that is not UTF-8.
    #[error("the input is well-formed on the outside but does not decode; discard it")]
    Undecodable,
    /// The item is not of the type that belongs there.
    #[error("\"{field}\" is not {wanted}; discard the input")]
    WrongType {
        /// Which field.
        field: &'static str,
        /// What it should have been.
        wanted: &'static str,
    },
    /// A required key is missing.
    #[error("\"{field}\" is missing; discard the input")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// A key that the format does not know.
    #[error("the input has a key that the format does not know; discard it, or update this program")]
    UnknownKey,
}

/// One decoded item. The decoder's own type stays inside this module.
#[derive(Debug)]
pub struct Item(Value);

/// A decoded map from which fields are taken one by one, so that what remains at the end is known to be unknown.
#[derive(Debug)]
pub struct Fields(BTreeMap<Value, Value>);

/// The structural check and then the decoder.
pub fn decode(bytes: &[u8], form: Form) -> Result<Item, CborError> {
    check(bytes, form)?;
    serde_cbor::from_slice(bytes).map(Item).map_err(|_| CborError::Undecodable)
}

/// An item that is neither a list nor a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// An unsigned integer.
    Unsigned(u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// True or false.
    Boolean(bool),
}

impl Item {
    /// A plain value of any of four types.
    pub fn scalar(self, field: &'static str) -> Result<Scalar, CborError> {
        match self.0 {
            Value::Bytes(bytes) => Ok(Scalar::Bytes(bytes)),
            Value::Text(text) => Ok(Scalar::Text(text)),
            Value::Bool(value) => Ok(Scalar::Boolean(value)),
            other => Item(other).unsigned(field).map(Scalar::Unsigned),
        }
    }

    /// The map's fields.
    pub fn fields(self, field: &'static str) -> Result<Fields, CborError> {
        match self.0 {
            Value::Map(map) => Ok(Fields(map)),
            _ => Err(CborError::WrongType { field, wanted: "a map" }),
        }
    }

    /// A byte string.
    pub fn bytes(self, field: &'static str) -> Result<Vec<u8>, CborError> {
        match self.0 {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(CborError::WrongType { field, wanted: "a byte string" }),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn array<const N: usize>(self, field: &'static str) -> Result<[u8; N], CborError> {
        self.bytes(field)?
            .try_into()
            .map_err(|_| CborError::WrongType { field, wanted: "a byte string of the right length" })
    }

    /// A byte string or null.
    pub fn bytes_or_null(self, field: &'static str) -> Result<Option<Vec<u8>>, CborError> {
        match self.0 {
            Value::Null => Ok(None),
            other => Item(other).bytes(field).map(Some),
        }
    }

    /// A text string.
    pub fn text(self, field: &'static str) -> Result<String, CborError> {
        match self.0 {
            Value::Text(text) => Ok(text),
            _ => Err(CborError::WrongType { field, wanted: "text" }),
        }
    }

    /// An unsigned integer.
    pub fn unsigned(self, field: &'static str) -> Result<u64, CborError> {
        let wrong = CborError::WrongType { field, wanted: "an unsigned integer" };
        match self.0 {
            Value::Integer(value) => u64::try_from(value).map_err(|_| wrong),
            _ => Err(wrong),
        }
    }

    /// True or false.
    pub fn boolean(self, field: &'static str) -> Result<bool, CborError> {
        match self.0 {
            Value::Bool(value) => Ok(value),
            _ => Err(CborError::WrongType { field, wanted: "true or false" }),
        }
    }

    /// An array's items.
    pub fn items(self, field: &'static str) -> Result<Vec<Item>, CborError> {
        match self.0 {
            Value::Array(items) => Ok(items.into_iter().map(Item).collect()),
            _ => Err(CborError::WrongType { field, wanted: "an array" }),
        }
    }
}

impl Fields {
    /// Takes the value under a text key.
    pub fn take(&mut self, field: &'static str) -> Result<Item, CborError> {
        self.0.remove(&Value::Text(field.to_owned())).map(Item).ok_or(CborError::Missing { field })
    }

    /// Takes the value under an unsigned integer key; `field` names it in errors.
    pub fn take_number(&mut self, key: u64, field: &'static str) -> Result<Item, CborError> {
        self.0.remove(&Value::Integer(i128::from(key))).map(Item).ok_or(CborError::Missing { field })
    }

    /// All entries of a map whose keys are unsigned integers, in ascending order.
    pub fn numbered(self, field: &'static str) -> Result<Vec<(u64, Item)>, CborError> {
        self.0.into_iter().map(|(key, value)| Ok((Item(key).unsigned(field)?, Item(value)))).collect()
    }

    /// Refuses what is left.
    pub fn finish(self) -> Result<(), CborError> {
        if self.0.is_empty() { Ok(()) } else { Err(CborError::UnknownKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_exact() {
        let deep = [0x81u8, 0x81, 0x81, 0x81, 0x00];
        let table: &[(&[u8], CborError)] = &[
            (&[], CborError::Truncated),
            (&[0x41], CborError::Truncated),
            (&[0x00, 0x00], CborError::TrailingBytes { count: 1 }),
            (&deep, CborError::TooDeep),
            (&[0xc0, 0x00], CborError::Tag),
            (&[0xf7], CborError::SimpleValue),
            (&[0xf9, 0x00, 0x00], CborError::SimpleValue),
            (&[0xf8, 0x14], CborError::SimpleValue),
            (&[0x18, 0x17], CborError::NotShortest),
            (&[0x19, 0x00, 0xff], CborError::NotShortest),
            (&[0x58, 0x01, 0x00], CborError::NotShortest),
            (&[0x5f, 0xff], CborError::IndefiniteLength),
            (&[0xbf, 0xff], CborError::IndefiniteLength),
            (&[0x1c], CborError::Reserved),
            (&[0xff], CborError::Reserved),
            (&[0x1f], CborError::Reserved),
            (&[0xa1, 0x40, 0x00], CborError::KeyType),
            (&[0xa2, 0x01, 0x00, 0x01, 0x00], CborError::DuplicateKey),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], CborError::TooManyItems),
        ];
        for (bytes, expected) in table {
            assert_eq!(check(bytes, Form::Definite).as_ref(), Err(expected), "{bytes:02x?}");
        }
        let inner = [0xbf, 0x01, 0xbf, 0xff, 0xff];
        assert_eq!(check(&inner, Form::OutermostMapMayBeIndefinite), Err(CborError::IndefiniteLength));
        assert_eq!(check(&[0xbf, 0xff], Form::OutermostMapMayBeIndefinite), Ok(()));
        assert_eq!(decode(&[0x61, 0xff], Form::Definite).unwrap_err(), CborError::Undecodable);
        assert_eq!(
            check(&vec![0; MAX_SIZE + 1], Form::Definite),
            Err(CborError::TooLarge { size: MAX_SIZE + 1 })
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut fields =
            decode(&[0xa2, 0x01, 0x02, 0x02, 0x03], Form::Definite).unwrap().fields("x").unwrap();
        assert_eq!(fields.take_number(1, "one").unwrap().unsigned("one").unwrap(), 2);
        assert_eq!(fields.finish(), Err(CborError::UnknownKey));
    }

    #[test]
    fn writer_is_accepted_by_the_reader() {
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut writer = Writer::new();
            writer.unsigned(value);
            let item = decode(&writer.into_bytes(), Form::Definite).unwrap();
            assert_eq!(item.unsigned("v").unwrap(), value);
        }
    }
}
