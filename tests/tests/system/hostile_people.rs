//! A worker that has been taken over, between people and the sentinel: it has the tokens that pass through it, and no key.

use crate::people::{NAMES, pack, signer, soon};
use crate::puppet::{Puppet, account, entries_with, generate, of, puppets, token};
use adyton_attestation::ballot::{Ballot, Order, Statement};
use adyton_tests::world::{MODEL_NAME, World};
use adyton_wire::control::{Action, Decision, Denial, GrantId, HoldView, StateView, Told, Wish};

fn approver(world: &World, name: &str) -> String {
    world.token_of(name, &["approver", "chat"], 0, 0, 3600).unwrap()
}

/// A request that two persons must approve, whose text has this digest.
fn letter(request: [u8; 32], max_tokens: u32) -> Action {
    Action::Generate {
        model: MODEL_NAME.into(),
        purpose: "letters".into(),
        max_tokens,
        prompt_bytes: 10,
        request,
        untrusted: false,
        held: Vec::new(),
    }
}

fn wish(ballot: Ballot) -> Wish {
    Wish::Ballot {
        statement: ballot.statement,
        signer: *ballot.signer.as_bytes(),
        signature: ballot.signature.to_vec(),
    }
}

async fn state(puppet: &mut Puppet, token: &str) -> StateView {
    match puppet.people(token, Wish::State).await {
        Ok(Told::State(state)) => state,
        other => panic!("{other:?}"),
    }
}

async fn hold(puppet: &mut Puppet, token: &str) -> HoldView {
    match puppet.people(token, Wish::Holds).await {
        Ok(Told::Holds(mut holds)) => holds.pop().expect("nothing waits"),
        other => panic!("{other:?}"),
    }
}

fn vote(hold: &HoldView, who: usize) -> Ballot {
    let HoldView { boot, hold, request, .. } = *hold;
    Ballot::sign(&signer(who), &Statement::Vote { boot, hold, request, allow: true })
}

