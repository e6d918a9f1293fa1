//! Collections in a real PostgreSQL, reached through the host, opened by what an approver has sealed to the sentinel: what comes of
//! it in answers, in both audit trails, and when the database is down, slow, locked or asked too much.

use crate::people::signer;
use crate::retrieval::{ask, code, librarian, write};
use crate::support::{audited, entries, plan, session};
use crate::tools::pem;
use adyton_attestation::ballot::{Ballot, Statement};
use adyton_attestation::ed25519::Signer;
use adyton_client::secret::{self, SecretError};
use adyton_client::session::AttestedSession;
use adyton_tests::postgres::{Database, Front, KEY, Mood, PASSWORD};
use adyton_tests::world::{ISSUER, Plan, World, default_encoder};
use adyton_wire::stores::{Password, Secrets};
use serde_json::{Value, json};

/// A world whose collection `files` is in a database.
struct Kept {
    world: World,
    database: Database,
    front: Front,
    session: AttestedSession,
    /// Ann's key, as `adyton approve key` writes it.
    ann: Vec<u8>,
}

async fn kept(without: &str) -> Kept {
    let database = Database::new().await.unwrap();
    let operator = database.operator().await.unwrap();
    operator
        .batch_execute("SELECT adyton.add_collection('development', 'files', 'hr', 2, '{salary}')")
        .await
        .unwrap();
    let front = database.front().await.unwrap();
    let address = &front.address;
    let resources = format!(
        "[Collection]\nhandbook = {{ classification = 0, domain = \"hr\" }}\n\
         files = {{ classification = 2, domain = \"hr\" }}\n\
         [Field]\n\"files.salary\" = {{ classification = 3, domain = \"hr\" }}\n\
         [Destination.\"{address}\"]\noutside = false\n"
    );
    let stores = format!(
        "[postgres]\ndestination = \"{address}\"\nroot = '''{}'''\ndatabase = \"{}\"\ncollections = [\"files\"]\n\
         without = \"{without}\"\n",
        pem(&database.root()),
        database.name()
    );
    let ann = Signer::new_pkcs8(&ring::rand::SystemRandom::new()).unwrap().to_vec();
    let line = |name: &str, key: &Signer| json!({ "name": name, "issuer": ISSUER, "subject": name, "ed25519": key.public().to_string() });
    let approvers = json!({
        "approvers": [line("ann", &Signer::from_pkcs8(&ann).unwrap()), line("bob", &signer(1))],
        "quorum": { "quarantine": 1, "kill": 1, "restore": 1, "accept-drift": 1, "pardon": 1 },
        "starts": "online", "offline_after": { "principals": 3 },
    });
    let policy = vec![
        ("resources.toml", resources),
        ("stores.toml", stores),
        ("approvers.json", approvers.to_string()),
    ];
    let egress = vec![address.clone()];
    let world = audited(Plan { encoder: Some(default_encoder().unwrap()), policy, egress, ..plan() });
    let session = session(&world).await;
    Kept { world, database, front, session, ann }
}

fn approver(world: &World, name: &str) -> String {
    world.token_of(name, &["approver"], 0, 0, 3600).unwrap()
}

fn secrets(password: &str) -> Secrets {
    Secrets::new(Password::new(password.into()).unwrap(), &KEY)
}

impl Kept {
    fn ann(&self) -> Signer {
        Signer::from_pkcs8(&self.ann).unwrap()
    }

    async fn provide(&self, password: &str) {
        let token = approver(&self.world, "ann");
        secret::provide(&self.session, Some(&token), &self.ann(), &secrets(password)).await.unwrap();
    }

    async fn write(&self, name: &str, text: &str) -> (u16, Value) {
        let document = json!({
            "document": name, "text": text, "fields": { "salary": "90000", "team": "mine" }, "classification": 2,
        });
        write(&self.session, &librarian(&self.world), "files", document).await
    }

    async fn ask(&self, text: &str) -> (u16, Value) {
        // Cleared for the collection, not for the field.
        let token = self.world.token_of("reader", &["chat", "reader"], 2, 0, 3600).unwrap();
        ask(&self.session, &token, json!({ "collection": "files", "passages": "2" }), text).await
    }
}

