//! Guardrails by purpose and tenant: whom they hold, what they mask, and that no word of a client chooses them.

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
