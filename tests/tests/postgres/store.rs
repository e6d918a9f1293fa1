//! The connector and the database together, as they should be.

use std::collections::BTreeSet;

use adyton_retrieval::document::Document;
use adyton_retrieval::passage::PassageId;
use adyton_retrieval::postgres::{Limits, Refused, Store, StoreError};
use adyton_tests::postgres::Database;

use crate::support::{
    BOT, airline, collections, ingest, insert, login, lookup, now, set, sign, store, vector, written,
};

#[tokio::test]
async fn a_grant_shows_its_rows_masked() {
    let (_database, mut store) = airline().await;
    let query = vector(1001);
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH400", "LH401"]));
    asked.masked = set(&["meal"]);
    let found = store.search(&sign(&asked), &query).await.unwrap();
    assert_eq!(found.len(), 12);
    assert_eq!((found[0].document.as_str(), found[0].ordinal, found[0].score), ("manifest-LH401", 1, 1.0));
    assert_eq!(found[0].id, PassageId::of("air", "reservations", "manifest-LH401", 1));
    assert_eq!(found[0].text, "[name] flies LH401, passport [passport], wants an aisle.");
    assert_eq!((found[0].title.as_str(), found[0].classification), ("[title]", 2));
    for passage in &found {
        assert_eq!(passage.fields.keys().map(String::as_str).collect::<Vec<_>>(), ["cabin", "flight"]);
    }
    // Unmasked under a grant that says so, and still not what it masks.
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH401"]));
    asked.unmasked = set(&["name", "title", "meal"]);
    asked.masked = set(&["meal"]);
    asked.most = 1;
    let found = store.search(&sign(&asked), &query).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text, "Passenger LH401-1 flies LH401, passport [passport], wants an aisle.");
    assert_eq!(found[0].title, "Mrs Secret, LH401");
    assert_eq!(found[0].fields["name"], "Passenger LH401-1");
    assert!(!found[0].fields.contains_key("meal") && !found[0].fields.contains_key("email"));
}

#[tokio::test]
async fn an_empty_list_and_an_unknown_column_let_nothing_through() {
    let (_database, mut store) = airline().await;
    let query = vector(1001);
    for (column, values) in
        [("flight", set(&[])), ("shoe_size", set(&["44"])), ("flight", set(&["x' OR 1=1 --"]))]
    {
        let mut asked = lookup("reservations", &query);
        asked.rows.insert(column.into(), values);
        assert_eq!(store.search(&sign(&asked), &query).await.unwrap(), []);
    }
}

#[tokio::test]
async fn sql_in_every_string_is_text() {
    let database = Database::new().await.unwrap();
    let operator = database.operator().await.unwrap();
    let evil = "'); DROP TABLE adyton.entry; -- $1 \\x27 \u{2019} \"";
    operator.execute("SELECT adyton.add_collection($1, 'c', 'operations', 1)", &[&evil]).await.unwrap();
    let mut store = store(&database).await;
    let query = vector(3);
    let passage = written(0, evil, &[("name", evil)], query.clone());
    let payload = Document::new(evil, evil, 1, vec![passage]).unwrap();
    let mut writing = ingest(evil, "c", &payload);
    writing.purpose = evil.into();
    store.insert(&sign(&writing), &payload).await.unwrap();
    let mut asked = lookup("c", &query);
    asked.tenant = evil.into();
    asked.purpose = evil.into();
    asked.rows.insert("name".into(), set(&[evil]));
    let found = store.search(&sign(&asked), &query).await.unwrap();
    assert_eq!(
        (found[0].text.as_str(), found[0].document.as_str(), found[0].fields["name"].as_str()),
        (evil, evil, evil)
    );
    let entries = operator.query_one("SELECT count(*), min(purpose) FROM adyton.entry", &[]).await.unwrap();
    assert_eq!((entries.get::<_, i64>(0), entries.get::<_, &str>(1)), (4, evil));
}

#[tokio::test]
async fn a_document_is_replaced_and_only_with_what_was_granted() {
    let (_database, mut store) = airline().await;
    let one =
        |text: &str| Document::new("plan-LH400", "plan", 0, vec![written(0, text, &[], vector(5))]).unwrap();
    let (first, second) = (one("goes at one"), one("goes at two"));
    assert_eq!(insert(&mut store, "air", "flight_plans", &first).await, Ok(1));
    let mut asked = lookup("flight_plans", &vector(5));
    asked.most = 1;
    let found = store.search(&sign(&asked), &vector(5)).await.unwrap();
    assert_eq!((found[0].text.as_str(), found[0].classification), ("goes at one", 1));
    let granted = sign(&ingest("air", "flight_plans", &first));
    assert_eq!(store.insert(&granted, &second).await, Err(StoreError::Grant));
    assert_eq!(store.insert(&granted, &first).await, Ok(1));
    assert_eq!(store.insert(&granted, &first).await, Err(StoreError::Refused(Refused::Used)));
    assert_eq!(store.search(&granted, &vector(5)).await, Err(StoreError::Grant));
}

