//! A verifier that was written from the documentation alone, in another language, against the corpora and a live enclave.

use crate::support::world;
use adyton_client::corpus::{Lines, read};
use adyton_tests::simulation::ROOT_FILE;
use adyton_tests::world::{MODEL_NAME, World};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The stranger's Python, as `make sdk` leaves it.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/stranger-1/bin/python");
    assert!(python.exists(), "the stranger's Python is absent; run `make sdk`");
    python
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stranger").join(name)
}

#[tokio::test]
async fn another_verifier_answers_both_corpora_with_the_same_codes() {
    let command = format!("{} -B {} --lines", python().display(), script("verifier.py").display());
    for corpus in ["attestation", "receipts"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(corpus);
        let mut stranger = Lines::new(&command);
        for question in read(&folder, None).unwrap() {
            let asked = stranger.ask(question).await;
            let (id, answer) = (&asked.question.id, &asked.answer);
            assert!(
                asked.same_reason(),
                "{corpus} {id}: expected {:?}, answered {answer:?}",
                asked.question.code
            );
        }
    }
}

fn live(world: &World, reference: &Path, root: &Path, bundle: &Path) -> Output {
    let mut python = Command::new(python());
    python.arg("-B").arg(script("live.py")).args(["--enclave", world.address(), "--model", MODEL_NAME]);
    python.arg("--reference").arg(reference).arg("--root").arg(root).arg("--bundle").arg(bundle);
    python.arg("--token-file").arg(world.path("token")).args(["--prompt", "Say hello.", "--max-tokens", "8"]);
    python.output().unwrap()
}

#[test]
fn another_client_verifies_a_live_enclave_and_its_receipt() {
    let world = world();
    std::fs::write(world.path("token"), world.chat_token().unwrap()).unwrap();
    let (root, bundle) = (world.path(ROOT_FILE), world.path("bundle.json"));
    let output = live(&world, &world.reference_file(), &root, &bundle);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("X25519MLKEM768") && said.contains("everything holds"), "{said}");
    // What it kept is what our own client keeps.
    let ours = world.client().unwrap().args(["receipt", "verify"]).arg(&bundle).output().unwrap();
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stdout));

    let mut reference: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.reference_file()).unwrap()).unwrap();
    reference["images"][0]["pcr0"] = "11".repeat(48).into();
    let wrong = world.path("wrong.json");
    std::fs::write(&wrong, reference.to_string()).unwrap();
    let refused = live(&world, &wrong, &root, &bundle);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("image-not-accepted"));
}
