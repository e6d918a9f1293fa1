//! Rows of activations, rounded to 8 bits for products with codes.
//!
//! Promises: each group of 32 has a scale of its own, so one large value costs precision among its 31 neighbours only; a
//! value that is not finite makes the group's scale not a number, so that it cannot vanish in rounding; rows are wiped
//! when dropped.

use crate::form::{GROUP, QUADS};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Kernel, LANES, QUAD, Simd};
use zeroize::Zeroize;

/// One row.
#[derive(Clone)]
pub(crate) struct Row {
    /// In f32, for products with float weights.
    pub(crate) floats: Vec<f32>,
    /// Rounded.
    pub(crate) groups: Vec<Group>,
}

/// Thirty-two rounded values, and what a product needs to know of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Group {
    /// In steps, quad by quad.
    pub(crate) quads: [[i8; QUAD]; QUADS],
    /// What one step is worth.
    pub(crate) scale: f32,
    /// The sum of the group's values, in f32: goes with the weights' offsets.
    pub(crate) sum: f32,
    /// The sums of its two halves in steps: go with the weights' bias.
    pub(crate) sums: [i32; 2],
}

/// Rows of one width. Room for all of them is made once.
#[derive(Clone)]
pub struct Activations {
    width: usize,
    rows: Vec<Row>,
    used: usize,
}

impl Activations {
    /// Room for `rows` rows of `width` values.
    pub fn new(width: usize, rows: usize) -> Activations {
        let row = Row { floats: vec![0.0; width], groups: vec![Group::default(); width / GROUP] };
        Activations { width, rows: vec![row; rows], used: 0 }
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows in use.
    pub fn len(&self) -> usize {
        self.used
    }

    /// True if no row is in use.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    /// Puts in `count` rows: `write` fills each in f32; then it is rounded.
    ///
    /// # Panics
    /// If there is no room for so many.
    pub fn fill(
        &mut self,
        isa: Isa,
        pool: &mut Pool,
        count: usize,
        write: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        assert!(count <= self.rows.len(), "more rows than there is room for");
        self.used = count;
        pool.rows(&mut self.rows[..count], 1, &|index, rows| {
            for row in rows {
                write(index, &mut row.floats);
                isa.run(Round { row });
            }
        });
    }

    /// Overwrites the first `count` rows with zeros, or all if there are no more.
    pub fn wipe(&mut self, count: usize) {
        for row in self.rows.iter_mut().take(count) {
            row.floats.as_mut_slice().zeroize();
            row.groups.fill(Group::default());
        }
    }
}

impl Activations {
    /// Whether no row holds anything.
    pub fn is_wiped(&self) -> bool {
        self.rows.iter().all(|row| row.floats.iter().all(|x| *x == 0.0))
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        self.wipe(usize::MAX);
    }
}

impl std::fmt::Debug for Activations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Activations({} rows of {})", self.used, self.width)
    }
}

/// Rounds a row.
struct Round<'a> {
    row: &'a mut Row,
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { floats, groups } = self.row;
        for (values, group) in floats.as_chunks::<GROUP>().0.iter().zip(groups) {
            round(s, values, group);
        }
    }
}

#[inline(always)]
fn round<S: Simd>(s: S, values: &[f32; GROUP], group: &mut Group) {
    const INFINITE: i32 = 0x7f80_0000;
    let halves = values.as_chunks::<LANES>().0;
    let (a, b) = (s.load(&halves[0]), s.load(&halves[1]));
    let top = s.largest(s.larger(s.magnitude(a), s.magnitude(b)));
    let finite = top < INFINITE;
    let top = f32::from_bits(top.cast_unsigned());
    let scale = top / f32::from(i8::MAX);
    // A scale that is not normal has no inverse that is finite; its values are as good as zero.
    let inverse = if finite && scale.is_normal() { 1.0 / scale } else { 0.0 };
    let mut sums = [0; 2];
    let steps = group.quads.as_flattened_mut().as_chunks_mut::<LANES>().0;
    for half in 0..2 {
        let value = if half == 0 { a } else { b };
        // At most 127, as the largest value is 127 steps.
        let whole = s.round(s.mul(value, s.splat(inverse)));
        s.narrow(whole, &mut steps[half]);
        sums[half] = s.sum_int(whole);
    }
    group.scale = if finite { scale } else { f32::NAN };
    group.sum = group.scale * (sums[0] + sums[1]) as f32;
    group.sums = sums;
}
