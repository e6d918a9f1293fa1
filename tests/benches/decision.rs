//! `make bench`: how long one decision takes, with 200 policies and 1000 entities.
//!
//! In the decision point, in this process and in processor time; and, by the clock, as a worker sees it, over the real control channel: this program is
//! started a second time as the worker of a simulated enclave, whose host keeps the audit log on this disk. The two
//! speak over a connection that the host relays, like a client and its worker.

use adyton_attestation::Timestamp;
use adyton_client::status::{Url, ask, view::Times};
use adyton_client::token;
use adyton_decision::{Facts, Pack, Question, Resource, Situation};
use adyton_enclave::gate::{Asker, Gate, NotGranted, Silent};
use adyton_enclave::lease::Lease;
use adyton_sentinel::decision::{DecisionPoint, Moment};
use adyton_sentinel::labels::Labels;
use adyton_sentinel::token::{Issuers, Principal};
use adyton_tests::simulation::{ROOT_VARIABLE, now_ms};
use adyton_tests::world::{MODEL_NAME, Plan, World, default_model, policy_folder};
use adyton_wire::channel::Channel;
use adyton_wire::control::{Action, Denial, ToWorker, Token};
use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const POLICIES: usize = 200;
const ENTITIES: usize = 1000;
/// Decisions of each kind in this process.
const INSIDE: usize = 20_000;
/// Decisions of each kind as the worker sees them, one after the other.
const SEEN: usize = 4_000;
/// Those whose entry must reach the disk first.
const KEPT: usize = 1_000;
/// Rounds into which they are cut.
const ROUNDS: usize = 10;
/// Decisions that warm caches and are not counted.
const WARM: usize = 200;
const ISSUER: &str = "https://issuer.localhost";
/// The marks, in microseconds.
const MARK_INSIDE: f64 = 150.0;
const MARK_SEEN: f64 = 300.0;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if std::env::var_os(ROOT_VARIABLE).is_some() {
        return runtime.block_on(worker());
    }
    println!("\na decision, {POLICIES} policies, {ENTITIES} entities; of {ROUNDS} rounds the quietest");
    println!("{:<58} {:>9} {:>9} {:>9} {:>12}", "", "p50", "p99", "most", "mark p99");
    println!("in this process, in processor time:");
    decision_point()?;
    resources()?;
    println!("in a simulated enclave, by the clock:");
    seen_from_the_worker(&runtime)
}

/// Median, 99th of a hundred, and the most, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spread(f64, f64, f64);

impl Spread {
    /// Of the rounds, the quietest in each respect: what else runs on a machine only ever adds. The most is of all.
    fn of(times: &[Duration]) -> Spread {
        let rounds = times.chunks(times.len().div_ceil(ROUNDS).max(1)).map(Spread::of_round);
        let quietest = |a: Spread, b: Spread| Spread(a.0.min(b.0), a.1.min(b.1), a.2.max(b.2));
        rounds.reduce(quietest).unwrap_or(Spread(f64::NAN, f64::NAN, f64::NAN))
    }

    fn of_round(times: &[Duration]) -> Spread {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share).div_ceil(100).saturating_sub(1));
        let us = |share| at(share).copied().unwrap_or_default().as_secs_f64() * 1e6;
        Spread(us(50), us(99), us(100))
    }

    fn show(self, what: &str, mark: Option<f64>) {
        let Spread(p50, p99, most) = self;
        let mark = mark.map_or_else(String::new, |mark| {
            format!("{mark:.0} {}", if p99 < mark { "kept" } else { "MISSED" })
        });
        println!("{what:<58} {p50:>6.1} us {p99:>6.1} us {most:>6.0} us {mark:>12}");
    }
}

/// What this thread has had of a processor. A machine that others use, too, takes it away for milliseconds: that is no
/// time of a decision's.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Times each of so many in processor time, behind some that warm up.
fn timed(count: usize, mut one: impl FnMut(usize)) -> Spread {
    (0..WARM).for_each(&mut one);
    let times = (0..count).map(|n| {
        let start = processor_time();
        one(n);
        processor_time().saturating_sub(start)
    });
    Spread::of(&times.collect::<Vec<_>>())
}

/// What a pack's policies are about.
#[derive(Clone, Copy, Debug)]
enum About {
    /// A fifth are forbids that no role, tenant or purpose sets aside; the rest is about roles, tenants and purposes.
    Everything,
    /// None can be set aside: each must be asked.
    Numbers,
}

