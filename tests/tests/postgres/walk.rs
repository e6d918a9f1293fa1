//! A walk over the whole database through each purpose of the airline pack: what can be reached, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use adyton_decision::{Facts, Pack, Question, Resource, Situation, resolve};
use adyton_retrieval::postgres::{Refused, StoreError};

use crate::support::{PASSENGERS, airline, lookup, set, sign, vector};

fn pack() -> Pack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../enclave/policy");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let own = |name: &str| text(&format!("packs/airline/{name}"));
    Pack::load(
        &text("adyton.cedarschema"),
        &own("policies.cedar"),
        &own("contexts.toml"),
        &own("resources.toml"),
    )
    .unwrap()
}

fn bot(cancelled: &[&str]) -> Facts {
    Facts {
        id: "bot".into(),
        tenant: "air".into(),
        roles: set(&["rebooking-bot"]),
        clearance: 2,
        attested: true,
        sets: BTreeMap::from([("cancelled_flights".into(), set(cancelled))]),
    }
}

/// Everything that is reached for a purpose: by collection, documents and the fields that are shown.
async fn walk(who: &Facts, purpose: &str) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>, usize)> {
    let (_database, mut store) = airline().await;
    let pack = pack();
    let mut reached = BTreeMap::new();
    for collection in ["reservations", "seats", "flight_plans", "loyalty"] {
        let outcome = pack.decide(&Question {
            principal: who.clone(),
            action: "Retrieve".into(),
            resource: Resource { kind: "Collection".into(), id: collection.into() },
            purpose: purpose.into(),
            amounts: BTreeMap::from([("passages".into(), 20)]),
            situation: Situation::default(),
        });
        if !outcome.decided.lets() {
            continue;
        }
        let rows = resolve(&outcome.obligations.rows, who).unwrap();
        let mut all: BTreeMap<_, _> = BTreeMap::new();
        // Questions from every corner: whatever can be near to one is found.
        let seeds =
            (0..4).flat_map(|flight| (0..u64::from(PASSENGERS)).map(move |seat| 1000 * flight + seat));
        for seed in seeds.chain(50_000..50_040).chain(90_000..90_004).chain(0..3) {
            let query = vector(seed);
            let mut asked = lookup(collection, &query);
            asked.purpose = purpose.into();
            asked.masked = outcome.obligations.mask.clone();
            asked.rows = rows.clone();
            asked.most = outcome.obligations.max_passages.unwrap();
            let found = store.search(&sign(&asked), &query).await.unwrap();
            all.extend(found.into_iter().map(|passage| (passage.id, passage)));
        }
        let documents = all.values().map(|passage| passage.document.clone()).collect();
        let fields = all.values().flat_map(|passage| passage.fields.keys().cloned()).collect();
        let texts: String =
            all.values().map(|passage| format!("{} {}", passage.title, passage.text)).collect();
        for hidden in ["Passenger", "Secret", "passport PLH", "@LH", "rival", "kosher", "gold"] {
            assert!(!texts.contains(hidden), "{collection} shows {hidden}");
        }
        reached.insert(collection.to_owned(), (documents, fields, all.len()));
    }
    // Under another role's name, or another tenant's, the same grants reach nothing.
    let query = vector(1);
    for (tenant, collection, role) in [("air", "loyalty", "operations"), ("rival", "seats", "operations")] {
        let mut asked = lookup(collection, &query);
        (asked.tenant, asked.role) = (tenant.into(), role.into());
        let refused = store.search(&sign(&asked), &query).await;
        assert_eq!(refused, Err(StoreError::Refused(Refused::NoCollection)));
    }
    reached
}

#[tokio::test]
async fn rebooking_one_flight_reaches_its_passengers_and_nobody_else() {
    let reached = walk(&bot(&["LH401"]), "rebooking").await;
    let plans = set(&["plan-LH400", "plan-LH401", "plan-LH402", "plan-LH403"]);
    let seats = set(&["seats-LH400", "seats-LH401", "seats-LH402", "seats-LH403"]);
    let expected = BTreeMap::from([
        // The pack lists the name; the collection holds it for sensitive, and nothing permits to unmask it.
        ("reservations".into(), (set(&["manifest-LH401"]), set(&["cabin", "flight"]), 6)),
        ("seats".into(), (seats, set(&["flight", "state"]), 8)),
        ("flight_plans".into(), (plans, set(&["flight"]), 4)),
    ]);
    assert_eq!(reached, expected);
}

#[tokio::test]
async fn a_token_without_the_set_reaches_no_passenger_and_another_purpose_nothing() {
    let mut who = bot(&[]);
    who.sets.clear();
    let reached = walk(&who, "rebooking").await;
    assert_eq!(reached["reservations"], (BTreeSet::new(), BTreeSet::new(), 0));
    assert_eq!(reached["seats"].2, 8);
    assert_eq!(walk(&bot(&["LH400"]), "marketing").await, BTreeMap::new());
    let mut who = bot(&["LH400"]);
    who.roles = set(&["marketing"]);
    assert_eq!(walk(&who, "rebooking").await, BTreeMap::new());
}
