//! The commands of docs/deploy.md, against the real programs.

use crate::{common, program, said};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Commands in code blocks, with lines that go on joined, split at white space.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            found.push(line.split('#').next().unwrap().split_whitespace().map(str::to_owned).collect());
        }
    }
    found
}

/// What stands in front of options and values: `policy sign`, `chat`.
fn subcommands(command: &[String]) -> Vec<&str> {
    let word = |word: &&String| word.bytes().all(|b| b.is_ascii_lowercase());
    command.iter().skip(1).take_while(word).map(String::as_str).collect()
}

#[test]
fn commands_have_options_that_there_are() {
    let text = fs::read_to_string(common::root().join("docs/deploy.md")).unwrap();
    let mut seen = BTreeSet::new();
    for command in commands(&text) {
        let Some(name @ ("adyton" | "adyton-host")) = command.first().map(String::as_str) else { continue };
        let words = subcommands(&command);
        assert!(!words.is_empty(), "{command:?}");
        let help = Command::new(program(name)).args(&words).arg("--help").output().unwrap();
        assert!(help.status.success(), "{command:?}: {}", said(&help));
        let help = said(&help);
        let known: BTreeSet<&str> =
            help.split(|c: char| c.is_whitespace() || c == ',' || c == '[' || c == '=').collect();
        for option in command.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(option.as_str()), "{name} {words:?} has no {option}");
        }
        seen.insert(format!("{name} {}", words.join(" ")));
    }
    for expected in
        ["adyton release", "adyton chat", "adyton kms policy", "adyton-host run", "adyton-host doctor"]
    {
        assert!(seen.contains(expected), "{seen:?}");
    }
}
