//! The grant of a look-up: text of one form, and a keyed hash over exactly these bytes.
//!
//! The sentinel makes it, the worker carries it, and the database verifies it. Sentinel and database share the key; the worker
//! never sees it.
//!
//! ```text
//! adyton-lookup-1
//! action lookup
//! grant 00112233445566778899aabbccddeeff
//! principal <64 hexadecimal digits>
//! tenant <text>
//! purpose <text>
//! collection reservations
//! role operations
//! digest <64 hexadecimal digits>
//! most 20
//! expires 1793701230
//! masked meal,passport
//! unmasked
//! row flight <text>,<text>
//! ```
//!
//! A `<text>` is UTF-8 in hexadecimal digits: whatever it says, it ends no line and no list. A row whose list is empty lets
//! nothing through.
//!
//! # Promises
//! - One text for one look-up: [`Lookup::parse`] takes what [`Lookup::encode`] writes, and nothing else.
//! - Names are of letters, digits and a few signs; numbers of rules, values and fields are bounded before memory is taken.
//! - There is no SQL in it, nor anything that becomes SQL.
//!
//! # Does not
//! - Verify: whoever carries a grant believes nothing in it, and the database verifies for itself.
//!
//! # Trusts
//! - The maker of a [`LookupKey`] to keep it from the worker.
//!
//! Source: RFC 2104 (HMAC), FIPS 180-4 (SHA-256); `deploy/postgres/003_grants.sql` is the verifier.

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Longest text of a grant, in bytes: what the largest lists below come to, and room.
pub const MAX_TEXT: usize = 64 * 1024;
/// Longest name of a collection, field or role, in bytes. A role becomes `adyton_data_<role>`, which PostgreSQL cuts at 63.
pub const MAX_NAME: usize = 40;
/// Longest value of a row rule, tenant or purpose, in bytes.
pub const MAX_VALUE: usize = 256;
/// Most rules.
pub const MAX_RULES: usize = 8;
/// Most values of all rules together.
pub const MAX_VALUES: usize = 1024;
/// Most fields, masked or unmasked.
pub const MAX_FIELDS: usize = 64;
/// Most passages of one look-up, or of one ingest.
pub const MAX_PASSAGES: u32 = 256;
/// Most dimensions of a vector. pgvector's index takes up to 2,000.
pub const MAX_DIMENSIONS: usize = 2000;

const VERSION: &str = "adyton-lookup-1";

/// What a grant lets its carrier do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Read the passages nearest to one vector; the digest is that of [`vector`].
    Lookup,
    /// Write passages of one document; the digest is that of the payload.
    Ingest,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Ingest => "ingest",
        }
    }
}

/// What is wrong with a look-up, or with the text of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Longer than [`MAX_TEXT`].
    #[error("a look-up's text is longer than 64 KiB; ask for fewer values")]
    TooLong,
    /// Another version, a line missing, doubled, in another place, or not as it would be written.
    #[error("not the text of a look-up: line {0} is not as it must be")]
    Form(usize),
    /// A name that is none, or too long.
    #[error(
        "a collection, field or role is named by up to 40 of a-z, A-Z, 0-9, _, - and .; a role by a-z, 0-9 and _"
    )]
    Name,
    /// A value that is empty where it must not be, or too long.
    #[error("a tenant, purpose or value of a row rule has 1 to 256 bytes, and no zero byte")]
    Value,
    /// More than is let through.
    #[error("too many rules, values, fields or passages for one look-up")]
    TooMany,
}

/// One look-up, in the sentinel's words.
#[derive(Clone, PartialEq, Eq)]
pub struct Lookup {
    /// What it lets its carrier do.
    pub kind: Kind,
    /// Its name; used once.
    pub grant: [u8; 16],
    /// The pseudonym of whoever it is for.
    pub principal: [u8; 32],
    /// Whose rows.
    pub tenant: String,
    /// What for.
    pub purpose: String,
    /// Where.
    pub collection: String,
    /// The data role that the collection belongs to.
    pub role: String,
    /// SHA-256 of what is asked with, or of what is written.
    pub digest: [u8; 32],
    /// Most passages.
    pub most: u32,
    /// Until when, in seconds since the epoch.
    pub expires_s: u64,
    /// Fields that are not shown.
    pub masked: BTreeSet<String>,
    /// Sensitive fields that are shown.
    pub unmasked: BTreeSet<String>,
    /// A passage qualifies if each of these fields has one of its values.
    pub rows: BTreeMap<String, BTreeSet<String>>,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup({} of {}, most {})", self.kind.word(), self.collection, self.most)
    }
}

