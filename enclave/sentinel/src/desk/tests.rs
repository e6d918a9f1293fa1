//! The desk with a trained watcher and a clock that is told the time: thresholds, pardons, and clocks that jump.

use super::*;
use crate::people::approvers::tests::list;
use crate::people::tests::signer;
use adyton_attestation::Timestamp;
use adyton_attestation::ballot::{Ballot, Order, Statement};
use adyton_behaviour::Action as Seen;
use adyton_wire::control::{Told, Wish};
use adyton_wire::manifest::{Manifest, Weights};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use std::collections::BTreeMap;

/// What the NSM says it is when the desk opens.
const START: Timestamp = Timestamp::from_secs(1_793_701_230);
const DAY: u64 = 24 * 3600 * 1000;
/// Principals quarantined that take the AI offline, as `list` has it.
const MOST: usize = 3;

const TELEMETRY: &str = "[budget]\nepsilon = 1.0\ndelta = 0.000001\n[[metric]]\nname = \"purposes\"\nof = \"purpose\"\n\
                         shape = \"histogram\"\nbins = [\"general\", \"other\"]\nper_day = 5\n";

fn issuer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// A token of somebody, good from `from` for ten minutes.
fn token(subject: &str, roles: &[&str], from: Timestamp) -> Token {
    let from = from.as_millis() / 1000;
    let claims = json!({ "iss": "https://issuer.test", "sub": subject, "aud": "adyton", "iat": from, "exp": from + 600,
                         "tenant": "acme", "roles": roles, "clearance": 0 });
    let header = json!({ "alg": "EdDSA" });
    let signed = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    let signature = B64.encode(issuer().sign(signed.as_bytes()));
    Token(format!("{signed}.{signature}").into_bytes())
}

/// A release whose watcher learns within three days and quarantines after three alarms, with the policies that ship and more.
fn release(more: &str) -> Release {
    let behaviour = include_str!("../../../policy/behaviour.toml")
        .replace("min_events = 2000", "min_events = 1000")
        .replace("min_days = 21", "min_days = 2")
        .replace("period_days = 7", "period_days = 1")
        .replace("high_alarms = 6.0", "high_alarms = 1.0")
        .replace("critical_alarms = 15.0", "critical_alarms = 2.0")
        .replace("quarantine_alarms = 40.0", "quarantine_alarms = 3.0");
    let key = hex::encode(issuer().public_key().as_ref());
    let issuers = json!([{ "issuer": "https://issuer.test", "audience": "adyton", "ed25519": key }]);
    let files = [
        ("adyton.cedarschema", include_str!("../../../policy/adyton.cedarschema").to_owned()),
        ("policies.cedar", include_str!("../../../policy/policies.cedar").to_owned() + more),
        ("behaviour.toml", behaviour),
        ("approvers.json", list(&["ann", "bob"]).to_string()),
        ("guardrails.toml", include_str!("../../../policy/guardrails.toml").to_owned()),
        ("stores.toml", include_str!("../../../policy/stores.toml").to_owned()),
        ("protected.json", include_str!("../../../policy/protected.json").to_owned()),
        ("telemetry.toml", TELEMETRY.to_owned()),
        ("issuers.json", issuers.to_string()),
        ("auditors.json", "[]".to_owned()),
    ];
    let nothing = || std::fs::File::open("/dev/null").unwrap().into();
    Release {
        manifest_sha384: [0; 48],
        encoder: None,
        manifest: Manifest {
            encoder: None,
            version: 1,
            model: "m".into(),
            weights: Weights { sha256: [0; 32], size: 1, chunks: Vec::new() },
            policy: BTreeMap::new(),
        },
        policy: files.map(|(name, text)| (name.to_owned(), text.into_bytes())).into(),
        weights: nothing(),
        manifest_file: nothing(),
        protected_file: nothing(),
    }
}

fn desk() -> Desk {
    desk_with("")
}

fn desk_with(policies: &str) -> Desk {
    let clock = Arc::new(Clock::default());
    clock.raise(START);
    let desk = Desk::new(&release(policies), clock, true).unwrap();
    desk.log.open_for_tests();
    desk
}

