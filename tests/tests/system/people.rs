//! People in the loop: holds that wait for them, orders that take the AI offline, and what cannot be forged.

use crate::support::{HANG, ask, ask_as, plan, question, session};
use adyton_attestation::Timestamp;
use adyton_attestation::ballot::{Ballot, Order, Statement};
use adyton_attestation::ed25519::Signer;
use adyton_client::chat::{ChatError, Question, chat};
use adyton_client::people::{self, PeopleError};
use adyton_client::proxy::Proxy;
use adyton_client::session::{AttestedSession, connect};
use adyton_tests::world::{ISSUER, World};
use serde_json::{Value, json};
use std::process::Output;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the shipped policy says, and that letters take two persons.
const LETTERS: &str = r#"
@id("letters")
permit (principal, action == Action::"Generate", resource)
when { principal.roles.contains("chat") && context.purpose == "letters" };

@id("letters-take-two")
@step_up("2")
forbid (principal, action == Action::"Generate", resource)
when { context.purpose == "letters" && context.situation.approvals < 2 };
"#;

/// The approvers.
pub(crate) const NAMES: [&str; 3] = ["ann", "bob", "eve"];

/// A world with three approvers, of whom two restore.
pub(crate) fn world(starts: &str) -> World {
    World::start(&adyton_tests::world::Plan { policy: pack(starts), metrics: true, ..plan() }).unwrap()
}

/// What its policy pack has that others have not.
pub(crate) fn pack(starts: &str) -> Vec<(&'static str, String)> {
    let key = |seed: usize| signer(seed).public().to_string();
    let line = |(seed, name): (usize, &&str)| json!({ "name": name, "issuer": ISSUER, "subject": name, "ed25519": key(seed) });
    let approvers = json!({
        "approvers": NAMES.iter().enumerate().map(line).collect::<Vec<_>>(),
        "quorum": { "quarantine": 1, "kill": 1, "restore": 2, "accept-drift": 1, "pardon": 1 },
        "starts": starts, "offline_after": { "principals": 3 },
    });
    let shipped = std::fs::read_to_string(adyton_tests::world::policy_folder().join("policies.cedar"));
    let policies = shipped.unwrap() + LETTERS;
    vec![("policies.cedar", policies), ("approvers.json", approvers.to_string())]
}

/// The key of an approver, by number.
pub(crate) fn signer(seed: usize) -> Signer {
    Signer::from_seed(&[seed as u8 + 1; 32]).unwrap()
}

fn letter() -> Question {
    Question { purpose: Some("letters".into()), ..question(4) }
}

/// The token of an approver.
fn token(world: &World, name: &str) -> String {
    world.token_of(name, &["approver", "chat"], 0, 0, 3600).unwrap()
}

