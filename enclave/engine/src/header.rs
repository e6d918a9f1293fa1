//! Reads a GGUF header within bounds, before the tensor library sees it.
//!
//! Promises
//! - Memory stays below a small multiple of [`Limits::max_header_bytes`], whatever the file says about itself.
//! - What it lets through parses in candle: every count, length, type, nesting and alignment was checked, every name
//!   is unique, every tensor lies inside the file, and all tensors together are no larger than the file.
//! - Any other file is a [`LoadError`], never a panic.
//!
//! Does not: look at the meaning of metadata (see `config`) or at the numbers inside tensors.
//!
//! Trusts: nothing. Format: ggml, `docs/gguf.md`, "File Structure".

use crate::error::{LoadError, brief};
use candle_core::quantized::GgmlDType;
use std::collections::HashSet;
use std::io::Read;

/// Bounds on a model file. [`Limits::default`] fits models with vocabularies of up to 256 Ki tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest header, in bytes: metadata and tensor table together. Llama 3 needs 8 MiB.
    pub max_header_bytes: u64,
    /// Most metadata keys.
    pub max_metadata: u64,
    /// Most tensors.
    pub max_tensors: u64,
    /// Most array elements over all metadata. candle spends 32 bytes on each.
    pub max_array_elements: u64,
    /// Most tokens of context that a sequence may use, whatever the model allows.
    pub max_context: usize,
    /// Most memory, in bytes, for weights, work and the keys and values of one short sequence.
    pub max_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_header_bytes: 48 << 20,
            max_metadata: 1024,
            max_tensors: 8192,
            max_array_elements: 2 << 20,
            max_context: 1 << 17,
            max_memory: usize::MAX,
        }
    }
}

/// One row of the tensor table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorEntry {
    /// Name, as in the file.
    pub(crate) name: String,
    /// Shape, slowest dimension first (GGUF stores the fastest first).
    pub(crate) shape: Vec<u64>,
    /// Bytes of data.
    pub(crate) bytes: u64,
    /// Bytes from the start of the data section.
    offset: u64,
}

/// A header that passed.
#[derive(Debug)]
pub(crate) struct Header {
    /// The header's own bytes, for candle's parser: it must see the very bytes that were checked.
    pub(crate) bytes: Vec<u8>,
    /// The tensor table.
    pub(crate) tensors: Vec<TensorEntry>,
}

/// ggml/docs/gguf.md: "general.alignment" is 32 when absent.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Longest metadata key, in bytes (gguf.md: 2^16 - 1) and tensor name (gguf.md: 64).
const MAX_KEY: u64 = 65_535;
const MAX_NAME: u64 = 64;
/// GGML_MAX_DIMS in ggml.h.
const MAX_DIMS: u32 = 4;
/// Largest extent of one tensor dimension: keeps every product of four of them inside the checks below.
const MAX_DIM: u64 = 1 << 32;

/// Reads and checks the header of a file of `size` bytes, from its first byte on.
pub(crate) fn read<R: Read>(reader: R, size: u64, limits: &Limits) -> Result<Header, LoadError> {
    let mut walk = Walk { reader, size, limits, bytes: Vec::new(), elements: 0 };
    if walk.take(4)? != *b"GGUF" {
        return Err(LoadError::NotGguf);
    }
    let version = walk.u32()?;
    if !(2..=3).contains(&version) {
        return Err(LoadError::Version(version));
    }
    let tensor_count = walk.count("the number of tensors", limits.max_tensors)?;
    let metadata_count = walk.count("the number of metadata keys", limits.max_metadata)?;
    let alignment = walk.metadata(metadata_count)?;
    let tensors = walk.tensor_table(tensor_count)?;
    let data_start = (walk.bytes.len() as u64).next_multiple_of(alignment);
    check_extents(&tensors, data_start, alignment, size)?;
    Ok(Header { bytes: walk.bytes, tensors })
}

fn check_extents(tensors: &[TensorEntry], start: u64, align: u64, size: u64) -> Result<(), LoadError> {
    let room = size.saturating_sub(start);
    let mut total = 0u64;
    for tensor in tensors {
        let outside = || LoadError::TensorOutside(brief(&tensor.name));
        if !tensor.offset.is_multiple_of(align) {
            return Err(LoadError::Malformed("a tensor offset is not aligned"));
        }
        let end = tensor.offset.checked_add(tensor.bytes).ok_or_else(outside)?;
        if end > room {
            return Err(outside());
        }
        // Tensors that overlap could make a small file fill a large memory.
        total = total.saturating_add(tensor.bytes);
        if total > room {
            return Err(LoadError::Malformed("the tensors overlap"));
        }
    }
    Ok(())
}

struct Walk<'a, R> {
    reader: R,
    size: u64,
    limits: &'a Limits,
    bytes: Vec<u8>,
    elements: u64,
}

