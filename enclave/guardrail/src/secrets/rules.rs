//! The rules as data, and their expressions, each compiled when a text first needs it.

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

/// Largest compiled expression, in bytes. `pypi` with its `{50,1000}` takes about 100 KiB.
const COMPILED: usize = 8 << 20;

/// All rules.
#[expect(
    clippy::expect_used,
    reason = "data that is compiled in; a test loads it and compiles each expression"
)]
pub(super) static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules::parse(include_str!("../../data/secrets.toml")).expect("rules that a test reads"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    allow: Vec<String>,
    stopwords: Vec<String>,
    rule: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    regex: String,
    keywords: Vec<String>,
    #[serde(default)]
    starts: bool,
    #[serde(default)]
    entropy: f32,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    allow_match: Vec<String>,
    #[serde(default)]
    allow_line: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
}

pub(super) struct Rules {
    pub(super) list: Vec<Rule>,
    /// Finds keywords, whatever their case.
    pub(super) keywords: AhoCorasick,
    /// The rules of each keyword.
    rules_of: Vec<Vec<usize>>,
    /// Keywords with which a secret may begin, by their first byte, in lower case.
    pub(super) starts: Vec<String>,
    /// Keywords after which a secret may come, in lower case.
    pub(super) contexts: Vec<String>,
}

impl Rules {
    fn parse(toml: &str) -> Result<Rules, Box<dyn std::error::Error>> {
        let file: File = toml::from_str(toml)?;
        let ids: BTreeSet<&str> = file.rule.iter().map(|rule| rule.id.as_str()).collect();
        if ids.len() < file.rule.len() {
            return Err("two rules of one name".into());
        }
        let mut keywords: Vec<String> = file.rule.iter().flat_map(|rule| rule.keywords.clone()).collect();
        keywords.sort();
        keywords.dedup();
        let rules_of = keywords.iter().map(|keyword| {
            let has = |(_, rule): &(usize, &Entry)| rule.keywords.contains(keyword);
            file.rule.iter().enumerate().filter(has).map(|(at, _)| at).collect()
        });
        let of_kind = |starts: bool| -> Vec<String> {
            let rules = file.rule.iter().filter(|rule| rule.starts == starts);
            let mut words: Vec<String> = rules.flat_map(|rule| rule.keywords.clone()).collect();
            words.sort();
            words.dedup();
            words
        };
        let ignore_case = AhoCorasick::builder().ascii_case_insensitive(true).build(&keywords)?;
        let (rules_of, starts, contexts) = (rules_of.collect(), of_kind(true), of_kind(false));
        let everywhere = Allowed::new(file.allow, file.stopwords);
        let list = file.rule.into_iter().map(|entry| Rule::new(entry, &everywhere)).collect();
        Ok(Rules { list, keywords: ignore_case, rules_of, starts, contexts })
    }

    pub(super) fn of_keyword(&self, keyword: usize) -> &[usize] {
        self.rules_of.get(keyword).map_or(&[], Vec::as_slice)
    }
}

/// One rule.
pub(super) struct Rule {
    source: String,
    compiled: OnceLock<Regex>,
    entropy: f32,
    everywhere: Allowed,
    secret: Allowed,
    whole: Allowed,
    line: Allowed,
}

impl Rule {
    fn new(entry: Entry, everywhere: &Allowed) -> Rule {
        Rule {
            source: entry.regex,
            compiled: OnceLock::new(),
            entropy: entry.entropy,
            everywhere: everywhere.clone(),
            secret: Allowed::new(entry.allow, entry.stopwords),
            whole: Allowed::new(entry.allow_match, Vec::new()),
            line: Allowed::new(entry.allow_line, Vec::new()),
        }
    }

    pub(super) fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| compile(&self.source))
    }

    /// Whether what matched is a secret: random enough, and nothing that everybody writes.
    pub(super) fn accepts(&self, text: &[u8], whole: Range<usize>, secret: &[u8]) -> bool {
        let matched = text.get(whole.clone()).unwrap_or_default();
        (self.entropy == 0.0 || entropy(secret) > self.entropy)
            && !self.everywhere.has(secret)
            && !self.secret.has(secret)
            && !self.whole.has(matched)
            && !self.line.has(line_around(text, whole))
    }

    /// Compiles all expressions now.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.regex();
        for allowed in [&self.everywhere, &self.secret, &self.whole, &self.line] {
            allowed.has(b"");
        }
    }
}

/// What is no secret although it looks like one.
#[derive(Clone)]
struct Allowed {
    /// Several expressions as one.
    source: Option<String>,
    compiled: OnceLock<Regex>,
    words: Option<AhoCorasick>,
}

impl Allowed {
    #[expect(clippy::expect_used, reason = "words that are compiled in; a test builds all of them")]
    fn new(regexes: Vec<String>, words: Vec<String>) -> Allowed {
        let source = (!regexes.is_empty()).then(|| format!("(?:{})", regexes.join(")|(?:")));
        let build = |words| AhoCorasick::builder().ascii_case_insensitive(true).build(words);
        let words = (!words.is_empty()).then(|| build(words).expect("words that a test reads"));
        Allowed { source, compiled: OnceLock::new(), words }
    }

    fn has(&self, text: &[u8]) -> bool {
        let matches = self
            .source
            .as_ref()
            .is_some_and(|source| self.compiled.get_or_init(|| compile(source)).is_match(text));
        matches || self.words.as_ref().is_some_and(|words| words.is_match(text))
    }
}

/// Bytes, not Unicode: secrets are ASCII, and the tables of Unicode would make each expression a hundred times larger.
#[expect(clippy::expect_used, reason = "an expression that is compiled in; a test compiles all of them")]
fn compile(source: &str) -> Regex {
    let built = RegexBuilder::new(source).unicode(false).size_limit(COMPILED).build();
    built.expect("an expression that a test compiles")
}

/// Shannon entropy in bits a byte.
fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    for &byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let all = bytes.len() as f32;
    let part = |count: &u32| *count as f32 / all;
    counts.iter().filter(|count| **count > 0).map(|count| -part(count) * part(count).log2()).sum()
}

fn line_around(text: &[u8], at: Range<usize>) -> &[u8] {
    let before = text.get(..at.start).unwrap_or_default();
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let after = text.get(at.end..).unwrap_or_default();
    let end = at.end + after.iter().position(|b| *b == b'\n').unwrap_or(after.len());
    text.get(start..end).unwrap_or_default()
}
