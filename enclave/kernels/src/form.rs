//! The forms that weights are packed in: how a group of 32 values lies in memory, and how a kernel reads it.
//!
//! A matrix is cut into strips of 16 rows; a strip is a run of groups, each 32 columns wide. A group's codes lie so that one
//! line of 64 bytes holds four columns of all sixteen rows (byte `4 * row + column % 4`), which is what an integer dot
//! product of sixteen lanes eats. A quad is four columns; a group has eight.
//!
//! ```text
//! codes, 4 bits:  line i holds quad 2i in its low halves and quad 2i+1 in its high ones     4 lines a group
//!        5, 6:    further lines hold the fifth bit of all eight quads, or bits 5 and 6 of four  + 1 or 2
//!        8:       line i holds quad i, signed                                               8 lines
//! ```
//!
//! Promises: every number of a ggml block is kept as it is; a product differs from the one in f32 by the rounding of
//! activations and of sums only.
//!
//! Block formats: ggml, `ggml-common.h`, and the decoders in `ggml-quants.c`.

use crate::simd::{LANES, Simd};
use crate::store::{LINE, Line};
use half::f16;

/// Columns of a group, and of a ggml block of the older formats.
pub(crate) const GROUP: usize = 32;
/// Quads of a group.
pub(crate) const QUADS: usize = 8;
/// Groups of a ggml super-block of 256 columns (the K formats).
pub(crate) const GROUPS_OF_SUPER: usize = 8;
/// Lines of the scales of one super-block of a strip: the factors, and sixteen bytes twice for each group.
const NESTED_LINES: usize = 1 + GROUPS_OF_SUPER / 2;

/// A number format of weights (ggml.h, `ggml_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ggml's
pub enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
    F16,
    F32,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 10] = [
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
        Format::F16,
        Format::F32,
    ];

    /// Columns of a block, and its bytes in a file.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Format::Q4_0 => (32, 18),
            Format::Q4_1 => (32, 20),
            Format::Q5_0 => (32, 22),
            Format::Q5_1 => (32, 24),
            Format::Q8_0 => (32, 34),
            Format::Q4K => (256, 144),
            Format::Q5K => (256, 176),
            Format::Q6K => (256, 210),
            Format::F16 => (1, 2),
            Format::F32 => (1, 4),
        }
    }

    /// True if weights are codes, multiplied with activations of 8 bits; false if they are floats.
    pub const fn is_quantised(self) -> bool {
        !matches!(self, Format::F16 | Format::F32)
    }

    /// Lines of the codes, or numbers, of a strip.
    pub(crate) const fn code_lines(self, columns: usize) -> usize {
        match self {
            Format::Q4_0 | Format::Q4_1 | Format::Q4K => columns / GROUP * 4,
            Format::Q5_0 | Format::Q5_1 | Format::Q5K => columns / GROUP * 5,
            Format::Q6K => columns / GROUP * 6,
            Format::Q8_0 => columns / GROUP * 8,
            Format::F16 => columns.div_ceil(2),
            Format::F32 => columns,
        }
    }

    /// Lines of the scales of a strip.
    pub(crate) const fn scale_lines(self, columns: usize) -> usize {
        match self {
            Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => (columns / GROUP).div_ceil(2),
            Format::Q4_1 | Format::Q5_1 => columns / GROUP,
            Format::Q4K | Format::Q5K | Format::Q6K => columns / GROUP / GROUPS_OF_SUPER * NESTED_LINES,
            Format::F16 | Format::F32 => 0,
        }
    }
}

/// How a kernel reads a group: codes of `BITS` bits less `BIAS`, scaled as `T` says.
pub(crate) struct Form<const BITS: usize, const BIAS: i32, T>(std::marker::PhantomData<T>);

/// What [`Form`] offers to the kernel.
pub(crate) trait Read {
    /// Lines of a group's codes.
    const LINES: usize;
    /// The largest code; 0 stands for signed bytes.
    const MAX: u8;
    /// What is taken off each code.
    const BIAS: i32;
    /// The scales.
    type Scales: Scales;
    /// The eight quads of a group.
    fn quads<S: Simd>(s: S, lines: &[Line]) -> [S::W; QUADS];
}

/// How the scales of a group are kept.
pub(crate) trait Scales {
    /// Whether the second number is an offset.
    const OFFSET: bool;
    /// Whether the second number is the scale of the second sixteen columns.
    const SPLIT: bool;
    /// Lines of eight groups.
    const LINES: usize;
    /// The two numbers of a group, for each row; the second is 0 if it is neither.
    fn read<S: Simd>(s: S, strip: &[Line], group: usize) -> (S::F, S::F);
}