/// All of them are about generations. The first two permit what is asked here.
fn policies(about: About) -> String {
    let mut text = String::from(
        "@id(\"list\") permit (principal, action == Action::\"ListModels\", resource)\n\
         when { principal.roles.contains(\"chat\") };\n\
         @id(\"chat\") permit (principal, action == Action::\"Generate\", resource)\n\
         when { principal.roles.contains(\"chat\") && [\"general\", \"draft\"].contains(context.purpose) };\n",
    );
    for n in 2..POLICIES {
        let limits = format!("context.max_tokens > {n}00000 && principal.clearance < {}", n % 4);
        let (effect, condition) = match (about, n % 10) {
            (About::Numbers, _) | (_, 0 | 1) => ("forbid", limits),
            (_, 2..=4) => ("permit", format!("{limits} && principal.roles.contains(\"role-{n}\")")),
            (_, 5 | 6) => ("permit", format!("principal.tenant == \"tenant-{}\" && {limits}", n % 50)),
            _ => ("permit", format!("context.purpose == \"purpose-{n}\" && {limits}")),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "@id(\"p{n}\") {effect} (principal, action == Action::\"Generate\", resource) when {{ {condition} }};"
        );
    }
    text
}

fn generate(purpose: &str) -> Action {
    let (model, purpose) = (MODEL_NAME.to_owned(), purpose.to_owned());
    let request = [7; 32];
    Action::Generate {
        model,
        purpose,
        max_tokens: 100,
        prompt_bytes: 2000,
        request,
        untrusted: false,
        held: Vec::new(),
    }
}

/// A token for each of a thousand principals, with eight roles each.
fn tokens(key: &[u8], issuer: &str) -> Result<Vec<String>> {
    let now = now_ms() / 1000;
    let claims = |n: usize| token::Claims {
        iss: issuer.into(),
        sub: format!("principal-{n}"),
        aud: "adyton".into(),
        iat: now,
        exp: now + 12 * 3600,
        tenant: format!("tenant-{}", n % 50),
        roles: (0..7).map(|r| format!("role-{}", (n * 7 + r) % POLICIES)).chain(["chat".into()]).collect(),
        clearance: (n % 4) as u8,
        sets: BTreeMap::new(),
    };
    (0..ENTITIES).map(|n| Ok(token::mint(key, &claims(n))?)).collect()
}

/// The sentinel's own decision point, asked by a thousand principals in turn.
fn decision_point() -> Result<()> {
    let key = token::new_key()?;
    let issuers = serde_json::json!([token::issuer_entry(&key, ISSUER, "adyton")?]).to_string();
    let issuers = Issuers::parse(issuers.as_bytes())?;
    let tokens = tokens(&key, ISSUER)?;
    let now = Timestamp::from_millis(now_ms());
    let verify = |token: &String| issuers.verify(token.as_bytes(), false, now.as_millis() / 1000);
    let principals: Vec<Principal> = tokens
        .iter()
        .map(|token| verify(token).map_err(|_| anyhow::anyhow!("a token")))
        .collect::<Result<_>>()?;
    timed(INSIDE, |n| drop(black_box(verify(&tokens[n % ENTITIES]))))
        .show("the token, before it: one signature", None);
    let moment = Moment { now, risk: 0, approvals: 0, open: 0, labels: Labels::NONE };
    for (what, purpose, about) in [
        ("permitted", "general", About::Everything),
        ("denied", "purpose-3000", About::Everything),
        ("permitted", "general", About::Numbers),
    ] {
        let point = DecisionPoint::load(&schema()?, &policies(about), "", "")?;
        let action = generate(purpose);
        let decide = |n: usize| point.decide(&principals[n % ENTITIES], &action, MODEL_NAME, moment);
        ensure!(decide(0).is_ok() == (what == "permitted"), "the bench's policies are not {what}");
        let spread = timed(INSIDE, |n| drop(black_box(decide(n))));
        let about = if matches!(about, About::Numbers) { ", each policy asked" } else { "" };
        spread.show(&format!("decision point: a generation, {what}{about}"), Some(MARK_INSIDE));
    }
    Ok(())
}

fn schema() -> Result<String> {
    Ok(std::fs::read_to_string(policy_folder().join("adyton.cedarschema"))?)
}

/// A pack that knows a thousand resources, asked for one of them after the other.
fn resources() -> Result<()> {
    let mut known = String::new();
    for n in 0..ENTITIES {
        let _ = writeln!(known, "[Collection.c{n}]\nclassification = {}\ndomain = \"d{}\"", n % 4, n % 20);
    }
    let mut text = policies(About::Everything);
    text.push_str(
        "@id(\"retrieve\") permit (principal, action == Action::\"Retrieve\", resource)\n\
         when { resource.classification <= principal.clearance && resource.domain != \"d13\" };\n",
    );
    let pack = Pack::load(&schema()?, &text, "", &known)?;
    let question = |n: usize| Question {
        principal: Facts {
            id: format!("principal-{n}"),
            tenant: "acme".into(),
            roles: (0..8).map(|r| format!("role-{}", n + r)).collect(),
            clearance: 3,
            attested: false,
            sets: BTreeMap::new(),
        },
        action: "Retrieve".into(),
        resource: Resource { kind: "Collection".into(), id: format!("c{n}") },
        purpose: "general".into(),
        amounts: BTreeMap::from([("passages".to_owned(), 8)]),
        situation: Situation::default(),
    };
    let questions: Vec<Question> = (0..ENTITIES).map(question).collect();
    ensure!(pack.decide(&questions[0]).decided == adyton_decision::Decided::Allow, "a look-up is denied");
    let spread = timed(INSIDE, |n| drop(black_box(pack.decide(&questions[n % ENTITIES]))));
    spread.show("decision point: a look-up among known resources", Some(MARK_INSIDE));
    Ok(())
}