fn ask(desk: &mut Desk, token: &Token) -> Decision {
    let action = Action::Generate {
        model: "m".into(),
        purpose: "general".into(),
        max_tokens: 8,
        prompt_bytes: 100,
        request: [7; 32],
        untrusted: false,
        held: Vec::new(),
    };
    desk.decide(&Asked { token, attested: false, session: 1, action: &action }).0
}

fn pseudonym(desk: &Desk, subject: &str) -> [u8; 32] {
    desk.pseudonym(&Principal::for_tests("acme", subject, &[], 0))
}

fn event(principal: [u8; 32], at: u64) -> Event {
    let usual = Event::new(START.as_millis() + at, principal, 1, 1, Seen::Generate);
    Event {
        prompt_bytes: Some(100 + (at % 7) as u32),
        max_tokens: Some(100),
        response_bytes: Some(100 + (at % 11) as u32),
        duration_ms: Some(100),
        ..usual
    }
}

/// Three days of forty people, and what is learned from them.
fn train(desk: &mut Desk) {
    for hour in 0..72_u64 {
        for who in 0..40_u8 {
            let at = hour * 3_600_000 + u64::from(who) * 61_007;
            assert!(!desk.watch.observe(&event([who; 32], at)), "normal people are quarantined");
        }
    }
    let lesson = desk.watch.lesson(START.plus_millis(3 * DAY)).expect("nothing to learn");
    desk.watch.adopt(lesson.learn().unwrap());
    assert!(!desk.watch.is_cold());
}

/// Somebody does what nobody does, up to `most` times. Returns after how many it was shut out.
fn go_astray(desk: &mut Desk, principal: [u8; 32], most: u64) -> Option<u64> {
    (1..=most).find(|&nth| {
        let usual = event(principal, 3 * DAY + nth * 1000);
        let (session, purpose) = (1000 + nth, 1000 + nth);
        desk.observe(&Event {
            session,
            purpose,
            prompt_bytes: Some(250_000),
            max_tokens: Some(4096),
            response_bytes: Some(900_000),
            outcome: Outcome::Denied,
            ..usual
        });
        desk.watch.is_quarantined(&principal)
    })
}

/// What an approver signs, with his own token.
fn cast(desk: &mut Desk, who: usize, statement: &Statement) -> Result<Told, Denial> {
    let ballot = Ballot::sign(&signer(who as u8 + 1), statement);
    let wish = Wish::Ballot {
        statement: ballot.statement,
        signer: *ballot.signer.as_bytes(),
        signature: ballot.signature.to_vec(),
    };
    let token = token(["ann", "bob"][who], &["approver"], desk.clock.now());
    desk.hear(&token, false, &wish)
}

/// An approver's order.
fn order(desk: &mut Desk, who: usize, order: Order, until: Timestamp) -> Result<Told, Denial> {
    let statement = Statement::Order { boot: *desk.boot(), epoch: desk.epoch(), until, order };
    cast(desk, who, &statement)
}

#[test]
fn so_many_quarantined_principals_take_the_ai_offline() {
    let mut desk = desk();
    train(&mut desk);
    let zoe = token("zoe", &["chat"], START);
    for nth in 0..MOST {
        assert!(desk.is_online(), "offline after {nth}");
        assert!(matches!(ask(&mut desk, &zoe), Decision::Granted { .. }), "others are let in");
        let entries = desk.log.next();
        assert!(go_astray(&mut desk, [100 + nth as u8; 32], 20).is_some(), "not quarantined");
        let offline = u64::from(nth + 1 == MOST);
        assert_eq!(desk.log.next() - entries, 1 + offline, "the quarantine, and the state");
    }
    assert_eq!(desk.people.standing.offline(), Some(Reason::Principals));
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::Offline));
    assert!(!desk.must_kill());
    // Another worker changes nothing, nor does a pardon; two restore.
    desk.revoke_all();
    let soon = START.plus_millis(60_000);
    let pardoned = order(&mut desk, 0, Order::Pardon { principal: [100; 32] }, soon);
    assert_eq!(pardoned, Ok(Told::Counted { missing: 0 }));
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::Offline));
    assert_eq!(order(&mut desk, 0, Order::Restore, soon), Ok(Told::Counted { missing: 1 }));
    assert_eq!(order(&mut desk, 1, Order::Restore, soon), Ok(Told::Counted { missing: 0 }));
    assert!(matches!(ask(&mut desk, &zoe), Decision::Granted { .. }));
    // Two are still shut out: one more is the third.
    assert!(go_astray(&mut desk, [150; 32], 20).is_some());
    assert!(!desk.is_online());
}

