//! A database that lies to the enclave: each lie ends in one error, within the deadline and the limits.

use std::time::{Duration, Instant};

use adyton_retrieval::postgres::{Fault, Limits, Store, StoreError};
use adyton_tests::postgres::{Database, negotiate};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{airline, login, lookup, set, sign, vector};

const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(2),
    writing: Duration::from_secs(2),
    message: 256 * 1024,
    bytes: 1024 * 1024,
};

/// What the connector makes of an answer whose columns were replaced by what an operator likes.
async fn told(database: &Database, columns: &str, from: &str) -> Result<usize, StoreError> {
    let operator = database.operator().await.unwrap();
    let all = [
        "rank",
        "score",
        "tenant",
        "collection",
        "id",
        "document",
        "ordinal",
        "classification",
        "title",
        "body",
        "fields",
    ];
    let listed: Vec<String> = all
        .iter()
        .map(|name| {
            let lie = columns
                .split(';')
                .find_map(|lie| lie.split_once(" := ").filter(|(column, _)| column.trim() == *name));
            lie.map_or_else(|| format!("t.{name}"), |(_, value)| format!("{value} AS {name}"))
        })
        .collect();
    operator
        .batch_execute(&format!(
            "DROP VIEW IF EXISTS adyton_api.passages; CREATE VIEW adyton_api.passages AS SELECT {} FROM {from};
             GRANT SELECT ON adyton_api.passages TO adyton_data_operations",
            listed.join(", ")
        ))
        .await
        .unwrap();
    let mut store = Store::connect(database.stream(), &login(database), LIMITS).await.unwrap();
    let query = vector(1001);
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH401"]));
    asked.masked = set(&["meal"]);
    asked.most = 6;
    let begun = Instant::now();
    let answer = store.search(&sign(&asked), &query).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{columns}");
    if answer.as_ref().is_err_and(|error| !error.is_harmless()) {
        assert_eq!(
            store.search(&sign(&lookup("seats", &query)), &query).await,
            Err(StoreError::Down),
            "{columns}"
        );
    }
    answer.map(|found| found.len())
}

#[tokio::test]
async fn rows_that_the_grant_does_not_cover_end_the_answer() {
    let (database, _store) = airline().await;
    let operator = database.operator().await.unwrap();
    operator.batch_execute("ALTER VIEW adyton_api.passages RENAME TO truth").await.unwrap();
    let truth = "adyton_api.truth t";
    assert_eq!(told(&database, "", truth).await, Ok(6));
    let fault = |fault| Err(StoreError::Answer(fault));
    for (lie, from, expected) in [
        ("tenant := 'rival'", truth, fault(Fault::OutOfScope)),
        ("collection := 'seats'", truth, fault(Fault::OutOfScope)),
        ("fields := '{\"flight\": \"LH402\"}'::jsonb", truth, fault(Fault::OutOfScope)),
        ("fields := '{\"meal\": \"kosher\"}'::jsonb", truth, fault(Fault::Unmasked)),
        ("fields := '{\"flight\": 401}'::jsonb", truth, fault(Fault::Form)),
        ("fields := '[]'::jsonb", truth, fault(Fault::Form)),
        ("id := '\\x00112233445566778899aabbccddeeff'::bytea", truth, fault(Fault::ForgedId)),
        ("id := '\\x00'::bytea", truth, fault(Fault::ForgedId)),
        ("ordinal := t.ordinal + 1", truth, fault(Fault::ForgedId)),
        ("document := 'manifest-LH402'", truth, fault(Fault::ForgedId)),
        (
            "rank := generate_series(1, 7)",
            "(SELECT * FROM adyton_api.truth LIMIT 1) t",
            fault(Fault::TooMany),
        ),
        (
            "rank := generate_series(1, 2)",
            "(SELECT * FROM adyton_api.truth LIMIT 1) t",
            fault(Fault::ForgedId),
        ),
        (
            "rank := generate_series(1, 100000)",
            "(SELECT * FROM adyton_api.truth LIMIT 1) t",
            fault(Fault::TooMany),
        ),
        ("rank := t.rank - 1", truth, fault(Fault::Form)),
        ("score := t.rank::smallint", truth, fault(Fault::Form)),
        ("score := 101::smallint", truth, fault(Fault::Form)),
        ("classification := 9::smallint", truth, fault(Fault::Form)),
        ("ordinal := -1", truth, fault(Fault::Form)),
        ("score := 'a'::text", truth, fault(Fault::Form)),
        ("body := NULL::text", truth, fault(Fault::Form)),
        ("title := repeat('x', 1025)", truth, fault(Fault::TooLong)),
        ("body := repeat('x', 100000)", truth, fault(Fault::TooLong)),
        ("body := repeat('x', 5000000)", truth, Err(StoreError::Flood)),
        ("body := repeat('x', 200000); rank := generate_series(1, 7)", truth, Err(StoreError::Flood)),
        ("body := pg_sleep(60)::text", truth, Err(StoreError::Slow)),
        ("body := (1 / (t.rank - t.rank))::text", truth, Err(StoreError::Database("22012".into()))),
    ] {
        assert_eq!(told(&database, lie, from).await, expected, "{lie}");
    }
}

