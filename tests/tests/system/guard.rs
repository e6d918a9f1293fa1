//! Guardrails by purpose and tenant: whom they hold, what they mask, and that no word of a client chooses them. Protected
//! documents: extraction over turns that each look small.

use crate::people::{pack, signer};
use crate::support::{HANG, plan, session};
use adyton_client::people;
use adyton_client::session::AttestedSession;
use adyton_tests::world::{MODEL_NAME, Plan, World, policy_folder};
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

/// For support a person reads what has a secret in it; letters are masked; another tenant's letters are not ours.
const SECTIONS: &str = r#"
[[for]]
name = "other-tenant"
purposes = ["general"]
tenants = ["elsewhere"]
input = { secrets = "block" }

[[for]]
name = "support"
purposes = ["summarise"]
tenants = ["development"]
input = { secrets = "hold" }

[[for]]
name = "letters"
purposes = ["draft"]
tenants = []
input = { personal_data = { email = "mask" } }
"#;

const SECRET: &str = "My key is ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5. Is it safe?";

fn world() -> World {
    let shipped = std::fs::read_to_string(policy_folder().join("guardrails.toml")).unwrap();
    let mut policy = pack("online");
    policy.push(("guardrails.toml", shipped + SECTIONS));
    World::start(&Plan { policy, ..plan() }).unwrap()
}

