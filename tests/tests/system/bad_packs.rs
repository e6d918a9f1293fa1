//! A policy pack that does not parse stops the start, and says in which file and line, and why.

use adyton_tests::world::{Plan, World, policy_folder};
use std::path::Path;

/// What is said where `text` stands in place of a file of the pack. Nobody gets to the weights: any file will do for them.
fn refused(name: &'static str, text: String) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut plan = Plan::new(model);
    match name {
        "peers.json" => plan.peers = text,
        "auditors.json" => plan.auditors = text,
        _ => plan.policy = vec![(name, text)],
    }
    let started = World::start(&plan).map(drop);
    let said = started.expect_err(name).to_string();
    assert!(said.contains("before the enclave listened"), "{said}");
    said
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(policy_folder().join(name)).unwrap()
}

/// The file that ships with `line` behind it; what is said, and the number of that line.
fn with_line(name: &'static str, line: &str) -> (String, usize) {
    let text = shipped(name);
    let number = text.lines().count() + 1;
    (refused(name, format!("{text}{line}\n")), number)
}

fn assert_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "\"{part}\" is not in: {said}");
    }
    assert!(said.len() < 1000, "much of a file is repeated: {said}");
}

#[test]
fn policies_that_do_not_parse_or_fit_stop_the_start() {
    let (said, line) = with_line("policies.cedar", "permit (");
    // Where a text ends too early, the end is where the parser is.
    let place = format!("policies.cedar: line {line}: ");
    assert_said(&said, &[&place, "exit status: 11"]);
    let misspelt = "@id(\"x\") permit (principal, action, resource) when { principal.rolse.isEmpty() };";
    let (said, line) = with_line("policies.cedar", misspelt);
    let place = format!("policies.cedar does not fit the schema: line {line}: ");
    assert_said(&said, &[&place, "rolse", "exit status: 11"]);
    let (said, _) = with_line("policies.cedar", "permit (principal, action, resource);");
    assert_said(&said, &["policies.cedar: ", "has no @id", "exit status: 11"]);
}

#[test]
fn a_schema_that_does_not_parse_stops_the_start() {
    let (said, line) = with_line("adyton.cedarschema", "entity Model = {;");
    assert_said(&said, &[&format!("adyton.cedarschema: line {line}: "), "exit status: 11"]);
}

#[test]
fn toml_of_the_sentinel_that_does_not_parse_stops_the_start() {
    for (name, wrong, reason) in [
        ("contexts.toml", "[p]\ncolections = []", "unknown field `colections`"),
        ("resources.toml", "[Tool", "unclosed table"),
        ("behaviour.toml", "surprise = 1.0", "unknown field `surprise`"),
        ("tools.toml", "[flights]\npath = 1", "invalid type"),
    ] {
        let (said, line) = with_line(name, wrong);
        let line = line + wrong.matches('\n').count();
        assert_said(&said, &[&format!("{name}: line {line}: "), reason, "exit status: 11"]);
    }
    let text = shipped("behaviour.toml").replace("alpha = 0.01", "alpha = 0.9");
    assert_said(&refused("behaviour.toml", text), &["behaviour.toml: alpha is out of bounds"]);
    let (said, _) = with_line("contexts.toml", "[p]\nrows = { b = \"x\" }");
    assert_said(&said, &["contexts.toml: \"p\" limits \"b\"", "exit status: 11"]);
}

#[test]
fn lists_of_the_sentinel_that_do_not_parse_stop_the_start() {
    for (name, wrong, reason) in [
        ("approvers.json", "{\n  \"approvers\": [],\n  \"quorums\": {}\n}", "unknown field `quorums`"),
        ("auditors.json", "[\n\n  { \"name\": \"ann\" }]", "missing field `x25519`"),
        ("issuers.json", "[\n\n  nobody]", "expected ident"),
    ] {
        let said = refused(name, wrong.into());
        assert_said(&said, &[&format!("{name}: "), reason, " at line 3 column ", "exit status: 11"]);
    }
    let said = refused("approvers.json", shipped("approvers.json").replace("online", "offline"));
    assert_said(&said, &["approvers.json: it starts offline and there is nobody"]);
}

/// These two the worker reads. What it says is heard in a simulation alone; elsewhere its exit code says which file it is.
#[test]
fn files_of_the_worker_that_do_not_parse_stop_the_start() {
    // Its last table, the ledger, is the sentinel's; the first one is the worker's.
    let (said, _) = with_line("guardrails.toml", "surprise = 1");
    assert_said(&said, &["guardrails.toml: line ", "unknown field `surprise`", "exit status: 11"]);
    let text = shipped("guardrails.toml");
    let line = text.lines().position(|line| line == "[input]").unwrap() + 2;
    let said = refused("guardrails.toml", text.replacen("[input]", "[input]\nsurprise = 1", 1));
    let place = format!("guardrails.toml: line {line}: ");
    assert_said(&said, &[&place, "unknown field `surprise`", "exit status: 20", "exit status: 13"]);
    let said = refused("peers.json", "[\n\n{]".into());
    assert_said(&said, &["peers.json: ", " at line 3 column ", "exit status: 21", "exit status: 13"]);
    let said = refused("peers.json", "[{\"images\":[]}]".into());
    assert_said(&said, &["peers.json: entry 0, ", "exit status: 21", "exit status: 13"]);
}
