//! Key policies, and the doctor, with the real `adyton` program.

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

/// States of the doctor's checks, by name.
fn examined(folder: &Path, more: &[&str]) -> (Option<i32>, serde_json::Map<String, Value>) {
    let output = adyton(folder, &[&["--json", "doctor"], more].concat());
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let checks = said["checks"].as_array().unwrap().iter();
    for check in checks.clone() {
        let silent = check["advice"].as_str().unwrap().is_empty();
        assert_eq!(silent, ["good", "skipped"].contains(&check["state"].as_str().unwrap()), "{check}");
    }
    (
        output.status.code(),
        checks.map(|c| (c["name"].as_str().unwrap().to_owned(), c["state"].clone())).collect(),
    )
}

#[test]
fn the_doctor_finds_what_does_not_belong_together() {
    let folder = built();
    let manifest = fs::read(folder.path().join("manifest.json")).unwrap();
    let pcr16 = adyton_attestation::binding::manifest_pcr16(&manifest).to_string();
    let reference = |pcr0: &str, pcr16: &str| {
        let image = json!({ "pcr0": pcr0, "pcr1": "11".repeat(48), "pcr2": "12".repeat(48) });
        let owner = json!({ "signer": { "pcr8": "18".repeat(48) } });
        json!({ "images": [image], "manifests": [pcr16], "owner": owner }).to_string()
    };
    let files = ["--reference", "r.json", "--measurements", "pcrs.json", "--manifest", "manifest.json"];
    let given = |text: String| {
        fs::write(folder.path().join("r.json"), text).unwrap();
        examined(folder.path(), &files)
    };
    let good = given(reference(&"10".repeat(48), &pcr16));
    assert_eq!(
        (good.0, &good.1["image"], &good.1["manifest"], &good.1["clock"]),
        (Some(0), &"good".into(), &"good".into(), &"good".into())
    );
    // Nobody signed them: a client is told, and decides.
    assert_eq!((&good.1["reference"], &good.1["enclave"]), (&"doubtful".into(), &"skipped".into()));
    let other = given(reference(&"20".repeat(48), &"26".repeat(48)));
    assert_eq!(
        (other.0, &other.1["image"], &other.1["manifest"]),
        (Some(1), &"wrong".into(), &"wrong".into())
    );
    let (code, broken) = given("{}".to_owned());
    assert_eq!((code, &broken["reference"], &broken["image"]), (Some(1), &"wrong".into(), &"skipped".into()));

    fs::write(folder.path().join("r.json"), reference(&"10".repeat(48), &pcr16)).unwrap();
    let nobody = [&files[..], &["--enclave", "127.0.0.1:1"]].concat();
    let (code, states) = examined(folder.path(), &nobody);
    assert_eq!((code, &states["enclave"]), (Some(1), &"wrong".into()));

    let policy = adyton(
        folder.path(),
        &[
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
            "--signer-pcr8",
            &"18".repeat(48),
        ],
    );
    let policy = text(&policy.stdout);
    for (policy, expected) in [
        (policy.clone(), "good"),
        (policy.replace(&"10".repeat(48), &"20".repeat(48)), "wrong"),
        (policy.replace("DenyOtherPcr0", "x").replace("\"Deny\"", "\"Allow\""), "wrong"),
    ] {
        fs::write(folder.path().join("k.json"), policy).unwrap();
        let with = ["--measurements", "pcrs.json", "--kms-policy", "k.json"];
        assert_eq!(examined(folder.path(), &with).1["kms_policy"], expected);
    }
}