/// One f16 a row: `scale * code`.
pub(crate) struct Flat;
/// Two f16 a row: `scale * code + offset`.
pub(crate) struct Offset;
/// Two bytes a row, and two f16 for each super-block: `d * s * code - m * o`.
pub(crate) struct Nested;
/// A signed byte for each sixteen columns, and an f16 for each super-block: `d * s * code`.
pub(crate) struct Split;

impl Scales for Flat {
    const OFFSET: bool = false;
    const SPLIT: bool = false;
    const LINES: usize = GROUPS_OF_SUPER / 2;
    #[inline(always)]
    fn read<S: Simd>(s: S, strip: &[Line], group: usize) -> (S::F, S::F) {
        (s.load_half_bytes(&halves(strip, group / 2)[group % 2]), s.splat(0.0))
    }
}

impl Scales for Offset {
    const OFFSET: bool = true;
    const SPLIT: bool = false;
    const LINES: usize = GROUPS_OF_SUPER;
    #[inline(always)]
    fn read<S: Simd>(s: S, strip: &[Line], group: usize) -> (S::F, S::F) {
        let both = halves(strip, group);
        (s.load_half_bytes(&both[0]), s.load_half_bytes(&both[1]))
    }
}

impl Scales for Nested {
    const OFFSET: bool = true;
    const SPLIT: bool = false;
    const LINES: usize = NESTED_LINES;
    #[inline(always)]
    fn read<S: Simd>(s: S, strip: &[Line], group: usize) -> (S::F, S::F) {
        let (factors, [scale, offset]) = nested(strip, group);
        let (d, m) = (s.load_half_bytes(&factors[0]), s.load_half_bytes(&factors[1]));
        (s.mul(d, s.widen(scale)), s.mul(m, s.widen(offset)))
    }
}

impl Scales for Split {
    const OFFSET: bool = false;
    const SPLIT: bool = true;
    const LINES: usize = NESTED_LINES;
    #[inline(always)]
    fn read<S: Simd>(s: S, strip: &[Line], group: usize) -> (S::F, S::F) {
        let (factors, [first, second]) = nested(strip, group);
        let d = s.load_half_bytes(&factors[0]);
        (s.mul(d, s.widen_signed(first)), s.mul(d, s.widen_signed(second)))
    }
}

/// A line as two times sixteen f16.
#[inline(always)]
fn halves(strip: &[Line], line: usize) -> &[[u8; 2 * LANES]] {
    strip[line].0.as_chunks().0
}

/// The factors and the two rows of bytes of a group.
#[inline(always)]
fn nested(strip: &[Line], group: usize) -> (&[[u8; 2 * LANES]], [&[u8; LANES]; 2]) {
    let line = group / GROUPS_OF_SUPER * NESTED_LINES;
    let within = group % GROUPS_OF_SUPER;
    let bytes = strip[line + 1 + within / 2].0.as_chunks::<LANES>().0;
    let at = within % 2 * 2;
    (halves(strip, line), [&bytes[at], &bytes[at + 1]])
}

impl<const BITS: usize, const BIAS: i32, T: Scales> Read for Form<BITS, BIAS, T> {
    const LINES: usize = if BITS == 8 { 8 } else { BITS };
    const MAX: u8 = if BITS == 8 { 0 } else { (1 << BITS) - 1 };
    const BIAS: i32 = BIAS;
    type Scales = T;

    #[inline(always)]
    fn quads<S: Simd>(s: S, lines: &[Line]) -> [S::W; QUADS] {
        let mut quads = [s.bytes(&lines[0].0); QUADS];
        if BITS == 8 {
            for q in 1..QUADS {
                quads[q] = s.bytes(&lines[q].0);
            }
            return quads;
        }
        for i in 0..QUADS / 2 {
            (quads[2 * i], quads[2 * i + 1]) = s.nibbles(&lines[i].0);
        }
        for q in 0..QUADS {
            match BITS {
                5 => quads[q] = s.raise(quads[q], &lines[4].0, q, 1),
                6 => quads[q] = s.raise(quads[q], &lines[4 + q / 4].0, q % 4 * 2, 3),
                _ => {}
            }
        }
        quads
    }
}

