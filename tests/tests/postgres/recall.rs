//! Recall at 10 against exact search, with the rows of others around and rules that leave few or many.

use std::collections::BTreeSet;

use adyton_retrieval::document::DIMENSIONS;
use adyton_tests::postgres::Database;
use tokio_postgres::Client;

use crate::attacks::register;
use crate::support::{Random, lookup, set, sign, unit};

/// Rows of the collection that is asked; as many are a rival's, in the same places.
const ROWS: usize = 3000;
const CENTRES: usize = 60;
const QUERIES: usize = 40;

/// Vectors around centres, as texts about the same things are.
fn cloud(random: &mut Random, count: usize) -> Vec<Vec<f32>> {
    let centres: Vec<Vec<f32>> = (0..CENTRES).map(|_| random.vector()).collect();
    (0..count)
        .map(|n| unit(centres[n % CENTRES].iter().map(|x| x + 0.06 * random.normal()).collect()))
        .collect()
}

async fn fill(operator: &Client, space: i32, vectors: &[Vec<f32>]) {
    for (chunk, from) in vectors.chunks(500).zip((0..).step_by(500)) {
        let flat: Vec<f32> = chunk.concat();
        operator
            .execute(
                "WITH new AS (
                   INSERT INTO adyton.passage SELECT $1, decode(lpad(to_hex(n), 32, '0'), 'hex'), 'd', n, 'text',
                     ($2::real[])[(n - $3::int) * $4::int + 1 : (n - $3::int + 1) * $4::int]::adyton_ext.vector
                   FROM generate_series($3::int, $3::int + $5::int - 1) AS n RETURNING id, ordinal)
                 INSERT INTO adyton.field SELECT $1, id, name, value FROM new,
                   LATERAL (VALUES ('one', (ordinal % 100)::text), ('half', (ordinal % 2)::text)) AS f (name, value)",
                &[&space, &flat, &from, &(DIMENSIONS as i32), &(chunk.len() as i32)],
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn recall_at_10_holds_under_row_rules_and_beside_others_rows() {
    let database = Database::new().await.unwrap();
    let operator = database.operator().await.unwrap();
    operator
        .batch_execute("SELECT adyton.add_collection('air', 'c', 'operations', 1); SELECT adyton.add_collection('rival', 'c', 'operations', 1)")
        .await
        .unwrap();
    let mut random = Random(11);
    let vectors = cloud(&mut random, ROWS);
    fill(&operator, 1, &vectors).await;
    fill(&operator, 2, &vectors).await;
    operator
        .batch_execute("INSERT INTO adyton.document VALUES (1, 'd', '', 1), (2, 'd', '', 1); ANALYZE")
        .await
        .unwrap();
    let worker = database.taken_over().await.unwrap();
    println!("recall at 10 of {ROWS} rows, {QUERIES} questions");
    for (name, rules, share) in [
        ("no rule", None, 1),
        ("a rule that leaves half", Some(("half", vec!["0"])), 2),
        ("a rule that leaves one in a hundred", Some(("one", vec!["7"])), 100),
    ] {
        let mut hits = 0;
        for number in 0..QUERIES {
            let near = &vectors[(number * 71) % ROWS];
            let query = unit(near.iter().map(|x| x + 0.03 * random.normal()).collect());
            let mut asked = lookup("c", &query);
            asked.most = 10;
            if let Some((column, values)) = &rules {
                asked.rows.insert((*column).into(), set(values));
            }
            let found = found(&worker, &operator, &asked, &query).await;
            let passes = |row: &usize| match share {
                2 => row.is_multiple_of(2),
                100 => row % 100 == 7,
                _ => true,
            };
            let near = |row: usize| vectors[row].iter().zip(&query).map(|(x, y)| x * y).sum::<f32>();
            let mut exact: Vec<usize> = (0..ROWS).filter(passes).collect();
            exact.sort_by(|one, other| near(*other).total_cmp(&near(*one)));
            hits += exact[..10].iter().filter(|row| found.contains(row)).count();
        }
        let recall = hits as f64 / (10 * QUERIES) as f64;
        println!("{name:40} {recall:.3}");
        assert!(recall >= 0.97, "{name}: {recall}");
    }
}

/// The rows that the database granted, from its own audit chain.
async fn found(
    worker: &Client,
    operator: &Client,
    asked: &adyton_wire::lookup::Lookup,
    query: &[f32],
) -> BTreeSet<usize> {
    register(worker, &sign(asked), query).await.unwrap();
    let row = operator
        .query_one(
            "SELECT passages FROM adyton.entry WHERE issued = $1 AND kind = 'registered'",
            &[&&asked.grant[..]],
        )
        .await
        .unwrap();
    let ids: Vec<Vec<u8>> = row.get(0);
    ids.iter().map(|id| usize::from(id[14]) * 256 + usize::from(id[15])).collect()
}