fn passages(answer: &Value) -> usize {
    answer["adyton"]["passages"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_from_the_database_once_an_approver_has_opened_it() {
    let kept = kept("refuse").await;
    let (status, answer) = kept.ask("What about Ann?").await;
    assert_eq!((status, code(&answer)), (503, "store_locked"), "{answer}");
    // By the command, as an approver does it.
    let path = |name: &str| kept.world.path(name);
    std::fs::write(path("password"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(path("grant.key"), hex::encode(KEY)).unwrap();
    std::fs::write(path("ann.token"), approver(&kept.world, "ann")).unwrap();
    std::fs::write(path("ann.key"), &kept.ann).unwrap();
    let mut command = kept.world.client().unwrap();
    command.args(["--json", "provision", "database", "--password-file"]).arg(path("password"));
    command.arg("--grant-key").arg(path("grant.key")).arg("--key").arg(path("ann.key"));
    command.args(["--enclave", kept.world.address(), "--reference"]).arg(kept.world.reference_file());
    let output = command.arg("--token-file").arg(path("ann.token")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"secret\":\"taken\"}\n", "{output:?}");

    let (status, answer) =
        kept.write("ann.md", "Ann works in the salt mine, earns 90000 and likes it.").await;
    assert_eq!((status, answer["passages"].as_u64()), (200, Some(1)), "{answer}");
    let (status, answer) = kept.ask("Where does Ann work?").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["adyton"]["passages"][0]["document"], "ann.md");
    let shown = hex::encode(ring::digest::digest(
        &ring::digest::SHA256,
        b"Ann works in the salt mine, earns [salary] and likes it.",
    ));
    assert_eq!(
        answer["adyton"]["passages"][0]["sha256"].as_str(),
        Some(shown.as_str()),
        "masked by the database"
    );

    let operator = kept.database.operator().await.unwrap();
    let audited = operator
        .query_one(
            "SELECT adyton_api.broken(), (SELECT string_agg(kind, ' ' ORDER BY seq) FROM adyton.entry)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(audited.get::<_, Option<i64>>(0), None);
    assert_eq!(audited.get::<_, &str>(1), "registered ingested registered opened");
    let log = entries(&kept.world);
    let kinds = |kind: &str| log.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!((kinds("secret"), kinds("looked-up")), (1, 2));
    let said = std::fs::read_to_string(kept.world.path("errors.txt")).unwrap();
    assert!(!said.contains(PASSWORD) && !said.contains(&hex::encode(KEY)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_is_taken_once_from_an_approver_and_from_nobody_else() {
    let kept = kept("refuse").await;
    let refused = |error: SecretError| error.to_string();
    // Bob's token and Ann's key; a stranger's; nobody's.
    for (name, key) in [("bob", kept.ann()), ("eve", signer(2)), ("ann", signer(1))] {
        let token = approver(&kept.world, name);
        let said = secret::provide(&kept.session, Some(&token), &key, &secrets("x")).await;
        let said = said.map_err(refused).unwrap_err();
        assert!(said.contains("ballot") || said.contains("policy does not permit"), "{name}: {said}");
    }
    let chatter = kept.world.chat_token().unwrap();
    let said = secret::provide(&kept.session, Some(&chatter), &kept.ann(), &secrets("x")).await;
    assert!(said.map_err(refused).unwrap_err().contains("policy does not permit"));
    // What is no box, and a box that was used: by hand.
    let token = approver(&kept.world, "ann");
    let post = |path: &'static str, body: Value| call_post(&kept.session, path, &token, body);
    let (status, offer) = post("/adyton/v1/secrets/key", json!({})).await;
    assert_eq!(status, 200, "{offer}");
    let (mut boot, mut key) = ([0; 16], [0; 32]);
    hex::decode_to_slice(offer["boot"].as_str().unwrap(), &mut boot).unwrap();
    hex::decode_to_slice(offer["key"].as_str().unwrap(), &mut key).unwrap();
    let sealed = adyton_attestation::seal::seal(
        adyton_attestation::seal::Info::Secret,
        &key,
        &boot,
        &secrets(PASSWORD).encode().unwrap(),
        &ring::rand::SystemRandom::new(),
    )
    .unwrap();
    let digest = adyton_attestation::secret::box_digest(&sealed);
    let body = |sealed_digest: [u8; 32]| {
        use base64::Engine as _;
        let b64 = |bytes: &[u8]| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let ballot = Ballot::sign(&kept.ann(), &Statement::Secret { boot, key, sealed: sealed_digest });
        json!({
            "ballot": {
                "statement": b64(&ballot.statement), "signer": ballot.signer.to_string(), "signature": b64(&ballot.signature),
            },
            "encapsulated": hex::encode(sealed.encapsulated),
            "ciphertext": b64(&sealed.ciphertext),
        })
    };
    let (status, answer) = post("/adyton/v1/secrets", body([0; 32])).await;
    assert_eq!((status, code(&answer)), (403, "ballot_refused"), "a ballot over another box");
    // A ballot that does not verify spends no key.
    let (status, answer) = post("/adyton/v1/secrets", body(digest)).await;
    assert_eq!((status, &answer), (200, &json!({ "taken": true })));
    let (status, answer) = post("/adyton/v1/secrets", body(digest)).await;
    assert_eq!((status, code(&answer)), (403, "ballot_refused"), "the same box again");
    for bad in [json!({}), json!({ "ballot": {}, "encapsulated": "", "ciphertext": "" })] {
        assert_eq!(post("/adyton/v1/secrets", bad).await.0, 400);
    }
    let (status, answer) = kept.write("ann.md", "Ann works in the salt mine.").await;
    assert_eq!(status, 200, "{answer}");
    let unheard = entries(&kept.world).into_iter().filter(|entry| entry["kind"] == "unheard").count();
    assert_eq!(unheard, 6);
}

async fn call_post(session: &AttestedSession, path: &str, token: &str, body: Value) -> (u16, Value) {
    use http_body_util::BodyExt;
    let sent = session.send(hyper::Method::POST, path, Some(token), body.to_string().into());
    let response =
        tokio::time::timeout(crate::support::HANG, sent).await.expect("the enclave hangs").unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_or_locked_is_an_error_or_an_answer_without_it_as_the_pack_says() {
    let kept = kept("answer").await;
    let unavailable = |answer: &Value| {
        let verdicts = answer["adyton"]["passages"].as_array().map(Vec::len);
        verdicts == Some(0)
    };
    let (status, answer) = kept.ask("What about Ann?").await;
    assert!(status == 200 && unavailable(&answer), "locked: {answer}");
    let (status, answer) = kept.write("ann.md", "Ann works in the salt mine.").await;
    assert_eq!((status, code(&answer)), (503, "store_locked"), "writing is never done without");
    kept.provide("wrong").await;
    let (status, answer) = kept.ask("What about Ann?").await;
    assert!(status == 200 && unavailable(&answer), "a wrong password: {answer}");
    kept.provide(PASSWORD).await;
    assert_eq!(kept.write("ann.md", "Ann works in the salt mine.").await.0, 200);
    let (status, answer) = kept.ask("What about Ann?").await;
    assert_eq!((status, passages(&answer)), (200, 1), "{answer}");
    kept.front.set(Mood::HangsUp);
    let (status, answer) = kept.ask("What about Ann?").await;
    assert!(status == 200 && unavailable(&answer), "down: {answer}");
    kept.front.set(Mood::Silent);
    let (status, answer) = kept.ask("What about Ann?").await;
    assert!(status == 200 && unavailable(&answer), "slow: {answer}");
    let (status, answer) = kept.write("bob.md", "Bob works in the coal mine.").await;
    assert_eq!((status, code(&answer)), (503, "store_unavailable"), "{answer}");
    kept.front.set(Mood::Serves);
    let (status, answer) = kept.ask("What about Ann?").await;
    assert_eq!((status, passages(&answer)), (200, 1), "back: {answer}");
    // A collection of the enclave's own does not mind.
    let text = json!({ "document": "leave.md", "text": "Two and a half days of leave a month." });
    assert_eq!(write(&kept.session, &librarian(&kept.world), "handbook", text).await.0, 200);
    let came: Vec<bool> = entries(&kept.world)
        .iter()
        .filter(|entry| entry["kind"] == "looked-up")
        .map(|entry| entry["details"]["came"].as_bool().unwrap())
        .collect();
    assert_eq!(came, [false, true, true, false, false, false, true, true]);
}

/// Documents of the collection that is crawled.
const DOCUMENTS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_of_harmless_questions_ends_where_the_database_says() {
    let kept = kept("answer").await;
    kept.provide(PASSWORD).await;
    let topics =
        ["salt", "coal", "iron", "gold", "tin", "zinc", "lead", "opal", "clay", "chalk", "slate", "peat"];
    for number in 0..DOCUMENTS {
        let topic = topics[number % topics.len()];
        let text =
            format!("Shift {number} of the {topic} mine begins at hour {number} and ends before supper.");
        assert_eq!(kept.write(&format!("{number}.md"), &text).await.0, 200);
    }
    let operator = kept.database.operator().await.unwrap();
    operator.batch_execute("SELECT adyton.limit_volume('development', 'files', NULL, 0.25)").await.unwrap();
    let mut reached = std::collections::BTreeSet::new();
    let mut refused = 0;
    for topic in topics {
        let (status, answer) = kept.ask(&format!("When does the shift in the {topic} mine begin?")).await;
        match status {
            200 => reached.extend(
                answer["adyton"]["passages"].as_array().unwrap().iter().map(|p| p["document"].to_string()),
            ),
            // By the database's count, or because the sentinel finds it unusual and asks persons first.
            _ => {
                let stopped = [(429, "volume_exceeded"), (409, "approval_pending")];
                assert!(stopped.contains(&(status, code(&answer))), "{answer}");
                refused += 1;
            }
        }
    }
    // Without the limit twelve questions of two passages reach most of it; with it, a quarter.
    assert!(reached.len() <= DOCUMENTS / 4 && refused >= topics.len() / 2, "{reached:?}, {refused} refused");
    assert!(!reached.is_empty());
    let row = operator.query_one("SELECT max(share)::float8 FROM adyton_api.coverage", &[]).await.unwrap();
    assert!(row.get::<_, f64>(0) <= 0.25);
}
