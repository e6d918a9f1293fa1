//! A store in the enclave's own memory: exact search, nothing on a disk.
//!
//! # Promises
//! - A look-up reads one collection of one tenant, the rows that its grant lets through, and at most as many as it says; fields
//!   that it masks are left out before anything is handed out.
//! - A document takes the place of the one that had its name; what was there is gone.
//! - What it holds is bounded, by passages and by bytes.
//!
//! # Does not
//! - Outlive the worker. Whoever wrote documents writes them again.
//!
//! # Trusts
//! - Whoever hands in a grant that it is the sentinel's: the worker's `Ticket` shows it. Both are in one memory, so
//!   a broken worker reads what is here; where that is too much, the store is PostgreSQL.

use crate::document::{Document, is_sound};
use crate::passage::{Passage, PassageId, Written};
use adyton_wire::lookup::{Kind, Lookup, vector_digest};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use thiserror::Error;

/// Most passages of all collections.
pub const MAX_PASSAGES: usize = 100_000;
/// Most bytes of their texts, fields and vectors.
pub const MAX_BYTES: usize = 512 << 20;
/// The field that stands for a document's title, where that is to be masked.
const TITLE: &str = "title";

/// Why nothing was read or written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EmbeddedError {
    /// The grant is for another kind of call, vector or document.
    #[error("the grant is for another call, vector or document")]
    Grant,
    /// The vector is none that there is here.
    #[error("a vector needs 384 finite numbers")]
    Vector,
    /// No room.
    #[error("the store is full: {MAX_PASSAGES} passages and {} MiB fit", MAX_BYTES >> 20)]
    Full,
}

/// Collections, by tenant and name.
#[derive(Default)]
pub struct Embedded {
    collections: BTreeMap<(String, String), BTreeMap<String, Document>>,
    passages: usize,
    bytes: usize,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedded({} passages)", self.passages)
    }
}

/// A candidate, nearest first; among equals the one that was written first.
struct Near<'s> {
    score: f32,
    document: &'s Document,
    passage: &'s Written,
}

impl Eq for Near<'_> {}

impl Ord for Near<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let places = || {
            let name = other.document.name.cmp(&self.document.name);
            name.then(other.passage.ordinal.cmp(&self.passage.ordinal))
        };
        self.score.total_cmp(&other.score).then_with(places)
    }
}

impl PartialEq for Near<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl PartialOrd for Near<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Embedded {
    /// The passages nearest to `query`, under a grant for exactly this vector.
    ///
    /// # Errors
    /// [`EmbeddedError`]
    pub fn search(&self, lookup: &Lookup, query: &[f32]) -> Result<Vec<Passage>, EmbeddedError> {
        if !is_sound(query) {
            return Err(EmbeddedError::Vector);
        }
        if lookup.kind != Kind::Lookup || vector_digest(query) != Ok(lookup.digest) {
            return Err(EmbeddedError::Grant);
        }
        let most = lookup.most as usize;
        let mut nearest: BinaryHeap<Reverse<Near<'_>>> = BinaryHeap::with_capacity(most + 1);
        let key = (lookup.tenant.clone(), lookup.collection.clone());
        for document in self.collections.get(&key).into_iter().flat_map(BTreeMap::values) {
            for passage in document.passages.iter().filter(|passage| in_scope(passage, lookup)) {
                let near = Near { score: dot(query, &passage.vector), document, passage };
                if nearest.len() < most {
                    nearest.push(Reverse(near));
                } else if nearest.peek().is_some_and(|Reverse(last)| near > *last) {
                    nearest.pop();
                    nearest.push(Reverse(near));
                }
            }
        }
        let sorted = nearest.into_sorted_vec();
        Ok(sorted.into_iter().map(|Reverse(near)| shown(&near, lookup)).collect())
    }

    /// Writes a document, under a grant for exactly it. Returns the names of its passages.
    ///
    /// # Errors
    /// [`EmbeddedError`]
    pub fn insert(&mut self, lookup: &Lookup, document: Document) -> Result<Vec<PassageId>, EmbeddedError> {
        if lookup.kind != Kind::Ingest || lookup.digest != document.digest() {
            return Err(EmbeddedError::Grant);
        }
        let collection =
            self.collections.entry((lookup.tenant.clone(), lookup.collection.clone())).or_default();
        let before = collection.get(&document.name).map_or((0, 0), |old| (old.passages.len(), size(old)));
        let passages = self.passages - before.0 + document.passages.len();
        let bytes = self.bytes - before.1 + size(&document);
        if passages > MAX_PASSAGES || bytes > MAX_BYTES {
            return Err(EmbeddedError::Full);
        }
        let names = document.names(lookup).collect();
        collection.insert(document.name.clone(), document);
        (self.passages, self.bytes) = (passages, bytes);
        Ok(names)
    }

    /// How many passages there are.
    pub fn passages(&self) -> usize {
        self.passages
    }
}

/// Bytes that a document takes, about.
fn size(document: &Document) -> usize {
    let fields =
        |one: &Written| one.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let passages = document.passages.iter();
    document.text().len()
        + passages.map(|one| one.text.len() + 4 * one.vector.len() + fields(one)).sum::<usize>()
}

/// Whether each rule of a grant has the value that the passage's field has. A passage without the field does not pass.
fn in_scope(passage: &Written, lookup: &Lookup) -> bool {
    lookup
        .rows
        .iter()
        .all(|(field, values)| passage.fields.get(field).is_some_and(|value| values.contains(value)))
}