/// The codes and scales of one row of one group, on the way from a file's block into a strip.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decoded {
    /// As the file has them; for Q8_0 the bits of signed bytes.
    pub(crate) codes: [u8; GROUP],
    /// The row's own scale and offset, as f16; of the K formats the super-block's.
    pub(crate) halves: [u16; 2],
    /// The K formats' scales within the super-block.
    pub(crate) bytes: [u8; 2],
}

/// Reads a block of a row: one group, or eight.
pub(crate) fn decode(format: Format, block: &[u8], out: &mut [Decoded]) {
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    match format {
        Format::Q4_0 => out[0] = simple([half(0), 0], 0, &block[2..]),
        Format::Q4_1 => out[0] = simple([half(0), half(2)], 0, &block[4..]),
        Format::Q5_0 => out[0] = simple([half(0), 0], fifths(&block[2..]), &block[6..]),
        Format::Q5_1 => out[0] = simple([half(0), half(2)], fifths(&block[4..]), &block[8..]),
        Format::Q8_0 => {
            out[0] = Decoded { halves: [half(0), 0], ..Decoded::default() };
            out[0].codes.copy_from_slice(&block[2..34]);
        }
        Format::Q4K => decode_k([half(0), half(2)], &block[4..16], &[0; 32], &block[16..], out),
        Format::Q5K => decode_k([half(0), half(2)], &block[4..16], &block[16..48], &block[48..], out),
        Format::Q6K => decode_q6k(block, out),
        Format::F16 | Format::F32 => {}
    }
}

fn fifths(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Sixteen bytes, low halves first, and a fifth bit for each.
fn simple(halves: [u16; 2], fifths: u32, bytes: &[u8]) -> Decoded {
    let code = |i: usize| {
        let byte = bytes[i % 16];
        let low = if i < 16 { byte & 15 } else { byte >> 4 };
        low | ((fifths >> i & 1) as u8) << 4
    };
    Decoded { codes: std::array::from_fn(code), halves, bytes: [0; 2] }
}

/// Q4_K and Q5_K: 64 columns share 32 bytes; scales and offsets have 6 bits (`get_scale_min_k4`).
fn decode_k([d, m]: [u16; 2], packed: &[u8], fifths: &[u8], bytes: &[u8], out: &mut [Decoded]) {
    for (group, out) in out.iter_mut().enumerate().take(GROUPS_OF_SUPER) {
        let bytes = &bytes[group / 2 * 32..][..32];
        let code = |i: usize| {
            let low = if group % 2 == 0 { bytes[i] & 15 } else { bytes[i] >> 4 };
            low | (fifths[i] >> group & 1) << 4
        };
        let (scale, offset) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let (both, low, high) = (packed[group + 4], packed[group - 4] >> 6, packed[group] >> 6);
            (both & 15 | low << 4, both >> 4 | high << 4)
        };
        // The offset is taken off, so its factor goes in with the sign changed.
        let halves = [d, m ^ 0x8000];
        *out = Decoded { codes: std::array::from_fn(code), halves, bytes: [scale, offset] };
    }
}

fn decode_q6k(block: &[u8], out: &mut [Decoded]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let d = u16::from_le_bytes([rest[16], rest[17]]);
    for (group, out) in out.iter_mut().enumerate().take(GROUPS_OF_SUPER) {
        // Each half of 128 columns: groups 0 and 1 are the low halves of 64 bytes, 2 and 3 the high ones.
        let (half, within) = (group / 4, group % 4);
        let code = |i: usize| {
            let byte = low[half * 64 + within % 2 * 32 + i];
            let four = if within < 2 { byte & 15 } else { byte >> 4 };
            four | (high[half * 32 + i] >> (2 * within) & 3) << 4
        };
        let bytes = [rest[2 * group], rest[2 * group + 1]];
        *out = Decoded { codes: std::array::from_fn(code), halves: [d, 0], bytes };
    }
}

