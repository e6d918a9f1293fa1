//! The proxy with the real OpenAI SDK, curl-like callers, and the command line.

use crate::support::{HANG, plan, world};
use adyton_client::proxy::Proxy;
use adyton_tests::world::{ENCODER_NAME, MODEL_NAME, Plan, World, default_encoder, program};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The SDK's Python, as `make sdk` leaves it.
fn sdk() -> PathBuf {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    let found = std::fs::read_dir(&cache).ok().and_then(|entries| {
        let mut homes = entries.flatten().map(|e| e.path());
        homes.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("openai-")))
    });
    found.expect("the OpenAI SDK is absent; run `make sdk`").join("bin/python")
}

/// A proxy in this process; returns where it listens.
async fn proxy(world: &World, token: Option<String>, receipts: Option<PathBuf>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let proxy = Proxy::new(world.target(), world.policy().unwrap(), token, receipts);
    tokio::spawn(Arc::new(proxy).serve(listener));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_openai_sdk_works_through_the_proxy() {
    let world = World::start(&Plan { encoder: Some(default_encoder().unwrap()), ..plan() }).unwrap();
    let receipts = world.path("receipts");
    std::fs::create_dir(&receipts).unwrap();
    let address = proxy(&world, None, Some(receipts.clone())).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/openai_sdk.py");
    let run = tokio::process::Command::new(sdk())
        .arg(script)
        .env("OPENAI_BASE_URL", format!("http://{address}/v1"))
        .env("OPENAI_API_KEY", world.chat_token().unwrap())
        .env("ADYTON_MODEL", MODEL_NAME)
        .env("ADYTON_ENCODER", ENCODER_NAME)
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(2 * HANG, run).await.expect("the SDK hangs").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("all of it works"), "{said}");

    let kept: Vec<_> = std::fs::read_dir(&receipts).unwrap().flatten().map(|e| e.path()).collect();
    assert!(kept.len() >= 3, "the proxy kept {} receipts", kept.len());
    for receipt in kept {
        let verified = verify_receipt(&world, &receipt);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

fn verify_receipt(world: &World, file: &Path) -> Output {
    let mut command = world.client().unwrap();
    command.args(["receipt", "verify"]).arg(file).arg("--reference").arg(world.reference_file());
    command.output().unwrap()
}

/// One HTTP/1.1 exchange; returns status line and body.
async fn exchange(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await.expect("the proxy hangs").unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_answers_programs_and_no_web_page() {
    let world = world();
    let address = proxy(&world, Some(world.chat_token().unwrap()), None).await;
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let ours = format!("Host: {address}\r\n");
    let (status, body) = exchange(&address, &get("/v1/models", &ours)).await;
    assert!(status.contains("200") && body.contains(MODEL_NAME), "{status} {body}");
    for headers in [format!("{ours}Origin: https://evil.example\r\n"), "Host: evil.example\r\n".to_owned()] {
        let (status, body) = exchange(&address, &get("/v1/models", &headers)).await;
        assert!(status.contains("403") && body.contains("not_for_browsers"), "{status} {body}");
    }
    // The session's own routes are the proxy's business.
    let (status, _) = exchange(&address, &get("/adyton/v1/evidence", &ours)).await;
    assert!(status.contains("404"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_fails_closed_when_the_enclave_is_gone_or_another() {
    let world = world();
    let address = proxy(&world, Some(world.chat_token().unwrap()), None).await;
    let request = format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert!(exchange(&address, &request).await.0.contains("200"));

    // Another enclave on the same address, under another root: the next connection is verified anew and refused.
    let place = world.address().to_owned();
    drop(world);
    let (status, body) = exchange(&address, &request).await;
    assert!(status.contains("502"), "{status} {body}");
    let other = World::start(&adyton_tests::world::Plan { listen: place, ..plan() }).unwrap();
    let (status, body) = exchange(&address, &request).await;
    assert!(status.contains("502") && body.contains("enclave_unverified"), "{status} {body}");
    drop(other);
}

fn client(world: &World, command: &str, reference: &Path) -> Command {
    let mut client = world.client().unwrap();
    client.arg(command).args(["--json", "--enclave", world.address(), "--reference"]).arg(reference);
    client.env("ADYTON_TOKEN", world.chat_token().unwrap());
    client
}

#[test]
fn the_command_line_speaks_json_and_exit_codes() {
    let world = world();
    let verified = client(&world, "verify", &world.reference_file()).output().unwrap();
    let said: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(0));
    assert!(said["report"]["factors"].as_array().unwrap().iter().all(|f| f["outcome"] == "pass"));
    assert_eq!(said["claims"]["simulated"], true);

    let receipt = world.path("receipt.json");
    let mut chat = client(&world, "chat", &world.reference_file());
    let answered = chat.arg("--receipt").arg(&receipt).args(["--max-tokens", "4", "Hello"]).output().unwrap();
    let said: Value = serde_json::from_slice(&answered.stdout).unwrap();
    assert_eq!((answered.status.code(), &said["receipt"]["complete"]), (Some(0), &Value::from(true)));

    // Another manifest: refused before a prompt leaves.
    let mut reference: Value =
        serde_json::from_slice(&std::fs::read(world.reference_file()).unwrap()).unwrap();
    reference["manifests"][0] = Value::from("11".repeat(48));
    let wrong = world.path("wrong.json");
    std::fs::write(&wrong, reference.to_string()).unwrap();
    let refused = client(&world, "verify", &wrong).output().unwrap();
    assert_eq!(refused.status.code(), Some(13));
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let outcomes = said["report"]["factors"].as_array().unwrap();
    assert_eq!(outcomes.iter().filter(|f| f["outcome"] == "fail").count(), 1);
    assert_eq!(outcomes.last().unwrap()["outcome"], "not-checked");

    // A kept receipt: whole, altered, and under the production root.
    assert_eq!(verify_receipt(&world, &receipt).status.code(), Some(0));
    let production =
        Command::new(program("adyton").unwrap()).args(["receipt", "verify"]).arg(&receipt).output();
    assert_eq!(production.unwrap().status.code(), Some(6));
    let mut altered: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    altered["request"] = Value::from("e30=");
    std::fs::write(&receipt, altered.to_string()).unwrap();
    assert_eq!(verify_receipt(&world, &receipt).status.code(), Some(6));

    let mut absent = client(&world, "chat", &world.reference_file());
    assert_eq!(absent.env_remove("ADYTON_TOKEN").arg("Hello").output().unwrap().status.code(), Some(5));
    let nowhere = world
        .client()
        .unwrap()
        .args(["verify", "--enclave", "127.0.0.1:1", "--reference"])
        .arg(world.reference_file())
        .output();
    assert_eq!(nowhere.unwrap().status.code(), Some(4));
    let unknown = world.client().unwrap().arg("frobnicate").output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn everything_simulated_says_so() {
    let world = world();
    let output = client(&world, "verify", &world.reference_file()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("SIMULATED"));
}

#[test]
fn production_programs_refuse_to_start_outside_their_place() {
    // No /dev/nsm here; no sentinel on standard input. Neither takes an argument that would change it.
    let sentinel = Command::new(program("adyton-sentinel").unwrap()).arg("--simulate").output().unwrap();
    assert_eq!(sentinel.status.code(), Some(14));
    let worker = Command::new(program("adyton-worker").unwrap()).stdin(Stdio::null()).output().unwrap();
    assert!(!worker.status.success());
}