/// A passage as the grant lets it be seen.
fn shown(near: &Near<'_>, lookup: &Lookup) -> Passage {
    let Near { score, document, passage } = near;
    let visible = |name: &String| !lookup.masked.contains(name);
    let fields = passage.fields.iter().filter(|(name, _)| visible(name));
    Passage {
        id: PassageId::of(&lookup.tenant, &lookup.collection, &document.name, passage.ordinal),
        document: document.name.clone(),
        ordinal: passage.ordinal,
        title: if lookup.masked.contains(TITLE) { String::new() } else { document.title.clone() },
        text: passage.text.clone(),
        fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
        classification: document.classification,
        // Hundredths: a finer score would help to find a vector out.
        score: (score * 100.0).round() / 100.0,
    }
}

/// In eight sums, which the compiler puts into one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DIMENSIONS;
    use std::collections::BTreeSet;

    fn vector(angle: f32) -> Vec<f32> {
        let mut vector = vec![0.0; DIMENSIONS];
        (vector[0], vector[1]) = (angle.cos(), angle.sin());
        vector
    }

    fn written(ordinal: u32, angle: f32, fields: &[(&str, &str)]) -> Written {
        let fields = fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Written { ordinal, text: format!("passage {ordinal}"), fields, vector: vector(angle) }
    }

    fn lookup(kind: Kind, digest: [u8; 32]) -> Lookup {
        Lookup {
            kind,
            grant: [1; 16],
            principal: [2; 32],
            tenant: "air".into(),
            purpose: "rebooking".into(),
            collection: "reservations".into(),
            role: "operations".into(),
            digest,
            most: 3,
            expires_s: 0,
            masked: BTreeSet::new(),
            unmasked: BTreeSet::new(),
            rows: BTreeMap::new(),
        }
    }

    fn document(name: &str, passages: Vec<Written>) -> Document {
        Document::new(name, format!("About {name}"), 1, passages).unwrap()
    }

    fn store() -> Embedded {
        let mut store = Embedded::default();
        for (flight, angle) in [("LH400", 0.0), ("LH401", 0.1), ("BA2", 0.2)] {
            let fields = [("flight", flight), ("passport", "secret")];
            let one = document(flight, vec![written(0, angle, &fields), written(1, angle + 1.0, &fields)]);
            store.insert(&lookup(Kind::Ingest, one.digest()), one).unwrap();
        }
        store
    }

    fn ask(store: &Embedded, change: impl FnOnce(&mut Lookup)) -> Result<Vec<Passage>, EmbeddedError> {
        let query = vector(0.0);
        let mut asked = lookup(Kind::Lookup, vector_digest(&query).unwrap());
        change(&mut asked);
        store.search(&asked, &query)
    }

    #[test]
    fn the_nearest_come_first_and_no_more_than_granted() {
        let found = ask(&store(), |_| ()).unwrap();
        let names: Vec<_> = found.iter().map(|p| (p.document.as_str(), p.ordinal)).collect();
        assert_eq!(names, [("LH400", 0), ("LH401", 0), ("BA2", 0)]);
        assert_eq!((found[0].score, found[1].score), (1.0, 1.0));
        assert_eq!(ask(&store(), |l| l.most = 1).unwrap().len(), 1);
        assert_eq!(ask(&store(), |l| l.most = 50).unwrap().len(), 6);
    }

    #[test]
    fn rows_tenants_and_collections_out_of_scope_are_not_read() {
        let store = store();
        let rows = |values: &[&str]| {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            BTreeMap::from([("flight".to_owned(), values)])
        };
        let found = ask(&store, |l| l.rows = rows(&["BA2"])).unwrap();
        assert!(found.len() == 2 && found.iter().all(|p| p.document == "BA2"));
        assert!(
            ask(&store, |l| l.rows = rows(&[])).unwrap().is_empty(),
            "an empty list lets nothing through"
        );
        let unknown = BTreeMap::from([("no such field".to_owned(), BTreeSet::from(["BA2".to_owned()]))]);
        assert!(ask(&store, |l| l.rows = unknown).unwrap().is_empty());
        assert!(ask(&store, |l| l.tenant = "rail".into()).unwrap().is_empty());
        assert!(ask(&store, |l| l.collection = "seats".into()).unwrap().is_empty());
    }

    #[test]
    fn what_is_masked_is_not_handed_out() {
        let masked: BTreeSet<String> = ["passport", "title"].map(str::to_owned).into();
        let found = ask(&store(), |l| l.masked = masked).unwrap();
        let hidden = |p: &Passage| p.title.is_empty() && p.fields.keys().eq(["flight"]);
        assert!(found.iter().all(hidden));
        assert!(ask(&store(), |_| ()).unwrap().iter().all(|p| p.fields.len() == 2 && !p.title.is_empty()));
    }

    #[test]
    fn a_grant_is_for_one_vector_and_one_document() {
        let mut store = store();
        assert_eq!(ask(&store, |l| l.digest = [9; 32]), Err(EmbeddedError::Grant));
        assert_eq!(ask(&store, |l| l.kind = Kind::Ingest), Err(EmbeddedError::Grant));
        assert_eq!(
            store.search(&lookup(Kind::Lookup, [0; 32]), &[f32::NAN; 384]),
            Err(EmbeddedError::Vector)
        );
        let one = document("LH400", vec![written(0, 0.0, &[])]);
        assert_eq!(store.insert(&lookup(Kind::Ingest, [0; 32]), one.clone()), Err(EmbeddedError::Grant));
        assert_eq!(store.insert(&lookup(Kind::Lookup, one.digest()), one.clone()), Err(EmbeddedError::Grant));
        store.insert(&lookup(Kind::Ingest, one.digest()), one).unwrap();
        assert_eq!(store.passages(), 5, "it takes the other's place");
    }
}
