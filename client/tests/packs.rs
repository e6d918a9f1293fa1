//! `adyton policy test` and `explain`, as a user runs them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn policy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../enclave/policy")
}

fn adyton(command: &str, pack: &Path, more: &[&str]) -> Output {
    let schema = policy().join("adyton.cedarschema");
    let mut adyton = Command::new(env!("CARGO_BIN_EXE_adyton"));
    adyton.args(["policy", command]).arg(pack).arg("--schema").arg(schema).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn shipped_packs_decide_as_their_tables_say() {
    for pack in ["hr", "airline"] {
        let output = adyton("test", &policy().join("packs").join(pack), &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_row_that_is_decided_otherwise_is_shown() {
    let folder = std::env::temp_dir().join(format!("adyton-pack-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for file in ["policies.cedar", "contexts.toml", "resources.toml", "decisions.toml"] {
        fs::copy(policy().join("packs/hr").join(file), folder.join(file)).unwrap();
    }
    let policies = folder.join("policies.cedar");
    let laxer =
        fs::read_to_string(&policies).unwrap().replace("situation.approvals < 2", "situation.approvals < 1");
    fs::write(&policies, laxer).unwrap();
    let output = adyton("test", &folder, &[]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("WRONG") && said.contains("one of two is not enough"), "{said}");
    fs::write(&policies, "permit (").unwrap();
    assert_eq!(adyton("test", &folder, &[]).status.code(), Some(1));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_decision_is_explained() {
    let question = std::env::temp_dir().join(format!("adyton-question-{}.toml", std::process::id()));
    let lead = "principal = { id = \"lea\", tenant = \"acme\", roles = [\"hr-lead\"], clearance = 3 }";
    let rest = "action = \"Unmask\"\nresource = { kind = \"Field\", id = \"files.national_id\" }\npurpose = \"personnel\"";
    fs::write(&question, format!("{lead}\n{rest}\n")).unwrap();
    let output = adyton("explain", &policy().join("packs/hr"), &["--question", question.to_str().unwrap()]);
    fs::remove_file(&question).unwrap();
    let said = said(&output);
    assert!(said.contains("only if approved by 2") && said.contains("two-for-restricted-fields"), "{said}");
}
