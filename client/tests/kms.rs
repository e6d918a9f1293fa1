//! Key policies, with the real `adyton` program.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use adyton_wire::manifest::Manifest;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ROLE: &str = "arn:aws:iam::111122223333:role/adyton-host";
const ADMIN: &str = "arn:aws:iam::111122223333:role/key-admin";

fn adyton(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adyton")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `make eif` and `adyton release` leave behind.
fn built() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let registers = json!({ "PCR0": "10".repeat(48), "PCR1": "11".repeat(48), "PCR2": "12".repeat(48) });
    fs::write(folder.path().join("pcrs.json"), registers.to_string()).unwrap();
    let file = json!({ "sha256": "07".repeat(32), "size": 1 });
    let policy: Value =
        adyton_wire::manifest::POLICY_FILES.iter().map(|name| (*name, file.clone())).collect();
    let weights = json!({ "sha256": "06".repeat(32), "size": 1, "chunks": ["06".repeat(32)] });
    let manifest = json!({ "version": adyton_wire::manifest::VERSION, "model": "m", "weights": weights, "policy": policy });
    Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    folder
}

#[test]
fn a_policy_is_written_for_what_was_built_and_lint_finds_nothing_in_it() {
    let folder = built();
    let policy = [
        "kms",
        "policy",
        "--measurements",
        "pcrs.json",
        "--manifest",
        "manifest.json",
        "--role",
        ROLE,
        "--admin",
        ADMIN,
    ];
    let signer = "18".repeat(48);
    let written = adyton(folder.path(), &[&policy[..], &["--signer-pcr8", &signer]].concat());
    assert!(written.status.success(), "{}", text(&written.stderr));
    fs::write(folder.path().join("policy.json"), &written.stdout).unwrap();
    let linted = adyton(folder.path(), &["kms", "lint", "policy.json"]);
    assert_eq!(
        (linted.status.code(), text(&linted.stdout).as_str()),
        (Some(0), "policy.json: no known mistake\n")
    );
    let says = text(&written.stdout);
    assert!(says.contains(&"06".repeat(32)) && says.contains(&"10".repeat(48)), "{says}");

    // Without a signer nobody knows whose image it is: a warning, which is no failure.
    let unsigned = adyton(folder.path(), &policy);
    fs::write(folder.path().join("policy.json"), &unsigned.stdout).unwrap();
    let linted = adyton(folder.path(), &["--json", "kms", "lint", "policy.json"]);
    let found: Value = serde_json::from_slice(&linted.stdout).unwrap();
    assert_eq!((linted.status.code(), &found["findings"][0]["code"]), (Some(0), &"no_owner".into()));
}

#[test]
fn mistakes_end_with_code_1_and_a_plan_that_is_none_says_why() {
    let folder = built();
    let wide = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "kms:*", "Resource": "*" },
    ]});
    fs::write(folder.path().join("policy.json"), wide.to_string()).unwrap();
    let linted = adyton(folder.path(), &["--json", "kms", "lint", "policy.json"]);
    let found: Value = serde_json::from_slice(&linted.stdout).unwrap();
    let codes: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert_eq!(linted.status.code(), Some(1));
    for code in ["wildcard_principal", "wildcard_action", "unattested", "detour", "no_deny", "no_deny_change"]
    {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
    let same = [
        "kms",
        "policy",
        "--measurements",
        "pcrs.json",
        "--manifest",
        "manifest.json",
        "--role",
        ROLE,
        "--admin",
        ROLE,
    ];
    let refused = adyton(folder.path(), &same);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("different principals"), "{}", text(&refused.stderr));
}
