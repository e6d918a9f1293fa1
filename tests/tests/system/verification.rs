//! What a relying party does around a session: exit codes by class, endorsements, signed reference values, receipts.

use crate::support::{plan, world};
use adyton_tests::world::{World, program};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn verify(world: &World, reference: &Path, more: &[&str]) -> Output {
    let mut client = world.client().unwrap();
    run(client
        .args(["--json", "verify", "--enclave", world.address(), "--reference"])
        .arg(reference)
        .args(more))
}

/// The world's reference values with something else in them.
fn reference_with(world: &World, name: &str, alter: impl FnOnce(&mut Value)) -> PathBuf {
    let mut values: Value = serde_json::from_slice(&fs::read(world.reference_file()).unwrap()).unwrap();
    alter(&mut values);
    let path = world.path(name);
    fs::write(&path, values.to_string()).unwrap();
    path
}

fn refused(output: &Output, exit: i32, word: &str) {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(output), said["code"].as_str()), (exit, Some(word)), "{said}");
    let error: Value = String::from_utf8_lossy(&output.stderr)
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .expect("the error is JSON, too");
    assert_eq!(error["error"]["exit"], exit);
}

#[test]
fn refused_evidence_ends_with_the_code_of_its_class() {
    let world = world();
    let other = "11".repeat(48);
    let image = reference_with(&world, "image.json", |v| v["images"][0]["pcr0"] = other.clone().into());
    refused(&verify(&world, &image, &[]), 13, "image-not-accepted");
    let owner = serde_json::json!({ "signer": { "pcr8": other } });
    let owner = reference_with(&world, "owner.json", |v| v["owner"] = owner);
    refused(&verify(&world, &owner, &[]), 14, "owner-not-accepted");
    let mut production = Command::new(program("adyton").unwrap());
    let production = production.args(["--json", "verify", "--enclave", world.address(), "--reference"]);
    refused(&run(production.arg(world.reference_file())), 11, "root-not-pinned");
    let empty = reference_with(&world, "empty.json", |v| v["images"] = Value::Array(vec![]));
    assert_eq!(code(&verify(&world, &empty, &[])), 9, "reference values that accept nothing are refused");
}

/// Makes an operator's key, and reference values that pin it.
fn operator(world: &World) -> (PathBuf, PathBuf) {
    let key = world.path("operator.key");
    let made = run(world.client().unwrap().args(["policy", "key", "--out"]).arg(&key));
    let public = String::from_utf8(made.stdout).unwrap().split_whitespace().last().unwrap().to_owned();
    assert_eq!(public.len(), 64, "{public}");
    let owner = serde_json::json!({ "endorser": { "ed25519": public } });
    (key, reference_with(world, "endorsed.json", |v| v["owner"] = owner))
}

fn endorse(world: &World, key: &Path) -> PathBuf {
    let out = world.path("endorsement.json");
    let mut client = world.client().unwrap();
    client.args(["endorse", "--enclave", world.address(), "--reference"]).arg(world.reference_file());
    let endorsed = run(client.arg("--key").arg(key).arg("--out").arg(&out));
    assert!(endorsed.status.success(), "{}", String::from_utf8_lossy(&endorsed.stderr));
    out
}

#[test]
fn an_endorsed_enclave_is_told_from_another_of_the_same_image() {
    let ours = world();
    let (key, pinned) = operator(&ours);
    let endorsement = endorse(&ours, &key);
    let with = ["--endorsement", endorsement.to_str().unwrap()];
    let verified = verify(&ours, &pinned, &with);
    assert_eq!(code(&verified), 0, "{}", String::from_utf8_lossy(&verified.stderr));
    let said: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(said["claims"]["owner"], "the operator you named has endorsed this enclave");
    refused(&verify(&ours, &pinned, &[]), 14, "endorsement-missing");
    // The same image, started by somebody else, with our endorsement in his hand. (Its root is of its own; both
    // worlds' clients trust their own.)
    let theirs = world();
    refused(&verify(&theirs, &pinned, &with), 14, "endorsement-key");
    // Receipts of the endorsed session prove the owner, too.
    let receipt = ours.path("receipt.json");
    let mut chat = ours.client().unwrap();
    chat.args(["chat", "--max-tokens", "4", "--enclave", ours.address(), "--reference"])
        .arg(&pinned)
        .args(with);
    chat.env("ADYTON_TOKEN", ours.chat_token().unwrap()).arg("--receipt").arg(&receipt).arg("Hello");
    let answered = run(&mut chat);
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    let mut check = ours.client().unwrap();
    assert_eq!(
        code(&run(check.args(["receipt", "verify"]).arg(&receipt).arg("--reference").arg(&pinned))),
        0
    );
}

