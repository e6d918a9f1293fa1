//! Signs what a look-up may read, and what may be written: the grant that a store carries out.
//!
//! Promises
//! - Limits come from the decision and from what the pack knows of the collection; the worker adds the digest of its question, and
//!   nothing else.
//! - What is masked is named, and so is what is sensitive and shown.
//! - The key is the sentinel's: the worker carries what was signed and cannot alter it.
//!
//! Does not: read a row.

use crate::decision::{DecisionPoint, Fields, Permit, facts};
use crate::token::Principal;
use adyton_attestation::Timestamp;
use adyton_wire::control::{Action, GrantId};
use adyton_wire::lookup::{Kind, Lookup, LookupKey, MAX_PASSAGES, SignedLookup};
use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;

/// How long a look-up may take to be made.
const LIFETIME: Duration = Duration::from_secs(60);

/// The key of this boot, for what is kept in the enclave.
#[derive(Debug)]
pub struct Lookups(LookupKey);

/// What a look-up rests on, beside what the action says.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// His name of this boot.
    pub pseudonym: [u8; 32],
    /// The decision.
    pub permit: &'a Permit,
    /// What of the collection's fields may be shown.
    pub fields: Fields,
    /// When.
    pub now: Timestamp,
}

/// A look-up within the limits of a decision, without the name of its grant yet.
#[derive(Debug)]
pub struct Draft(Lookup);

impl Lookups {
    /// Makes a key. `None` without randomness.
    pub fn new() -> Option<Lookups> {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).ok()?;
        Some(Lookups(LookupKey::new(&key)))
    }

    /// Drafts a look-up, or the writing of a document. `None` for another action, and for what no store could carry out.
    pub fn draft(&self, action: &Action, point: &DecisionPoint, terms: Terms<'_>) -> Option<Draft> {
        let Terms { principal, pseudonym, permit, fields, now } = terms;
        let obligations = permit.obligations();
        let (kind, collection, purpose, digest, most) = match action {
            Action::Retrieve { collection, purpose, passages, query, .. } => {
                let most = obligations.max_passages.map_or(*passages, |most| most.min(*passages));
                (Kind::Lookup, collection, purpose, query, most.min(MAX_PASSAGES))
            }
            Action::Ingest { collection, purpose, passages, payload, .. } => {
                (Kind::Ingest, collection, purpose, payload, *passages)
            }
            _ => return None,
        };
        let lifetime = obligations.until_s.map_or(LIFETIME, |s| LIFETIME.min(Duration::from_secs(s.into())));
        let lookup = Lookup {
            kind,
            grant: [0; 16],
            principal: pseudonym,
            tenant: principal.tenant.clone(),
            purpose: purpose.clone(),
            collection: collection.clone(),
            role: point.collection(collection)?.domain,
            digest: *digest,
            most,
            expires_s: now.as_millis() / 1000 + lifetime.as_secs(),
            masked: fields.masked,
            unmasked: fields.unmasked,
            rows: adyton_decision::resolve(&obligations.rows, &facts(principal)).ok()?,
        };
        lookup.check().ok()?;
        Some(Draft(lookup))
    }

    /// Puts a draft under a grant and signs it: with the database's key if it is for that. `None` for what is too long to be
    /// carried.
    pub fn sign(&self, draft: Draft, grant: GrantId, database: Option<&LookupKey>) -> Option<SignedLookup> {
        Lookup { grant: grant.0, ..draft.0 }.sign(database.unwrap_or(&self.0)).ok()
    }
}