#[tokio::test]
async fn each_refusal_has_its_name_and_the_connection_goes_on() {
    let (_database, mut store) = airline().await;
    let query = vector(1001);
    let good = lookup("reservations", &query);
    let refused = |refused| Err(StoreError::Refused(refused));
    let mut late = lookup("reservations", &query);
    late.expires_s = now() - 1;
    assert_eq!(store.search(&sign(&late), &query).await, refused(Refused::Expired));
    let mut other = lookup("reservations", &query);
    other.role = "marketing".into();
    assert_eq!(store.search(&sign(&other), &query).await, refused(Refused::NoCollection));
    let mut other = lookup("reservations", &query);
    other.tenant = "nobody".into();
    assert_eq!(store.search(&sign(&other), &query).await, refused(Refused::NoCollection));
    let mut forged = sign(&lookup("reservations", &query));
    forged.mac[0] ^= 1;
    assert_eq!(store.search(&forged, &query).await, refused(Refused::NotGranted));
    assert_eq!(store.search(&sign(&good), &vector(1)).await, Err(StoreError::Grant));
    assert_eq!(store.search(&sign(&good), &[0.5; 3]).await, Err(StoreError::Input));
    assert_eq!(store.search(&sign(&good), &[f32::NAN; 384]).await, Err(StoreError::Input));
    assert_eq!(store.search(&sign(&good), &query).await.unwrap().len(), 20);
    assert_eq!(store.search(&sign(&good), &query).await, refused(Refused::Used));
}

#[tokio::test]
async fn strangers_are_not_logged_in_and_strange_servers_not_logged_into() {
    let database = Database::new().await.unwrap();
    let other = Database::new().await.unwrap();
    let connect = |login| Store::connect(database.stream(), login, Limits::default());
    let mut wrong = login(&database);
    wrong.password = "guessed".to_owned().into();
    assert_eq!(connect(&wrong).await.err(), Some(StoreError::Password));
    let mut wrong = login(&database);
    wrong.server = "other.adyton.test".into();
    assert_eq!(connect(&wrong).await.err(), Some(StoreError::Tls));
    let mut wrong = login(&other);
    let key = rcgen::KeyPair::generate().unwrap();
    wrong.root = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().der().clone();
    assert_eq!(connect(&wrong).await.err(), Some(StoreError::Tls));
    assert!(connect(&login(&database)).await.is_ok());
}

#[tokio::test]
async fn every_lookup_is_in_the_chain_before_it_is_read_and_the_chain_shows_changes() {
    let (database, mut store) = airline().await;
    let operator = database.operator().await.unwrap();
    let query = vector(1001);
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH400"]));
    asked.masked = set(&["meal"]);
    let found = store.search(&sign(&asked), &query).await.unwrap();
    let rows = operator
        .query("SELECT kind, principal, purpose, collection, masked, passages FROM adyton.entry ORDER BY seq DESC LIMIT 2", &[])
        .await
        .unwrap();
    let (opened, registered) = (&rows[0], &rows[1]);
    assert_eq!((opened.get::<_, &str>(0), registered.get::<_, &str>(0)), ("opened", "registered"));
    assert_eq!(registered.get::<_, &[u8]>(1), BOT);
    assert_eq!((registered.get::<_, &str>(2), registered.get::<_, &str>(3)), ("rebooking", "reservations"));
    let ids: Vec<Vec<u8>> = registered.get(5);
    assert_eq!(ids, found.iter().map(|passage| passage.id.0.to_vec()).collect::<Vec<_>>());
    let broken = async || {
        operator.query_one("SELECT adyton_api.broken()", &[]).await.unwrap().get::<_, Option<i64>>(0)
    };
    assert_eq!(broken().await, None);
    for attempt in [
        "UPDATE adyton.entry SET purpose = 'other'",
        "DELETE FROM adyton.entry WHERE seq = 3",
        "TRUNCATE adyton.entry",
    ] {
        let error = operator.batch_execute(attempt).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "AD009", "{attempt}");
    }
    // Who may switch triggers off rewrites, and is found out.
    let change = |what: &str| {
        format!(
            "ALTER TABLE adyton.entry DISABLE TRIGGER append_only; {what}; ALTER TABLE adyton.entry ENABLE TRIGGER append_only"
        )
    };
    operator.batch_execute(&change("UPDATE adyton.entry SET purpose = 'other' WHERE seq = 5")).await.unwrap();
    assert_eq!(broken().await, Some(5));
    operator.batch_execute(&change("DELETE FROM adyton.entry WHERE seq >= 5")).await.unwrap();
    assert_eq!(broken().await, Some(5));
}

