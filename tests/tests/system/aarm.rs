//! The nine requirements of AARM 1.0 (Cloud Security Alliance), each shown over real processes; `docs/sentinel.md` has the table.

use crate::support::{ask, ask_as, audited, entries, plan, question, session};
use adyton_attestation::audit::Seen;
use adyton_client::chat::{Answered, ChatError, Question};
use adyton_client::session::AttestedSession;
use adyton_tests::world::{ISSUER, Plan, World, policy_folder};
use serde_json::{Value, json};

/// Beside what ships: a purpose for each of the five decisions, and nothing for whoever behaves too strangely.
const PURPOSES: &str = r#"
@id("short") @max_tokens("3")
permit (principal, action == Action::"Generate", resource) when { context.purpose == "modify" };

@id("rest")
permit (principal, action == Action::"Generate", resource)
when { ["step-up", "defer"].contains(context.purpose) };

@id("person") @step_up("1")
forbid (principal, action == Action::"Generate", resource)
when { context.purpose == "step-up" && context.situation.approvals < 1 };

@id("later") @defer("never, here")
forbid (principal, action == Action::"Generate", resource) when { context.purpose == "defer" };

@id("too-strange")
forbid (principal, action == Action::"Generate", resource) when { context.situation.risk >= 90 };
"#;

fn world() -> World {
    let shipped = std::fs::read_to_string(policy_folder().join("policies.cedar")).unwrap();
    let key = adyton_attestation::ed25519::Signer::from_seed(&[1; 32]).unwrap().public();
    let approvers = json!({
        "approvers": [{ "name": "ann", "issuer": ISSUER, "subject": "ann", "ed25519": key }],
        "quorum": { "quarantine": 1, "kill": 1, "restore": 1, "accept-drift": 1, "pardon": 1 },
        "starts": "online", "offline_after": { "principals": 3 },
    });
    let policy = vec![("policies.cedar", shipped + PURPOSES), ("approvers.json", approvers.to_string())];
    audited(Plan { policy, ..plan() })
}

fn for_purpose(purpose: &str, max_tokens: u32) -> Question {
    Question { purpose: Some(purpose.into()), ..question(max_tokens) }
}

fn code(ended: Result<Answered, ChatError>) -> String {
    match ended {
        Err(ChatError::Refused { code, .. }) => code,
        other => panic!("{:?}", other.map(|answered| answered.finish_reason)),
    }
}

