//! Checks who imports whom: every edge between crates of the workspace against the rule of the design.
//!
//! # Promises
//! - Every member names its side, and an edge that the table does not allow fails the test, whatever its kind,
//!   target or feature.
//! - No production crate has a cargo feature, and none names the maker of development roots.
//!
//! # Does not
//! - Look at crates of others; `licences.rs` and `deny.toml` do.
//!
//! # Trusts
//! - What cargo reads in the manifests.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

mod common;

use std::collections::BTreeMap;

use common::{code_only, list, metadata, rust_files, text};

/// One crate, or all crates of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Side(&'static str),
    Crate(&'static str),
    Everyone,
}

use Who::{Crate, Everyone, Side};

const ATTESTATION: Who = Crate("adyton-attestation");
const WIRE: Who = Crate("adyton-wire");
const DECISION: Who = Crate("adyton-decision");
const FINGERPRINT: Who = Crate("adyton-fingerprint");
const GUARDRAIL: Who = Crate("adyton-guardrail");
const KERNELS: Who = Crate("adyton-kernels");
const ENGINE: Who = Crate("adyton-engine");
const ENCODER: Who = Crate("adyton-encoder");
const RETRIEVAL: Who = Crate("adyton-retrieval");
const LEARNING: Who = Crate("adyton-learning");
const BEHAVIOUR: Who = Crate("adyton-behaviour");

/// Who may import whom. The first line that fits counts; whoever has none may exist in no workspace of ours.
const RULE: [(Who, &[Who]); 14] = [
    (Side("shared"), &[Side("shared")]),
    (KERNELS, &[]),
    (ENCODER, &[KERNELS]),
    (GUARDRAIL, &[ENCODER, FINGERPRINT]),
    (RETRIEVAL, &[GUARDRAIL, ENCODER, WIRE]),
    (LEARNING, &[]),
    (BEHAVIOUR, &[WIRE]),
    (ENGINE, &[GUARDRAIL, KERNELS]),
    (
        Crate("adyton-enclave"),
        &[GUARDRAIL, FINGERPRINT, ENGINE, ENCODER, RETRIEVAL, LEARNING, ATTESTATION, WIRE],
    ),
    (Crate("adyton-sentinel"), &[ATTESTATION, WIRE, DECISION, FINGERPRINT, BEHAVIOUR, LEARNING]),
    // Never attestation: the host must not be tempted to verify.
    (Side("host"), &[WIRE]),
    (Side("client"), &[Side("shared")]),
    // What builds the image must not share its mistakes.
    (Side("deploy"), &[]),
    (Side("tests"), &[Everyone]),
];

/// One crate of the workspace.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    side: String,
    /// Crates of the workspace that it imports: normal, build and development dependencies of all targets.
    imports: Vec<String>,
    features: usize,
    has_program: bool,
}

fn member(package: &serde_json::Value, names: &[&str]) -> Member {
    let side = &package["metadata"]["boundary"]["side"];
    let name = text(package, "name").to_owned();
    let has_program =
        list(package, "targets").iter().any(|target| list(target, "kind").iter().any(|kind| kind == "bin"));
    let imports = list(package, "dependencies").iter().map(|dependency| text(dependency, "name"));
    Member {
        side: side
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no package.metadata.boundary.side"))
            .to_owned(),
        imports: imports.filter(|import| names.contains(import)).map(str::to_owned).collect(),
        features: package["features"].as_object().unwrap().len(),
        has_program,
        name,
    }
}

fn members() -> Vec<Member> {
    // Without the packages of others, all declared dependencies are listed, optional and foreign targets' too.
    let metadata = metadata(&["--no-deps"]);
    let packages = list(&metadata, "packages");
    let names: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    packages.iter().map(|package| member(package, &names)).collect()
}

fn fits(who: Who, name: &str, side: &str) -> bool {
    match who {
        Everyone => true,
        Side(wanted) => wanted == side,
        Crate(wanted) => wanted == name,
    }
}

/// Every breach of the rule, in words.
fn breaches(members: &[Member]) -> Vec<String> {
    let sides: BTreeMap<&str, &str> =
        members.iter().map(|member| (member.name.as_str(), member.side.as_str())).collect();
    let mut found = Vec::new();
    for member in members {
        let Some((_, allowed)) = RULE.iter().find(|(who, _)| fits(*who, &member.name, &member.side)) else {
            found.push(format!("{} on side {} has no rule", member.name, member.side));
            continue;
        };
        for import in &member.imports {
            let side = sides.get(import.as_str()).copied().unwrap_or_default();
            if !allowed.iter().any(|who| fits(*who, import, side)) {
                found.push(format!("{} imports {import}", member.name));
            }
        }
    }
    found
}

#[test]
fn every_edge_keeps_the_rule() {
    let members = members();
    assert!(members.len() >= 9, "the workspace was not read");
    assert!(members.iter().any(|member| !member.imports.is_empty()), "no edge was read");
    assert_eq!(breaches(&members), Vec::<String>::new());
}

