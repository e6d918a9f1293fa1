//! A worker that was taken over: the connection in hand, the password known, any SQL it likes.

use adyton_tests::postgres::Database;
use adyton_wire::lookup::{LookupKey, SignedLookup};
use tokio_postgres::Client;

use crate::support::{airline, lookup, set, sign, vector};

/// The code of the error that a statement ends in.
pub(crate) async fn refused(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await;
    let error = error.err().unwrap_or_else(|| panic!("it was let through: {statement}"));
    let code = error.code().unwrap_or_else(|| panic!("{statement}: {error}")).code().to_owned();
    assert!(client.batch_execute("ROLLBACK").await.is_ok());
    code
}

/// Step one, as SQL.
pub(crate) async fn register(
    client: &Client,
    signed: &SignedLookup,
    query: &[f32],
) -> Result<String, String> {
    let mac: &[u8] = &signed.mac;
    let answered = client
        .query_one("SELECT adyton_api.register($1, $2, $3)", &[&signed.text, &mac, &query.to_vec()])
        .await;
    answered.map(|row| row.get(0)).map_err(|error| error.code().unwrap().code().to_owned())
}

pub(crate) fn open(name: &[u8; 16]) -> String {
    format!("SELECT adyton_api.open('\\x{}')", hex::encode(name))
}

/// How many passages the connection sees as a data role, in the transaction that it is in.
async fn sees(client: &Client, role: &str) -> i64 {
    client.batch_execute(&format!("SET LOCAL ROLE adyton_data_{role}")).await.unwrap();
    client.query_one("SELECT count(*) FROM adyton_api.passages", &[]).await.unwrap().get(0)
}

async fn taken_over() -> (Database, Client) {
    let (database, store) = airline().await;
    drop(store);
    let client = database.taken_over().await.unwrap();
    (database, client)
}

const DENIED: &str = "42501";

#[tokio::test]
async fn without_a_grant_nothing_is_seen_and_no_table_can_be_touched() {
    let (_database, client) = taken_over().await;
    for role in ["operations", "marketing"] {
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(sees(&client, role).await, 0);
        client.batch_execute("COMMIT").await.unwrap();
    }
    for table in [
        "adyton.space",
        "adyton.document",
        "adyton.passage",
        "adyton.field",
        "adyton.passage_1",
        "adyton.field_1",
        "adyton.secret",
        "adyton.issued",
        "adyton.granted",
        "adyton.opened",
        "adyton.entry",
        "adyton.head",
        "adyton.reached",
        "adyton.volume",
        "adyton_api.entries",
        "adyton_api.coverage",
        "pg_authid",
        "pg_statistic",
        "pg_largeobject",
    ] {
        for role in ["adyton_worker", "adyton_data_operations"] {
            let with = |what: &str| format!("BEGIN; SET LOCAL ROLE {role}; {what}");
            assert_eq!(
                refused(&client, &with(&format!("SELECT count(*) FROM {table}"))).await,
                DENIED,
                "{table}"
            );
            // A view that cannot be written says so before it asks who may.
            let deleted = refused(&client, &with(&format!("DELETE FROM {table}"))).await;
            assert!([DENIED, "55000"].contains(&deleted.as_str()), "{table}: {deleted}");
            assert_eq!(refused(&client, &with(&format!("COPY {table} TO STDOUT"))).await, DENIED, "{table}");
        }
    }
    // The view is not a way to write, nor is a passage's vector in it.
    let data = "BEGIN; SET LOCAL ROLE adyton_data_operations; ";
    for write in ["DELETE FROM adyton_api.passages", "UPDATE adyton_api.passages SET body = 'x'"] {
        assert!(
            [DENIED, "55000"].contains(&refused(&client, &format!("{data}{write}")).await.as_str()),
            "{write}"
        );
    }
    assert_eq!(refused(&client, &format!("{data}SELECT embedding FROM adyton_api.passages")).await, "42703");
}

