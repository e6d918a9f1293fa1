//! Reads the DER that certificates are made of, one element after another.
//!
//! # Promises
//! - Only definite lengths in their shortest form and tags of one byte; nothing is copied or allocated.
//!
//! # Does not
//! - Know what a certificate is; that is [`crate::x509`].
//!
//! # Trusts
//! - Nobody.
//!
//! Source: X.690 (DER), sections 8.1 and 10.

/// INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub(crate) const OID: u8 = 0x06;
/// SEQUENCE, constructed.
pub(crate) const SEQUENCE: u8 = 0x30;
/// UTCTime.
pub(crate) const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// The bytes are not the DER that was expected at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// The identifier byte.
    pub(crate) tag: u8,
    /// The content alone.
    pub(crate) content: &'a [u8],
    /// Identifier, length and content, as they stand in the input.
    pub(crate) whole: &'a [u8],
}

/// A cursor over elements that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), NotDer> {
        if self.0.is_empty() { Ok(()) } else { Err(NotDer) }
    }

    /// The tag of the next element, if there is one.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, NotDer> {
        let before = self.0;
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            return Err(NotDer);
        }
        let len = self.length()?;
        let (content, rest) = self.0.split_at_checked(len).ok_or(NotDer)?;
        self.0 = rest;
        let used = before.len().checked_sub(rest.len()).ok_or(NotDer)?;
        Ok(Element { tag, content, whole: before.get(..used).ok_or(NotDer)? })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, NotDer> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(NotDer) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, NotDer> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// A cursor over the content of the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Reader<'a>, NotDer> {
        self.expect(tag).map(|element| Reader(element.content))
    }

    fn byte(&mut self) -> Result<u8, NotDer> {
        let (first, rest) = self.0.split_first().ok_or(NotDer)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A length of at most two bytes: a certificate is far below 64 KiB.
    fn length(&mut self) -> Result<usize, NotDer> {
        match self.byte()? {
            short @ 0..=0x7f => Ok(usize::from(short)),
            0x81 => match self.byte()? {
                0..=0x7f => Err(NotDer),
                len => Ok(usize::from(len)),
            },
            0x82 => match u16::from_be_bytes([self.byte()?, self.byte()?]) {
                0..=0xff => Err(NotDer),
                len => Ok(usize::from(len)),
            },
            _ => Err(NotDer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shortest_definite_lengths() {
        for bad in [
            &[0x30u8, 0x80][..],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x1f, 0x00],
            &[0x30],
        ] {
            assert!(Reader::new(bad).any().is_err(), "{bad:02x?}");
        }
        let element = Reader::new(&[0x04, 0x01, 0xaa, 0x00]).any().unwrap();
        assert_eq!((element.tag, element.content, element.whole.len()), (OCTET_STRING, &[0xaa][..], 3));
    }
}
