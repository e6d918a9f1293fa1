//! Packed matrices, and products with them.
//!
//! Promises
//! - The product of a row does not depend on the rows beside it, on the number of threads, or on the instruction set.
//! - Whatever bytes a file has, packing them does not fail later: a product with weights that are no numbers gives what
//!   is no number.

use crate::activations::{Activations, Group, Row};
use crate::form::{
    self, Decoded, Flat, Form, Format, GROUP, GROUPS_OF_SUPER, Nested, Offset, QUADS, Read, Scales, Split,
};
use crate::isa::Isa;
use crate::pool::{Pool, Spread};
use crate::simd::{Kernel, LANES, QUAD, Simd};
use crate::store::{LINE, Line, Store, StoreError};
use half::f16;
use std::ops::Range;
use thiserror::Error;

/// Groups that are asked for ahead of their use, when a pass serves few columns and memory is what it waits for.
const AHEAD: usize = 24;

/// Why bytes are not a matrix.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PackError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes and shape contradict each other, or a row is no whole number of blocks.
    #[error("a matrix of {rows} rows and {columns} columns does not have {bytes} bytes")]
    Shape {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Bytes given.
        bytes: usize,
    },
}

/// A place in a [`Store`] that holds a matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    codes: Range<usize>,
    scales: Range<usize>,
}

impl Matrix {
    /// Outputs of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs of a product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn strips(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Codes and scales of one strip.
    fn strip<'s>(&self, store: &'s Store, strip: usize) -> (&'s [Line], &'s [Line]) {
        let part = |range: &Range<usize>, lines: usize| {
            let start = range.start + strip * lines;
            store.lines(start..start + lines)
        };
        let (codes, scales) = (self.format.code_lines(self.columns), self.format.scale_lines(self.columns));
        (part(&self.codes, codes), part(&self.scales, scales))
    }
}

impl Store {
    /// Bytes that a matrix takes here, whole lines included.
    pub fn bytes_for(format: Format, rows: usize, columns: usize) -> usize {
        let strips = rows.div_ceil(LANES);
        (format.code_lines(columns) + format.scale_lines(columns)).saturating_mul(strips).saturating_mul(LINE)
    }

    /// Packs a matrix from a file's bytes, rows first. Row `i` of the packed matrix is row `order(i)` of the file's.
    ///
    /// # Errors
    /// [`PackError`]
    pub fn pack(
        &mut self,
        format: Format,
        (rows, columns): (usize, usize),
        data: &[u8],
        order: impl Fn(usize) -> usize,
    ) -> Result<Matrix, PackError> {
        let (width, bytes) = format.block();
        let wrong = PackError::Shape { rows, columns, bytes: data.len() };
        let row_bytes = columns / width * bytes;
        let whole = columns.is_multiple_of(width) && rows.checked_mul(row_bytes) == Some(data.len());
        if !whole || rows == 0 || columns == 0 || (0..rows).any(|row| order(row) >= rows) {
            return Err(wrong);
        }
        let strips = rows.div_ceil(LANES);
        let codes = self.take(strips * format.code_lines(columns) * LINE)?;
        let scales = self.take(strips * format.scale_lines(columns) * LINE)?;
        let matrix = Matrix { format, rows, columns, codes, scales };
        for row in 0..rows {
            self.pack_row(&matrix, row, &data[order(row) * row_bytes..][..row_bytes]);
        }
        Ok(matrix)
    }