#[tokio::test]
async fn no_other_role_and_no_door_but_two_is_open() {
    let (_database, client) = taken_over().await;
    for role in [
        "adyton_owner",
        "adyton_gate",
        "adyton_find",
        "adyton_view",
        "adyton_ingest",
        "adyton_auditor",
        "postgres",
        "pg_read_all_data",
        "pg_read_server_files",
        "pg_monitor",
    ] {
        assert_eq!(refused(&client, &format!("SET ROLE {role}")).await, DENIED, "{role}");
        assert_eq!(refused(&client, &format!("SET SESSION AUTHORIZATION {role}")).await, DENIED, "{role}");
        assert_eq!(refused(&client, &format!("GRANT {role} TO adyton_worker")).await, DENIED, "{role}");
    }
    for call in [
        "adyton.keyed_hash('x')",
        "adyton.find(1, NULL, 1, '{}')",
        "adyton.open_as('lookup', 'x')",
        "adyton.broken()",
        "adyton.set_key('x')",
        "adyton.ingested('x', '{}', 0)",
        "adyton.add_collection('a', 'b', 'c')",
        "adyton.forget()",
        "adyton.limit_volume('a', 'b', 1, 1)",
        "adyton.verified('x', 'x')",
        "adyton.count(NULL, '{}')",
    ] {
        let code = refused(&client, &format!("SELECT {call}")).await;
        assert!([DENIED, "42883"].contains(&code.as_str()), "{call}: {code}");
    }
    for statement in [
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "COPY adyton_api.passages TO '/tmp/x'",
        "COPY adyton_api.passages TO PROGRAM 'cat'",
        "SELECT lo_create(0)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_notify('a', 'b')",
        "SELECT set_config('role', 'adyton_gate', false)",
        "CREATE TEMP TABLE t (x int)",
        "CREATE TABLE public.t (x int)",
        "CREATE SCHEMA s",
        "CREATE TABLE adyton_api.t (x int)",
        "CREATE FUNCTION adyton_api.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION dblink",
        "CREATE ROLE r",
        "ALTER ROLE adyton_worker SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "ALTER TABLE adyton.passage DISABLE ROW LEVEL SECURITY",
        "DROP POLICY shown ON adyton.passage",
        "ALTER VIEW adyton_api.passages SET (security_barrier = false)",
        "ALTER VIEW adyton_api.passages OWNER TO adyton_worker",
        "ALTER FUNCTION adyton_api.open(bytea) RESET ALL",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
        "SET session_replication_role = replica",
        "LOAD '/tmp/x.so'",
        "SELECT pg_terminate_backend(1)",
    ] {
        let code = refused(&client, statement).await;
        let expected = [DENIED, "42883", "0A000", "22023", "42704", "42P01"];
        assert!(expected.contains(&code.as_str()), "{statement}: {code}");
    }
    // DO runs as whoever asks: no more rights than he has.
    let inside = "DO $$ BEGIN PERFORM count(*) FROM adyton.passage; END $$";
    assert_eq!(refused(&client, inside).await, DENIED);
}

