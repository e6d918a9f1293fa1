//! The image format EIF, version 4.
//!
//! ```text
//! file    = header section*
//! header  = ".eif" version:u16=4 flags:u16 memory:u64 cpus:u64 reserved:u16 sections:u16
//!           offsets:[u64; 32] sizes:[u64; 32] unused:u32 crc:u32            (548 bytes)
//! section = kind:u16 flags:u16 size:u64 data                                (12 bytes and the data)
//! ```
//!
//! All integers are big-endian. An offset is that of a section's header, a size that of its data. The CRC-32 is over the whole
//! file but for itself. Kinds: 1 kernel, 2 command line, 3 ramdisk, 4 signature, 5 metadata.
//!
//! Source: AWS's crate `aws-nitro-enclaves-image-format` 0.8.1, `defs/mod.rs` and `utils/mod.rs`.
//!
//! Promises
//! - [`read`] accepts nothing but what [`write()`] could have written, and a signature behind it: sections without a gap, in their
//!   order, to the end of the file.
//!
//! Trusts: nothing of a file that it reads.

use thiserror::Error;

/// Bytes of the header.
pub const HEADER_LEN: usize = 548;
/// Bytes in front of each section.
pub const SECTION_HEADER_LEN: usize = 12;
/// Most sections of an image (`MAX_NUM_SECTIONS`).
pub const MAX_SECTIONS: usize = 32;

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
/// What AWS's own builder writes: one gibibyte and two processors. Whoever starts an image says his own numbers.
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_CPUS: u64 = 2;
/// Where the header's checksum stands.
const CRC_AT: usize = HEADER_LEN - 4;

/// The parts of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A bzImage.
    pub kernel: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
    /// JSON that describes the image. Not measured.
    pub metadata: Vec<u8>,
    /// The ramdisks. The first belongs to the boot (PCR1), the others are the application (PCR2).
    pub ramdisks: Vec<Vec<u8>>,
}

/// Why an image was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EifError {
    /// More ramdisks than the format has room for, or none.
    #[error("an image has at least one ramdisk and at most 32 sections")]
    Sections,
    /// It does not begin as an image of version 4.
    #[error("not an enclave image of version 4")]
    Form,
    /// A section is not where, or not as long as, the header says.
    #[error("a section is not where the header says, or the file is cut")]
    Place,
    /// Sections in another order, of an unknown kind, or text that is none.
    #[error("a section that does not belong where it is")]
    Kind,
    /// The checksum does not fit.
    #[error("the checksum does not fit: the file is damaged")]
    Checksum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kernel = 1,
    CommandLine = 2,
    Ramdisk = 3,
    Signature = 4,
    Metadata = 5,
}

impl Kind {
    fn of(number: u16) -> Option<Kind> {
        [Kind::Kernel, Kind::CommandLine, Kind::Ramdisk, Kind::Signature, Kind::Metadata]
            .into_iter()
            .find(|kind| *kind as u16 == number)
    }
}

/// Writes an image.
///
/// # Errors
/// [`EifError::Sections`]
pub fn write(parts: &Parts) -> Result<Vec<u8>, EifError> {
    let fixed = [
        (Kind::Kernel, parts.kernel.as_slice()),
        (Kind::CommandLine, parts.command_line.as_bytes()),
        (Kind::Metadata, parts.metadata.as_slice()),
    ];
    let ramdisks = parts.ramdisks.iter().map(|ramdisk| (Kind::Ramdisk, ramdisk.as_slice()));
    let sections: Vec<(Kind, &[u8])> = fixed.into_iter().chain(ramdisks).collect();
    if parts.ramdisks.is_empty() || sections.len() > MAX_SECTIONS {
        return Err(EifError::Sections);
    }
    let mut file = header(&sections);
    for (kind, data) in &sections {
        file.extend((*kind as u16).to_be_bytes());
        file.extend([0; 2]);
        file.extend((data.len() as u64).to_be_bytes());
        file.extend(*data);
    }
    let crc = checksum(&file).to_be_bytes();
    if let Some(place) = file.get_mut(CRC_AT..HEADER_LEN) {
        place.copy_from_slice(&crc);
    }
    Ok(file)
}

/// The header, its checksum still zero.
fn header(sections: &[(Kind, &[u8])]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend(MAGIC);
    header.extend(VERSION.to_be_bytes());
    header.extend([0; 2]);
    header.extend(DEFAULT_MEMORY.to_be_bytes());
    header.extend(DEFAULT_CPUS.to_be_bytes());
    header.extend([0; 2]);
    header.extend((sections.len() as u16).to_be_bytes());
    let mut offset = HEADER_LEN as u64;
    let (mut offsets, mut sizes) = ([0_u64; MAX_SECTIONS], [0_u64; MAX_SECTIONS]);
    for ((place, size), (_, data)) in offsets.iter_mut().zip(&mut sizes).zip(sections) {
        (*place, *size) = (offset, data.len() as u64);
        offset += (SECTION_HEADER_LEN + data.len()) as u64;
    }
    header.extend(offsets.iter().chain(&sizes).flat_map(|number| number.to_be_bytes()));
    header.resize(HEADER_LEN, 0);
    header
}

/// Over everything but the checksum itself.
fn checksum(file: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(file.get(..CRC_AT).unwrap_or_default());
    crc.update(file.get(HEADER_LEN..).unwrap_or_default());
    crc.finalize()
}