fn order(state: &StateView, who: usize, order: Order) -> Ballot {
    let StateView { boot, epoch, .. } = *state;
    Ballot::sign(&signer(who), &Statement::Order { boot, epoch, until: soon(), order })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_is_not_granted_by_skipping_the_hold() {
    let world = puppets(pack("online"));
    let mut puppet = Puppet::connect(&world).await;
    let (eve, ann, bob) = (token(&world, "mallory", 0), approver(&world, "ann"), approver(&world, "bob"));
    let asked = puppet.ask(&eve, letter([7; 32], 8)).await;
    let Decision::Held { hold: name, missing: 2, .. } = asked else { panic!("{asked:?}") };
    // The hold's name is no grant, to ask again is no vote, and evidence or another session changes nothing.
    assert!(!puppet.seal(GrantId(name), account()).await);
    for attested in [false, true, true] {
        let again = puppet.try_ask(&eve, attested, letter([7; 32], 8)).await;
        assert!(matches!(again, Some(Decision::Held { hold, missing: 2, .. }) if hold == name), "{again:?}");
    }
    let open = hold(&mut puppet, &ann).await;
    let counted = puppet.people(&ann, wish(vote(&open, 0))).await;
    assert_eq!(counted, Ok(Told::Counted { missing: 1 }));
    // The same vote with another's token, and again with his own: still one person.
    assert_eq!(puppet.people(&bob, wish(vote(&open, 0))).await, Err(Denial::BallotRefused));
    assert_eq!(puppet.people(&ann, wish(vote(&open, 0))).await, Ok(Told::Counted { missing: 1 }));
    assert!(matches!(puppet.ask(&eve, letter([7; 32], 8)).await, Decision::Held { missing: 1, .. }));
    assert_eq!(puppet.people(&bob, wish(vote(&open, 1))).await, Ok(Told::Counted { missing: 0 }));
    // Another text, or another's request, is not what they have read.
    assert!(matches!(puppet.ask(&eve, letter([8; 32], 8)).await, Decision::Held { missing: 2, .. }));
    assert!(matches!(puppet.ask(&bob, letter([7; 32], 8)).await, Decision::Held { missing: 2, .. }));
    let grant = puppet.grant(&eve, letter([7; 32], 8)).await;
    assert!(puppet.seal(grant, account()).await);
    assert!(matches!(puppet.ask(&eve, letter([7; 32], 8)).await, Decision::Held { missing: 2, .. }), "once");
    let entries = entries_with(&world, |entries| of(entries, "hold").len() == 4).await;
    assert_eq!(of(&entries, "grant").len(), 1);
    assert_eq!(of(&entries, "grant")[0]["details"]["hold"], hex::encode(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_is_granted_as_it_was_shown() {
    let world = puppets(pack("online"));
    let mut puppet = Puppet::connect(&world).await;
    let eve = token(&world, "mallory", 0);
    let asked = puppet.ask(&eve, letter([7; 32], 8)).await;
    assert!(matches!(asked, Decision::Held { missing: 2, .. }), "{asked:?}");
    let ann = approver(&world, "ann");
    let open = hold(&mut puppet, &ann).await;
    assert_eq!(open.max_tokens, 8);
    for who in [0, 1] {
        let by = approver(&world, NAMES[who]);
        puppet.people(&by, wish(vote(&open, who))).await.unwrap();
    }
    // The worker names the digest of the request and the number of tokens apart from each other.
    let more = puppet.ask(&eve, letter([7; 32], 4096)).await;
    assert!(matches!(more, Decision::Held { missing: 2, .. }), "{more:?}");
    let as_shown = puppet.ask(&eve, letter([7; 32], 8)).await;
    assert!(matches!(as_shown, Decision::Granted { max_tokens: 8, .. }), "{as_shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_key_gives_no_orders() {
    let world = puppets(pack("offline"));
    let mut puppet = Puppet::connect(&world).await;
    let (ann, bob) = (approver(&world, "ann"), approver(&world, "bob"));
    let now = state(&mut puppet, &ann).await;
    assert_eq!(now.offline.as_deref(), Some("each boot starts offline"));
    let good = order(&now, 0, Order::Restore);
    let mut forged = order(&now, 9, Order::Restore);
    forged.signer = good.signer;
    let mut altered = good.clone();
    *altered.statement.last_mut().unwrap() ^= 1;
    let elsewhere = order(&StateView { boot: [9; 16], ..now.clone() }, 0, Order::Restore);
    let later = order(&StateView { epoch: now.epoch + 1, ..now.clone() }, 0, Order::Restore);
    for (what, ballot) in [
        ("its own key", order(&now, 9, Order::Restore)),
        ("its own key in the name of ann", forged),
        ("ann's signature under another statement", altered),
        ("another boot", elsewhere),
        ("another state", later),
    ] {
        assert_eq!(puppet.people(&ann, wish(ballot)).await, Err(Denial::BallotRefused), "{what}");
    }
    let short = Wish::Ballot { statement: vec![0; 60_000], signer: [0; 32], signature: vec![0; 60_000] };
    assert_eq!(puppet.people(&ann, short).await, Err(Denial::BallotRefused));
    // Ann's own order counts once, however often the worker brings it, and with whosever token.
    for _ in 0..3 {
        assert_eq!(puppet.people(&ann, wish(good.clone())).await, Ok(Told::Counted { missing: 1 }));
        assert_eq!(puppet.people(&bob, wish(good.clone())).await, Err(Denial::BallotRefused));
    }
    assert_eq!(puppet.ask(&bob, letter([7; 32], 8)).await, Decision::Denied(Denial::Offline));
    // Whoever is no approver learns nothing and says nothing.
    let chatter = token(&world, "mallory", 3);
    for wished in [Wish::State, Wish::Holds, Wish::Hold([0; 16]), wish(good.clone())] {
        assert_eq!(puppet.people(&chatter, wished).await, Err(Denial::Forbidden));
    }
    let restored = puppet.people(&bob, wish(order(&now, 1, Order::Restore))).await;
    assert_eq!(restored, Ok(Told::Counted { missing: 0 }));
    // Taken offline again, what was good before is over.
    let online = state(&mut puppet, &ann).await;
    puppet.people(&ann, wish(order(&online, 0, Order::Quarantine))).await.unwrap();
    assert_eq!(puppet.people(&ann, wish(good)).await, Err(Denial::BallotRefused));
    assert_eq!(puppet.ask(&bob, generate("general", 8)).await, Decision::Denied(Denial::Offline));
    let entries = entries_with(&world, |entries| of(entries, "state").len() == 2).await;
    assert_eq!(of(&entries, "unheard").len(), 5 + 1 + 3 + 4 + 1, "each try is an entry");
}
