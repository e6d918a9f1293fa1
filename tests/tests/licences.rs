//! Checks every crate that we build with against the licences that `deny.toml` allows, without cargo-deny.
//!
//! # Promises
//! - A package whose SPDX expression cannot be met by the allow list, or that has none, fails the test.
//! - ring, rustls and candle-core are there once each, and what `deny.toml` bans is not in the lock file.
//!
//! # Does not
//! - Know advisories; `cargo deny check` does, where it is at hand.
//! - Read licence texts: it believes the manifests of the packages.
//!
//! # Trusts
//! - cargo's lock file and the packages' manifests.
//!
//! Source: SPDX specification 2.3, annex D (licence expressions: `AND` binds tighter than `OR`).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{list, metadata, root, text};

/// One version of each, or a check made with one is worth nothing for the other.
const ONCE: [&str; 3] = ["ring", "rustls", "candle-core"];

struct Policy {
    targets: Vec<String>,
    allow: Vec<String>,
    /// Crate and licence.
    exceptions: Vec<(String, String)>,
    banned: Vec<String>,
}

fn read_toml(name: &str) -> toml::Table {
    toml::from_str(&fs::read_to_string(root().join(name)).unwrap()).unwrap()
}

fn strings(value: &toml::Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

impl Policy {
    fn read() -> Self {
        let file = read_toml("deny.toml");
        let exceptions = file["licenses"]["exceptions"].as_array().unwrap();
        let one = |entry: &toml::Value| {
            let name = entry["crate"].as_str().unwrap().to_owned();
            strings(&entry["allow"])
                .into_iter()
                .map(move |licence| (name.clone(), licence))
                .collect::<Vec<_>>()
        };
        let banned = file["bans"]["deny"].as_array().unwrap().iter();
        Policy {
            targets: strings(&file["graph"]["targets"]),
            allow: strings(&file["licenses"]["allow"]),
            exceptions: exceptions.iter().flat_map(one).collect(),
            banned: banned
                .filter(|entry| entry.get("deny-multiple-versions").is_none())
                .map(|entry| entry["crate"].as_str().unwrap().to_owned())
                .collect(),
        }
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == licence)
            || self.exceptions.iter().any(|(name, allowed)| name == package && allowed == licence)
    }
}

/// Whether an expression can be met; `None` if it is not one.
fn satisfied(expression: &str, allows: &dyn Fn(&str) -> bool) -> Option<bool> {
    // Old manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let value = any(&mut words, allows)?;
    words.next().is_none().then_some(value)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allows: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = all(words, allows)?;
    while words.next_if_eq(&"OR").is_some() {
        value |= all(words, allows)?;
    }
    Some(value)
}

fn all(words: &mut Words<'_>, allows: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = one(words, allows)?;
    while words.next_if_eq(&"AND").is_some() {
        value &= one(words, allows)?;
    }
    Some(value)
}

fn one(words: &mut Words<'_>, allows: &dyn Fn(&str) -> bool) -> Option<bool> {
    match words.next()? {
        "(" => {
            let value = any(words, allows)?;
            words.next_if_eq(&")").map(|_| value)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        licence if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next()?;
            Some(allows(&format!("{licence} WITH {exception}")))
        }
        licence => Some(allows(licence)),
    }
}

/// Name, version and licence of every package that is built for a target.
fn packages(target: &str) -> BTreeSet<(String, String, String)> {
    let metadata = metadata(&["--filter-platform", target]);
    let field =
        |package: &serde_json::Value, name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let read = |package| (field(package, "name"), field(package, "version"), field(package, "license"));
    list(&metadata, "packages").iter().map(read).collect()
}

/// Names of all packages in the lock file, one for each version.
fn locked() -> Vec<String> {
    let lock = read_toml("Cargo.lock");
    let names = lock["package"].as_array().unwrap().iter();
    names.map(|package| package["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_licence_is_allowed() {
    let policy = Policy::read();
    assert!(!policy.targets.is_empty());
    for target in &policy.targets {
        let packages = packages(target);
        assert!(packages.len() > 100, "the packages of {target} were not read");
        for (name, version, licence) in packages {
            let allowed = satisfied(&licence, &|one| policy.allows(&name, one));
            assert_eq!(allowed, Some(true), "{name} {version}: {licence:?} is not met by deny.toml");
        }
    }
}

#[test]
fn every_exception_is_needed() {
    let policy = Policy::read();
    let packages: BTreeSet<_> = policy.targets.iter().flat_map(|target| packages(target)).collect();
    for (exempt, _) in &policy.exceptions {
        let needed = packages.iter().filter(|(name, ..)| name == exempt).any(|(_, _, licence)| {
            satisfied(licence, &|one| policy.allow.iter().any(|allowed| allowed == one)) != Some(true)
        });
        assert!(needed, "deny.toml has an exception for {exempt}, which needs none");
    }
}

#[test]
fn one_version_of_what_checks_rest_on() {
    let locked = locked();
    for name in ONCE {
        assert_eq!(locked.iter().filter(|package| *package == name).count(), 1, "versions of {name}");
    }
}

#[test]
fn nothing_banned_is_locked() {
    let (policy, locked) = (Policy::read(), locked());
    assert!(policy.banned.iter().any(|name| name == "openssl"));
    for name in &policy.banned {
        assert!(!locked.contains(name), "{name} is in the lock file");
    }
}

#[test]
fn only_the_registry_is_a_source() {
    let lock = read_toml("Cargo.lock");
    for package in lock["package"].as_array().unwrap() {
        let source = package.get("source").map_or("ours", |source| source.as_str().unwrap());
        let known = ["ours", "registry+https://github.com/rust-lang/crates.io-index"].contains(&source);
        assert!(known, "{:?} comes from {source}", package["name"]);
    }
    for package in list(&metadata(&["--no-deps"]), "packages") {
        assert_eq!(text(package, "license"), "Apache-2.0");
    }
}

#[test]
fn expressions_are_evaluated() {
    let allows = |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
    for (expression, expected) in [
        ("MIT", Some(true)),
        ("GPL-3.0-only", Some(false)),
        ("MIT OR GPL-3.0-only", Some(true)),
        ("MIT AND GPL-3.0-only", Some(false)),
        ("GPL-3.0-only OR MIT AND ISC", Some(true)),
        ("(GPL-3.0-only OR MIT) AND ISC", Some(true)),
        ("(GPL-3.0-only OR MIT) AND LGPL-3.0-only", Some(false)),
        ("MIT OR ISC AND GPL-3.0-only", Some(true)),
        ("MIT/GPL-3.0-only", Some(true)),
        ("Apache-2.0 WITH LLVM-exception", Some(true)),
        ("Apache-2.0", Some(false)),
        ("MIT WITH LLVM-exception", Some(false)),
        ("", None),
        ("MIT ISC", None),
        ("(MIT", None),
        ("MIT)", None),
        ("MIT OR", None),
        ("AND MIT", None),
        ("MIT WITH", None),
    ] {
        assert_eq!(satisfied(expression, &allows), expected, "{expression:?}");
    }
}
