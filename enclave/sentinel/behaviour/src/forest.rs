//! An isolation forest: what few random cuts set apart is strange.
//!
//! # Source
//! - F. T. Liu, K. M. Ting, Z.-H. Zhou: Isolation Forest, ICDM 2008. Axis-parallel cuts; Hariri's slanted
//!   ones (2019) cost a product for each node, and the p-values do not need scores to be smooth.

use crate::chance::Chance;
use crate::features::Vector;

/// Trees. The paper finds that path lengths settle before 100 (section 4.1).
const TREES: usize = 100;
/// Events for each tree: 256, section 4.1.
const SAMPLE: usize = 256;
/// ceil(log2(256)), the mean height of a tree: below it cuts tell normal from normal (section 3).
const MAX_DEPTH: u32 = 8;
/// Euler's constant, for the harmonic number in equation 1.
const EULER: f32 = 0.577_215_7;

/// A place in a tree.
#[derive(Clone, Copy, Debug)]
enum Node {
    /// The feature, the value of the cut, and where the right half is. The left one follows at once.
    Cut(u16, f32, u32),
    /// The depth, with the depth that its events would have needed.
    Leaf(f32),
}

/// The trees.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    trees: Vec<Vec<Node>>,
    usual: f32,
}

impl Forest {
    pub(crate) fn fit(rows: &[Vector], chance: &mut Chance) -> Forest {
        let sample = rows.len().min(SAMPLE);
        let trees = (0..TREES).map(|_| {
            let mut picked: Vec<&Vector> =
                (0..sample).filter_map(|_| rows.get(chance.below(rows.len()))).collect();
            let mut tree = Vec::with_capacity(2 * sample);
            grow(&mut tree, &mut picked, 0, chance);
            tree
        });
        Forest { trees: trees.collect(), usual: unsuccessful(sample).max(1.0) }
    }

    /// Equation 2: near 1 is strange, 0.5 is usual.
    pub(crate) fn score(&self, row: &Vector) -> f32 {
        let depths: f32 = self.trees.iter().map(|tree| depth(tree, row)).sum();
        (-depths / (self.trees.len().max(1) as f32 * self.usual)).exp2()
    }
}

fn grow(tree: &mut Vec<Node>, rows: &mut [&Vector], depth: u32, chance: &mut Chance) {
    let cut = if depth < MAX_DEPTH { cut(rows, chance) } else { None };
    let Some((feature, value)) = cut else {
        tree.push(Node::Leaf(depth as f32 + unsuccessful(rows.len())));
        return;
    };
    let middle = partition(rows, |row| row[feature] < value);
    let at = tree.len();
    tree.push(Node::Leaf(0.0));
    let (left, right) = rows.split_at_mut(middle);
    grow(tree, left, depth + 1, chance);
    let after = u32::try_from(tree.len()).unwrap_or(u32::MAX);
    if let Some(node) = tree.get_mut(at) {
        *node = Node::Cut(u16::try_from(feature).unwrap_or(0), value, after);
    }
    grow(tree, right, depth + 1, chance);
}

/// A random feature that differs among the rows, and a random value between its ends.
fn cut(rows: &[&Vector], chance: &mut Chance) -> Option<(usize, f32)> {
    let first = rows.first()?;
    let range = |feature: usize| {
        let values = rows.iter().map(|row| row[feature]);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let differing: Vec<usize> = (0..first.len()).filter(|&f| range(f).0 < range(f).1).collect();
    let feature = *differing.get(chance.below(differing.len()))?;
    let (low, high) = range(feature);
    Some((feature, low + chance.unit().max(f32::EPSILON) * (high - low)))
}

/// Puts the rows that are so first; says how many.
fn partition<T>(rows: &mut [T], so: impl Fn(&T) -> bool) -> usize {
    let mut middle = 0;
    for at in 0..rows.len() {
        if so(&rows[at]) {
            rows.swap(at, middle);
            middle += 1;
        }
    }
    middle
}

fn depth(tree: &[Node], row: &Vector) -> f32 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Node::Cut(feature, value, right)) => {
                let left = row.get(usize::from(*feature)).is_some_and(|v| v < value);
                at = if left { at + 1 } else { *right as usize };
            }
            Some(Node::Leaf(depth)) => return *depth,
            None => return 0.0,
        }
    }
}

/// Equation 1: the mean path of an unsuccessful search among `n`.
fn unsuccessful(n: usize) -> f32 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => 2.0 * ((n as f32 - 1.0).ln() + EULER) - 2.0 * (n as f32 - 1.0) / n as f32,
    }
}