#[test]
fn signed_reference_values_open_a_session_and_old_ones_do_not() {
    let world = world();
    let values: Value = serde_json::from_slice(&fs::read(world.reference_file()).unwrap()).unwrap();
    let register = |name: &str| values["images"][0][name].as_str().unwrap().to_owned();
    let (key, first, second) =
        (world.path("signer.key"), world.path("first.json"), world.path("second.json"));
    let adyton = |arguments: &[&str]| {
        let output = run(world.client().unwrap().args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let path = |path: &'_ PathBuf| path.to_str().unwrap().to_owned();
    let public =
        adyton(&["policy", "key", "--out", &path(&key)]).split_whitespace().last().unwrap().to_owned();
    let (pcr0, pcr1, pcr2) = (register("pcr0"), register("pcr1"), register("pcr2"));
    let manifest = values["manifests"][0].as_str().unwrap();
    adyton(&[
        "policy",
        "new",
        "--name",
        "test",
        "--pcr0",
        &pcr0,
        "--pcr1",
        &pcr1,
        "--pcr2",
        &pcr2,
        "--manifest",
        manifest,
        "--anyone-at-all",
        "--signer-key",
        &public,
        "--out",
        &path(&first),
    ]);
    adyton(&["policy", "sign", &path(&first), "--key", &path(&key)]);
    adyton(&["policy", "new", "--previous", &path(&first), "--out", &path(&second)]);
    adyton(&["policy", "sign", &path(&second), "--key", &path(&key)]);
    let seen = path(&world.path("seen.json"));
    let pinned = ["--signer", &public, "--seen", &seen];
    assert_eq!(code(&verify(&world, &first, &pinned)), 0);
    assert_eq!(code(&verify(&world, &second, &pinned)), 0);
    let rollback = verify(&world, &first, &pinned);
    assert_eq!(code(&rollback), 9);
    assert!(String::from_utf8_lossy(&rollback.stderr).contains("version 2 was seen before"));
    assert_eq!(code(&verify(&world, &second, &[])), 9, "a signed file needs a pinned signer");
}

#[test]
fn receipts_of_one_start_have_no_gaps_and_can_be_exported() {
    let world = world();
    let receipts: Vec<PathBuf> = (0..3).map(|number| world.path(&format!("receipt-{number}.json"))).collect();
    for receipt in &receipts {
        let mut chat = world.client().unwrap();
        chat.args(["chat", "--max-tokens", "2", "--enclave", world.address(), "--reference"]);
        chat.arg(world.reference_file()).arg("--receipt").arg(receipt).arg("Hello");
        assert!(run(chat.env("ADYTON_TOKEN", world.chat_token().unwrap())).status.success());
    }
    let audit = |files: &[&PathBuf]| {
        let mut client = world.client().unwrap();
        run(client.args(["receipt", "verify", "--sequence-from", "0"]).args(files))
    };
    let whole = audit(&[&receipts[2], &receipts[0], &receipts[1]]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert!(String::from_utf8_lossy(&whole.stdout).contains("receipts 0 to 2 of one start"));
    let gap = audit(&[&receipts[0], &receipts[2]]);
    assert_eq!(code(&gap), 6);
    assert!(String::from_utf8_lossy(&gap.stderr).contains("receipt 1 is missing"));
    let exported =
        run(world.client().unwrap().args(["receipt", "export", "--format", "air"]).arg(&receipts[1]));
    let said: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let kept: Value = serde_json::from_slice(&fs::read(&receipts[1]).unwrap()).unwrap();
    let request =
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, kept["request"].as_str().unwrap()).unwrap();
    let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, &request));
    assert_eq!(said["claims"]["request_hash"], hash);
    assert_eq!(said["claims"]["sequence_number"], 1);
    assert_eq!(said["claims"]["security_mode"], "evaluation");
    assert_eq!(said["claims"]["model_id"], plan().name);
    assert_eq!(said["not_met"].as_object().unwrap().len(), 4);
}