/// Puts one row of a group into its strip.
pub(crate) fn place(
    format: Format,
    (codes, scales): (&mut [Line], &mut [Line]),
    group: usize,
    row: usize,
    from: &Decoded,
) {
    let per_group = format.code_lines(GROUP);
    let lines = &mut codes[group * per_group..][..per_group];
    for (column, code) in from.codes.iter().enumerate() {
        let (quad, byte) = (column / 4, row * 4 + column % 4);
        if per_group == 8 {
            lines[quad].0[byte] = *code;
            continue;
        }
        lines[quad / 2].0[byte] |= (code & 15) << (quad % 2 * 4);
        match per_group {
            5 => lines[4].0[byte] |= (code >> 4) << quad,
            6 => lines[4 + quad / 4].0[byte] |= (code >> 4) << (quad % 4 * 2),
            _ => {}
        }
    }
    let mut half = |line: usize, at: usize, value: u16| {
        scales[line].0[at + 2 * row..][..2].copy_from_slice(&value.to_le_bytes());
    };
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => half(group / 2, group % 2 * 32, from.halves[0]),
        Format::Q4_1 | Format::Q5_1 => {
            half(group, 0, from.halves[0]);
            half(group, 32, from.halves[1]);
        }
        Format::Q4K | Format::Q5K | Format::Q6K => {
            let line = group / GROUPS_OF_SUPER * NESTED_LINES;
            half(line, 0, from.halves[0]);
            half(line, 32, from.halves[1]);
            let within = group % GROUPS_OF_SUPER;
            let bytes = &mut scales[line + 1 + within / 2].0;
            bytes[within % 2 * 32 + row] = from.bytes[0];
            bytes[within % 2 * 32 + 16 + row] = from.bytes[1];
        }
        Format::F16 | Format::F32 => {}
    }
}

/// One row of a group in f32, from its strip.
pub(crate) fn values(
    format: Format,
    (codes, scales): (&[Line], &[Line]),
    group: usize,
    row: usize,
) -> [f32; GROUP] {
    let per_group = format.code_lines(GROUP);
    let lines = &codes[group * per_group..][..per_group];
    let (scale, second, bias) = row_scales(format, scales, group, row);
    std::array::from_fn(|column| {
        let (quad, byte) = (column / 4, row * 4 + column % 4);
        if per_group == 8 {
            return f32::from(lines[quad].0[byte].cast_signed()) * scale;
        }
        let low = lines[quad / 2].0[byte] >> (quad % 2 * 4) & 15;
        let high = match per_group {
            5 => lines[4].0[byte] >> quad & 1,
            6 => lines[4 + quad / 4].0[byte] >> (quad % 4 * 2) & 3,
            _ => 0,
        };
        let code = f32::from(low | high << 4) - bias;
        match format {
            Format::Q6K => code * if column < 16 { scale } else { second },
            _ => code * scale + second,
        }
    })
}

/// Scale, offset (or second scale) and bias of one row of a group.
fn row_scales(format: Format, scales: &[Line], group: usize, row: usize) -> (f32, f32, f32) {
    let float = |half: &[u8; 2 * LANES]| f16::from_le_bytes([half[2 * row], half[2 * row + 1]]).to_f32();
    match format {
        Format::Q4_0 => (float(&halves(scales, group / 2)[group % 2]), 0.0, 8.0),
        Format::Q5_0 => (float(&halves(scales, group / 2)[group % 2]), 0.0, 16.0),
        Format::Q8_0 => (float(&halves(scales, group / 2)[group % 2]), 0.0, 0.0),
        Format::Q4_1 | Format::Q5_1 => {
            let both = halves(scales, group);
            (float(&both[0]), float(&both[1]), 0.0)
        }
        Format::Q4K | Format::Q5K => {
            let (factors, [scale, offset]) = nested(scales, group);
            let (d, m) = (float(&factors[0]), float(&factors[1]));
            (d * f32::from(scale[row]), m * f32::from(offset[row]), 0.0)
        }
        Format::Q6K => {
            let (factors, [first, second]) = nested(scales, group);
            let (d, signed) = (float(&factors[0]), |b: u8| f32::from(b.cast_signed()));
            (d * signed(first[row]), d * signed(second[row]), 32.0)
        }
        Format::F16 | Format::F32 => (1.0, 0.0, 0.0),
    }
}

/// True if no scale of a strip is infinite or not a number.
pub(crate) fn is_finite(format: Format, columns: usize, scales: &[Line]) -> bool {
    let finite = |half: u16| f16::from_bits(half).is_finite();
    let line = |line: &Line| line.0.as_chunks::<2>().0.iter().all(|b| finite(u16::from_le_bytes(*b)));
    let step = match format {
        Format::Q4K | Format::Q5K | Format::Q6K => NESTED_LINES,
        _ => 1,
    };
    scales.iter().take(format.scale_lines(columns)).step_by(step).all(line)
}

const _: () = assert!(LINE == LANES * 4 && QUADS * 4 == GROUP);