    fn pack_row(&mut self, matrix: &Matrix, row: usize, data: &[u8]) {
        let Matrix { format, columns, .. } = *matrix;
        let (code_lines, scale_lines) = (format.code_lines(columns), format.scale_lines(columns));
        let (strip, lane) = (row / LANES, row % LANES);
        let (width, bytes) = format.block();
        if !format.is_quantised() {
            let lines = self.lines_mut(matrix.codes.clone());
            for (column, number) in data.chunks_exact(bytes).enumerate() {
                // Column by column, sixteen rows each; a number lies inside one line.
                let at = (column * LANES + lane) * bytes;
                lines[strip * code_lines + at / LINE].0[at % LINE..][..bytes].copy_from_slice(number);
            }
            return;
        }
        // The scales follow the codes in the store, so one borrow reaches both.
        let both = self.lines_mut(matrix.codes.start..matrix.scales.end);
        let (codes, scales) = both.split_at_mut(matrix.codes.len());
        let codes = &mut codes[strip * code_lines..][..code_lines];
        let scales = &mut scales[strip * scale_lines..][..scale_lines];
        let mut decoded = [Decoded::default(); GROUPS_OF_SUPER];
        let groups = width / GROUP;
        for (index, block) in data.chunks_exact(bytes).enumerate() {
            form::decode(format, block, &mut decoded);
            for (group, decoded) in decoded.iter().enumerate().take(groups) {
                form::place(format, (codes, scales), index * groups + group, lane, decoded);
            }
        }
    }

    /// True if no number of a matrix is infinite or not a number.
    pub fn is_finite(&self, matrix: &Matrix) -> bool {
        match matrix.format {
            Format::F32 => self
                .lines(matrix.codes.clone())
                .iter()
                .flat_map(|line| line.0.as_chunks::<4>().0)
                .all(|b| f32::from_le_bytes(*b).is_finite()),
            Format::F16 => self
                .lines(matrix.codes.clone())
                .iter()
                .flat_map(|line| line.0.as_chunks::<2>().0)
                .all(|b| f16::from_le_bytes(*b).is_finite()),
            format => (0..matrix.strips())
                .all(|strip| form::is_finite(format, matrix.columns, matrix.strip(self, strip).1)),
        }
    }

    /// One row of a matrix in f32.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as a row.
    pub fn row(&self, matrix: &Matrix, row: usize, out: &mut [f32]) {
        assert!(row < matrix.rows && out.len() == matrix.columns, "no such row");
        let strip = matrix.strip(self, row / LANES);
        let lane = row % LANES;
        match matrix.format {
            Format::F32 => {
                let columns = strip.0.iter().map(|line| line.0.as_chunks::<4>().0[lane]);
                out.iter_mut().zip(columns).for_each(|(out, b)| *out = f32::from_le_bytes(b));
            }
            Format::F16 => {
                let columns =
                    strip.0.iter().flat_map(|line| line.0.as_chunks::<2>().0.as_chunks::<LANES>().0);
                out.iter_mut().zip(columns).for_each(|(out, b)| *out = f16::from_le_bytes(b[lane]).to_f32());
            }
            format => {
                for (group, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
                    *out = form::values(format, strip, group, lane);
                }
            }
        }
    }

    /// The products of each row of `x` with each matrix, one behind the other: (rows of `x`, all rows of the matrices).
    ///
    /// # Panics
    /// If a matrix is not as wide as `x`, or `out` has another size.
    pub fn product(&self, isa: Isa, pool: &mut Pool, matrices: &[&Matrix], x: &Activations, out: &mut [f32]) {
        assert!(matrices.iter().all(|m| m.columns == x.width()), "widths differ");
        let width: usize = matrices.iter().map(|m| m.rows).sum();
        assert!(width.checked_mul(x.len()) == Some(out.len()), "the output has another size");
        let out = Spread(out.as_mut_ptr());
        let strips: usize = matrices.iter().map(|m| m.strips()).sum();
        let grain = (strips / (pool.threads() * 8)).clamp(1, 64);
        pool.each(strips, grain, &|_, task| {
            let (mut strip, mut start) = (task, 0);
            for matrix in matrices {
                if strip < matrix.strips() {
                    let (codes, scales) = matrix.strip(self, strip);
                    let rows = (matrix.rows - strip * LANES).min(LANES);
                    let to = Place { out: &out, width, start: start + strip * LANES, rows };
                    return isa.run(StripProduct { format: matrix.format, codes, scales, x: x.rows(), to });
                }
                strip -= matrix.strips();
                start += matrix.rows;
            }
        });
    }
}

