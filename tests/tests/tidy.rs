//! Checks how the tree is kept: headers, sizes, words that must not stay, and that each promise has its test.
//!
//! # Promises
//! - What it finds it names with file and line.
//! - A table of promises that is absent, empty, or points at a test that does not exist, fails.
//!
//! # Does not
//! - Read prose, nor say whether a test shows what its promise says.
//!
//! # Trusts
//! - The tree.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{code_only, has_word, list, metadata, root, rust_files, text};

/// Past this a second idea has crept in.
const MAX_LINES: usize = 800;
/// Notes to oneself, put together here so that this file does not hold them.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// What must not be called.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
const PROMISES: &str = "docs/promises.md";
/// The one crate that may be unsafe. Its own lints demand an argument for each block.
const UNSAFE: &str = "enclave/kernels/";

/// Everything wrong with one file, each with its line.
fn untidy(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !source.starts_with("//!") {
        found.push(format!("{path}:1: does not begin with //!"));
    }
    let lines = source.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{path}:{lines}: has more than {MAX_LINES} lines"));
    }
    let may_be_unsafe = path.starts_with(UNSAFE);
    for (number, (line, code)) in source.lines().zip(code_only(source).lines()).enumerate() {
        found.extend(
            untidy_line(line, code, may_be_unsafe).map(|what| format!("{path}:{}: {what}", number + 1)),
        );
    }
    found
}

fn untidy_line<'a>(line: &'a str, code: &'a str, may_be_unsafe: bool) -> impl Iterator<Item = String> + 'a {
    let notes = NOTES.iter().filter(|note| has_word(line, note)).map(|note| format!("a note: {note}"));
    let calls = UNFINISHED.iter().filter(|call| code.contains(*call)).map(|call| format!("calls {call}"));
    let words = (!may_be_unsafe && has_word(code, "unsafe")).then(|| "is unsafe".to_owned());
    let ignored = code.contains("#[ignore").then(|| "a test that is ignored".to_owned());
    notes.chain(calls).chain(words).chain(ignored)
}

/// Whether a manifest inherits the workspace's lints and adds none of its own.
fn inherits_lints(manifest: &str) -> bool {
    let manifest: toml::Table = toml::from_str(manifest).unwrap();
    let inherited = toml::Table::from_iter([("workspace".to_owned(), true.into())]);
    manifest.get("lints").and_then(toml::Value::as_table) == Some(&inherited)
}

/// Whether the manifest of the crate that may be unsafe has every lint of the workspace but the one that forbids it, and
/// demands an argument for each block.
fn states_arguments(manifest: &str) -> bool {
    let own: toml::Table = toml::from_str(manifest).unwrap();
    let workspace: toml::Table =
        toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let lints = |table: &toml::Table, group: &str| -> toml::Table {
        let found = table.get("lints").and_then(|lints| lints.get(group)).and_then(toml::Value::as_table);
        found.cloned().unwrap_or_default()
    };
    let workspace = workspace.get("workspace").and_then(toml::Value::as_table).unwrap();
    let same = ["rust", "clippy"].iter().all(|group| {
        let own = lints(&own, group);
        let usual = lints(workspace, group);
        usual
            .iter()
            .filter(|(lint, level)| *lint != "unsafe_code" && level.as_str() != Some("allow"))
            .all(|(lint, level)| own.get(lint) == Some(level))
    });
    let clippy = lints(&own, "clippy");
    same && clippy.get("undocumented_unsafe_blocks").and_then(toml::Value::as_str) == Some("deny")
}

/// Everything wrong with a table of promises. `read` gives a file's text by its path from the root.
fn broken_promises(table: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbers = BTreeSet::new();
    for line in table.lines().map(str::trim).filter(|line| is_promise(line)) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, .., tests] = cells.as_slice() else {
            found.push(format!("not three columns: {line}"));
            continue;
        };
        if !numbers.insert((*number).to_owned()) {
            found.push(format!("{number}: twice"));
        }
        for test in tests.split(',') {
            found.extend(broken_reference(test, read).map(|why| format!("{number}: {why}")));
        }
    }
    if numbers.is_empty() {
        found.push("no promise was found".to_owned());
    }
    found
}

