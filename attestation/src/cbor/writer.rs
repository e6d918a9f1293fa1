//! Writes CBOR, each item in its shortest form.
//!
//! # Promises
//! - Definite lengths and shortest forms only (RFC 8949, section 4.2.1).
//!
//! # Does not
//! - Count entries or sort keys; the caller does both.
//!
//! # Trusts
//! - Its caller.

/// Writes CBOR in shortest form. The caller counts its own entries and orders its own keys.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(2, bytes.len() as u64).raw(bytes)
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(3, text.len() as u64).raw(text.as_bytes())
    }

    /// The head of an array of `len` items.
    pub fn array(&mut self, len: u64) -> &mut Self {
        self.head(4, len)
    }

    /// The head of a map of `len` entries.
    pub fn map(&mut self, len: u64) -> &mut Self {
        self.head(5, len)
    }

    /// False or true.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(&[if value { 0xf5 } else { 0xf4 }])
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.raw(&[0xf6])
    }

    /// Bytes that are CBOR already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let top = major << 5;
        let be = argument.to_be_bytes();
        let (info, width) = match argument {
            0..=23 => return self.raw(&[top | be.last().copied().unwrap_or(0)]),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.raw(&[top | info]).raw(be.get(8usize.saturating_sub(width)..).unwrap_or_default())
    }
}
