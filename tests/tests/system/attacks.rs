//! An attacker on the wire: relays, replays, flips, cuts, and knocks without asking for evidence.

use crate::support::{Mischief, ask_through, question, refused, relay, world};
use adyton_attestation::appraisal::Refusal;
use adyton_attestation::tls::{self, KeyExchange};
use adyton_client::session::{ConnectError, Target, connect};
use adyton_tests::world::World;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A connection of somebody who speaks the protocol and appraises nothing.
async fn raw(world: &World) -> SendRequest<Full<Bytes>> {
    let config = Arc::new(tls::client_config(KeyExchange::HybridOnly).unwrap());
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("anybody").unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Vec<u8>) -> (u16, Bytes) {
    let request = Request::post(format!("https://enclave{path}")).body(Full::from(body)).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

/// Where an impostor takes its evidence from.
#[derive(Clone)]
enum Source {
    /// Fresh from the genuine enclave, for the victim's own nonce.
    Relayed(SendRequest<Full<Bytes>>),
    /// An earlier answer of the genuine enclave.
    Replayed(Bytes),
}

/// Ends the victim's TLS itself, with a key of its own, and answers with somebody else's evidence.
async fn impostor(source: Source) -> Target {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["adyton".into()]).unwrap().self_signed(&key).unwrap();
    let config = tls::server_config(certificate.der(), &key.serialize_der()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TlsAcceptor::from(config).accept(stream).await.unwrap();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let source = source.clone();
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let evidence = match source {
                    Source::Replayed(evidence) => evidence,
                    Source::Relayed(mut genuine) => {
                        post(&mut genuine, "/adyton/v1/evidence", body.to_vec()).await.1
                    }
                };
                Ok::<_, hyper::Error>(Response::new(Full::new(evidence)))
            }
        });
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = served.serve_connection(TokioIo::new(stream), service).await;
    });
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_relayed_from_another_connection_is_refused() {
    let world = world();
    let target = impostor(Source::Relayed(raw(&world).await)).await;
    let refusal = refused(&target, &world.policy().unwrap()).await;
    assert!(matches!(refusal, Refusal::Binding), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_replayed_with_a_stale_nonce_is_refused() {
    let world = world();
    let nonce = json!({ "nonce": B64.encode([9; 32]) }).to_string();
    let (status, earlier) = post(&mut raw(&world).await, "/adyton/v1/evidence", nonce.into()).await;
    assert_eq!(status, 200);
    let target = impostor(Source::Replayed(earlier)).await;
    let refusal = refused(&target, &world.policy().unwrap()).await;
    assert_eq!(refusal, Refusal::Nonce);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_another_enclave_is_refused() {
    let (meant, other) = (world(), world());
    let target = impostor(Source::Relayed(raw(&other).await)).await;
    let refusal = refused(&target, &meant.policy().unwrap()).await;
    assert_eq!(refusal, Refusal::Root);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_evidence_is_refused() {
    let world = world();
    let mut sender = raw(&world).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let (status, error) = post(&mut sender, "/v1/chat/completions", body.into()).await;
    let error: Value = serde_json::from_slice(&error).unwrap();
    assert_eq!((status, &error["error"]["code"]), (403, &json!("attestation_required")));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_given_a_few_times_a_connection_and_for_whole_nonces() {
    let world = world();
    let mut sender = raw(&world).await;
    let nonce = |bytes: usize| json!({ "nonce": B64.encode(vec![1; bytes]) }).to_string().into_bytes();
    for bytes in [0, 31, 33] {
        assert_eq!(post(&mut sender, "/adyton/v1/evidence", nonce(bytes)).await.0, 400, "{bytes} bytes");
    }
    for _ in 0..4 {
        assert_eq!(post(&mut sender, "/adyton/v1/evidence", nonce(32)).await.0, 200);
    }
    assert_eq!(post(&mut sender, "/adyton/v1/evidence", nonce(32)).await.0, 429);
}

/// Bytes at the end of a transcript that an answer does not wait for: windows, pings and TLS's own goodbye, after the
/// record that holds the receipt.
const GOODBYE: usize = 200;

/// Positions to try in a transcript of `length` bytes: all of the first and last, the rest with a stride that is prime.
fn positions(length: usize) -> impl Iterator<Item = usize> {
    let edge = 24;
    let sparse = (edge..length.saturating_sub(edge)).step_by(211);
    (0..edge.min(length)).chain(sparse).chain(length.saturating_sub(edge)..length)
}

/// Bytes of a transcript that TLS tells its receivers to ignore: `legacy_record_version` of each record ("MUST be
/// ignored for all purposes", RFC 8446, section 5.1).
fn ignored_by_tls(transcript: &[u8]) -> Vec<usize> {
    let (mut ignored, mut at) = (Vec::new(), 0);
    while let Some(&[_, _, _, high, low]) = transcript.get(at..at + 5) {
        ignored.extend([at + 1, at + 2]);
        at += 5 + usize::from(u16::from_be_bytes([high, low]));
    }
    ignored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_on_the_wire_is_an_error() {
    let world = Arc::new(world());
    let (said, heard) = transcript(&world).await;
    assert!(said.len() > 2000 && heard.len() > 8000, "{} up, {} down", said.len(), heard.len());
    let (ignored_up, ignored_down) = (ignored_by_tls(&said), ignored_by_tls(&heard));
    let up = positions(said.len() - GOODBYE).filter(|at| !ignored_up.contains(at)).map(Mischief::FlipUp);
    let down =
        positions(heard.len() - GOODBYE).filter(|at| !ignored_down.contains(at)).map(Mischief::FlipDown);
    all_fail(&world, up.chain(down)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_anywhere_is_an_error() {
    let world = Arc::new(world());
    let (_, heard) = transcript(&world).await;
    let cuts = positions(heard.len() - GOODBYE).map(Mischief::Cut);
    all_fail(&world, cuts).await;
}

/// One whole conversation as a relay sees it: from the client, to the client.
async fn transcript(world: &World) -> (Vec<u8>, Vec<u8>) {
    let relay = relay(world, Mischief::None).await;
    ask_through(world, relay.target.clone(), &question(2)).await.unwrap();
    let (said, heard) = (relay.said.lock().unwrap().clone(), relay.heard.lock().unwrap().clone());
    (said, heard)
}

/// Tries each mischief in a conversation of its own. The client must notice it, or have got the genuine answer whole,
/// receipt and all, before the mischief came (what a client sends after its request decides nothing any more).
async fn all_fail(world: &Arc<World>, mischiefs: impl Iterator<Item = Mischief>) {
    let genuine = ask_through(world, world.target(), &question(2)).await.unwrap().text;
    let (mut running, mut noticed, mut tried) = (tokio::task::JoinSet::new(), 0, 0);
    for mischief in mischiefs {
        if running.len() >= 8 {
            noticed += usize::from(running.join_next().await.unwrap().unwrap());
        }
        tried += 1;
        running.spawn(is_noticed(Arc::clone(world), mischief, genuine.clone()));
    }
    noticed += running.join_all().await.into_iter().filter(|&noticed| noticed).count();
    println!("{tried} positions tried, {noticed} noticed");
    assert!(noticed * 10 > tried * 9, "only {noticed} of {tried} were noticed");
}

/// Asks through a relay that does one mischief. True if that was an error for the client.
async fn is_noticed(world: Arc<World>, mischief: Mischief, genuine: String) -> bool {
    let relay = relay(&world, mischief).await;
    match ask_through(&world, relay.target.clone(), &question(2)).await {
        Err(_) => true,
        Ok(answered) => {
            assert_eq!(answered.text, genuine, "{mischief:?} changed the answer");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_session_port_ends_the_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = world();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[22, 3, 1, 0xff, 0xff], b"CONNECT 1\n"] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as a TLS alert.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 64, "garbage was answered with {} bytes", answer.len());
    }
    connect(&world.target(), &world.policy().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_enclave_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap().to_string());
    drop(listener);
    let world = world();
    let nobody = connect(&target, &world.policy().unwrap()).await.map(|_| ());
    assert!(matches!(nobody, Err(ConnectError::Unreachable { .. })), "{nobody:?}");
}
