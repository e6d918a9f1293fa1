//! A worker that has been taken over, against the real sentinel: it lies, floods, plays grants again, and asks for what it was
//! denied. It gets no more than policies allow, and what it does is in the log.

use crate::puppet::{
    Ear, PUPPET, Puppet, account, encoded, entries_with, generate, of, puppets, question, token,
};
use crate::support::entries;
use adyton_tests::world::{MODEL_NAME, World, policy_folder};
use adyton_wire::channel::MAX_FRAME;
use adyton_wire::control::{Account, Action, Decision, Denial, GrantId, ToSentinel, ToWorker};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// A grant that nobody gave.
const MADE_UP: GrantId = GrantId([0x5a; 16]);
/// `MAX_FALSE_GRANTS` of `enclave/sentinel/src/desk/seal.rs`.
const TOLERATED: u32 = 8;
/// `MAX_OPEN_EACH` of `enclave/sentinel/src/grants.rs`.
const OPEN_EACH: usize = 64;
/// `MAX_OPEN` there.
const OPEN: usize = 1024;

/// The policy that ships, and more.
fn policies(more: &str) -> Vec<(&'static str, String)> {
    let shipped = std::fs::read_to_string(policy_folder().join("policies.cedar")).unwrap();
    vec![("policies.cedar", shipped + more)]
}

