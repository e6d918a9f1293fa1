//! Bad requests of honest transport: each gets its own clear error, and the session lives on.

use crate::support::{ask, ask_as, question, session, world};
use adyton_client::chat::{ChatError, Question};
use adyton_client::session::AttestedSession;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

fn refusal(outcome: Result<impl Sized, ChatError>) -> (u16, String) {
    match outcome {
        Err(ChatError::Refused { status, code, .. }) => (status, code),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was answered"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_checked_inside_the_enclave() {
    let world = world();
    let session = session(&world).await;
    let other = crate::support::world();
    let cases = [
        ("absent", String::new(), 401, "token_absent"),
        ("garbage", "garbage".into(), 401, "invalid_api_key"),
        ("too long", "x".repeat(5000), 401, "invalid_api_key"),
        ("another issuer's", other.chat_token().unwrap(), 401, "invalid_api_key"),
        ("expired", world.token(&["chat"], 0, -7200, 3600).unwrap(), 401, "token_expired"),
        ("not yet valid", world.token(&["chat"], 0, 3600, 3600).unwrap(), 401, "token_expired"),
        ("without the role", world.token(&["audit"], 3, 0, 600).unwrap(), 403, "forbidden"),
    ];
    for (what, token, status, code) in cases {
        let refused = refusal(ask_as(&world, &session, &token, &question(4)).await);
        assert_eq!(refused, (status, code.to_owned()), "{what}");
    }
    ask(&world, &session, &question(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_decides_on_purpose_and_clearance() {
    let world = world();
    let session = session(&world).await;
    let health = Question { purpose: Some("health".into()), ..question(4) };
    assert_eq!(refusal(ask(&world, &session, &health).await), (403, "forbidden".into()));
    let cleared = world.token(&["chat"], 2, 0, 600).unwrap();
    ask_as(&world, &session, &cleared, &health).await.unwrap();
    assert_eq!(refusal(ask(&world, &session, &question(5000)).await), (403, "forbidden".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_the_context_is_told_its_size() {
    let world = world();
    let session = session(&world).await;
    let long = Question { prompt: "word ".repeat(20_000), ..question(4) };
    match ask(&world, &session, &long).await.map(|_| ()) {
        Err(ChatError::Refused { status: 400, code, message }) => {
            assert_eq!(code, "context_length_exceeded");
            assert!(message.contains("tokens"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    ask(&world, &session, &question(4)).await.unwrap();
}

async fn post(session: &AttestedSession, token: &str, body: Vec<u8>) -> (u16, String) {
    let response =
        session.send(Method::POST, "/v1/chat/completions", Some(token), body.into()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, error.pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_as_openai_does() {
    let world = world();
    let session = session(&world).await;
    let token = world.chat_token().unwrap();
    let user = json!([{ "role": "user", "content": "hi" }]);
    let model = adyton_tests::world::MODEL_NAME;
    let cases = [
        (b"{".to_vec(), 400, "invalid_json"),
        (json!({ "model": model }).to_string().into(), 400, "missing_required_parameter"),
        (
            json!({ "model": model, "messages": user, "surprise": 1 }).to_string().into(),
            400,
            "unknown_parameter",
        ),
        (json!({ "model": model, "messages": user, "n": 9 }).to_string().into(), 400, "invalid_value"),
        (json!({ "model": "gpt-5", "messages": user }).to_string().into(), 404, "model_not_found"),
        (json!({ "model": model, "messages": [] }).to_string().into(), 400, "invalid_value"),
        (vec![b' '; (1 << 20) + 1], 413, "request_too_large"),
    ];
    for (body, status, code) in cases {
        assert_eq!(post(&session, &token, body).await, (status, code.to_owned()));
    }
    let lost = session.send(Method::GET, "/v1/embeddings", Some(&token), Vec::new().into()).await.unwrap();
    assert_eq!(lost.status().as_u16(), 404);
    ask(&world, &session, &question(4)).await.unwrap();
}

/// A prompt that the guardrail blocks: what is taken out joins what is left into the next thing to take out.
fn nested(depth: usize) -> Question {
    let prompt = "<|im_".repeat(depth) + &"start|>".repeat(depth);
    Question { prompt, ..question(4) }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_refusals_leave_no_grant_open() {
    let world = world();
    let session = session(&world).await;
    let token = world.chat_token().unwrap();
    // One principal holds at most 64 grants, so any of these that left one behind would lock it out.
    for _ in 0..80 {
        let listed = session.send(Method::GET, "/v1/models", Some(&token), Vec::new().into()).await.unwrap();
        assert_eq!(listed.status().as_u16(), 200);
        assert_eq!(refusal(ask(&world, &session, &nested(9)).await), (400, "content_filter".into()));
    }
    ask(&world, &session, &question(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_costly_prompt_does_not_stop_another_clients_answer() {
    let world = std::sync::Arc::new(world());
    let (running, theirs) = (std::sync::Arc::clone(&world), session(&world).await);
    let answer = tokio::spawn(async move { ask(&running, &theirs, &question(96)).await });
    let ours = session(&world).await;
    assert_eq!(refusal(ask(&world, &ours, &nested(20_000)).await), (400, "content_filter".into()));
    let long = Question { prompt: "word ".repeat(50_000), ..question(4) };
    assert_eq!(refusal(ask(&world, &ours, &long).await), (400, "context_length_exceeded".into()));
    answer.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principal_cannot_take_all_places_and_gets_them_back() {
    let world = world();
    let session = session(&world).await;
    let mine = world.chat_token().unwrap();
    let other = world.token_of("somebody else", &["chat"], 0, 0, 600).unwrap();
    let body = json!({
        "model": adyton_tests::world::MODEL_NAME, "n": 8, "max_tokens": 500, "stream": true,
        "messages": [{ "role": "user", "content": "Write a long story about a dragon." }],
    });
    let send = async |token: &str| {
        let body = body.to_string().into();
        session.send(Method::POST, "/v1/chat/completions", Some(token), body).await
    };
    let mut open = Vec::new();
    for _ in 0..4 {
        let response = send(&mine).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        open.push(response);
    }
    let refused = send(&mine).await.unwrap();
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let text = refused.into_body().collect().await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(error["error"]["code"], "queue_full");
    assert_eq!(send(&other).await.unwrap().status().as_u16(), 200, "somebody else finds no place");
    // Whoever hangs up gives his places back.
    drop(open);
    let again = async {
        while send(&mine).await.unwrap().status().as_u16() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::HANG, again).await.expect("the places are never given back");
}