/// Where the products of one strip go.
struct Place<'a> {
    /// Outputs of all rows of activations.
    out: &'a Spread<f32>,
    /// Outputs of one row.
    width: usize,
    /// The strip's first output.
    start: usize,
    /// Outputs of the strip, at most [`LANES`].
    rows: usize,
}

impl Place<'_> {
    /// Writes the strip's outputs for one row of activations.
    #[inline(always)]
    fn write<S: Simd>(&self, s: S, row: usize, value: S::F) {
        let at = self.out.at(row * self.width + self.start);
        if self.rows == LANES {
            // SAFETY: `product` checked that `out` has `width` floats for each row; a strip's outputs are `rows` of them from
            // `start` on, and each strip is the task of one thread, so nobody else touches these.
            return s.store(value, unsafe { &mut *at.cast::<[f32; LANES]>() });
        }
        let mut lanes = [0.0; LANES];
        s.store(value, &mut lanes);
        // SAFETY: as above, and `rows` is less than the lanes.
        unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), at, self.rows) };
    }
}

/// The products of one strip with all rows of activations.
struct StripProduct<'a> {
    format: Format,
    codes: &'a [Line],
    scales: &'a [Line],
    x: &'a [Row],
    to: Place<'a>,
}

impl Kernel for StripProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.format {
            Format::Q4_0 => self.columns::<S, Quantised<Form<4, 8, Flat>>>(s),
            Format::Q4_1 => self.columns::<S, Quantised<Form<4, 0, Offset>>>(s),
            Format::Q5_0 => self.columns::<S, Quantised<Form<5, 16, Flat>>>(s),
            Format::Q5_1 => self.columns::<S, Quantised<Form<5, 0, Offset>>>(s),
            Format::Q8_0 => self.columns::<S, Quantised<Form<8, 0, Flat>>>(s),
            Format::Q4K => self.columns::<S, Quantised<Form<4, 0, Nested>>>(s),
            Format::Q5K => self.columns::<S, Quantised<Form<5, 0, Nested>>>(s),
            Format::Q6K => self.columns::<S, Quantised<Form<6, 32, Split>>>(s),
            Format::F16 => self.columns::<S, Halves>(s),
            Format::F32 => self.columns::<S, Floats>(s),
        }
    }
}

impl StripProduct<'_> {
    /// Serves the columns in runs of eight, four, two and one.
    #[inline(always)]
    fn columns<S: Simd, M: Multiply>(&self, s: S) {
        let mut done = 0;
        if S::COLUMNS >= 8 {
            done = self.runs::<S, M, 8>(s, done);
        }
        if S::COLUMNS >= 4 {
            done = self.runs::<S, M, 4>(s, done);
        }
        done = self.runs::<S, M, 2>(s, done);
        self.runs::<S, M, 1>(s, done);
    }

    #[inline(always)]
    fn runs<S: Simd, M: Multiply, const N: usize>(&self, s: S, mut done: usize) -> usize {
        while let Some(x) = self.x[done..].first_chunk::<N>() {
            let products = M::multiply::<S, N>(s, self.codes, self.scales, x.each_ref());
            for i in 0..N {
                self.to.write(s, done + i, products[i]);
            }
            done += N;
        }
        done
    }
}

/// A strip times `N` rows of activations.
trait Multiply {
    fn multiply<S: Simd, const N: usize>(s: S, codes: &[Line], scales: &[Line], x: [&Row; N]) -> [S::F; N];
}

/// With integer codes.
struct Quantised<R>(std::marker::PhantomData<R>);