/// Runs the command as an approver, on the world's enclave.
fn command(world: &World, who: usize, arguments: &[&str]) -> Output {
    let name = NAMES[who];
    std::fs::write(world.path(&format!("{name}.token")), token(world, name)).unwrap();
    let mut command = world.client().unwrap();
    command.arg("--json").args(arguments).args(["--enclave", world.address(), "--reference"]);
    command.arg(world.reference_file()).arg("--token-file").arg(world.path(&format!("{name}.token")));
    command.output().unwrap()
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(ended: &Result<u8, PeopleError>) -> &str {
    match ended {
        Err(PeopleError::Refused(ChatError::Refused { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

fn pending(error: &ChatError) -> bool {
    error.is_pending()
}

pub(crate) fn soon() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(now.as_millis() as u64 + 60_000)
}

/// Gives an order on behalf of an approver.
async fn order(
    world: &World,
    session: &AttestedSession,
    who: usize,
    order: Order,
) -> Result<u8, PeopleError> {
    let token = token(world, NAMES[who]);
    let state = people::state(session, Some(&token)).await?;
    people::cast(session, Some(&token), &state.order(&signer(who), order, soon())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_two_persons_and_is_answered_when_they_have_approved() {
    let world = world("online");
    let session = session(&world).await;
    let first = ask(&world, &session, &letter()).await.map(drop).unwrap_err();
    assert!(pending(&first), "{first}");
    let listed = json_of(&command(&world, 0, &["approve", "list"]));
    assert_eq!(listed["holds"].as_array().unwrap().len(), 1, "{listed}");
    let hold = listed["holds"][0]["hold"].as_str().unwrap().to_owned();
    assert!(first.to_string().contains(&hold), "the client is told which hold: {first}");
    let shown = json_of(&command(&world, 0, &["approve", "show", &hold]));
    assert_eq!((shown["purpose"].as_str(), shown["persons"].as_u64()), (Some("letters"), Some(2)));
    assert_eq!(shown["policies"], "letters-take-two");
    assert!(shown["text"].as_str().unwrap().contains("dragon"), "the approver reads what he approves");

    // A key made by the command would do as well; these are the same on each run.
    for (who, missing) in [(0, 1), (0, 1), (1, 0)] {
        let open = people::hold(&session, Some(&token(&world, NAMES[who])), &hex_16(&hold)).await.unwrap();
        let vote = open.vote(&signer(who), true);
        let cast = people::cast(&session, Some(&token(&world, NAMES[who])), &vote).await;
        assert_eq!(cast.unwrap(), missing);
        if missing == 1 {
            let still = ask(&world, &session, &letter()).await.map(drop).unwrap_err();
            assert!(pending(&still), "one person is not two: {still}");
        }
    }
    // What was approved is this request and no other one.
    let other = Question { max_tokens: Some(5), ..letter() };
    assert!(pending(&ask(&world, &session, &other).await.map(drop).unwrap_err()));
    let answered = ask(&world, &session, &letter()).await.unwrap();
    assert!(!answered.text.is_empty());
    // And once.
    assert!(pending(&ask(&world, &session, &letter()).await.map(drop).unwrap_err()));
}

fn hex_16(text: &str) -> [u8; 16] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_waits_and_prints_the_answer_when_it_comes() {
    let world = world("online");
    let folder = world.path("keys");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(world.path("chat.token"), world.chat_token().unwrap()).unwrap();
    let mut waiting = world.client().unwrap();
    waiting.args([
        "--json",
        "chat",
        "--purpose",
        "letters",
        "--max-tokens",
        "4",
        "--enclave",
        world.address(),
    ]);
    waiting.arg("--reference").arg(world.reference_file());
    waiting.arg("--token-file").arg(world.path("chat.token")).arg("Dear dragon,");
    let mut waiting = tokio::process::Command::from(waiting);
    let child = waiting.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let session = session(&world).await;
    let ann = token(&world, "ann");
    let hold = first_hold(&session, &ann).await;
    for who in [0, 1] {
        let (token, vote) = (token(&world, NAMES[who]), hold.vote(&signer(who), true));
        people::cast(&session, Some(&token), &vote).await.unwrap();
    }
    let output =
        tokio::time::timeout(HANG, child.wait_with_output()).await.expect("it waits for ever").unwrap();
    let said = json_of(&output);
    assert!(said["receipt"]["complete"].as_bool().unwrap(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_proxy_an_answer_that_waits_for_persons_just_comes_later() {
    let world = world("online");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let token_of_ann = token(&world, "ann");
    let chatter = world.chat_token().unwrap();
    let proxy = Proxy::new(world.target(), world.policy().unwrap(), Some(chatter), None);
    tokio::spawn(Arc::new(proxy).serve(listener));
    let body = json!({
        "model": adyton_tests::world::MODEL_NAME, "max_tokens": 4, "metadata": { "purpose": "letters" },
        "messages": [{ "role": "user", "content": "Dear dragon," }],
    });
    let asking = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let (body, mut answer) = (body.to_string(), Vec::new());
        let length = body.len();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    });
    let session = session(&world).await;
    let hold = first_hold(&session, &token_of_ann).await;
    for who in [0, 1] {
        let (token, vote) = (token(&world, NAMES[who]), hold.vote(&signer(who), true));
        people::cast(&session, Some(&token), &vote).await.unwrap();
    }
    let answer = tokio::time::timeout(HANG, asking).await.expect("the proxy hangs").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"content\""), "{answer}");
}

/// The first hold that waits.
async fn first_hold(session: &AttestedSession, token: &str) -> people::Hold {
    let hold = async {
        loop {
            match people::holds(session, Some(token)).await.unwrap().pop() {
                Some(hold) => break hold,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(HANG, hold).await.expect("nothing waits")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_no_is_final_and_nobody_approves_what_he_asked_for() {
    let world = world("online");
    let session = session(&world).await;
    assert!(pending(&ask(&world, &session, &letter()).await.map(drop).unwrap_err()));
    let ann = token(&world, "ann");
    let hold = people::holds(&session, Some(&ann)).await.unwrap().remove(0);
    assert_eq!(people::cast(&session, Some(&ann), &hold.vote(&signer(0), false)).await.unwrap(), 0);
    let ended = ask(&world, &session, &letter()).await.map(drop).unwrap_err();
    assert!(matches!(&ended, ChatError::Refused { code, .. } if code == "approval_declined"), "{ended}");
    let late = people::cast(&session, Some(&token(&world, "bob")), &hold.vote(&signer(1), true)).await;
    assert_eq!(refused(&late), "ballot_refused");
    // Bob asks for a letter himself.
    let bob = token(&world, "bob");
    assert!(pending(&ask_as(&world, &session, &bob, &letter()).await.map(drop).unwrap_err()));
    let own = people::holds(&session, Some(&bob)).await.unwrap().remove(0);
    assert_eq!(own.principal, "bob");
    assert_eq!(
        refused(&people::cast(&session, Some(&bob), &own.vote(&signer(1), true)).await),
        "ballot_refused"
    );
    assert_eq!(people::cast(&session, Some(&ann), &own.vote(&signer(0), true)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_replayed_and_borrowed_ballots_are_not_counted() {
    let world = world("online");
    let session = session(&world).await;
    assert!(pending(&ask(&world, &session, &letter()).await.map(drop).unwrap_err()));
    let (ann, bob) = (token(&world, "ann"), token(&world, "bob"));
    let hold = people::holds(&session, Some(&ann)).await.unwrap().remove(0);
    let cast = async |token: &str, ballot: &Ballot| people::cast(&session, Some(token), ballot).await;
    let good = hold.vote(&signer(0), true);
    assert_eq!(refused(&cast(&bob, &good).await), "ballot_refused", "ann's ballot with bob's token");
    assert_eq!(
        refused(&cast(&ann, &hold.vote(&signer(9), true)).await),
        "ballot_refused",
        "a stranger's key"
    );
    let mut altered = good.clone();
    *altered.statement.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&cast(&ann, &altered).await), "ballot_refused", "yes made of no");
    let elsewhere = Statement::Vote { boot: [9; 16], hold: hold.hold, request: hold.request, allow: true };
    assert_eq!(refused(&cast(&ann, &Ballot::sign(&signer(0), &elsewhere)).await), "ballot_refused");
    let unread = Statement::Vote { boot: hold.boot, hold: hold.hold, request: [9; 32], allow: true };
    assert_eq!(refused(&cast(&ann, &Ballot::sign(&signer(0), &unread)).await), "ballot_refused");
    // Somebody who chats is no approver, whatever he signs.
    let stranger = world.token_of("mallory", &["approver"], 3, 0, 3600).unwrap();
    assert_eq!(refused(&cast(&stranger, &good).await), "forbidden");
    assert!(people::holds(&session, Some(&stranger)).await.is_err());
    let chatter = world.chat_token().unwrap();
    assert!(people::state(&session, Some(&chatter)).await.is_err());
    // An order is good for one state: played again after the next one, it does nothing.
    let state = people::state(&session, Some(&ann)).await.unwrap();
    let quarantine = state.order(&signer(0), Order::Quarantine, soon());
    assert_eq!(cast(&ann, &quarantine).await.unwrap(), 0);
    for who in [0, 1] {
        order(&world, &session, who, Order::Restore).await.unwrap();
    }
    assert_eq!(refused(&cast(&ann, &quarantine).await), "ballot_refused");
    assert!(people::state(&session, Some(&ann)).await.unwrap().online);
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_cuts_what_is_under_way_and_holds_until_two_restore() {
    let world = world("online");
    let session = session(&world).await;
    let (anchor, chatter) = (world.anchor().unwrap(), world.chat_token().unwrap());
    let operator = connect(&world.target(), &world.policy().unwrap()).await.unwrap();
    let (started, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let asked = question(1000);
    let note = |_: &str| started.send(Instant::now()).unwrap();
    let asking = chat(&session, &anchor, Some(&chatter), &asked, note);
    let ordering = async {
        begun.recv().await.unwrap();
        order(&world, &operator, 0, Order::Quarantine).await.unwrap();
        Instant::now()
    };
    let (ended, ordered) =
        tokio::time::timeout(HANG, async { tokio::join!(asking, ordering) }).await.unwrap();
    assert!(matches!(ended.map(drop), Err(ChatError::Cut(_))), "the answer must be cut");
    let mut last = ordered;
    while let Ok(at) = begun.try_recv() {
        last = last.max(at);
    }
    // How fast is for whoever looks; that it is not the end of the answer is shown by the cut.
    println!("last text {} us after the order was answered", (last - ordered).as_micros());

    let offline = |ended: Result<_, ChatError>| matches!(ended, Err(ChatError::Refused { status: 503, code, .. }) if code == "offline");
    assert!(offline(ask(&world, &session, &question(4)).await.map(drop)));
    // Killing the worker brings another one, and the AI stays offline.
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    assert_eq!(order(&world, &operator, 1, Order::Kill).await.map_or(0, |missing| missing), 0);
    let operator = another(&world, worker).await;
    let state = people::state(&operator, Some(&token(&world, "ann"))).await.unwrap();
    assert_eq!((state.online, state.reason.as_deref()), (false, Some("killed by order")));
    assert!(offline(ask(&world, &operator, &question(4)).await.map(drop)));
    assert_eq!(order(&world, &operator, 0, Order::Restore).await.unwrap(), 1);
    assert!(offline(ask(&world, &operator, &question(4)).await.map(drop)), "one of two is not a quorum");
    assert_eq!(order(&world, &operator, 1, Order::Restore).await.unwrap(), 0);
    ask(&world, &operator, &question(4)).await.unwrap();
}

/// A session with the worker that comes after this one.
async fn another(world: &World, old: u32) -> AttestedSession {
    let policy = world.policy().unwrap();
    let connected = async {
        loop {
            let here = world.descendants("adyton-sim-worker").unwrap();
            if here.first().is_some_and(|&worker| worker != old)
                && let Ok(session) = connect(&world.target(), &policy).await
            {
                break session;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, connected).await.expect("no worker came after the kill")
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_starts_offline_a_host_that_starts_it_anew_brings_nothing_back() {
    for _start in 0..2 {
        let world = world("offline");
        let session = session(&world).await;
        let ended = ask(&world, &session, &question(4)).await.map(drop).unwrap_err();
        assert!(matches!(&ended, ChatError::Refused { status: 503, .. }), "{ended}");
        let state = json_of(&command(&world, 2, &["operate", "state"]));
        assert_eq!((state["online"].as_bool(), state["epoch"].as_u64()), (Some(false), Some(0)));
        for who in [2, 0] {
            order(&world, &session, who, Order::Restore).await.unwrap();
        }
        ask(&world, &session, &question(4)).await.unwrap();
    }
}
