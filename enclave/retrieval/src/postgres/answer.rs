//! The database's rows, checked against the grant that they answer.
//!
//! # Promises
//! - A row that the grant does not cover, or that names itself otherwise than its place says, ends the answer.
//!
//! # Does not
//! - Tell a true text from an invented one.
//!
//! # Trusts
//! - The grant, which the worker has from the sentinel.

use std::collections::{BTreeMap, BTreeSet};

use adyton_wire::lookup::{Lookup, MAX_FIELDS};
use tokio_postgres::Row;

use crate::passage::{Passage, PassageId};

/// Longest parts of a passage, in bytes; those of deploy/postgres/002_tables.sql.
const MAX_DOCUMENT: usize = 512;
const MAX_TITLE: usize = 1024;
const MAX_BODY: usize = 64 * 1024 + 4096;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More rows than were granted.
    #[error("more passages than the grant names")]
    TooMany,
    /// Another tenant, collection, or a row that a rule does not let through.
    #[error("a passage that the grant does not cover")]
    OutOfScope,
    /// A field that the grant masks.
    #[error("a field that the grant masks")]
    Unmasked,
    /// An id that its place does not have, or the same twice.
    #[error("a passage that is named otherwise than its place says, or comes twice")]
    ForgedId,
    /// A part that is longer than can have been stored.
    #[error("a part of a passage that is longer than can have been stored")]
    TooLong,
    /// Not rows as they must be.
    #[error("not an answer of the form that was asked for")]
    Form,
}

/// One row, as it came.
pub(super) struct Raw<'a> {
    rank: i32,
    score: i16,
    tenant: &'a str,
    collection: &'a str,
    id: &'a [u8],
    document: &'a str,
    ordinal: i32,
    classification: i16,
    title: &'a str,
    body: &'a str,
    fields: &'a str,
}

impl<'a> Raw<'a> {
    fn of(row: &'a Row) -> Option<Self> {
        if row.len() != 11 {
            return None;
        }
        Some(Self {
            rank: row.try_get(0).ok()?,
            score: row.try_get(1).ok()?,
            tenant: row.try_get(2).ok()?,
            collection: row.try_get(3).ok()?,
            id: row.try_get(4).ok()?,
            document: row.try_get(5).ok()?,
            ordinal: row.try_get(6).ok()?,
            classification: row.try_get(7).ok()?,
            title: row.try_get(8).ok()?,
            body: row.try_get(9).ok()?,
            fields: row.try_get(10).ok()?,
        })
    }
}

/// All of an answer, or what is wrong with it.
pub(super) fn check(rows: &[Row], lookup: &Lookup) -> Result<Vec<Passage>, Fault> {
    let raw: Option<Vec<Raw<'_>>> = rows.iter().map(Raw::of).collect();
    judge(&raw.ok_or(Fault::Form)?, lookup)
}

fn judge(rows: &[Raw<'_>], lookup: &Lookup) -> Result<Vec<Passage>, Fault> {
    if rows.len() > usize::try_from(lookup.most).unwrap_or(0) {
        return Err(Fault::TooMany);
    }
    let passages: Vec<Passage> =
        (1..).zip(rows).map(|(rank, row)| passage(rank, row, lookup)).collect::<Result<_, _>>()?;
    let ids: BTreeSet<PassageId> = passages.iter().map(|passage| passage.id).collect();
    let falling = passages.iter().zip(passages.iter().skip(1)).all(|(one, next)| one.score >= next.score);
    match (ids.len() == passages.len(), falling) {
        (false, _) => Err(Fault::ForgedId),
        (_, false) => Err(Fault::Form),
        _ => Ok(passages),
    }
}

fn passage(rank: i32, row: &Raw<'_>, lookup: &Lookup) -> Result<Passage, Fault> {
    if row.rank != rank || !(-100..=100).contains(&row.score) {
        return Err(Fault::Form);
    }
    if row.tenant != lookup.tenant || row.collection != lookup.collection {
        return Err(Fault::OutOfScope);
    }
    if row.document.len() > MAX_DOCUMENT || row.title.len() > MAX_TITLE || row.body.len() > MAX_BODY {
        return Err(Fault::TooLong);
    }
    let ordinal = u32::try_from(row.ordinal).map_err(|_| Fault::Form)?;
    let classification =
        u8::try_from(row.classification).ok().filter(|class| *class <= 3).ok_or(Fault::Form)?;
    let id = PassageId::of(row.tenant, row.collection, row.document, ordinal);
    if row.id != id.0 {
        return Err(Fault::ForgedId);
    }
    let fields: BTreeMap<String, String> = serde_json::from_str(row.fields).map_err(|_| Fault::Form)?;
    if fields.len() > MAX_FIELDS {
        return Err(Fault::TooLong);
    }
    in_scope(&fields, lookup)?;
    Ok(Passage {
        id,
        document: row.document.to_owned(),
        ordinal,
        title: row.title.to_owned(),
        text: row.body.to_owned(),
        fields,
        classification,
        score: f32::from(row.score) / 100.0,
    })
}

/// A field that a rule speaks of may be hidden, and then the database alone has applied the rule; shown, it must fit.
fn in_scope(fields: &BTreeMap<String, String>, lookup: &Lookup) -> Result<(), Fault> {
    if fields.keys().any(|name| lookup.masked.contains(name)) {
        return Err(Fault::Unmasked);
    }
    let fits = |(column, allowed): (&String, &BTreeSet<String>)| {
        !allowed.is_empty() && fields.get(column).is_none_or(|value| allowed.contains(value))
    };
    if lookup.rows.iter().all(fits) { Ok(()) } else { Err(Fault::OutOfScope) }
}
