//! Row rules of a policy pack, and the text of a look-up's grant.
//!
//! # Promises
//! - A grant that is read is written back as the same bytes; rules that are read resolve to values alone.
//!
//! # Does not
//! - Verify a grant: the database does.
//!
//! # Trusts
//! - Nobody.

use std::collections::{BTreeMap, BTreeSet};

use adyton_decision::{Facts, RowRules};
use adyton_wire::lookup::{Kind, Lookup, MAX_RULES, MAX_TEXT, MAX_VALUES};

/// Rules.
pub fn row_rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(rules) = RowRules::parse(text) else { return };
    let who = Facts {
        id: "ann".into(),
        tenant: "acme".into(),
        roles: BTreeSet::new(),
        clearance: 0,
        attested: false,
        sets: BTreeMap::from([("cancelled".into(), BTreeSet::from(["LH400".into()]))]),
    };
    let resolved = rules.resolve(&who);
    assert!(!resolved.is_empty() && resolved.len() <= MAX_RULES);
    for (column, values) in &resolved {
        assert!(column.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{column}");
        assert!(values.iter().all(|value| value.len() <= 256
            && (text.contains(value.as_str())
                || text.contains('\'')
                || ["LH400", "acme"].contains(&value.as_str()))));
    }
}

/// A grant.
pub fn lookup_grant(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(lookup) = Lookup::parse(text) else { return };
    assert_eq!(lookup.encode().unwrap(), text);
    assert!(text.len() <= MAX_TEXT && lookup.most > 0);
    assert!(lookup.rows.values().map(BTreeSet::len).sum::<usize>() <= MAX_VALUES);
}

pub(super) fn rule_seeds() -> Vec<Vec<u8>> {
    ["flight in cancelled and state = 'open'", "name = 'O''Hara'", "tenant = principal.tenant"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

pub(super) fn grant_seeds() -> Vec<Vec<u8>> {
    let lookup = Lookup {
        kind: Kind::Lookup,
        grant: [1; 16],
        principal: [2; 32],
        tenant: "acme".into(),
        purpose: "general".into(),
        collection: "seats".into(),
        role: "operations".into(),
        digest: [3; 32],
        most: 5,
        expires_s: 1_793_701_230,
        masked: BTreeSet::from(["meal".into(), "name".into()]),
        unmasked: BTreeSet::new(),
        rows: BTreeMap::from([("flight".into(), BTreeSet::from(["LH400".into(), "LH401".into()]))]),
    };
    let ingest = Lookup { kind: Kind::Ingest, rows: BTreeMap::new(), ..lookup.clone() };
    [lookup, ingest].iter().map(|one| one.encode().unwrap().into_bytes()).collect()
}