/// Reads an image.
///
/// # Errors
/// [`EifError`] if it is none, or damaged.
pub fn read(file: &[u8]) -> Result<Parts, EifError> {
    let header = file.get(..HEADER_LEN).ok_or(EifError::Form)?;
    if header.get(..4) != Some(MAGIC) || u16_at(header, 4) != Some(VERSION) {
        return Err(EifError::Form);
    }
    if u32_at(header, CRC_AT) != Some(checksum(file)) {
        return Err(EifError::Checksum);
    }
    let count = usize::from(u16_at(header, 26).ok_or(EifError::Form)?);
    if !(4..=MAX_SECTIONS).contains(&count) {
        return Err(EifError::Sections);
    }
    let mut found = Vec::with_capacity(count);
    let mut at = HEADER_LEN;
    for number in 0..count {
        let (kind, data) = section(file, header, number, at)?;
        at += SECTION_HEADER_LEN + data.len();
        found.push((kind, data));
    }
    if at != file.len() {
        return Err(EifError::Place);
    }
    assemble(&found)
}

/// The section with a number, which must begin here.
fn section<'a>(
    file: &'a [u8],
    header: &[u8],
    number: usize,
    at: usize,
) -> Result<(Kind, &'a [u8]), EifError> {
    let said = |from: usize| u64_at(header, from + 8 * number).ok_or(EifError::Form);
    let (offset, size) = (said(28)?, said(28 + 8 * MAX_SECTIONS)?);
    let front = file.get(at..at.saturating_add(SECTION_HEADER_LEN)).ok_or(EifError::Place)?;
    if offset != at as u64 || u64_at(front, 4) != Some(size) {
        return Err(EifError::Place);
    }
    let size = usize::try_from(size).map_err(|_| EifError::Place)?;
    let start = at + SECTION_HEADER_LEN;
    let data = start.checked_add(size).and_then(|end| file.get(start..end)).ok_or(EifError::Place)?;
    Ok((u16_at(front, 0).and_then(Kind::of).ok_or(EifError::Kind)?, data))
}

fn assemble(sections: &[(Kind, &[u8])]) -> Result<Parts, EifError> {
    let [(Kind::Kernel, kernel), (Kind::CommandLine, line), (Kind::Metadata, metadata), rest @ ..] = sections
    else {
        return Err(EifError::Kind);
    };
    // A signature may follow the ramdisks: it signs the registers, and is no part of them.
    let ramdisks = match rest {
        [ramdisks @ .., (Kind::Signature, _)] => ramdisks,
        all => all,
    };
    if ramdisks.is_empty() || ramdisks.iter().any(|(kind, _)| *kind != Kind::Ramdisk) {
        return Err(EifError::Kind);
    }
    Ok(Parts {
        kernel: kernel.to_vec(),
        command_line: String::from_utf8(line.to_vec()).map_err(|_| EifError::Kind)?,
        metadata: metadata.to_vec(),
        ramdisks: ramdisks.iter().map(|(_, data)| data.to_vec()).collect(),
    })
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts {
            kernel: b"kernel".to_vec(),
            command_line: "console=ttyS0".into(),
            metadata: b"{}".to_vec(),
            ramdisks: vec![b"boot".to_vec(), b"application".to_vec()],
        }
    }

    /// The checksum of a file that was changed, so that the change is what is refused.
    fn mended(mut file: Vec<u8>) -> Vec<u8> {
        let crc = checksum(&file).to_be_bytes();
        file[CRC_AT..HEADER_LEN].copy_from_slice(&crc);
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let file = write(&parts()).unwrap();
        assert_eq!(read(&file), Ok(parts()));
        assert_eq!(write(&parts()).unwrap(), file);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let file = write(&parts()).unwrap();
        for bit in 0..8 * file.len() {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_and_every_appendix_is_refused() {
        let file = write(&parts()).unwrap();
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "cut at {end}");
            if end >= HEADER_LEN {
                assert!(read(&mended(file[..end].to_vec())).is_err(), "cut at {end}, checksum mended");
            }
        }
        assert_eq!(read(&mended([file, vec![0]].concat())), Err(EifError::Place));
    }

    #[test]
    fn a_file_that_lies_about_lengths_is_refused() {
        let file = write(&parts()).unwrap();
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = file.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            read(&mended(bad))
        };
        assert_eq!(with(26, &[0, 33]), Err(EifError::Sections), "more sections than the table has");
        assert_eq!(with(26, &[0, 3]), Err(EifError::Sections));
        assert_eq!(with(28 + 7, &[0]), Err(EifError::Place), "an offset elsewhere");
        let huge = u64::MAX.to_be_bytes();
        assert_eq!(with(28 + 8 * MAX_SECTIONS, &huge), Err(EifError::Place), "a size in the header alone");
        let mut bad = file.clone();
        bad[28 + 8 * MAX_SECTIONS..][..8].copy_from_slice(&huge);
        bad[HEADER_LEN + 4..][..8].copy_from_slice(&huge);
        assert_eq!(read(&mended(bad)), Err(EifError::Place), "a size in both");
        assert_eq!(with(HEADER_LEN, &[0, 9]), Err(EifError::Kind), "a kind that there is not");
        assert_eq!(with(HEADER_LEN, &[0, 2]), Err(EifError::Kind), "a kind that does not belong here");
    }

    #[test]
    fn an_image_without_a_ramdisk_or_with_too_many_is_not_written() {
        for count in [0, MAX_SECTIONS - 2] {
            let bad = Parts { ramdisks: vec![Vec::new(); count], ..parts() };
            assert_eq!(write(&bad), Err(EifError::Sections), "{count} ramdisks");
        }
    }
}
