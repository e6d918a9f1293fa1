//! The packs that ship: each validates, each of its rows is decided as its table says, and each of its policies decides a row.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use adyton_decision::table::{differing, read};
use adyton_decision::{Decided, Pack, PackError};

fn policy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../enclave/policy")
}

fn text(pack: &str, file: &str) -> String {
    fs::read_to_string(policy().join("packs").join(pack).join(file)).unwrap()
}

fn schema() -> String {
    fs::read_to_string(policy().join("adyton.cedarschema")).unwrap()
}

fn load(pack: &str) -> Pack {
    let [policies, contexts, resources] =
        ["policies.cedar", "contexts.toml", "resources.toml"].map(|file| text(pack, file));
    Pack::load(&schema(), &policies, &contexts, &resources).unwrap_or_else(|error| panic!("{pack}: {error}"))
}

const PACKS: [&str; 2] = ["hr", "airline"];

#[test]
fn tables_are_decided_as_they_say() {
    for name in PACKS {
        let (pack, rows) = (load(name), read(&text(name, "decisions.toml")).unwrap());
        let differing: Vec<String> = differing(&pack, &rows)
            .into_iter()
            .map(|(row, outcome)| format!("{}: {:?}, decided {outcome:?}", row.about, row.expect))
            .collect();
        assert!(differing.is_empty(), "{name}:\n{}", differing.join("\n"));
        assert!(rows.len() >= 20, "{name} has {} rows", rows.len());
    }
}

#[test]
fn each_policy_decides_a_row_and_each_decision_occurs() {
    let mut decisions = BTreeSet::new();
    for name in PACKS {
        let (pack, rows) = (load(name), read(&text(name, "decisions.toml")).unwrap());
        let mut decided = BTreeSet::new();
        for row in rows {
            let outcome = pack.decide(&row.question);
            decisions.insert(format!("{:?}", outcome.decided).split([' ', '{']).next().unwrap().to_owned());
            assert!(outcome.decided == Decided::Modify || outcome.obligations.is_empty());
            decided.extend(outcome.policies);
        }
        let policies = text(name, "policies.cedar");
        let ids: BTreeSet<String> =
            policies.split("@id(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        // What its context keeps out never comes as far as the forbid that stands behind it; the test below does.
        let behind: BTreeSet<String> = BTreeSet::from(["never-finance".to_owned()]);
        let silent: Vec<_> = ids.difference(&decided).filter(|id| !behind.contains(*id)).collect();
        assert!(silent.is_empty(), "{name}: no row is decided by {silent:?}");
    }
    assert_eq!(decisions, BTreeSet::from(["Allow", "Modify", "StepUp", "Defer", "Deny"].map(str::to_owned)));
}

#[test]
fn finance_stays_out_of_reach_without_the_contexts_too() {
    let pack =
        Pack::load(&schema(), &text("hr", "policies.cedar"), "", &text("hr", "resources.toml")).unwrap();
    let rows = read(&text("hr", "decisions.toml")).unwrap();
    let finance = ["payroll", "files.salary"];
    let asked: Vec<_> =
        rows.iter().filter(|row| finance.contains(&row.question.resource.id.as_str())).collect();
    assert_eq!(asked.len(), 3);
    for row in asked {
        let outcome = pack.decide(&row.question);
        assert_eq!(outcome.decided, Decided::Deny, "{}", row.about);
        assert!(outcome.policies.contains(&"never-finance".to_owned()), "{}: {outcome:?}", row.about);
    }
}

#[test]
fn bad_packs_are_refused_with_the_reason() {
    let load = |policies: &str| Pack::load(&schema(), policies, "", "").unwrap_err();
    let permit = "permit (principal, action, resource);";
    assert!(matches!(Pack::load("entity", permit, "", ""), Err(PackError::Schema(_))));
    assert!(matches!(load("permit ("), PackError::Syntax(_)));
    let misspelt =
        "@id(\"a\") permit (principal, action, resource) when { principal.rolse.contains(\"x\") };";
    assert!(matches!(load(misspelt), PackError::Invalid(_)));
    for (annotations, reason) in [
        ("", "has no @id"),
        ("@id(\"a\") @mask_fields(\"x\")", "is not an annotation that is read"),
        ("@id(\"a\") @max_tokens(\"many\")", "is no number"),
        ("@id(\"a\") @step_up(\"2\")", "belongs to a forbid"),
    ] {
        let error = load(&format!("{annotations} {permit}")).to_string();
        assert!(error.contains(reason), "{error}");
    }
    let forbid = "@id(\"a\") @mask(\"x\") forbid (principal, action, resource);";
    assert!(load(forbid).to_string().contains("belongs to a permit"));
    assert!(load(&format!("@id(\"a\") {permit} @id(\"a\") {permit}")).to_string().contains("two policies"));
    let resources = Pack::load(&schema(), &format!("@id(\"a\") {permit}"), "", "[Tool");
    assert!(matches!(resources, Err(PackError::Resources(_))));
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let permit = "@id(\"a\")\npermit (principal, action, resource);";
    let error = |schema: &str, policies: &str, contexts: &str, resources: &str| {
        Pack::load(schema, policies, contexts, resources).unwrap_err().to_string()
    };
    let schema = schema();
    let misspelt = "@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.rolse.isEmpty() };";
    for (told, place) in [
        (error(&format!("{schema}\nentity"), permit, "", ""), "adyton.cedarschema: line "),
        (error(&schema, &format!("{permit}\npermit ("), "", ""), "policies.cedar: line 3: "),
        (error(&schema, misspelt, "", ""), "policies.cedar does not fit the schema: line 3: "),
        (error(&schema, permit, "[p]\nabout = \"x\"\ncolections = []", ""), "contexts.toml: line 3: "),
        (error(&schema, permit, "", "\n[Tool"), "resources.toml: line 2: "),
    ] {
        assert!(told.starts_with(place), "{told}");
        assert!(!told.contains('\n'), "{told}");
    }
    let long = format!("[p]\nmax_tokens = \"{}\"", "x".repeat(5000));
    assert!(error(&schema, permit, &long, "").len() < 300, "a message repeats the file");
}

#[test]
fn an_evaluation_error_denies_although_another_policy_permits() {
    // Overflow is an evaluation error; Cedar would skip the failing forbid and permit.
    let policies = r#"
        @id("all") permit (principal, action, resource);
        @id("overflows") forbid (principal, action == Action::"Generate", resource)
        when { context.max_tokens * 9223372036854775807 > 0 };"#;
    let pack = Pack::load(&schema(), policies, "", "").unwrap();
    let rows = read(&text("hr", "decisions.toml")).unwrap();
    let outcome = pack.decide(&rows[0].question);
    assert_eq!(outcome.decided, Decided::Deny);
    assert!(outcome.because.contains("could not be evaluated"));
}