impl<R: Read> Walk<'_, R> {
    /// Reads `n` bytes, keeps them, and returns them.
    fn take(&mut self, n: u64) -> Result<&[u8], LoadError> {
        let at = self.bytes.len() as u64;
        let end = at.saturating_add(n);
        if end > self.size {
            return Err(LoadError::Truncated { at });
        }
        let limit = self.limits.max_header_bytes;
        if end > limit {
            return Err(LoadError::TooLarge { what: "the header's length in bytes", found: end, limit });
        }
        let read = self.reader.by_ref().take(n).read_to_end(&mut self.bytes)?;
        if read as u64 != n {
            return Err(LoadError::Truncated { at: at.saturating_add(read as u64) });
        }
        Ok(self.bytes.get(at as usize..).unwrap_or_default())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| LoadError::Malformed("a number is cut short"))
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, LoadError> {
        let found = self.u64()?;
        if found > limit { Err(LoadError::TooLarge { what, found, limit }) } else { Ok(found) }
    }

    fn string(&mut self, what: &'static str, limit: u64) -> Result<&str, LoadError> {
        let length = self.count(what, limit)?;
        let text = std::str::from_utf8(self.take(length)?);
        let text = text.map_err(|_| LoadError::Malformed("a string is not UTF-8"))?;
        // candle drops trailing NULs, so two names that differ to us would be one to it.
        if text.contains('\0') { Err(LoadError::Malformed("a string holds a NUL")) } else { Ok(text) }
    }

    /// Walks the metadata and returns the alignment.
    fn metadata(&mut self, count: u64) -> Result<u64, LoadError> {
        let mut alignment = DEFAULT_ALIGNMENT;
        let mut seen = HashSet::new();
        for _ in 0..count {
            let key = self.string("the length of a metadata key", MAX_KEY)?.to_owned();
            let kind = self.u32()?;
            if key == "general.alignment" {
                alignment = self.alignment(kind)?;
            } else {
                self.value(kind)?;
            }
            if let Some(key) = seen.replace(key) {
                return Err(LoadError::Duplicate(brief(&key)));
            }
        }
        Ok(alignment)
    }

    fn alignment(&mut self, kind: u32) -> Result<u64, LoadError> {
        let wrong = |why| LoadError::BadValue { key: "general.alignment".to_owned(), why };
        if kind != 4 {
            return Err(wrong("not an unsigned 32-bit number"));
        }
        let value = u64::from(self.u32()?);
        // gguf.md asks for a multiple of 8; every writer uses powers of two. Zero would divide by zero.
        let fits = value.is_power_of_two() && (8..=65_536).contains(&value);
        if fits { Ok(value) } else { Err(wrong("not a power of two from 8 to 65536")) }
    }

    fn value(&mut self, kind: u32) -> Result<(), LoadError> {
        match kind {
            8 => self.string("the length of a metadata string", self.limits.max_header_bytes).map(|_| ()),
            9 => self.values(),
            7 => self.bools(1),
            _ => self.take(width(kind)?).map(|_| ()),
        }
    }

    fn values(&mut self) -> Result<(), LoadError> {
        let kind = self.u32()?;
        let count = self.count("the length of a metadata array", self.limits.max_array_elements)?;
        let found = self.elements.saturating_add(count);
        let limit = self.limits.max_array_elements;
        if found > limit {
            return Err(LoadError::TooLarge { what: "array elements over all metadata", found, limit });
        }
        self.elements = found;
        match kind {
            8 => (0..count).try_for_each(|_| self.value(8)),
            9 => Err(LoadError::Malformed("an array holds arrays")),
            7 => self.bools(count),
            _ => self.take(count.saturating_mul(width(kind)?)).map(|_| ()),
        }
    }

    fn bools(&mut self, count: u64) -> Result<(), LoadError> {
        let fits = self.take(count)?.iter().all(|b| *b <= 1);
        if fits { Ok(()) } else { Err(LoadError::Malformed("a truth value is neither 0 nor 1")) }
    }

    fn tensor_table(&mut self, count: u64) -> Result<Vec<TensorEntry>, LoadError> {
        let mut tensors = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..count {
            let tensor = self.tensor()?;
            if !seen.insert(tensor.name.clone()) {
                return Err(LoadError::Duplicate(brief(&tensor.name)));
            }
            tensors.push(tensor);
        }
        Ok(tensors)
    }

    fn tensor(&mut self) -> Result<TensorEntry, LoadError> {
        let name = self.string("the length of a tensor name", MAX_NAME)?.to_owned();
        let rank = self.u32()?;
        if !(1..=MAX_DIMS).contains(&rank) {
            return Err(LoadError::Malformed("a tensor has no dimension, or more than four"));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            let extent = self.u64()?;
            if !(1..=MAX_DIM).contains(&extent) {
                return Err(LoadError::Malformed("a tensor dimension is zero or too large"));
            }
            shape.push(extent);
        }
        let id = self.u32()?;
        let offset = self.u64()?;
        let kind = tensor_type(id).ok_or_else(|| LoadError::TensorType { tensor: brief(&name), id })?;
        let bytes = extent_bytes(&shape, kind).ok_or_else(|| LoadError::TensorOutside(brief(&name)))?;
        shape.reverse();
        Ok(TensorEntry { name, shape, bytes, offset })
    }
}

/// Bytes of a tensor; `None` if a row is not a whole number of blocks, or on overflow. `shape` is fastest first.
fn extent_bytes(shape: &[u64], kind: GgmlDType) -> Option<u64> {
    let block = kind.block_size() as u64;
    let row = shape.first()?;
    if !row.is_multiple_of(block) {
        return None;
    }
    let elements = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    (elements / block).checked_mul(kind.type_size() as u64)
}

/// Bytes of a metadata value of fixed width (gguf.md, `gguf_metadata_value_type`).
fn width(kind: u32) -> Result<u64, LoadError> {
    match kind {
        0 | 1 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(LoadError::Malformed("a metadata value has an unknown type")),
    }
}

/// The tensor types that candle can multiply (ggml.h, `ggml_type`).
fn tensor_type(id: u32) -> Option<GgmlDType> {
    Some(match id {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
