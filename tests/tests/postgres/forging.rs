//! Denial of service by a worker that was taken over, as far as it is bounded.

use crate::attacks::register;
use crate::support::{airline, lookup, sign, vector};

#[tokio::test]
async fn connections_are_few_and_an_abandoned_transaction_does_not_hold_the_chain() {
    let (database, _store) = airline().await;
    let operator = database.operator().await.unwrap();
    let limit = operator
        .query_one("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'adyton_worker'", &[])
        .await
        .unwrap();
    assert_eq!(limit.get::<_, i32>(0), 32);
    let client = database.taken_over().await.unwrap();
    let shown = client.query_one("SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout')", &[]).await.unwrap();
    assert_eq!((shown.get::<_, &str>(0), shown.get::<_, &str>(1)), ("10s", "10s"));
    // A transaction that ends without committing gives the chain's head back.
    let query = vector(1001);
    client.batch_execute("BEGIN").await.unwrap();
    register(&client, &sign(&lookup("seats", &query)), &query).await.unwrap();
    drop(client);
    let other = database.taken_over().await.unwrap();
    assert_eq!(register(&other, &sign(&lookup("seats", &query)), &query).await, Ok("registered".into()));
}