#[test]
fn a_pardoned_principal_is_let_in_again_and_its_alarms_are_forgotten() {
    let mut desk = desk();
    train(&mut desk);
    let (zoe, yan) = (token("zoe", &["chat"], START), token("yan", &["chat"], START));
    let principal = pseudonym(&desk, "zoe");
    assert!(matches!(ask(&mut desk, &zoe), Decision::Granted { .. }));
    let first = go_astray(&mut desk, principal, 20).expect("not quarantined");
    assert!(first >= 3, "one alarm is none: {first}");
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::Quarantined));
    assert!(matches!(ask(&mut desk, &yan), Decision::Granted { .. }), "and nobody else");
    let epoch = desk.epoch();
    let pardon = Order::Pardon { principal };
    let pardoned = order(&mut desk, 0, pardon, START.plus_millis(60_000));
    assert_eq!((pardoned, desk.epoch()), (Ok(Told::Counted { missing: 0 }), epoch + 1));
    assert!(matches!(ask(&mut desk, &zoe), Decision::Granted { .. }));
    assert_eq!(go_astray(&mut desk, principal, 2), None, "old alarms count");
    assert!(go_astray(&mut desk, principal, 20).is_some(), "and is shut out again for new ones");
}

#[test]
fn a_clock_set_back_brings_back_neither_token_nor_order() {
    let mut desk = desk();
    let zoe = token("zoe", &["chat"], START);
    assert!(matches!(ask(&mut desk, &zoe), Decision::Granted { .. }));
    let quarantine = order(&mut desk, 0, Order::Quarantine, START.plus_millis(1_000_000));
    assert_eq!(quarantine, Ok(Told::Counted { missing: 0 }));
    let restore = order(&mut desk, 0, Order::Restore, START.plus_millis(60_000));
    assert_eq!(restore, Ok(Told::Counted { missing: 1 }));
    // Ten minutes pass; then a document from before, and the system's clock, which is years off here, say otherwise.
    desk.clock.raise(START.plus_millis(601_000));
    desk.clock.raise(START);
    let late = order(&mut desk, 1, Order::Restore, START.plus_millis(700_000));
    assert_eq!(late, Ok(Told::Counted { missing: 1 }), "an order that is over counts");
    let again = order(&mut desk, 0, Order::Restore, START.plus_millis(700_000));
    assert_eq!(again, Ok(Told::Counted { missing: 0 }));
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::TokenExpired));
}

#[test]
fn a_clock_set_forward_lets_nobody_in() {
    let mut desk = desk();
    let tomorrow = START.plus_millis(DAY);
    let early = token("zoe", &["chat"], tomorrow);
    // The system's clock may say what it likes: only the NSM's counts.
    assert_eq!(ask(&mut desk, &early), Decision::Denied(Denial::TokenExpired));
    desk.clock.raise(tomorrow);
    assert!(matches!(ask(&mut desk, &early), Decision::Granted { .. }));
}

/// A policy that wants a person for everything, under a name of so many bytes.
fn wants_a_person(name: usize) -> String {
    let name = "n".repeat(name);
    format!(
        "@id(\"{name}\") @step_up(\"1\") forbid (principal, action == Action::\"Generate\", resource)
         when {{ context.situation.approvals < 1 }};"
    )
}

#[test]
fn a_hold_is_an_entry_however_long_the_names_of_its_policies_are() {
    let mut desk = desk_with(&wants_a_person(300));
    let entries = desk.log.next();
    let asked = ask(&mut desk, &token("zoe", &["chat"], START));
    assert!(matches!(asked, Decision::Held { missing: 1, .. }), "{asked:?}");
    assert_eq!(desk.log.next(), entries + 1);
}