#[tokio::test]
async fn a_forged_or_altered_grant_registers_nothing() {
    let (database, client) = taken_over().await;
    let query = vector(1001);
    let good = sign(&lookup("reservations", &query));
    let mut guessed = good.clone();
    guessed.mac = [0; 32];
    assert_eq!(register(&client, &guessed, &query).await, Err("AD001".into()));
    let mut other = lookup("reservations", &query);
    other.most = 21;
    let other = other.sign(&LookupKey::new(&[0; 32])).unwrap();
    assert_eq!(register(&client, &other, &query).await, Err("AD001".into()));
    // Every line in turn, under the hash of the true text.
    let lines: Vec<&str> = good.text.split('\n').collect();
    for at in 0..lines.len() {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let line = &mut changed[at];
        let last = line.pop().unwrap();
        line.push(if last == '1' { '2' } else { '1' });
        let altered = SignedLookup { text: changed.join("\n"), mac: good.mac };
        assert_eq!(register(&client, &altered, &query).await, Err("AD001".into()), "line {at}");
    }
    for text in
        [format!("{}\nrow flight 00", good.text), good.text.replace("\nmost", "\n most"), String::new()]
    {
        assert_eq!(
            register(&client, &SignedLookup { text, mac: good.mac }, &query).await,
            Err("AD001".into())
        );
    }
    let short = client
        .query_one("SELECT adyton_api.register($1, $2, $3)", &[&good.text, &&good.mac[..31], &query])
        .await;
    assert_eq!(short.unwrap_err().code().unwrap().code(), "AD001");
    // Null is nobody's grant.
    assert_eq!(refused(&client, "SELECT adyton_api.register(NULL, NULL, NULL)").await, "AD001");
    assert_eq!(refused(&client, "SELECT adyton_api.open(NULL)").await, "AD001");
    let operator = database.operator().await.unwrap();
    let count =
        operator.query_one("SELECT count(*) FROM adyton.issued WHERE kind = 'lookup'", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_grant_is_for_its_vector_its_connection_and_one_transaction() {
    let (database, client) = taken_over().await;
    let other = database.taken_over().await.unwrap();
    let query = vector(1001);
    // Another vector, a longer one, and none.
    let asked = lookup("reservations", &query);
    for wrong in [vector(1), [query.clone(), query.clone()].concat(), Vec::new(), vec![f32::NAN; 384]] {
        assert_eq!(register(&client, &sign(&asked), &wrong).await, Err("AD004".into()));
    }
    // Registered here, opened there.
    assert_eq!(register(&client, &sign(&asked), &query).await, Ok("registered".into()));
    assert_eq!(refused(&other, &open(&asked.grant)).await, "AD001");
    // In one transaction, and so without a trace: refused, and what was done is undone together with its trace.
    let quick = lookup("reservations", &query);
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(register(&client, &sign(&quick), &query).await, Ok("registered".into()));
    assert_eq!(refused(&client, &open(&quick.grant)).await, "AD007");
    client.batch_execute("BEGIN; SAVEPOINT a").await.unwrap();
    assert_eq!(register(&client, &sign(&quick), &query).await, Ok("registered".into()));
    client.batch_execute("RELEASE a").await.unwrap();
    assert_eq!(refused(&client, &open(&quick.grant)).await, "AD007");
    assert_eq!(refused(&client, &open(&quick.grant)).await, "AD001");
    // Opened once: seen in that transaction, as that role, and no longer.
    client.batch_execute(&format!("BEGIN; {}", open(&asked.grant))).await.unwrap();
    assert_eq!(sees(&client, "marketing").await, 0);
    assert_eq!(sees(&client, "operations").await, 20);
    client.batch_execute("COMMIT; BEGIN").await.unwrap();
    assert_eq!(sees(&client, "operations").await, 0);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(refused(&client, &open(&asked.grant)).await, "AD003");
    assert_eq!(register(&client, &sign(&asked), &query).await, Err("AD003".into()));
    assert_eq!(register(&other, &sign(&asked), &query).await, Err("AD003".into()));
    // Another connection sees nothing of what this one has open.
    let again = lookup("reservations", &query);
    register(&client, &sign(&again), &query).await.unwrap();
    client.batch_execute(&format!("BEGIN; {}", open(&again.grant))).await.unwrap();
    other.batch_execute("BEGIN").await.unwrap();
    assert_eq!(sees(&other, "operations").await, 0);
}

#[tokio::test]
async fn rolling_back_does_not_erase_that_it_was_read() {
    let (database, client) = taken_over().await;
    let operator = database.operator().await.unwrap();
    let query = vector(1001);
    let asked = lookup("reservations", &query);
    register(&client, &sign(&asked), &query).await.unwrap();
    client.batch_execute(&format!("BEGIN; {}", open(&asked.grant))).await.unwrap();
    assert_eq!(sees(&client, "operations").await, 20);
    client.batch_execute("ROLLBACK").await.unwrap();
    let row = operator
        .query_one("SELECT kind, cardinality(passages) FROM adyton.entry ORDER BY seq DESC LIMIT 1", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("registered", 20));
    let counted = operator.query_one("SELECT sum(passages)::int4 FROM adyton.volume", &[]).await.unwrap();
    assert_eq!(counted.get::<_, i32>(0), 20);
    // What was rolled back can be opened again, here: it shows the same passages, which are written down.
    client.batch_execute(&format!("BEGIN; {}", open(&asked.grant))).await.unwrap();
    assert_eq!(sees(&client, "operations").await, 20);
    // Two grants at once are not possible.
    client.batch_execute("COMMIT").await.unwrap();
    let (one, two) = (lookup("seats", &query), lookup("flight_plans", &query));
    register(&client, &sign(&one), &query).await.unwrap();
    register(&client, &sign(&two), &query).await.unwrap();
    assert_eq!(
        refused(&client, &format!("BEGIN; {}; {}", open(&one.grant), open(&two.grant))).await,
        "AD003"
    );
}

#[tokio::test]
async fn neither_settings_nor_shadows_nor_open_cursors_help() {
    let (_database, client) = taken_over().await;
    let query = vector(1001);
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH400"]));
    asked.most = 3;
    // Settings that anybody can set are believed by nobody.
    client
        .batch_execute(
            "SET search_path = pg_temp, adyton_api; SET row_security = off; SET adyton.opened = 'all'; SET adyton.tenant = 'rival';
             SET application_name = 'postgres'; SET hnsw.ef_search = 1000; SET plan_cache_mode = force_generic_plan",
        )
        .await
        .unwrap();
    // row_security = off asks for an error wherever a policy would filter, and gets it.
    assert_eq!(register(&client, &sign(&asked), &query).await, Err("42501".into()));
    client.batch_execute("RESET row_security").await.unwrap();
    register(&client, &sign(&asked), &query).await.unwrap();
    client
        .batch_execute(&format!(
            "BEGIN; {}; SET LOCAL ROLE adyton_data_operations;
             DECLARE held CURSOR WITH HOLD FOR SELECT id, body FROM adyton_api.passages; COMMIT",
            open(&asked.grant)
        ))
        .await
        .unwrap();
    // A cursor that is held keeps what was shown, and shows nothing more.
    let kept = client.query("FETCH ALL FROM held", &[]).await.unwrap();
    assert_eq!(kept.len(), 3);
    // A function of one's own, of an operator's name, is not what the gate calls: none can be made (above), and the path is pinned.
    let mine = client
        .query(
            "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
        WHERE n.nspname IN ('adyton', 'adyton_api') AND NOT coalesce(array_to_string(p.proconfig, ';') LIKE \
        '%search_path=pg_catalog%pg_temp%', false)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(mine[0].get::<_, i64>(0), 0, "a function without a pinned search_path");
}

#[tokio::test]
async fn neither_errors_nor_plans_nor_statistics_tell_what_is_masked() {
    let (database, client) = taken_over().await;
    database.operator().await.unwrap().batch_execute("ANALYZE").await.unwrap();
    let query = vector(1001);
    let mut asked = lookup("reservations", &query);
    asked.rows.insert("flight".into(), set(&["LH400"]));
    asked.most = 2;
    register(&client, &sign(&asked), &query).await.unwrap();
    client
        .batch_execute(&format!(
            "BEGIN; {}; SET LOCAL ROLE adyton_data_operations; SAVEPOINT s",
            open(&asked.grant)
        ))
        .await
        .unwrap();
    // A cast that fails says what it failed on: it must not have seen a row that is not shown, or a value that is masked.
    for leak in [
        "SELECT count(*) FROM adyton_api.passages WHERE body::int = 1",
        "SELECT count(*) FROM adyton_api.passages WHERE (fields->>'name')::int = 1 OR body::xml IS NULL",
        "SELECT count(*) FROM adyton_api.passages WHERE title::numeric > 1",
        "SELECT count(*) FROM adyton_api.passages WHERE 1 / (length(title) - 7) = 1",
    ] {
        if let Err(error) = client.query(leak, &[]).await {
            let told = format!("{error:?}");
            for hidden in ["Secret", "Passenger", "PLH", "@LH", "LH401", "LH402", "kosher2", "rival"] {
                assert!(!told.contains(hidden), "{leak}: {told}");
            }
        }
        client.batch_execute("ROLLBACK TO s").await.unwrap();
    }
    let plan = client
        .query("EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM adyton_api.passages WHERE body::int = 1", &[])
        .await
        .unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    for hidden in ["LH40", "Passenger", "kosher", "rival"] {
        assert!(!plan.contains(hidden), "{plan}");
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    for role in ["adyton_worker", "adyton_data_operations"] {
        client.batch_execute(&format!("BEGIN; SET LOCAL ROLE {role}")).await.unwrap();
        let told = client
            .query_one("SELECT count(*) FROM pg_stats WHERE schemaname LIKE 'adyton%'", &[])
            .await
            .unwrap();
        assert_eq!(told.get::<_, i64>(0), 0, "{role}");
        client.batch_execute("COMMIT").await.unwrap();
    }
    // What the gate says of a wrong grant is the same for every tenant, there or not.
    let mut told = Vec::new();
    for tenant in ["rival", "nobody"] {
        let mut other = lookup("reservations", &query);
        (other.tenant, other.role) = (tenant.into(), "marketing".into());
        let signed = sign(&other);
        let mac: &[u8] = &signed.mac;
        let error = client
            .query_one("SELECT adyton_api.register($1, $2, $3)", &[&signed.text, &mac, &query])
            .await
            .unwrap_err();
        let said = error.as_db_error().unwrap();
        told.push((
            said.code().code().to_owned(),
            said.message().to_owned(),
            said.detail().map(str::to_owned),
        ));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].1, "adyton: refused");
}

#[tokio::test]
async fn a_worker_writes_only_what_was_granted() {
    let (database, client) = taken_over().await;
    let payload = adyton_retrieval::document::Document::new(
        "d",
        "t",
        1,
        vec![crate::support::written(0, "text", &[], vector(1))],
    )
    .unwrap();
    let asked = crate::support::ingest("air", "seats", &payload);
    let signed = sign(&asked);
    let mac: &[u8] = &signed.mac;
    let name: &[u8] = &asked.grant;
    client.query_one("SELECT adyton_api.register_ingest($1, $2)", &[&signed.text, &mac]).await.unwrap();
    let other = r#"{"document":"d","title":"t","classification":0,"passages":[]}"#;
    let error = client.query_one("SELECT adyton_api.ingest($1, $2)", &[&name, &other]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "AD008");
    // A look-up's grant does not write, and a grant of ingest does not read.
    let query = vector(1);
    let reading = lookup("seats", &query);
    register(&client, &sign(&reading), &query).await.unwrap();
    let wrong: &[u8] = &reading.grant;
    let error = client.query_one("SELECT adyton_api.ingest($1, $2)", &[&wrong, &other]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "AD001");
    assert_eq!(refused(&client, &open(&asked.grant)).await, "AD001");
    assert_eq!(register(&client, &signed, &query).await, Err("AD004".into()));
    let operator = database.operator().await.unwrap();
    let count =
        operator.query_one("SELECT count(*) FROM adyton.document WHERE document = 'd'", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
}