/// The exit code with which the enclave ended, as its host tells it.
fn exit_code(world: &mut World) -> String {
    assert!(!world.host().wait().unwrap().success());
    let errors = world.errors();
    let (_, code) = errors.rsplit_once("exit status: ").unwrap_or_else(|| panic!("{errors}"));
    code.trim_end().trim_end_matches(')').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_that_is_none_ends_the_enclave_for_good() {
    let ask = encoded(&question(1, "token", false, generate("general", 1)));
    let evidence = ToSentinel::Evidence { id: 1, nonce: [0; 32], exporter: vec![0; 47] };
    let ready = ToSentinel::Ready { spki: b"another key".to_vec() };
    for (what, datagram) in [
        ("nothing at all", Vec::new()),
        ("garbage", vec![0xff; 9]),
        ("half a message", ask[..ask.len() / 2].to_vec()),
        ("a message and a byte", [&ask[..], &[0]].concat()),
        ("a message that is too long", vec![0; MAX_FRAME + 1]),
        ("a length that is not there", vec![0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("an exporter that is too short", encoded(&evidence)),
        ("a second key", encoded(&ready)),
    ] {
        let mut world = puppets(Vec::new());
        let mut puppet = Puppet::connect(&world).await;
        puppet.mouth.raw(&datagram).await;
        puppet.gone().await;
        assert_eq!(exit_code(&mut world), "13", "{what}");
        assert!(world.errors().contains("the worker broke the control protocol"), "{what}");
        let entries = entries(&world);
        let ended = of(&entries, "worker-ended");
        assert_eq!(ended.len(), 1, "{what}: no other worker is started");
        assert_eq!(ended[0]["details"]["reason"], "protocol", "{what}");
        assert_eq!(of(&entries, "closed")[0]["details"]["code"], 13, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_good_once_whatever_is_done_with_it() {
    let world = puppets(Vec::new());
    let mut puppet = Puppet::connect(&world).await;
    let ann = token(&world, "ann", 0);
    let sealed = puppet.grant(&ann, generate("general", 8)).await;
    assert!(puppet.seal(sealed, account()).await);
    assert!(!puppet.seal(sealed, account()).await, "sealed twice");
    let returned = puppet.grant(&ann, generate("general", 8)).await;
    puppet
        .mouth
        .say(&ToSentinel::Release { grant: returned, screened: adyton_wire::control::Screened::default() })
        .await;
    assert!(!puppet.seal(returned, account()).await, "given back, then sealed");
    assert!(!puppet.seal(MADE_UP, account()).await, "made up");
    puppet
        .mouth
        .say(&ToSentinel::Release { grant: MADE_UP, screened: adyton_wire::control::Screened::default() })
        .await;
    let listed = puppet.ask(&ann, Action::ListModels).await;
    assert_eq!(listed, Decision::Permitted);
    let entries = entries_with(&world, |entries| !of(entries, "models").is_empty()).await;
    assert_eq!((of(&entries, "receipt").len(), of(&entries, "returned").len()), (1, 1));
    let unsealed = of(&entries, "unsealed");
    assert!(unsealed.len() == 3 && unsealed.iter().all(|one| one["details"]["reason"] == "no such grant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_with_the_worker_that_had_it() {
    let world = puppets(Vec::new());
    let mut puppet = Puppet::connect(&world).await;
    let ann = token(&world, "ann", 0);
    let grant = puppet.grant(&ann, generate("general", 8)).await;
    let pid = world.descendants(PUPPET).unwrap()[0];
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    puppet.gone().await;
    let mut next = Puppet::another(&world).await;
    assert!(!next.seal(grant, account()).await);
    let own = next.grant(&ann, generate("general", 8)).await;
    assert!(next.seal(own, account()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_out_of_bounds_cost_the_grant_and_give_no_receipt() {
    let world = puppets(Vec::new());
    let mut puppet = Puppet::connect(&world).await;
    let ann = token(&world, "ann", 0);
    let word = |length| ("output".to_owned(), "x".repeat(length));
    for (verdicts, sealed) in [(vec![word(33)], false), (vec![word(1); 9], false), (vec![word(32); 8], true)]
    {
        let grant = puppet.grant(&ann, generate("general", 8)).await;
        assert_eq!(puppet.seal(grant, Account { verdicts, ..account() }).await, sealed);
        assert!(!puppet.seal(grant, account()).await, "the grant is used up");
    }
    let entries = entries_with(&world, |entries| of(entries, "unsealed").len() == 5).await;
    let out = |one: &&serde_json::Value| one["details"]["reason"] == "verdicts out of bounds";
    assert_eq!(of(&entries, "unsealed").into_iter().filter(out).count(), 2);
}

/// Uses grants that there are not until the worker is killed.
async fn use_false_grants(mut puppet: Puppet) {
    for _ in 0..TOLERATED {
        assert_eq!(puppet.try_seal(MADE_UP, account()).await, Some(None), "tolerated");
    }
    puppet.try_seal(MADE_UP, account()).await;
    puppet.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_grants_end_the_worker_and_take_the_ai_offline() {
    let world = puppets(Vec::new());
    let ann = token(&world, "ann", 0);
    use_false_grants(Puppet::connect(&world).await).await;
    let entries = entries_with(&world, |entries| of(entries, "worker-ready").len() == 2).await;
    let state = of(&entries, "state");
    assert_eq!(state.len(), 1);
    assert_eq!(state[0]["details"]["offline"], "the worker used grants that it did not have");
    assert_eq!(of(&entries, "worker-ended")[0]["details"]["reason"], "killed");
    let mut next = Puppet::another(&world).await;
    assert_eq!(next.ask(&ann, generate("general", 8)).await, Decision::Denied(Denial::Offline));
    assert_eq!(next.lease.map(|(valid_for_ms, _)| valid_for_ms).unwrap_or(0), 0);
    // The new worker is not held to account for the old one.
    assert!(!next.seal(MADE_UP, account()).await);
    assert_eq!(next.ask(&ann, Action::ListModels).await, Decision::Denied(Denial::Offline));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_goes_on_with_false_grants_is_not_started_for_ever() {
    let mut world = puppets(Vec::new());
    // The first kill takes the AI offline; the others change nothing any more, and count as crashes do.
    use_false_grants(Puppet::connect(&world).await).await;
    for _ in 0..=adyton_sentinel::supervisor::MAX_RESTARTS {
        use_false_grants(Puppet::another(&world).await).await;
    }
    assert_eq!(exit_code(&mut world), "13");
    let entries = entries(&world);
    assert_eq!(of(&entries, "state").len(), 1, "one change of the state is one entry");
    let ended = of(&entries, "worker-ended");
    assert_eq!(ended.last().unwrap()["details"]["again"], false);
}

/// What was heard in a flood.
#[derive(Debug, Default)]
struct Heard {
    granted: usize,
    busy: usize,
    leases: u32,
    /// The longest time between two leases.
    gap: Duration,
    other: bool,
}

/// Listens until the lease was renewed so often and the request `other` is answered.
async fn listen(ear: &mut Ear, other: u64, leases: u32) -> Heard {
    let (mut heard, mut last) = (Heard::default(), Instant::now());
    while heard.leases < leases || !heard.other {
        match ear.hear().await.expect("the flood ends the worker") {
            ToWorker::Lease { valid_for_ms: 2000 } => {
                heard.gap = heard.gap.max(last.elapsed());
                last = Instant::now();
                heard.leases += 1;
            }
            ToWorker::Decision(id, Decision::Granted { .. }) if id == other => heard.other = true,
            ToWorker::Decision(_, Decision::Granted { .. }) => heard.granted += 1,
            ToWorker::Decision(_, Decision::Denied(Denial::Busy)) => heard.busy += 1,
            ToWorker::Evidence(..) => {}
            unexpected => panic!("{unexpected:?}"),
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_neither_keeps_the_lease_from_coming_nor_others_from_being_answered() {
    const OTHER: u64 = 1;
    let world = puppets(Vec::new());
    let (flooder, other) = (token(&world, "flooder", 0), token(&world, "other", 0));
    // What comes back is heard by whoever connected last.
    let mut flooding = Puppet::connect(&world).await;
    flooding.grant(&flooder, generate("general", 8)).await;
    let Puppet { mut ear, mut mouth, .. } = Puppet::connect(&world).await;
    let flood = async {
        let asked = question(0, &flooder, false, generate("general", 8));
        let evidence = ToSentinel::Evidence { id: 0, nonce: [1; 32], exporter: vec![2; 48] };
        loop {
            flooding.mouth.say(&asked).await;
            flooding.mouth.say(&evidence).await;
        }
    };
    let others = async {
        let before = listen_to_flood(&mut ear).await;
        mouth.say(&question(OTHER, &other, false, generate("general", 8))).await;
        (before, listen(&mut ear, OTHER, 4).await)
    };
    let (before, heard) = tokio::select! {
        heard = others => heard,
        () = flood => unreachable!("it has no end"),
    };
    println!("{heard:?}");
    assert_eq!(before + heard.granted, OPEN_EACH - 1);
    assert!(heard.busy > 0, "not much of a flood");
    assert!(heard.gap < Duration::from_millis(2000), "the lease ran out");
}

/// Listens until the flooder has all grants that it gets; how many those were.
async fn listen_to_flood(ear: &mut Ear) -> usize {
    let mut granted = 0;
    loop {
        match ear.hear().await.expect("the flood ends the worker") {
            ToWorker::Decision(_, Decision::Granted { .. }) => granted += 1,
            ToWorker::Decision(_, Decision::Denied(Denial::Busy)) => return granted,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_grants_stay_bounded_however_many_principals_ask() {
    let world = puppets(Vec::new());
    let mut puppet = Puppet::connect(&world).await;
    let mut granted = 0;
    for number in 0..OPEN / OPEN_EACH {
        let who = token(&world, &format!("principal {number}"), 0);
        for _ in 0..OPEN_EACH {
            puppet.grant(&who, generate("general", 8)).await;
            granted += 1;
        }
        assert_eq!(puppet.ask(&who, generate("general", 8)).await, Decision::Denied(Denial::Busy));
    }
    assert_eq!(granted, OPEN);
    let late = token(&world, "late", 0);
    assert_eq!(puppet.ask(&late, generate("general", 8)).await, Decision::Denied(Denial::Busy));
    let full = |entries: &[serde_json::Value]| of(entries, "denial").len() == OPEN / OPEN_EACH + 1;
    let entries = entries_with(&world, full).await;
    assert!(of(&entries, "denial").iter().all(|one| one["details"]["code"] == "too_many_grants"));
    assert_eq!(of(&entries, "grant").len(), OPEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_for_what_was_denied_changes_nothing_but_the_risk() {
    const AGAIN: usize = 20;
    let risky = r#"
@id("risky")
forbid (principal, action == Action::"Generate", resource)
when { context.purpose == "translate" && context.situation.risk >= 90 };
"#;
    let world = puppets(policies(risky));
    let mut puppet = Puppet::connect(&world).await;
    let (ann, bob) = (token(&world, "ann", 0), token(&world, "bob", 0));
    for _ in 0..8 {
        puppet.grant(&ann, generate("translate", 8)).await;
    }
    for _ in 0..AGAIN {
        // Whatever it claims meanwhile.
        let asked = puppet.try_ask(&ann, true, generate("restricted", 1)).await;
        assert_eq!(asked, Some(Decision::Denied(Denial::Forbidden)));
    }
    // What was fine before is not any more: a policy looks at the risk, and the one that ships slows down.
    assert_eq!(puppet.ask(&ann, generate("translate", 8)).await, Decision::Denied(Denial::Forbidden));
    assert_eq!(puppet.ask(&ann, generate("general", 8)).await, Decision::Denied(Denial::Deferred));
    puppet.grant(&bob, generate("translate", 8)).await;
    let entries = entries_with(&world, |entries| of(entries, "grant").len() == 9).await;
    let denials = of(&entries, "denial");
    assert_eq!(denials.len(), AGAIN + 2, "each is an entry");
    let codes = denials.iter().map(|one| one["details"]["code"].as_str().unwrap());
    assert_eq!(codes.filter(|code| *code == "forbidden").count(), AGAIN + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_claims_gets_it_no_more_than_policies_allow() {
    let short = r#"
@id("short")
@max_tokens("50")
permit (principal, action == Action::"Generate", resource)
when { principal.roles.contains("chat") && context.purpose == "short" };
"#;
    let world = puppets(policies(short));
    let mut puppet = Puppet::connect(&world).await;
    let (low, high) = (token(&world, "ann", 0), token(&world, "bob", 3));
    let no_role = world.token_of("eve", &["audit"], 3, 0, 3600).unwrap();
    let expired = world.token_of("ann", &["chat"], 0, -3600, 1800).unwrap();
    let early = world.token_of("ann", &["chat"], 0, 3600, 1800).unwrap();
    let other_model = Action::Generate {
        model: format!("{MODEL_NAME}-xl"),
        purpose: "general".into(),
        max_tokens: 1,
        prompt_bytes: 1,
        request: [0; 32],
        untrusted: false,
        held: Vec::new(),
    };
    for (token, attested, action, denial) in [
        (&low, true, generate("restricted", 1), Denial::Forbidden),
        (&high, false, generate("restricted", 1), Denial::Forbidden),
        (&low, true, generate("health", 1), Denial::Forbidden),
        (&low, false, generate("general", 4097), Denial::Forbidden),
        (&low, false, generate("general", u32::MAX), Denial::Forbidden),
        (&low, false, generate("", 1), Denial::Forbidden),
        (&high, true, generate(&"x".repeat(60_000), 1), Denial::Forbidden),
        (&high, true, other_model, Denial::UnknownModel),
        (&no_role, true, generate("general", 1), Denial::Forbidden),
        (&expired, true, generate("general", 1), Denial::TokenExpired),
        (&early, true, generate("general", 1), Denial::TokenExpired),
    ] {
        let decided = puppet.try_ask(token, attested, action.clone()).await;
        assert_eq!(decided, Some(Decision::Denied(denial)), "{attested} {}", action_of(&action));
    }
    let bounded = puppet.ask(&low, generate("short", 4096)).await;
    assert!(matches!(bounded, Decision::Granted { max_tokens: 50, .. }), "{bounded:?}");
    // Whether a client gave evidence is the worker's to know. What the token says still holds, and the entry says the rest.
    let believed = puppet.try_ask(&high, true, generate("restricted", 1)).await;
    assert!(matches!(believed, Some(Decision::Granted { .. })), "{believed:?}");
    let entries = entries_with(&world, |entries| of(entries, "grant").len() == 2).await;
    assert_eq!(of(&entries, "grant")[1]["details"]["attested"], true);
}

/// An action, short enough for a message.
fn action_of(action: &Action) -> String {
    format!("{action:?}").chars().take(200).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_nobodys() {
    let world = puppets(Vec::new());
    let mut puppet = Puppet::connect(&world).await;
    let good = token(&world, "ann", 0);
    let parts: Vec<&str> = good.split('.').collect();
    let other = token(&puppets(Vec::new()), "ann", 3);
    let lifted = other.split('.').nth(1).unwrap();
    for forged in [
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{lifted}.{}", parts[0], parts[2]),
        format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
        format!("{good}x"),
        other.clone(),
        "x".repeat(100_000),
    ] {
        let decided = puppet.try_ask(&forged, true, generate("general", 1)).await;
        assert_eq!(decided, Some(Decision::Denied(Denial::TokenInvalid)));
    }
    assert_eq!(puppet.ask("", generate("general", 1)).await, Decision::Denied(Denial::TokenAbsent));
    puppet.grant(&good, generate("general", 1)).await;
    let entries = entries_with(&world, |entries| !of(entries, "grant").is_empty()).await;
    let denials = of(&entries, "denial");
    assert!(denials.len() == 7 && denials.iter().all(|one| one["principal"].is_null()));
}