impl Lookup {
    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn check(&self) -> Result<(), LookupError> {
        let values = self.rows.values().map(BTreeSet::len).sum::<usize>();
        let fields = self.masked.len().max(self.unmasked.len());
        let many = self.rows.len() > MAX_RULES || values > MAX_VALUES || fields > MAX_FIELDS;
        if many || self.most == 0 || self.most > MAX_PASSAGES {
            return Err(LookupError::TooMany);
        }
        let mut names = self.masked.iter().chain(&self.unmasked).chain(self.rows.keys());
        if !is_name(&self.collection) || !is_role(&self.role) || !names.all(|name| is_name(name)) {
            return Err(LookupError::Name);
        }
        let of_rows = self.rows.values().flatten();
        if [&self.tenant, &self.purpose].into_iter().chain(of_rows).all(|value| is_value(value)) {
            Ok(())
        } else {
            Err(LookupError::Value)
        }
    }

    /// Its one text.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn encode(&self) -> Result<String, LookupError> {
        self.check()?;
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let mut lines = vec![
            VERSION.to_owned(),
            format!("action {}", self.kind.word()),
            format!("grant {}", hex::encode(self.grant)),
            format!("principal {}", hex::encode(self.principal)),
            format!("tenant {}", hex::encode(&self.tenant)),
            format!("purpose {}", hex::encode(&self.purpose)),
            format!("collection {}", self.collection),
            format!("role {}", self.role),
            format!("digest {}", hex::encode(self.digest)),
            format!("most {}", self.most),
            format!("expires {}", self.expires_s),
            format!("masked {}", list(&self.masked)),
            format!("unmasked {}", list(&self.unmasked)),
        ];
        lines.extend(self.rows.iter().map(|(column, values)| {
            let values: Vec<String> = values.iter().map(hex::encode).collect();
            format!("row {column} {}", values.join(","))
        }));
        let text = lines.join("\n");
        if text.len() > MAX_TEXT { Err(LookupError::TooLong) } else { Ok(text) }
    }

    /// Reads what [`Lookup::encode`] wrote.
    ///
    /// # Errors
    /// [`LookupError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, LookupError> {
        if text.len() > MAX_TEXT {
            return Err(LookupError::TooLong);
        }
        let mut lines = Lines { rest: text.split('\n'), number: 0 };
        if lines.rest.next() != Some(VERSION) {
            return Err(LookupError::Form(1));
        }
        lines.number = 1;
        let kind = match lines.after("action ")? {
            "lookup" => Kind::Lookup,
            "ingest" => Kind::Ingest,
            _ => return Err(LookupError::Form(2)),
        };
        let read = Self {
            kind,
            grant: lines.bytes("grant ")?,
            principal: lines.bytes("principal ")?,
            tenant: lines.value("tenant ")?,
            purpose: lines.value("purpose ")?,
            collection: lines.after("collection ")?.to_owned(),
            role: lines.after("role ")?.to_owned(),
            digest: lines.bytes("digest ")?,
            most: lines.number("most ")?,
            expires_s: lines.number("expires ")?,
            masked: lines.names("masked ")?,
            unmasked: lines.names("unmasked ")?,
            rows: lines.rows()?,
        };
        // What is not written back as it was read had another order, leading zeros, capitals or doubles.
        if read.encode()? == text { Ok(read) } else { Err(LookupError::Form(0)) }
    }

    /// Puts the keyed hash to its text.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn sign(&self, key: &LookupKey) -> Result<SignedLookup, LookupError> {
        let text = self.encode()?;
        let tag = hmac::sign(&key.0, text.as_bytes());
        let mut mac = [0; 32];
        mac.copy_from_slice(tag.as_ref());
        Ok(SignedLookup { text, mac })
    }
}

