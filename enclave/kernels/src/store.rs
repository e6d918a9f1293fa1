//! One piece of memory for all packed weights, in lines of 64 bytes.
//!
//! Promises: its size is said before it is made, and it never grows. On Linux it asks for pages of 2 MiB: a step reads all
//! weights once, and with small pages the processor waits for page tables.

use std::ops::Range;
use thiserror::Error;

/// Bytes of a line: one vector, one cache line.
pub(crate) const LINE: usize = 64;

/// 64 bytes at an address that is a multiple of 64.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE]);

/// More was put into a [`Store`] than was said when it was made, or it cannot be had at all.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The system gives no such memory.
    #[error("no memory for {0} bytes of weights")]
    Refused(usize),
    /// It was made for less.
    #[error("the weights need more memory than was counted for them")]
    Full,
}

/// Memory of packed weights. Matrices are places in it.
pub struct Store {
    lines: Vec<Line>,
}

impl Store {
    /// Room for this many bytes, rounded up to whole lines for each of the matrices that will be put in.
    ///
    /// # Errors
    /// [`StoreError::Refused`]
    pub fn with_capacity(bytes: usize) -> Result<Store, StoreError> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(bytes.div_ceil(LINE)).map_err(|_| StoreError::Refused(bytes))?;
        advise(&lines);
        Ok(Store { lines })
    }

    /// Bytes put in.
    pub fn bytes(&self) -> usize {
        self.lines.len() * LINE
    }

    /// Takes room for `bytes` zeros, in whole lines.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Range<usize>, StoreError> {
        let (start, count) = (self.lines.len(), bytes.div_ceil(LINE));
        if self.lines.capacity() - start < count {
            return Err(StoreError::Full);
        }
        self.lines.resize(start + count, Line([0; LINE]));
        Ok(start..start + count)
    }

    pub(crate) fn lines(&self, range: Range<usize>) -> &[Line] {
        self.lines.get(range).unwrap_or_default()
    }

    pub(crate) fn lines_mut(&mut self, range: Range<usize>) -> &mut [Line] {
        self.lines.get_mut(range).unwrap_or_default()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({} bytes)", self.bytes())
    }
}

/// Asks for large pages. It is a wish; nothing depends on it.
#[cfg(target_os = "linux")]
fn advise(lines: &Vec<Line>) {
    const PAGE: usize = 4096;
    let start = lines.as_ptr().cast::<u8>().cast_mut();
    let skip = start.align_offset(PAGE);
    let bytes = (lines.capacity() * LINE).saturating_sub(skip) / PAGE * PAGE;
    if bytes == 0 {
        return;
    }
    // SAFETY: the range is whole pages inside this allocation, and this advice changes no contents.
    let _wish = unsafe {
        rustix::mm::madvise(start.wrapping_add(skip).cast(), bytes, rustix::mm::Advice::LinuxHugepage)
    };
}

#[cfg(not(target_os = "linux"))]
fn advise(_lines: &Vec<Line>) {}