#[tokio::test]
async fn a_crawl_of_harmless_questions_is_stopped_before_rows_are_read() {
    let (database, mut store) = airline().await;
    let operator = database.operator().await.unwrap();
    let crawl = async |store: &mut Store, who: u8| {
        let mut seen = BTreeSet::new();
        let mut refused = 0;
        for number in 0..24 {
            let query = vector(1000 * (number / 6) + number % 6);
            let mut asked = lookup("reservations", &query);
            (asked.most, asked.principal) = (2, [who; 32]);
            match store.search(&sign(&asked), &query).await {
                Ok(found) => seen.extend(found.into_iter().map(|passage| passage.id)),
                Err(StoreError::TooMuch) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (seen.len(), refused)
    };
    assert_eq!(crawl(&mut store, 1).await, (24, 0));
    operator.batch_execute("SELECT adyton.limit_volume('air', 'reservations', NULL, 0.25)").await.unwrap();
    let (seen, refused) = crawl(&mut store, 2).await;
    assert!(seen <= 6 && refused >= 18, "{seen} {refused}");
    operator.batch_execute("SELECT adyton.limit_volume('air', 'reservations', 10, NULL)").await.unwrap();
    let (seen, refused) = crawl(&mut store, 3).await;
    assert!(seen <= 10 && refused == 19, "{seen} {refused}");
    let told = operator
        .query_one("SELECT count(*), min(note), max(note), sum(cardinality(passages))::int8 FROM adyton.entry WHERE kind = 'refused'", &[])
        .await
        .unwrap();
    assert!(told.get::<_, i64>(0) >= 37);
    assert_eq!(
        (told.get::<_, &str>(1), told.get::<_, &str>(2), told.get::<_, i64>(3)),
        ("coverage", "rate", 0)
    );
    let coverage = operator
        .query("SELECT reached::int4, of_passages::int4, share::float8 FROM adyton_api.coverage WHERE collection = 'reservations' AND tenant = 'air' ORDER BY principal", &[])
        .await
        .unwrap();
    let shares: Vec<(i32, f64)> = coverage.iter().map(|row| (row.get(0), row.get(2))).collect();
    assert_eq!((shares.len(), shares[0]), (3, (24, 1.0)));
    assert!(shares[1].1 <= 0.25 && coverage[0].get::<_, i32>(1) == 24);
}

#[tokio::test]
async fn what_expired_is_forgotten_and_its_entries_stay() {
    let (database, mut store) = airline().await;
    let operator = database.operator().await.unwrap();
    collections_again_are_refused(&operator).await;
    let query = vector(1001);
    store.search(&sign(&lookup("reservations", &query)), &query).await.unwrap();
    let count = async |table: &str| {
        operator
            .query_one(&format!("SELECT count(*) FROM adyton.{table}"), &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };
    let entries = count("entry").await;
    operator.batch_execute("SELECT adyton.forget()").await.unwrap();
    assert!(count("issued").await > 0 && count("granted").await == 20);
    operator
        .batch_execute(
            "UPDATE adyton.issued SET expires = expires - interval '2 hours'; SELECT adyton.forget()",
        )
        .await
        .unwrap();
    assert_eq!((count("issued").await, count("granted").await, count("opened").await), (0, 0, 0));
    assert_eq!(count("entry").await, entries);
}

async fn collections_again_are_refused(operator: &tokio_postgres::Client) {
    let again = operator.batch_execute("SELECT adyton.add_collection('air', 'seats', 'operations', 1)").await;
    assert_eq!(again.unwrap_err().code().unwrap().code(), "23505");
    let odd = operator.batch_execute("SELECT adyton.add_collection('air', 'x', 'a\"; DROP', 1)").await;
    assert!(odd.is_err());
    let database = Database::new().await.unwrap();
    collections(&database.operator().await.unwrap()).await;
}