fn body(text: &str, purpose: &str, change: Value) -> Value {
    let mut body = json!({
        "model": MODEL_NAME, "max_tokens": 16, "temperature": 0.0, "seed": 1,
        "messages": [{ "role": "user", "content": text }], "metadata": { "purpose": purpose },
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

/// Asks; status and body.
async fn ask(session: &AttestedSession, token: &str, body: &Value) -> (u16, String) {
    let sent = session.send(Method::POST, "/v1/chat/completions", Some(token), body.to_string().into());
    let response = tokio::time::timeout(HANG, sent).await.expect("the enclave hangs").unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guardrail_holds_waits_for_a_person_and_is_answered_once() {
    let world = world();
    let (session, token) = (session(&world).await, world.chat_token().unwrap());
    // Where no section says something else, people bring their own secrets.
    assert_eq!(ask(&session, &token, &body(SECRET, "general", json!({}))).await.0, 200);
    let held = body(SECRET, "summarise", json!({}));
    for _ in 0..2 {
        let (status, said) = ask(&session, &token, &held).await;
        assert!(status == 409 && said.contains("approval_pending"), "{status} {said}");
    }
    assert_eq!(ask(&session, &token, &body("What is a key?", "summarise", json!({}))).await.0, 200);

    let approver = world.token_of("ann", &["approver", "chat"], 0, 0, 3600).unwrap();
    let holds = people::holds(&session, Some(&approver)).await.unwrap();
    let [hold] = holds.as_slice() else { panic!("{} holds", holds.len()) };
    let open = people::hold(&session, Some(&approver), &hold.hold).await.unwrap();
    assert_eq!(open.policies, "guardrail: secrets");
    let vote = open.vote(&signer(0), true);
    assert_eq!(people::cast(&session, Some(&approver), &vote).await.unwrap(), 0);

    // What was approved is this text and no other one, for this purpose, once.
    let other = body(&format!("{SECRET} Or not?"), "summarise", json!({}));
    assert_eq!(ask(&session, &token, &other).await.0, 409);
    assert_eq!(ask(&session, &token, &held).await.0, 200);
    assert_eq!(ask(&session, &token, &held).await.0, 409, "an approval is good once");
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_data_comes_back_to_whoever_sent_it_and_the_model_never_reads_it() {
    let world = world();
    let (session, token) = (session(&world).await, world.chat_token().unwrap());
    // The model is made to say the placeholder: what comes back is what was sent.
    let schema = json!({ "type": "object", "properties": { "to": { "const": "[EMAIL_1]" } }, "required": ["to"],
        "additionalProperties": false });
    let forced = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": schema } } });
    let text = "Write to ann.lee@example.org that I am late.";
    for stream in [false, true] {
        let mut asked = body(text, "draft", forced.clone());
        asked["stream"] = json!(stream);
        let (status, said) = ask(&session, &token, &asked).await;
        assert_eq!(status, 200, "{said}");
        assert!(said.contains("ann.lee@example.org"), "{said}");
        assert!(!said.contains("EMAIL_1"), "{said}");
    }
    // Where nothing is masked, a placeholder is a word like others.
    let (_, said) = ask(&session, &token, &body(text, "general", forced)).await;
    assert!(said.contains("[EMAIL_1]"), "{said}");
}

/// What nobody may be told much of.
const DOCUMENT: &str = "The board resolved on the ninth of May to sell the works at Eisenach before the end of the year. All four \
    hundred and twelve people who are employed there will be told on the last Friday of November, and by letter alone. The \
    buyer is a company from Rotterdam whose name is kept by the chairman and by nobody else. The price is thirty one million \
    and will be paid in three parts. The union is to be heard after the contract has been signed and not before. Press enquiries \
    about any of this go to the chairman. The machines of the second hall are excluded and will be moved to Brno in January.";

/// Makes the model say a text, word by word: a schema leaves it nothing else.
fn recite(text: &str, stream: bool) -> Value {
    let schema = json!({ "const": text });
    let forced = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
    body("Say it.", "general", json!({ "response_format": forced, "max_tokens": 80, "stream": stream }))
}

/// The document, in pieces that are small enough for nobody to notice.
fn pieces() -> Vec<&'static str> {
    let words: Vec<usize> = DOCUMENT.match_indices(' ').map(|(at, _)| at).collect();
    let cuts: Vec<usize> = words.chunks(14).map(|chunk| chunk[0]).collect();
    cuts.windows(2).map(|pair| &DOCUMENT[pair[0]..pair[1]]).collect()
}

/// A list made by the command, over a folder with the document.
fn protected() -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("documents")).unwrap();
    std::fs::write(folder.path().join("documents/sale.txt"), DOCUMENT).unwrap();
    let mut command = std::process::Command::new(adyton_tests::world::program("adyton").unwrap());
    command
        .arg("protect")
        .arg(folder.path().join("documents"))
        .arg("--out")
        .arg(folder.path().join("list.json"));
    assert!(command.status().unwrap().success());
    let list = std::fs::read_to_string(folder.path().join("list.json")).unwrap();
    assert!(list.contains("sale.txt") && !list.contains("Eisenach"));
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn extraction_over_turns_is_stopped_and_neither_a_session_nor_a_restart_resets_it() {
    let shipped = std::fs::read_to_string(policy_folder().join("guardrails.toml")).unwrap();
    let settings = shipped.replace("percent = 10", "percent = 40");
    let policy = vec![("guardrails.toml", settings), ("protected.json", protected())];
    let world = World::start(&Plan { policy, ..plan() }).unwrap();
    let token = world.chat_token().unwrap();
    let mut told = Vec::new();
    for (turn, piece) in pieces().into_iter().enumerate() {
        // A session of its own for each turn, streamed or not.
        let session = session(&world).await;
        let (status, said) = ask(&session, &token, &recite(piece, turn % 2 == 1)).await;
        assert_eq!(status, 200, "{said}");
        told.push(!said.contains("content_filter"));
    }
    assert!(told[0], "a small part of it is not refused");
    let stopped = told.iter().position(|told| !told).expect("the whole document was told");
    assert!(stopped >= 2 && told[stopped..].iter().all(|told| !told), "{told:?}");

    let whole = session(&world).await;
    let beginning = recite(pieces()[stopped], false);
    let (_, said) = ask(&whole, &token, &beginning).await;
    assert!(said.contains("content_filter") && !said.contains(pieces()[stopped].trim()), "{said}");
    // What he was told he may be told again; others are others.
    assert!(!ask(&whole, &token, &recite(pieces()[0], false)).await.1.contains("content_filter"));
    let zoe = world.token_of("zoe", &["chat"], 0, 0, 3600).unwrap();
    assert!(!ask(&whole, &zoe, &beginning).await.1.contains("content_filter"));

    // A new worker does not know what the old one said; the ledger is not in it.
    let before = world.descendants("adyton-sim-worker").unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(before[0]).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let again = tokio::time::timeout(HANG, async {
        loop {
            let connected = adyton_client::session::connect(&world.target(), &world.policy().unwrap()).await;
            match connected {
                Ok(session) => break session,
                Err(_not_yet) => tokio::task::yield_now().await,
            }
        }
    });
    let again = again.await.expect("the worker is not started again");
    let (status, said) = ask(&again, &token, &beginning).await;
    assert!(status == 200 && said.contains("content_filter"), "{status} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_recites_the_applications_instructions_ends_there() {
    let world = World::start(&plan()).unwrap();
    let (session, token) = (session(&world).await, world.chat_token().unwrap());
    let asked = |system: &str, stream: bool| {
        let mut asked = recite(DOCUMENT.split_once(" The price").unwrap().0, stream);
        asked["messages"] =
            json!([{ "role": "system", "content": system }, { "role": "user", "content": "Good morning." }]);
        asked["max_tokens"] = json!(160);
        asked
    };
    for stream in [false, true] {
        let (status, said) = ask(&session, &token, &asked(DOCUMENT, stream)).await;
        assert!(status == 200 && said.contains("content_filter"), "{status} {said}");
        assert!(!said.contains("by nobody else"), "{said}");
        let (status, said) = ask(&session, &token, &asked("You are a helpful assistant.", stream)).await;
        assert!(status == 200 && !said.contains("content_filter"), "{status} {said}");
    }
}