/// What the worker reports.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    models: Spread,
    denied: Spread,
    granted: Spread,
}

fn seen_from_the_worker(runtime: &tokio::runtime::Runtime) -> Result<()> {
    let worker = std::env::current_exe()?.display().to_string();
    let world = World::start(&Plan {
        policy: vec![("policies.cedar", policies(About::Everything))],
        metrics: true,
        enclave_arguments: vec!["--worker".into(), worker],
        ..Plan::new(default_model()?)
    })?;
    let key = std::fs::read(world.path("issuer.key"))?;
    let (report, inside) = runtime.block_on(async {
        let mut worker = TcpStream::connect(world.address()).await?;
        worker.write_all(&serde_json::to_vec(&tokens(&key, ISSUER)?)?).await?;
        worker.shutdown().await?;
        let mut report = Vec::new();
        worker.read_to_end(&mut report).await?;
        let report: Report = serde_json::from_slice(&report).context("the worker ended")?;
        let url: Url = world.metrics()?.parse().map_err(anyhow::Error::msg)?;
        let enclave = ask(&url).await?.enclave.context("the enclave is down")?;
        Ok::<_, anyhow::Error>((report, enclave.decision))
    })?;
    show_inside(&inside);
    report.models.show("from the worker: a list of models, permitted", Some(MARK_SEEN));
    report.denied.show("from the worker: a generation, denied", Some(MARK_SEEN));
    report.granted.show("from the worker: a grant, its entry on this disk first", None);
    Ok(())
}

/// Token, policies and entry of the log: what the sentinel has measured itself, from its metrics.
fn show_inside(times: &Times) {
    let us = |seconds: Option<f64>| seconds.unwrap_or_default() * 1e6;
    let what = format!("all of it in the sentinel, {} by its metrics", times.count);
    println!("{what:<58} {:>6.1} us {:>6.1} us", us(times.p50_s), us(times.p99_s));
}

/// Plays the worker: takes its place, waits for a connection, and asks what the one behind it wants to know.
async fn worker() -> Result<()> {
    let channel = Channel::new(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let (ToWorker::Start { .. }, _files) = channel.receive::<ToWorker>().await? else { bail!("no start") };
    let (gate, mut sockets) = Gate::open(channel, Arc::<Lease>::default());
    gate.ready(vec![0; 91])?;
    let socket = std::os::unix::net::UnixStream::from(sockets.recv().await.context("no connection")?);
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
    let mut tokens = Vec::new();
    socket.read_to_end(&mut tokens).await?;
    let tokens: Vec<String> = serde_json::from_slice(&tokens)?;
    // Each asks over a session of its own.
    let asker = |n: usize| Asker {
        token: Token(tokens[n % tokens.len()].clone().into_bytes()),
        attested: false,
        session: (n % tokens.len()) as u64,
    };
    let mut models = Vec::new();
    let mut denied = Vec::new();
    let mut granted = Vec::new();
    for n in 0..WARM + SEEN {
        models.push(took(gate.permit(asker(n), Action::ListModels), |answer| answer.is_ok()).await?);
        let refused =
            |answer: &Result<_, NotGranted>| matches!(answer, Err(NotGranted::Denied(Denial::Forbidden)));
        denied.push(took(gate.grant(asker(n), generate("purpose-3000")), refused).await?);
    }
    for n in 0..WARM + KEPT {
        // Dropped at once, it is given back.
        granted.push(took(gate.grant(asker(n), generate("general")), |answer| answer.is_ok()).await?);
    }
    let spread = |times: Vec<Duration>| Spread::of(times.get(WARM..).unwrap_or_default());
    let report = Report { models: spread(models), denied: spread(denied), granted: spread(granted) };
    socket.write_all(&serde_json::to_vec(&report)?).await?;
    socket.shutdown().await?;
    // Until the sentinel ends: a worker that ended would be started again.
    while sockets.recv().await.is_some() {}
    Ok(())
}

/// How long an answer took, which must be as expected.
async fn took<T, E: std::fmt::Debug>(
    asked: impl Future<Output = Result<Result<T, E>, Silent>>,
    expected: impl Fn(&Result<T, E>) -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    let answer = asked.await?;
    let took = start.elapsed();
    ensure!(expected(&answer), "another answer than expected: {:?}", answer.err());
    Ok(took)
}