/// `| P7 | .. |`.
fn is_promise(line: &str) -> bool {
    let digits = line.strip_prefix('|').and_then(|rest| rest.trim_start().strip_prefix('P'));
    digits.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// What is wrong with `path.rs::name` or `path.rs (compile_fail)`, if anything.
fn broken_reference(reference: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let plain = reference.replace('`', "");
    let plain = plain.trim();
    let (path, name) = match plain.strip_suffix("(compile_fail)") {
        Some(path) => (path.trim(), None),
        None => match plain.split_once("::") {
            Some((path, name)) => (path, name.rsplit("::").next()),
            None => return Some(format!("{plain:?} names no test")),
        },
    };
    let Some(source) = read(path) else { return Some(format!("{path} does not exist")) };
    let kept = match name {
        Some(name) => has_test(&source, name),
        None => {
            source.lines().any(|line| line.trim_start().starts_with("//") && line.contains("compile_fail"))
        }
    };
    (!kept).then(|| format!("{path} has no test {}", name.unwrap_or("that must not compile")))
}

/// Whether there is a function of that name with an attribute that makes it a test.
fn has_test(source: &str, name: &str) -> bool {
    let code = code_only(source);
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let declares = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().filter(|(_, line)| declares(line)).any(|(at, _)| {
        let above = lines.iter().take(at).rev().take_while(|line| line.starts_with("#[") || line.is_empty());
        above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_file_is_tidy() {
    let found: Vec<String> = rust_files().iter().flat_map(|(path, source)| untidy(path, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_member_inherits_the_lints() {
    for package in list(&metadata(&["--no-deps"]), "packages") {
        let path = text(package, "manifest_path");
        let manifest = fs::read_to_string(path).unwrap();
        let good =
            if path.contains(UNSAFE) { states_arguments(&manifest) } else { inherits_lints(&manifest) };
        assert!(good, "{path} has lints of its own, or none");
    }
}

#[test]
fn every_promise_has_its_test() {
    let read = |path: &str| fs::read_to_string(root().join(Path::new(path))).ok();
    let table = read(PROMISES).unwrap_or_else(|| panic!("{PROMISES} is absent"));
    let found = broken_promises(&table, &read);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

mod checker {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        untidy("x.rs", source)
    }

    #[test]
    fn a_tidy_file_passes() {
        let source = "//! Says what it does.\n#![forbid(unsafe_code)]\n/// Not unsafe.\n\
                      fn f<'a>(x: &'a str) -> char { let _ = r#\"unsafe \"dbg!\"\"#; '\\'' }\n";
        assert_eq!(found(source), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found_on_its_line() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        let note = format!("//! x\n// {}: later\n", NOTES[0]);
        let table: [(&str, &str); 8] = [
            ("fn f() {}\n", "x.rs:1: does not begin with //!"),
            (&long, "x.rs:801: has more than 800 lines"),
            (&note, &format!("x.rs:2: a note: {}", NOTES[0])),
            ("//! x\nfn f() { todo!() }\n", "x.rs:2: calls todo!"),
            ("//! x\n\nfn f() { dbg!(1); }\n", "x.rs:3: calls dbg!"),
            ("//! x\nfn f() { unimplemented!() }\n", "x.rs:2: calls unimplemented!"),
            ("//! x\nfn f() { unsafe { g() } }\n", "x.rs:2: is unsafe"),
            ("//! x\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", "x.rs:3: a test that is ignored"),
        ];
        for (source, expected) in table {
            assert_eq!(found(source), [expected]);
        }
    }

    #[test]
    fn one_crate_may_be_unsafe() {
        let source = "//! x\nfn f() { unsafe { g() } }\n";
        assert_eq!(untidy("enclave/kernels/src/x.rs", source), Vec::<String>::new());
        assert_eq!(untidy("enclave/engine/src/x.rs", source), ["enclave/engine/src/x.rs:2: is unsafe"]);
        assert!(!states_arguments("[lints.clippy]\nunwrap_used = \"warn\"\n"));
    }

    #[test]
    fn code_after_strings_and_comments_is_seen() {
        for hidden in [
            "/* /* a */ b */ ",
            "let _ = \"\\\"\"; ",
            "let _ = r##\"\"#\"##; ",
            "let _ = ('\"', '\\'', b'\"'); ",
        ] {
            let source = format!("//! x\n{hidden}unsafe {{}}\n");
            assert_eq!(found(&source), ["x.rs:2: is unsafe"], "{hidden}");
        }
    }

    #[test]
    fn lints_are_inherited_or_not() {
        assert!(inherits_lints("[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = \"x\"\n"));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
        assert!(!inherits_lints("[lints.rust]\nunsafe_code = \"allow\"\n"));
    }

    const SOURCE: &str = "//! ```compile_fail,E0423\n#[test]\nfn one() {}\n#[tokio::test(start_paused = true)]\n\
                          async fn two() {}\nfn helper() {}\n// #[test]\nfn commented() {}\n";

    fn broken(rows: &str) -> Vec<String> {
        let read = |path: &str| (path == "a/b.rs").then(|| SOURCE.to_owned());
        broken_promises(rows, &read)
    }

    #[test]
    fn promises_with_their_tests_pass() {
        let rows = "# Promises\n| | promise | tests |\n|---|---|---|\n| P1 | a | `a/b.rs::one`, `a/b.rs::two` |\n\
                    | P2 | b | `a/b.rs (compile_fail)` |\n|P3|c|`a/b.rs` (compile_fail), `a/b.rs::tests::one`|\n";
        assert_eq!(broken(rows), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_found() {
        let table = [
            ("", "no promise was found"),
            ("| P1 | a | |", "P1: \"\" names no test"),
            ("| P1 | a | `a/b.rs::one`, |", "P1: \"\" names no test"),
            ("| P1 | a | `[test pending]` |", "P1: \"[test pending]\" names no test"),
            ("| P1 | a | `a/c.rs::one` |", "P1: a/c.rs does not exist"),
            ("| P1 | a | `a/c.rs (compile_fail)` |", "P1: a/c.rs does not exist"),
            ("| P1 | a | `a/b.rs::three` |", "P1: a/b.rs has no test three"),
            ("| P1 | a | `a/b.rs::on` |", "P1: a/b.rs has no test on"),
            ("| P1 | a | `a/b.rs::helper` |", "P1: a/b.rs has no test helper"),
            ("| P1 | a | `a/b.rs::commented` |", "P1: a/b.rs has no test commented"),
            ("| P1 | a | `a/b.rs::one` |\n| P1 | b | `a/b.rs::one` |", "P1: twice"),
        ];
        for (rows, expected) in table {
            assert_eq!(broken(rows), [expected], "{rows}");
        }
        assert_eq!(broken("| P1 | a |").len(), 2);
        let read = |_: &str| Some("//! plain\n".to_owned());
        let found = broken_promises("| P1 | a | `a/b.rs (compile_fail)` |", &read);
        assert_eq!(found, ["P1: a/b.rs has no test that must not compile"]);
    }
}