#[tokio::test]
async fn lies_about_grants_are_not_answers() {
    let (database, _store) = airline().await;
    let operator = database.operator().await.unwrap();
    let lie = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION adyton_api.register(grant_text text, mac bytea, query real[]) RETURNS text LANGUAGE plpgsql AS $$ {body} $$"
        )
    };
    for (body, expected) in [
        ("BEGIN RETURN 'yes'; END", StoreError::Answer(Fault::Form)),
        ("BEGIN RETURN NULL; END", StoreError::Answer(Fault::Form)),
        (
            "BEGIN RAISE EXCEPTION USING ERRCODE = 'AD002', MESSAGE = repeat('secret', 10); END",
            StoreError::Refused(adyton_retrieval::postgres::Refused::Expired),
        ),
        ("BEGIN RAISE EXCEPTION USING MESSAGE = repeat('secret', 1000000); END", StoreError::Flood),
        (
            "BEGIN FOR i IN 1..1000000 LOOP RAISE NOTICE 'notice notice notice notice'; END LOOP; RETURN 'registered'; END",
            StoreError::Flood,
        ),
    ] {
        operator.batch_execute(&lie(body)).await.unwrap();
        let mut store = Store::connect(database.stream(), &login(&database), LIMITS).await.unwrap();
        let query = vector(1);
        let error = store.search(&sign(&lookup("seats", &query)), &query).await.unwrap_err();
        assert_eq!(error, expected, "{body}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

/// What the connector makes of a server of one's own, after TLS.
async fn connected<F: Future<Output = ()> + Send>(
    database: &Database,
    server: impl FnOnce(TlsStream<DuplexStream>) -> F + Send + 'static,
) -> Option<StoreError> {
    let (ours, mut theirs) = duplex(64 * 1024);
    let tls = TlsAcceptor::from(database.tls());
    let serving = tokio::spawn(async move {
        negotiate(&mut theirs).await.unwrap();
        server(tls.accept(theirs).await.unwrap()).await;
    });
    let limits = Limits { deadline: Duration::from_millis(500), ..LIMITS };
    let error = Store::connect(ours, &login(database), limits).await.err();
    serving.abort();
    error
}

#[tokio::test]
async fn whoever_is_no_database_is_told_from_one() {
    let database = Database::new().await.unwrap();
    let say = |bytes: &'static [u8]| {
        move |mut stream: TlsStream<DuplexStream>| async move {
            let mut startup = [0; 512];
            let _read = stream.read(&mut startup).await;
            let _written = stream.write_all(bytes).await;
            let _ended = stream.read(&mut startup).await;
            std::future::pending::<()>().await;
        }
    };
    // A clear password, an MD5 one, a hash without end, a message without end, noise, silence.
    let cases: [(&'static [u8], StoreError); 7] = [
        (b"R\0\0\0\x08\0\0\0\x03", StoreError::Password),
        (b"R\0\0\0\x0c\0\0\0\x05salt", StoreError::Password),
        (b"R\0\0\0\x23\0\0\0\x0br=abc,s=c2FsdA==,i=99999999", StoreError::Password),
        (b"R\x7f\xff\xff\xff\0\0\0\0", StoreError::Flood),
        (b"HTTP/1.1 200 OK\r\n\r\n", StoreError::Flood),
        (b"R\0\0\0\x01", StoreError::Answer(Fault::Form)),
        (b"", StoreError::Slow),
    ];
    for (bytes, expected) in cases {
        assert_eq!(connected(&database, say(bytes)).await, Some(expected), "{bytes:?}");
    }
    let ended = connected(&database, |stream| async move { drop(stream) }).await;
    assert_eq!(ended, Some(StoreError::Down));
    // Nobody there at all, and one that speaks no TLS.
    let (ours, theirs) = duplex(64);
    drop(theirs);
    assert_eq!(Store::connect(ours, &login(&database), LIMITS).await.err(), Some(StoreError::Down));
    let (ours, mut theirs) = duplex(64);
    let refusing = tokio::spawn(async move {
        let mut request = [0; 8];
        theirs.read_exact(&mut request).await.unwrap();
        theirs.write_all(b"N").await.unwrap();
    });
    assert_eq!(Store::connect(ours, &login(&database), LIMITS).await.err(), Some(StoreError::Tls));
    refusing.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error_and_not_a_wait() {
    let (database, mut store) = airline().await;
    let operator = database.operator().await.unwrap();
    operator
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'adyton_worker' AND datname = current_database()")
        .await
        .unwrap();
    let query = vector(1);
    let error = store.search(&sign(&lookup("seats", &query)), &query).await.unwrap_err();
    assert!(matches!(&error, StoreError::Down) || error == StoreError::Database("57P01".into()), "{error:?}");
    assert_eq!(store.search(&sign(&lookup("seats", &query)), &query).await, Err(StoreError::Down));
}