#[test]
fn what_cannot_be_recorded_is_not_held() {
    let mut desk = desk_with(&wants_a_person(3));
    while desk.log.append(&Entry::Evidence).is_some() {}
    let asked = ask(&mut desk, &token("zoe", &["chat"], START));
    assert_eq!(asked, Decision::Denied(Denial::AuditUnavailable));
    assert!(desk.people.open_holds(Instant::now()).is_empty());
}

#[test]
fn one_no_is_final_also_where_no_policy_wants_a_person_any_more() {
    let busy = r#"@id("busy") @step_up("1") forbid (principal, action == Action::"Generate", resource)
                  when { context.situation.open >= 1 && context.situation.approvals < 1 };"#;
    let mut desk = desk_with(busy);
    let zoe = token("zoe", &["chat"], START);
    let first = ask(&mut desk, &zoe);
    let Decision::Granted { grant, .. } = first else { panic!("{first:?}") };
    let second = ask(&mut desk, &zoe);
    let Decision::Held { hold, .. } = second else { panic!("{second:?}") };
    let no = Statement::Vote { boot: *desk.boot(), hold, request: [7; 32], allow: false };
    assert_eq!(cast(&mut desk, 0, &no), Ok(Told::Counted { missing: 0 }));
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::Declined));
    desk.release(grant, adyton_wire::control::Screened::default());
    assert_eq!(ask(&mut desk, &zoe), Decision::Denied(Denial::Declined));
}

#[test]
fn a_statistic_is_for_whom_the_policy_permits_it_and_within_the_budget() {
    use adyton_wire::control::{Denial, NoStatistic};
    let mut desk = desk();
    for who in 0..30 {
        let decided = ask(&mut desk, &token(&format!("user{who}"), &["chat"], START));
        assert!(matches!(decided, Decision::Granted { .. }), "{decided:?}");
    }
    let wanted = |metric: &str, epsilon_milli| WantedStatistic {
        metric: metric.into(),
        purpose: "telemetry".into(),
        epsilon_milli,
    };
    let analyst = token("zoe", &["analyst"], START);
    let denied = |denial| Some(NoStatistic::Denied(denial));
    for (token, metric, milli, why) in [
        (&Token(Vec::new()), "purposes", 100, denied(Denial::TokenAbsent)),
        (&token("ann", &["chat"], START), "purposes", 100, denied(Denial::Forbidden)),
        (&analyst, "purposes", 501, denied(Denial::Forbidden)),
        (&analyst, "purposes", 0, Some(NoStatistic::Price)),
        (&analyst, "prompts", 100, Some(NoStatistic::UnknownMetric)),
    ] {
        let before = desk.log.next();
        assert_eq!(desk.pay(token, false, &wanted(metric, milli)).err(), why, "{metric} {milli}");
        assert_eq!(desk.log.next(), before + 1, "each refusal is an entry");
    }
    let before = desk.log.next();
    let paid = desk.pay(&analyst, false, &wanted("purposes", 500)).unwrap();
    assert_eq!(paid.entry, before, "the price is in the log before there is a figure");
    let statistic = desk.statistic(paid).unwrap();
    assert_eq!((statistic.number, statistic.rows.len()), (1, 2));
    // One observation of each; noise of 43 with a chance of one in 10^9 to be beyond 270.
    assert!((statistic.rows[0].value - 30.0).abs() < 270.0 && statistic.spent.0 <= 1.0, "{statistic:?}");
    let mut more = 0;
    let why = loop {
        match desk.pay(&analyst, false, &wanted("purposes", 400)) {
            Ok(_unused) => more += 1,
            Err(why) => break why,
        }
    };
    // What was paid and not used is spent all the same.
    assert!(why == NoStatistic::Exhausted && (1..8).contains(&more), "{why:?} {more}");
    desk.take_offline(Reason::Principals);
    let why = desk.pay(&analyst, false, &wanted("purposes", 1)).err();
    assert_eq!(why, denied(Denial::Offline));
}