/// The lines of a grant, one after the other.
struct Lines<'a> {
    rest: std::str::Split<'a, char>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn wrong(&self) -> LookupError {
        LookupError::Form(self.number)
    }

    fn after(&mut self, word: &str) -> Result<&'a str, LookupError> {
        self.number += 1;
        self.rest.next().and_then(|line| line.strip_prefix(word)).ok_or_else(|| self.wrong())
    }

    fn bytes<const N: usize>(&mut self, word: &str) -> Result<[u8; N], LookupError> {
        let mut bytes = [0; N];
        let digits = self.after(word)?;
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| self.wrong())?;
        Ok(bytes)
    }

    fn number<T: std::str::FromStr>(&mut self, word: &str) -> Result<T, LookupError> {
        self.after(word)?.parse().map_err(|_| self.wrong())
    }

    fn value(&mut self, word: &str) -> Result<String, LookupError> {
        let digits = self.after(word)?;
        self.text(digits)
    }

    fn text(&self, digits: &str) -> Result<String, LookupError> {
        if digits.len() > 2 * MAX_VALUE {
            return Err(LookupError::Value);
        }
        let bytes = hex::decode(digits).map_err(|_| self.wrong())?;
        String::from_utf8(bytes).map_err(|_| self.wrong())
    }

    fn names(&mut self, word: &str) -> Result<BTreeSet<String>, LookupError> {
        let list = self.after(word)?;
        if list.is_empty() {
            return Ok(BTreeSet::new());
        }
        if list.split(',').count() > MAX_FIELDS {
            return Err(LookupError::TooMany);
        }
        Ok(list.split(',').map(str::to_owned).collect())
    }

    fn rows(&mut self) -> Result<BTreeMap<String, BTreeSet<String>>, LookupError> {
        let mut rows = BTreeMap::new();
        while let Some(line) = self.rest.next() {
            self.number += 1;
            if rows.len() >= MAX_RULES {
                return Err(LookupError::TooMany);
            }
            let rule = line.strip_prefix("row ").and_then(|rule| rule.split_once(' '));
            let (column, list) = rule.ok_or_else(|| self.wrong())?;
            if list.split(',').count() > MAX_VALUES {
                return Err(LookupError::TooMany);
            }
            let values = list.split(',').filter(|_| !list.is_empty()).map(|digits| self.text(digits));
            rows.insert(column.to_owned(), values.collect::<Result<_, _>>()?);
        }
        Ok(rows)
    }
}

/// Whether a collection or field may be called so.
pub fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    letters && !name.is_empty() && name.len() <= MAX_NAME
}

fn is_role(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters && is_name(name)
}

// PostgreSQL's text holds no zero byte.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_VALUE && !value.contains('\0')
}

/// What sentinel and database share.
pub struct LookupKey(hmac::Key);

impl LookupKey {
    /// From its bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey")
    }
}

/// A look-up's text with a keyed hash: an allegation to everybody but the database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLookup {
    /// As [`Lookup::encode`] writes it.
    pub text: String,
    /// HMAC-SHA256 over it.
    pub mac: [u8; 32],
}

impl SignedLookup {
    /// What it says; nothing is verified.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn lookup(&self) -> Result<Lookup, LookupError> {
        Lookup::parse(&self.text)
    }
}

impl fmt::Debug for SignedLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedLookup({} bytes)", self.text.len())
    }
}

/// A vector as pgvector sends it: dimensions and zero in 16 bits each, then each number in 32, all big-endian.
///
/// # Errors
/// [`LookupError::TooMany`] beyond [`MAX_DIMENSIONS`].
pub fn vector(numbers: &[f32]) -> Result<Vec<u8>, LookupError> {
    let dimensions = u16::try_from(numbers.len()).map_err(|_| LookupError::TooMany)?;
    if numbers.len() > MAX_DIMENSIONS {
        return Err(LookupError::TooMany);
    }
    let head = dimensions.to_be_bytes().into_iter().chain([0, 0]);
    Ok(head.chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect())
}

