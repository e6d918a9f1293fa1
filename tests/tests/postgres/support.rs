//! An airline's database, grants as the sentinel would make them, and vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use adyton_retrieval::document::{DIMENSIONS, Document};
use adyton_retrieval::passage::Written;
use adyton_retrieval::postgres::{Limits, Login, Store, StoreError};
use adyton_tests::postgres::{Database, KEY, NAME, PASSWORD};
use adyton_wire::lookup::{Kind, Lookup, LookupKey, SignedLookup, vector_digest};
use tokio_postgres::Client;

pub(crate) const BOT: [u8; 32] = [7; 32];

/// SplitMix64, so that every run sees the same vectors.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: the sum of four.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
    }

    pub(crate) fn vector(&mut self) -> Vec<f32> {
        unit((0..DIMENSIONS).map(|_| self.normal()).collect())
    }
}

pub(crate) fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

pub(crate) fn vector(seed: u64) -> Vec<f32> {
    Random(seed).vector()
}

pub(crate) fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A look-up of the rebooking bot's, to be changed.
pub(crate) fn lookup(collection: &str, query: &[f32]) -> Lookup {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let mut grant = [0xa5; 16];
    grant[8..].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Lookup {
        kind: Kind::Lookup,
        grant,
        principal: BOT,
        tenant: "air".into(),
        purpose: "rebooking".into(),
        collection: collection.into(),
        role: if collection == "loyalty" { "marketing" } else { "operations" }.into(),
        digest: vector_digest(query).unwrap(),
        most: 20,
        expires_s: now() + 60,
        masked: BTreeSet::new(),
        unmasked: BTreeSet::new(),
        rows: BTreeMap::new(),
    }
}

pub(crate) fn sign(lookup: &Lookup) -> SignedLookup {
    lookup.sign(&LookupKey::new(&KEY)).unwrap()
}

pub(crate) fn login(database: &Database) -> Login {
    Login {
        server: NAME.into(),
        root: database.root(),
        database: database.name().to_owned(),
        password: PASSWORD.to_owned().into(),
    }
}

pub(crate) async fn store(database: &Database) -> Store {
    Store::connect(database.stream(), &login(database), Limits::default()).await.unwrap()
}

pub(crate) fn written(ordinal: u32, text: &str, fields: &[(&str, &str)], vector: Vec<f32>) -> Written {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Written { ordinal, text: text.to_owned(), fields, vector }
}

pub(crate) fn ingest(tenant: &str, collection: &str, payload: &Document) -> Lookup {
    let mut lookup = lookup(collection, &[0.0]);
    lookup.kind = Kind::Ingest;
    lookup.tenant = tenant.into();
    lookup.purpose = "ingest".into();
    lookup.digest = payload.digest();
    lookup.most = u32::try_from(payload.count()).unwrap();
    lookup
}

pub(crate) async fn insert(
    store: &mut Store,
    tenant: &str,
    collection: &str,
    payload: &Document,
) -> Result<usize, StoreError> {
    store.insert(&sign(&ingest(tenant, collection, payload)), payload).await
}

/// Flights of the airline: two of them are cancelled.
pub(crate) const FLIGHTS: [&str; 4] = ["LH400", "LH401", "LH402", "LH403"];
/// Passengers of each.
pub(crate) const PASSENGERS: u32 = 6;

/// Makes the collections of the airline pack, and somebody else's.
pub(crate) async fn collections(operator: &Client) {
    operator
        .batch_execute(
            "SELECT adyton.add_collection('air', 'reservations', 'operations', 2, '{title,name,email,passport}');
             SELECT adyton.add_collection('air', 'seats', 'operations', 1);
             SELECT adyton.add_collection('air', 'flight_plans', 'operations', 1);
             SELECT adyton.add_collection('air', 'loyalty', 'marketing', 2, '{name}');
             SELECT adyton.add_collection('rival', 'reservations', 'operations', 2);",
        )
        .await
        .unwrap();
}

/// The airline's database, written through the connector.
pub(crate) async fn airline() -> (Database, Store) {
    let database = Database::new().await.unwrap();
    collections(&database.operator().await.unwrap()).await;
    let mut store = store(&database).await;
    for (number, flight) in (0u64..).zip(FLIGHTS) {
        let passengers: Vec<Written> = (0..PASSENGERS)
            .map(|seat| {
                let name = format!("Passenger {flight}-{seat}");
                let text = format!("{name} flies {flight}, passport P{flight}{seat}, wants an aisle.");
                let (email, passport) = (format!("p{seat}@{flight}.test"), format!("P{flight}{seat}"));
                let fields = [
                    ("name", name.as_str()),
                    ("email", &email),
                    ("passport", &passport),
                    ("flight", flight),
                    ("meal", "kosher"),
                    ("cabin", "economy"),
                ];
                written(seat, &text, &fields, vector(1000 * number + u64::from(seat)))
            })
            .collect();
        let manifest =
            Document::new(format!("manifest-{flight}"), format!("Mrs Secret, {flight}"), 2, passengers)
                .unwrap();
        insert(&mut store, "air", "reservations", &manifest).await.unwrap();
        let seats: Vec<Written> = (0..4)
            .map(|seat: u32| {
                let state = if seat < 2 { "open" } else { "taken" };
                let fields = [("flight", flight), ("state", state)];
                written(
                    seat,
                    &format!("seat {seat} of {flight} is {state}"),
                    &fields,
                    vector(50_000 + 10 * number + u64::from(seat)),
                )
            })
            .collect();
        let seats = Document::new(format!("seats-{flight}"), "seats", 1, seats).unwrap();
        insert(&mut store, "air", "seats", &seats).await.unwrap();
        let plan =
            [written(0, &format!("{flight} goes at noon"), &[("flight", flight)], vector(90_000 + number))];
        let plan = Document::new(format!("plan-{flight}"), "plan", 0, plan).unwrap();
        insert(&mut store, "air", "flight_plans", &plan).await.unwrap();
    }
    let gold = [written(0, "Passenger LH400-0 is gold", &[("name", "Passenger LH400-0")], vector(1))];
    let gold = Document::new("gold", "gold", 2, gold).unwrap();
    let mut loyal = ingest("air", "loyalty", &gold);
    loyal.role = "marketing".into();
    store.insert(&sign(&loyal), &gold).await.unwrap();
    let theirs = [written(0, "the rival's passenger", &[("flight", "LH400")], vector(2))];
    let theirs = Document::new("theirs", "theirs", 2, theirs).unwrap();
    insert(&mut store, "rival", "reservations", &theirs).await.unwrap();
    (database, store)
}
