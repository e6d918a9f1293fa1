//! Tools that the enclave calls itself: what they are, which arguments they take, and where they reach.
//!
//! The sentinel reads them from `tools.toml` of the measured policy pack, judges them, and hands them to the worker.
//!
//! Promises
//! - A tool that is handed over is well formed: its names, sizes and times are within bounds, each part of its path is an
//!   argument that must be given.
//!
//! Does not: say who may call what; policies and decision contexts do.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most tools.
pub const MAX_TOOLS: usize = 16;
/// Longest name of a tool or argument, in bytes. Those of OpenAI's functions.
pub const MAX_NAME: usize = 64;
/// Most arguments of a tool.
const MAX_ARGUMENTS: usize = 16;
/// Longest path, in bytes.
const MAX_PATH: usize = 512;
/// Longest result, in bytes: it becomes part of a prompt.
pub const MAX_RESULT: u32 = 64 * 1024;
/// Longest time that a call may take, in milliseconds.
pub const MAX_TIMEOUT_MS: u32 = 30_000;
/// Longest argument, in bytes.
pub const MAX_ARGUMENT: u32 = 1024;

/// One tool: an HTTP GET, over TLS that ends in the enclave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it does, for the model.
    pub about: String,
    /// `name:port`: where the host connects to, and what the server's certificate must name.
    pub destination: String,
    /// The one root that the server's certificate must lead to, as PEM.
    pub root: String,
    /// The path; `{name}` stands for an argument. Arguments that are not in it go into the query.
    pub path: String,
    /// What it takes, by name.
    pub arguments: BTreeMap<String, Argument>,
    /// Most bytes of a result. A longer one is refused, not cut.
    pub max_bytes: u32,
    /// How long a call may take.
    pub timeout_ms: u32,
    /// Whether its results are private data.
    pub private: bool,
    /// Their classification: 0 public, 1 internal, 2 confidential, 3 restricted.
    pub classification: u8,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// What it means, for the model.
    pub about: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// Longest text, in bytes; for texts alone.
    #[serde(default)]
    pub max_bytes: u32,
    /// The texts that it may be; empty for any.
    #[serde(default)]
    pub one_of: Vec<String>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Truth,
}

impl Tool {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        let printable = self.path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%'));
        let path = self.path.starts_with('/') && self.path.len() <= MAX_PATH && printable;
        let rules = [
            (is_destination(&self.destination), "destination must be a name and a port, as example.org:443"),
            (path, "path must begin with / and hold neither ?, # nor %"),
            (
                self.path_arguments().is_some_and(|names| names.iter().all(|n| self.requires(n))),
                "each {name} in path must be an argument that is not optional",
            ),
            (self.arguments.len() <= MAX_ARGUMENTS, "it has more than 16 arguments"),
            (self.arguments.keys().all(|name| is_name(name)), "arguments are named by a-z, 0-9 and _"),
            (
                self.arguments.values().all(Argument::is_sound),
                "a text needs max_bytes of 1 to 1024, and only a text has one_of",
            ),
            ((1..=MAX_RESULT).contains(&self.max_bytes), "max_bytes must be 1 to 65536"),
            ((1..=MAX_TIMEOUT_MS).contains(&self.timeout_ms), "timeout_ms must be 1 to 30000"),
            (self.classification <= 3, "classification must be 0 to 3"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }

    fn requires(&self, name: &str) -> bool {
        self.arguments.get(name).is_some_and(|argument| !argument.optional)
    }

    /// The arguments that stand in the path, in order; `None` if its braces do not match.
    pub fn path_arguments(&self) -> Option<Vec<&str>> {
        let (mut rest, mut names) = (self.path.as_str(), Vec::new());
        while let Some((before, after)) = rest.split_once('{') {
            let (name, next) = after.split_once('}')?;
            if before.contains('}') {
                return None;
            }
            names.push(name);
            rest = next;
        }
        (!rest.contains('}')).then_some(names)
    }

    /// The name in the destination.
    pub fn host(&self) -> &str {
        self.destination.rsplit_once(':').map_or("", |(name, _)| name)
    }
}

impl Argument {
    fn is_sound(&self) -> bool {
        let allowed = |text: &String| !text.is_empty() && text.len() <= self.max_bytes as usize;
        match self.kind {
            Kind::Text => (1..=MAX_ARGUMENT).contains(&self.max_bytes) && self.one_of.iter().all(allowed),
            Kind::Number | Kind::Truth => self.max_bytes == 0 && self.one_of.is_empty(),
        }
    }
}

/// Whether a tool or an argument may be called so.
pub fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether it is a name and a port.
pub(crate) fn is_destination(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(name, port)| is_host(name) && port.parse::<u16>().is_ok_and(|p| p > 0))
}

fn is_host(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    (1..=253).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Tool {
        let argument = Argument {
            about: "its number".into(),
            kind: Kind::Text,
            optional: false,
            max_bytes: 8,
            one_of: Vec::new(),
        };
        Tool {
            about: "state of a flight".into(),
            destination: "flights.test:443".into(),
            root: String::new(),
            path: "/v1/flights/{number}".into(),
            arguments: BTreeMap::from([("number".to_owned(), argument)]),
            max_bytes: 4096,
            timeout_ms: 1000,
            private: false,
            classification: 0,
        }
    }

    #[test]
    fn each_rule_is_needed() {
        assert_eq!(tool().fault(), None);
        let faulty = |change: &dyn Fn(&mut Tool)| {
            let mut tool = tool();
            change(&mut tool);
            tool.fault().unwrap_or_else(|| panic!("no fault in {tool:?}"))
        };
        for destination in ["flights.test", "flights.test:0", ":443", "a b:443", "flights.test:https"] {
            assert!(faulty(&|t| t.destination = destination.into()).starts_with("destination"));
        }
        for path in ["v1", "/a?b=c", "/a#b", "/a%2f", "/a b", "/\u{e4}"] {
            assert!(faulty(&|t| t.path = path.into()).starts_with("path"), "{path}");
        }
        for path in ["/{date}", "/{number", "/number}", "/}{number}", "/{}"] {
            assert!(faulty(&|t| t.path = path.into()).starts_with("each"), "{path}");
        }
        let argument =
            |t: &mut Tool, change: &dyn Fn(&mut Argument)| change(t.arguments.get_mut("number").unwrap());
        assert!(faulty(&|t| argument(t, &|a| a.optional = true)).starts_with("each"));
        assert!(faulty(&|t| argument(t, &|a| a.max_bytes = 0)).starts_with("a text"));
        assert!(faulty(&|t| argument(t, &|a| a.one_of = vec!["123456789".into()])).starts_with("a text"));
        assert!(faulty(&|t| argument(t, &|a| a.kind = Kind::Number)).starts_with("a text"));
        assert!(faulty(&|t| t.max_bytes = 0).starts_with("max_bytes"));
        assert!(faulty(&|t| t.timeout_ms = MAX_TIMEOUT_MS + 1).starts_with("timeout"));
        assert!(faulty(&|t| t.classification = 4).starts_with("classification"));
        let renamed = |t: &mut Tool| {
            let argument = t.arguments["number"].clone();
            t.arguments.insert("Number".into(), argument);
        };
        assert!(faulty(&renamed).starts_with("arguments"));
    }
}