#[test]
fn sides_are_the_top_level_folders() {
    let folder = |side: &str| match side {
        "shared" => vec!["attestation", "wire", "decision", "fingerprint", "homomorphic"],
        other => {
            vec![
                ["enclave", "host", "client", "deploy", "tests"]
                    .into_iter()
                    .find(|known| *known == other)
                    .unwrap(),
            ]
        }
    };
    let metadata = metadata(&["--no-deps"]);
    let root = format!("{}/", text(&metadata, "workspace_root"));
    for package in list(&metadata, "packages") {
        let path = text(package, "manifest_path").strip_prefix(&root).unwrap();
        let top = path.split('/').next().unwrap();
        let side = member(package, &[]).side;
        assert!(folder(&side).contains(&top), "{path} says side {side}");
    }
}

#[test]
fn shipped_crates_have_no_features() {
    let members = members();
    let shipped: Vec<&Member> = members.iter().filter(|member| member.side != "tests").collect();
    let programs = shipped.iter().filter(|member| member.has_program).count();
    assert_eq!(programs, 5, "worker, sentinel, host, client and the builder of the image");
    for member in shipped {
        assert_eq!(member.features, 0, "{} has cargo features, and features unify", member.name);
    }
}

/// The maker of development roots, by either of its names. (`.dangerous()` of rustls is something else.)
fn names_development_root(code: &str) -> bool {
    code.contains("development_anchor")
        || code.match_indices("dangerous").any(|(at, word)| !code[at + word.len()..].starts_with('('))
}

#[test]
fn only_tests_make_development_roots() {
    let mut seen = false;
    for (path, source) in rust_files() {
        let named = names_development_root(&code_only(&source));
        seen |= named;
        let allowed = path.starts_with("attestation/") || path.starts_with("tests/");
        assert!(allowed || !named, "{path} names the maker of development roots");
    }
    assert!(seen, "the scan finds not even its definition");
}

mod checker {
    use super::*;

    /// A workspace of made-up edges.
    fn found(edges: &[(&str, &str, &[&str])]) -> Vec<String> {
        let member = |(name, side, imports): &(&str, &str, &[&str])| Member {
            name: (*name).to_owned(),
            side: (*side).to_owned(),
            imports: imports.iter().map(|import| (*import).to_owned()).collect(),
            features: 0,
            has_program: false,
        };
        breaches(&edges.iter().map(member).collect::<Vec<_>>())
    }

    const FORBIDDEN: [(&str, &str, &str); 17] = [
        ("adyton-attestation", "shared", "adyton-enclave"),
        ("adyton-wire", "shared", "adyton-host"),
        ("adyton-guardrail", "enclave", "adyton-wire"),
        ("adyton-guardrail", "enclave", "adyton-engine"),
        ("adyton-engine", "enclave", "adyton-attestation"),
        ("adyton-engine", "enclave", "adyton-wire"),
        ("adyton-enclave", "enclave", "adyton-sentinel"),
        ("adyton-sentinel", "enclave", "adyton-enclave"),
        ("adyton-sentinel", "enclave", "adyton-guardrail"),
        ("adyton-behaviour", "enclave", "adyton-attestation"),
        ("adyton-behaviour", "enclave", "adyton-guardrail"),
        ("adyton-enclave", "enclave", "adyton-behaviour"),
        ("adyton-host", "host", "adyton-attestation"),
        ("adyton-host", "host", "adyton-sentinel"),
        ("adyton-client", "client", "adyton-enclave"),
        ("adyton-client", "client", "adyton-host"),
        ("adyton-enclave", "enclave", "adyton-tests"),
    ];

    fn side_of(name: &str) -> &'static str {
        match name {
            "adyton-attestation" | "adyton-wire" => "shared",
            "adyton-host" => "host",
            "adyton-client" => "client",
            "adyton-tests" => "tests",
            _ => "enclave",
        }
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        for (name, side, import) in FORBIDDEN {
            let edges: [(&str, &str, &[&str]); 2] = [(name, side, &[import]), (import, side_of(import), &[])];
            assert_eq!(found(&edges), [format!("{name} imports {import}")]);
        }
    }

    #[test]
    fn an_allowed_edge_is_not() {
        let all = ["adyton-wire", "adyton-enclave", "adyton-guardrail", "adyton-sentinel", "adyton-host"];
        let mut edges: Vec<(&str, &str, &[&str])> = all.map(|name| (name, side_of(name), &[][..])).to_vec();
        edges[1].2 = &["adyton-wire", "adyton-guardrail"];
        edges[4].2 = &["adyton-wire"];
        edges.push(("adyton-tests", "tests", &all));
        assert_eq!(found(&edges), Vec::<String>::new());
    }

    #[test]
    fn a_crate_without_a_rule_is_found() {
        assert_eq!(found(&[("adyton-new", "enclave", &[])]), ["adyton-new on side enclave has no rule"]);
        assert_eq!(found(&[("x", "elsewhere", &[])]), ["x on side elsewhere has no rule"]);
    }

    #[test]
    fn the_scan_tells_our_maker_from_others() {
        let scan = |source: &str| names_development_root(&code_only(source));
        assert!(scan("use adyton_attestation::anchor::{TrustAnchor, dangerous};"));
        assert!(scan("let a = dangerous::development_anchor(der);"));
        assert!(scan("use adyton_attestation::anchor::dangerous as fine;"));
        assert!(!scan("let config = ClientConfig::builder().dangerous();"));
        assert!(!scan("// a dangerous idea\nlet text = \"dangerous::development_anchor\";"));
    }
}