/// The digest of a query vector, as a grant names it.
///
/// # Errors
/// [`LookupError::TooMany`] beyond [`MAX_DIMENSIONS`].
pub fn vector_digest(numbers: &[f32]) -> Result<[u8; 32], LookupError> {
    Ok(payload_digest(&vector(numbers)?))
}

/// SHA-256: the digest of what is written, as a grant names it.
pub fn payload_digest(payload: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&digest::SHA256, payload).as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn lookup() -> Lookup {
        Lookup {
            kind: Kind::Lookup,
            grant: [1; 16],
            principal: [2; 32],
            tenant: "air".into(),
            purpose: "rebooking\nrole other".into(),
            collection: "reservations".into(),
            role: "operations".into(),
            digest: vector_digest(&[1.0, -0.5]).unwrap(),
            most: 20,
            expires_s: 1_793_701_230,
            masked: set(&["meal", "passport"]),
            unmasked: set(&[]),
            rows: BTreeMap::from([
                ("flight".into(), set(&["LH400", "LH401'; drop table x"])),
                ("state".into(), set(&[])),
            ]),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let text = lookup().encode().unwrap();
        assert_eq!(Lookup::parse(&text).unwrap(), lookup());
        assert!(!text.contains("drop table"));
        let read = |from: &str, to: &str| Lookup::parse(&text.replacen(from, to, 1)).err();
        for (from, to) in [
            ("adyton-lookup-1", "adyton-lookup-2"),
            ("action lookup", "action all"),
            ("most 20", "most 020"),
            ("most 20", "most +20"),
            ("masked meal,passport", "masked passport,meal"),
            ("masked meal,passport", "masked meal,meal"),
            ("grant 01", "grant 0g"),
            ("grant 01", "grant 0101"),
            ("role operations\n", ""),
            ("row state ", "row flight "),
        ] {
            assert!(matches!(read(from, to), Some(LookupError::Form(_))), "{from} -> {to}");
        }
        assert_eq!(read("role operations", "role o\"p"), Some(LookupError::Name));
        assert_eq!(read("most 20", "most 0"), Some(LookupError::TooMany));
        assert!(Lookup::parse(&format!("{text}\n")).is_err());
        assert_eq!(Lookup::parse(&"x".repeat(MAX_TEXT + 1)), Err(LookupError::TooLong));
    }

    #[test]
    fn bounds_hold() {
        let with = |change: &dyn Fn(&mut Lookup)| {
            let mut one = lookup();
            change(&mut one);
            one.encode().err()
        };
        assert_eq!(with(&|one| one.tenant.clear()), Some(LookupError::Value));
        assert_eq!(with(&|one| one.tenant = "a\0".into()), Some(LookupError::Value));
        assert_eq!(with(&|one| one.purpose = "x".repeat(257)), Some(LookupError::Value));
        assert_eq!(with(&|one| one.role = "Operations".into()), Some(LookupError::Name));
        assert_eq!(with(&|one| one.collection = "a b".into()), Some(LookupError::Name));
        assert_eq!(with(&|one| one.most = MAX_PASSAGES + 1), Some(LookupError::TooMany));
        let many = (0..=MAX_VALUES).map(|n| n.to_string()).collect::<BTreeSet<_>>();
        assert_eq!(with(&|one| drop(one.rows.insert("x".into(), many.clone()))), Some(LookupError::TooMany));
    }

    #[test]
    fn the_keyed_hash_is_that_of_the_standard() {
        // RFC 4231, test case 2, has a key of 4 bytes; padded with zeros to the block it is the same key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = hmac::sign(&LookupKey::new(&key).0, b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(tag.as_ref()), expected);
        let signed = lookup().sign(&LookupKey::new(&[3; 32])).unwrap();
        assert_eq!(signed.lookup().unwrap(), lookup());
        assert_ne!(signed.mac, lookup().sign(&LookupKey::new(&[4; 32])).unwrap().mac);
        assert_eq!(vector(&[1.0]).unwrap(), [0, 1, 0, 0, 0x3f, 0x80, 0, 0]);
    }
}