impl<R: Read> Multiply for Quantised<R> {
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(s: S, codes: &[Line], scales: &[Line], x: [&Row; N]) -> [S::F; N] {
        let mut sums = [s.splat(0.0); N];
        for (group, lines) in codes.chunks_exact(R::LINES).enumerate() {
            if N <= 2 {
                let soon = (group + AHEAD) * R::Scales::LINES / GROUPS_OF_SUPER;
                s.prefetch(scales.as_ptr().wrapping_add(soon).cast());
                for line in 0..R::LINES {
                    s.prefetch(lines.as_ptr().wrapping_add(AHEAD * R::LINES + line).cast());
                }
            }
            let mut now = [&x[0].groups[group]; N];
            for c in 1..N {
                now[c] = &x[c].groups[group];
            }
            let weights = R::quads(s, lines);
            let (scale, second) = R::Scales::read(s, scales, group);
            if R::Scales::SPLIT {
                let first = dots::<S, R, N, 4>(s, &split(&weights, 0), &now, 0);
                let last = dots::<S, R, N, 4>(s, &split(&weights, 4), &now, 4);
                for c in 0..N {
                    let x = s.splat(now[c].scale);
                    sums[c] = s.fma(s.to_float(first[c]), s.mul(scale, x), sums[c]);
                    sums[c] = s.fma(s.to_float(last[c]), s.mul(second, x), sums[c]);
                }
                continue;
            }
            let products = dots::<S, R, N, 8>(s, &weights, &now, 0);
            for c in 0..N {
                let scale = s.mul(scale, s.splat(now[c].scale));
                sums[c] = s.fma(s.to_float(products[c]), scale, sums[c]);
                if R::Scales::OFFSET {
                    sums[c] = s.fma(second, s.splat(now[c].sum), sums[c]);
                }
            }
        }
        sums
    }
}

/// Integer products of `Q` quads from `first` on, the codes' bias taken off.
#[inline(always)]
fn dots<S: Simd, R: Read, const N: usize, const Q: usize>(
    s: S,
    weights: &[S::W; Q],
    groups: &[&Group; N],
    first: usize,
) -> [S::I; N] {
    let bias = if R::MAX == 0 { S::BYTE_BIAS } else { R::BIAS };
    let mut start = [s.splat_int(0); N];
    let mut columns = [&[[0; QUAD]; Q]; N];
    for c in 0..N {
        let Group { quads, sums, .. } = groups[c];
        if let Some(part) = quads[first..].first_chunk() {
            columns[c] = part;
        }
        if bias != 0 {
            let sum = if Q == QUADS { sums[0] + sums[1] } else { sums[first / Q] };
            start[c] = s.splat_int(-bias * sum);
        }
    }
    match R::MAX {
        0 => s.dots_bytes(weights, columns, start),
        15 => s.dots::<N, Q, 15>(weights, columns, start),
        31 => s.dots::<N, Q, 31>(weights, columns, start),
        _ => s.dots::<N, Q, 63>(weights, columns, start),
    }
}

#[inline(always)]
fn split<W: Copy>(weights: &[W; QUADS], at: usize) -> [W; 4] {
    [weights[at], weights[at + 1], weights[at + 2], weights[at + 3]]
}

/// With f32 weights.
struct Floats;
/// With f16 weights.
struct Halves;

impl Multiply for Floats {
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(s: S, codes: &[Line], _: &[Line], x: [&Row; N]) -> [S::F; N] {
        let mut sums = [s.splat(0.0); N];
        for (column, line) in codes.iter().enumerate() {
            let weights = s.load_bytes(&line.0);
            for c in 0..N {
                sums[c] = s.fma(weights, s.splat(x[c].floats[column]), sums[c]);
            }
        }
        sums
    }
}

impl Multiply for Halves {
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(s: S, codes: &[Line], _: &[Line], x: [&Row; N]) -> [S::F; N] {
        let mut sums = [s.splat(0.0); N];
        for column in 0..x[0].floats.len() {
            let weights = s.load_half_bytes(&codes[column / 2].0.as_chunks().0[column % 2]);
            for c in 0..N {
                sums[c] = s.fma(weights, s.splat(x[c].floats[column]), sums[c]);
            }
        }
        sums
    }
}