/// The entries of a kind; an answer comes after them, so all of them are on disk.
async fn logged(world: &World, session: &AttestedSession, kind: &str) -> Vec<Value> {
    ask(world, session, &question(1)).await.unwrap();
    entries(world).into_iter().filter(|entry| entry["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_nothing_happens_before_it_is_permitted() {
    let world = world();
    let session = session(&world).await;
    let nobody = world.token_of("nobody", &[], 3, 0, 600).unwrap();
    let denied = Question { model: Some(adyton_tests::world::MODEL_NAME.into()), ..question(4) };
    assert_eq!(code(ask_as(&world, &session, &nobody, &denied).await), "forbidden");
    let denials = logged(&world, &session, "denial").await;
    assert_eq!(denials.len(), 1);
    let of_nobody = |entry: &Value| entry["principal"] == denials[0]["principal"];
    let what = entries(&world).into_iter().filter(of_nobody).map(|entry| entry["kind"].clone());
    assert_eq!(what.collect::<Vec<_>>(), ["denial"], "nothing else was done for that principal");
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_the_context_is_appended_to_and_chained() {
    let world = world();
    let session = session(&world).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answered = ask(&world, &session, &question(2)).await.unwrap();
        seen.push(Seen::by_receipt(answered.receipt.receipt()).unwrap());
    }
    let log = adyton_client::audit::read(&world.audit_log().unwrap(), &world.anchor().unwrap(), None, drop);
    let log = log.unwrap().log;
    for earlier in &seen {
        assert_eq!(log.holds(earlier), Ok(()), "what a receipt saw is still there, in its place");
    }
    assert!(seen.windows(2).all(|two| two[0].size() < two[1].size()));
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_policy_looks_at_who_and_what_for() {
    let world = world();
    let session = session(&world).await;
    ask(&world, &session, &for_purpose("draft", 2)).await.unwrap();
    assert_eq!(code(ask(&world, &session, &for_purpose("health", 2)).await), "forbidden");
    let cleared = world.token(&["chat"], 2, 0, 600).unwrap();
    ask_as(&world, &session, &cleared, &for_purpose("health", 2)).await.unwrap();
    assert_eq!(code(ask_as(&world, &session, &cleared, &for_purpose("gossip", 2)).await), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_there_are_five_decisions() {
    let world = world();
    let session = session(&world).await;
    ask(&world, &session, &for_purpose("general", 4)).await.unwrap();
    let grants = logged(&world, &session, "grant").await;
    assert_eq!(grants[0]["details"]["purpose"], "general");
    let modified =
        ask(&world, &session, &Question { max_tokens: None, ..for_purpose("modify", 4) }).await.unwrap();
    assert_eq!(modified.finish_reason, "length", "three tokens, by the obligation");
    for (purpose, expected) in [("step-up", "approval_pending"), ("defer", "deferred"), ("deny", "forbidden")]
    {
        assert_eq!(code(ask(&world, &session, &for_purpose(purpose, 4)).await), expected, "{purpose}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_each_answer_has_a_signed_receipt_that_verifies_offline() {
    let world = world();
    let answered = ask(&world, &session(&world).await, &question(3)).await.unwrap();
    std::fs::write(world.path("receipt.json"), answered.bundle.to_json()).unwrap();
    let verify = |file: &str| {
        let mut command = world.client().unwrap();
        command
            .args(["receipt", "verify"])
            .arg(world.path(file))
            .arg("--reference")
            .arg(world.reference_file());
        command.output().unwrap().status.code()
    };
    assert_eq!(verify("receipt.json"), Some(0));
    let mut altered: Value = serde_json::from_str(&answered.bundle.to_json()).unwrap();
    altered["request"] = json!("AAAA");
    std::fs::write(world.path("altered.json"), altered.to_string()).unwrap();
    assert_eq!(verify("altered.json"), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_what_is_done_is_bound_to_who_asked() {
    let world = world();
    let session = session(&world).await;
    let mut principals = Vec::new();
    for subject in ["ann", "bob", "ann"] {
        let token = world.token_of(subject, &["chat"], 0, 0, 600).unwrap();
        let answered = ask_as(&world, &session, &token, &question(2)).await.unwrap();
        principals.push(answered.receipt.body().principal);
    }
    assert_eq!(principals[0], principals[2]);
    assert_ne!(principals[0], principals[1]);
    let grants = logged(&world, &session, "grant").await;
    let granted: Vec<&str> =
        grants.iter().take(3).map(|entry| entry["principal"].as_str().unwrap()).collect();
    assert_eq!(granted, principals.iter().map(hex::encode).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_what_accumulates_is_seen() {
    let world = world();
    let session = session(&world).await;
    ask(&world, &session, &question(1)).await.unwrap();
    // Each is denied by itself; what they add up to denies what was permitted before.
    for _ in 0..20 {
        assert_eq!(code(ask(&world, &session, &for_purpose("gossip", 1)).await), "forbidden");
    }
    assert_eq!(code(ask(&world, &session, &question(1)).await), "forbidden");
    let other = world.token_of("somebody-else", &["chat"], 0, 0, 600).unwrap();
    ask_as(&world, &session, &other, &question(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_auditors_are_told_what_happened() {
    let world = world();
    let session = session(&world).await;
    ask(&world, &session, &for_purpose("deny", 1)).await.map(drop).unwrap_err();
    ask(&world, &session, &for_purpose("step-up", 1)).await.map(drop).unwrap_err();
    let answered = ask(&world, &session, &question(2)).await.unwrap();
    let told = entries(&world);
    for kind in ["boot", "worker-ready", "evidence", "models", "denial", "hold", "grant", "receipt"] {
        assert!(told.iter().any(|entry| entry["kind"] == kind), "no entry says {kind}");
    }
    let receipt = told.iter().rfind(|entry| entry["kind"] == "receipt").unwrap();
    assert_eq!(receipt["details"]["response-bytes"], answered.receipt.body().response_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_rights_are_given_one_by_one_when_they_are_needed() {
    let world = world();
    let session = session(&world).await;
    for _ in 0..3 {
        ask(&world, &session, &question(2)).await.unwrap();
    }
    let (grants, receipts) =
        (logged(&world, &session, "grant").await, logged(&world, &session, "receipt").await);
    for (receipt, grant) in receipts.iter().zip(&grants) {
        assert_eq!(receipt["details"]["grant"], grant["index"], "one grant for one answer, in order");
    }
    // Whoever may chat may call no tool, see no hold and give no order.
    let token = world.chat_token().unwrap();
    assert!(adyton_client::people::holds(&session, Some(&token)).await.is_err());
    assert!(adyton_client::people::state(&session, Some(&token)).await.is_err());
}
