//! `make bench-retrieval`: vectors beside onnxruntime's, and look-ups over 100,000 passages: in the enclave, in PostgreSQL as a bare
//! search, and in PostgreSQL with grants, masking and audit. What is compared takes turns in one run; medians and 99th percentiles.

use adyton_encoder::{Encoder, Workspace};
use adyton_retrieval::document::{DIMENSIONS, Document};
use adyton_retrieval::embedded::Embedded;
use adyton_retrieval::passage::Written;
use adyton_tests::postgres::{Database, KEY};
use adyton_tests::world::default_encoder;
use adyton_wire::lookup::{Kind, Lookup, LookupKey, MAX_PASSAGES, vector_digest};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

/// Passages of the collection that is searched.
const PASSAGES: usize = 100_000;
const CENTRES: usize = 500;
/// Questions of each kind.
const QUESTIONS: usize = 300;
/// Passages of an answer.
const MOST: u32 = 10;
/// Runs of the encoder, of each kind.
const RUNS: usize = 41;
const PYTHON: &str = ".cache/onnxruntime-1.32.0/bin/python";

fn main() -> Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    embedding(threads)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let vectors = cloud();
    embedded(&vectors)?;
    runtime.block_on(postgres(&vectors))
}

fn at(mut times: Vec<Duration>, percent: usize) -> f64 {
    times.sort_unstable();
    let place = (times.len().saturating_sub(1)) * percent / 100;
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn show(what: &str, times: &[Duration]) -> f64 {
    let median = at(times.to_vec(), 50);
    println!("{what:<58} p50 {median:>8.2} ms   p99 {:>8.2} ms", at(times.to_vec(), 99));
    median
}

/// Texts of 64 tokens, one and eight at a time, here and in onnxruntime.
fn embedding(threads: usize) -> Result<()> {
    let files = default_encoder()?;
    let encoder = Encoder::load(&std::fs::read(&files.weights)?, &std::fs::read(&files.tokenizer)?)?;
    let mut work = Workspace::new(&encoder, 8 * 64, threads)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut theirs = Command::new(root.join(PYTHON))
        .arg(root.join("tests/benches/retrieval/onnx_encoder.py"))
        .args([&files.weights, &files.tokenizer])
        .arg(threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("no onnxruntime; run tests/fetch-onnxruntime")?;
    let mut asks = theirs.stdin.take().context("a pipe")?;
    let mut answers = BufReader::new(theirs.stdout.take().context("a pipe")?);
    for count in [1, 8] {
        let text = "payment ".repeat(62);
        let texts = vec![text.trim(); count];
        let tokens = texts.iter().map(|text| encoder.tokens(text)).collect::<Result<Vec<_>, _>>()?;
        ensure!(tokens.iter().all(|text| text.count() == 64), "a text of 64 tokens");
        let (mut ours, mut others, mut apart) = (Vec::new(), Vec::new(), 0.0f64);
        for run in 0..RUNS {
            let begun = Instant::now();
            let made = encoder.embed(&mut work, &tokens)?;
            let took = begun.elapsed();
            writeln!(asks, "{}", json!({ "texts": texts }))?;
            let mut line = String::new();
            answers.read_line(&mut line)?;
            let said: Value = serde_json::from_str(&line).context("onnxruntime's answer")?;
            ensure!(said["tokens"] == 64, "both cut the text alike");
            // The first run of each loads and plans.
            if run > 0 {
                ours.push(took);
                others.push(Duration::from_secs_f64(said["seconds"].as_f64().context("seconds")?));
            }
            let first: Vec<f32> = serde_json::from_value(said["first"].clone())?;
            let mine = made.first().context("a vector")?.elements();
            let cosine: f64 = mine.iter().zip(&first).map(|(a, b)| f64::from(a * b)).sum();
            apart = apart.max(1.0 - cosine);
        }
        ensure!(apart < 1e-4, "the vectors differ: cosine {}", 1.0 - apart);
        println!("{count} texts of 64 tokens, {threads} threads (cosine above {:.6})", 1.0 - apart);
        let (ours, others) = (show("  the enclave's encoder", &ours), show("  onnxruntime, f32", &others));
        println!("  ours / onnxruntime {:.2}\n", ours / others);
    }
    drop(asks);
    theirs.wait()?;
    Ok(())
}

/// SplitMix64, so that every run sees the same vectors.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

/// Vectors around centres, as texts about the same things are.
fn cloud() -> Vec<Vec<f32>> {
    let mut random = Random(5);
    let mut vector = |scale: f32, around: Option<&Vec<f32>>| -> Vec<f32> {
        unit(
            (0..DIMENSIONS)
                .map(|at| around.and_then(|v| v.get(at)).copied().unwrap_or(0.0) + scale * random.normal())
                .collect(),
        )
    };
    let centres: Vec<Vec<f32>> = (0..CENTRES).map(|_| vector(1.0, None)).collect();
    centres.iter().cycle().take(PASSAGES).map(|centre| vector(0.06, Some(centre))).collect()
}

fn question(vectors: &[Vec<f32>], number: usize) -> Vec<f32> {
    let mut random = Random(number as u64 + 1_000_000);
    let near = vectors.get((number * 7919) % vectors.len()).cloned().unwrap_or_default();
    unit(near.into_iter().map(|x| x + 0.03 * random.normal()).collect())
}

fn lookup(number: u64, kind: Kind, digest: [u8; 32], most: u32) -> Lookup {
    let mut grant = [0xa5; 16];
    grant.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Lookup {
        kind,
        grant,
        principal: [7; 32],
        tenant: "bench".into(),
        purpose: "bench".into(),
        collection: "c".into(),
        role: "operations".into(),
        digest,
        most,
        expires_s: now + 3600,
        masked: BTreeSet::from(["email".to_owned()]),
        unmasked: BTreeSet::new(),
        rows: BTreeMap::new(),
    }
}

/// Exact search in the enclave's memory, within a grant.
fn embedded(vectors: &[Vec<f32>]) -> Result<()> {
    let mut store = Embedded::default();
    for (number, chunk) in (0u64..).zip(vectors.chunks(MAX_PASSAGES as usize)) {
        let written: Vec<Written> = (0u32..)
            .zip(chunk)
            .map(|(ordinal, vector)| Written {
                ordinal,
                text: "a passage of some length, which nobody reads here".into(),
                fields: BTreeMap::from([("email".to_owned(), "a@example.org".to_owned())]),
                vector: vector.clone(),
            })
            .collect();
        let count = u32::try_from(written.len())?;
        let document = Document::new(format!("d{number}"), "t", 0, written)?;
        store.insert(&lookup(number, Kind::Ingest, document.digest(), count), document)?;
    }
    let mut times = Vec::new();
    for number in 0..QUESTIONS {
        let query = question(vectors, number);
        let asked = lookup(number as u64, Kind::Lookup, vector_digest(&query)?, MOST);
        let begun = Instant::now();
        let found = store.search(&asked, &query)?;
        times.push(begun.elapsed());
        ensure!(found.len() == MOST as usize, "ten passages");
    }
    show(&format!("{PASSAGES} passages in the enclave, exact, one thread"), &times);
    Ok(())
}

async fn postgres(vectors: &[Vec<f32>]) -> Result<()> {
    let database = Database::new().await?;
    let operator = database.operator().await?;
    operator
        .batch_execute(
            "SELECT adyton.add_collection('bench', 'c', 'operations', 1, '{name}'); DROP INDEX adyton.passage_1_embedding_idx",
        )
        .await?;
    let begun = Instant::now();
    fill(&operator, vectors).await?;
    operator
        .batch_execute(
            "CREATE INDEX passage_1_embedding_idx ON adyton.passage_1 USING hnsw (embedding adyton_ext.vector_cosine_ops); ANALYZE",
        )
        .await?;
    println!("{PASSAGES} passages written and indexed in {:.0} s", begun.elapsed().as_secs_f64());
    let worker = database.taken_over().await?;
    let bare = operator
        .prepare_typed(
            "SELECT id, body FROM adyton.passage_1 ORDER BY embedding OPERATOR(adyton_ext.<=>) $1::real[]::adyton_ext.vector LIMIT 10",
            &[Type::FLOAT4_ARRAY],
        )
        .await?;
    // As the function that the grants lead to has them.
    operator.batch_execute("SET hnsw.ef_search = 200; SET hnsw.iterative_scan = 'strict_order'").await?;
    let guarded = Guarded::new(&worker).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..QUESTIONS {
        let query = question(vectors, number);
        let begun = Instant::now();
        let rows = operator.query(&bare, &[&query]).await?;
        without.push(begun.elapsed());
        ensure!(rows.len() == MOST as usize, "ten rows");
        let asked = lookup(number as u64, Kind::Lookup, vector_digest(&query)?, MOST);
        let signed = asked.sign(&LookupKey::new(&KEY))?;
        let begun = Instant::now();
        let rows = guarded.ask(&signed.text, &signed.mac, &asked.grant, &query).await?;
        with.push(begun.elapsed());
        ensure!(rows == MOST as usize, "ten passages");
    }
    let without = show("  PostgreSQL, a bare search by its index", &without);
    let with = show("  the same with grant, masks and audit chain", &with);
    println!("  they cost {:.2} ms at p50", with - without);
    Ok(())
}

/// What the connector sends, over the same kind of connection as the bare search.
struct Guarded<'a> {
    client: &'a Client,
    register: Statement,
    read: Statement,
}

impl<'a> Guarded<'a> {
    async fn new(client: &'a Client) -> Result<Guarded<'a>> {
        let register = "SELECT adyton_api.register($1, $2, $3)";
        let register = client.prepare_typed(register, &[Type::TEXT, Type::BYTEA, Type::FLOAT4_ARRAY]).await?;
        let read = "SELECT id, title, body, fields::text FROM adyton_api.passages ORDER BY rank LIMIT $1";
        Ok(Guarded { client, register, read: client.prepare_typed(read, &[Type::INT8]).await? })
    }

    async fn ask(&self, text: &str, mac: &[u8], grant: &[u8], query: &[f32]) -> Result<usize> {
        let open = format!(
            "BEGIN; SELECT adyton_api.open('\\x{}'); SET LOCAL ROLE adyton_data_operations",
            hex::encode(grant)
        );
        let (registering, most) = ([&text as &(dyn ToSql + Sync), &mac, &query], i64::from(MOST));
        let reading: [&(dyn ToSql + Sync); 1] = [&most];
        let (registered, opened, rows, ended) = tokio::join!(
            biased;
            self.client.query(&self.register, &registering),
            self.client.batch_execute(&open),
            self.client.query(&self.read, &reading),
            self.client.batch_execute("COMMIT"),
        );
        registered?;
        opened?;
        let rows = rows?;
        ended?;
        Ok(rows.len())
    }
}

async fn fill(operator: &Client, vectors: &[Vec<f32>]) -> Result<()> {
    let chunk = 500;
    for (vectors, from) in vectors.chunks(chunk).zip((0..).step_by(chunk)) {
        let flat: Vec<f32> = vectors.concat();
        operator
            .execute(
                "WITH new AS (
                   INSERT INTO adyton.passage SELECT 1, decode(lpad(to_hex(n), 32, '0'), 'hex'), 'd', n,
                     'a passage of some length, which nobody reads here',
                     ($1::real[])[(n - $2::int) * $3::int + 1 : (n - $2::int + 1) * $3::int]::adyton_ext.vector
                   FROM generate_series($2::int, $2::int + $4::int - 1) AS n RETURNING id)
                 INSERT INTO adyton.field SELECT 1, id, name, value FROM new,
                   LATERAL (VALUES ('email', 'a@example.org'), ('name', 'somebody')) AS f (name, value)",
                &[&flat, &from, &i32::try_from(DIMENSIONS)?, &i32::try_from(vectors.len())?],
            )
            .await?;
    }
    operator
        .batch_execute(
            "INSERT INTO adyton.document VALUES (1, 'd', '', 1);
             UPDATE adyton.space SET passages = (SELECT count(*) FROM adyton.passage_1) WHERE space = 1",
        )
        .await?;
    Ok(())
}
