//! The tools of the measured policy pack, read and judged.
//!
//! Promises
//! - A tool with a fault, or with one name too many, stops the start; the error names the tool and the fault.
//!
//! Trusts: `tools.toml` of the measured policy pack.

use adyton_attestation::tls::tool_config;
use adyton_wire::tools::{MAX_TOOLS, Tool, is_name};
use std::collections::BTreeMap;
use thiserror::Error;

/// Most characters of what a parser says.
const MAX_REASON: usize = 240;

/// Why `tools.toml` was refused.
#[derive(Debug, Error)]
pub enum ToolsError {
    /// Not the TOML expected.
    #[error("tools.toml: {0}")]
    Syntax(String),
    /// More than the worker is handed.
    #[error("tools.toml names {0} tools, the limit is {MAX_TOOLS}")]
    TooMany(usize),
    /// A name that a function cannot have.
    #[error("tools.toml: a tool is named by 1 to 64 of a-z, 0-9 and _")]
    Name,
    /// A rule is broken.
    #[error("tools.toml: {name}: {fault}")]
    Fault {
        /// Which tool.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
}

/// All tools, by name.
#[derive(Debug, Default)]
pub struct Tools(BTreeMap<String, Tool>);

impl Tools {
    /// Reads `tools.toml`.
    ///
    /// # Errors
    /// [`ToolsError`]
    pub fn parse(text: &str) -> Result<Tools, ToolsError> {
        let tools: BTreeMap<String, Tool> =
            toml::from_str(text).map_err(|error| ToolsError::Syntax(placed(text, &error)))?;
        if tools.len() > MAX_TOOLS {
            return Err(ToolsError::TooMany(tools.len()));
        }
        for (name, tool) in &tools {
            if !is_name(name) {
                return Err(ToolsError::Name);
            }
            let root =
                || tool_config(tool.root.as_bytes()).err().map(|_| "root must be a certificate in PEM");
            if let Some(fault) = tool.fault().or_else(root) {
                return Err(ToolsError::Fault { name: name.clone(), fault });
            }
        }
        Ok(Tools(tools))
    }

    /// One tool.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.0.get(name)
    }

    /// All of them, for the worker.
    pub fn list(&self) -> Vec<(String, Tool)> {
        self.0.iter().map(|(name, tool)| (name.clone(), tool.clone())).collect()
    }
}

/// What is wrong in TOML, with its line.
pub(crate) fn placed(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let reason: String = error.message().chars().take(MAX_REASON).collect();
    format!("line {line}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    const FLIGHTS: &str = r#"
        [flights]
        about = "the state of a flight"
        destination = "flights.test:443"
        root = "ROOT"
        path = "/v1/flights/{number}"
        max_bytes = 4096
        timeout_ms = 3000
        private = false
        classification = 0
        [flights.arguments.number]
        about = "its number"
        kind = "text"
        max_bytes = 8
    "#;

    /// The tool, with a certificate for a root.
    fn flights() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let text = base64::prelude::BASE64_STANDARD.encode(root.der());
        FLIGHTS
            .replace("ROOT", &format!("-----BEGIN CERTIFICATE-----\\n{text}\\n-----END CERTIFICATE-----\\n"))
    }

    #[test]
    fn tools_are_read_strictly() {
        let flights = flights();
        let rootless = Tools::parse(FLIGHTS).unwrap_err().to_string();
        assert_eq!(rootless, "tools.toml: flights: root must be a certificate in PEM");
        assert!(Tools::parse(include_str!("../../policy/tools.toml")).unwrap().list().is_empty());
        let read = Tools::parse(&flights).unwrap();
        assert_eq!(read.get("flights").unwrap().host(), "flights.test");
        assert!(read.get("trains").is_none());
        let fault = Tools::parse(&flights.replace("{number}", "{date}")).unwrap_err().to_string();
        assert!(fault.starts_with("tools.toml: flights: each {name}"), "{fault}");
        let unknown = Tools::parse(&flights.replace("private", "secret")).unwrap_err().to_string();
        assert!(unknown.starts_with("tools.toml: line 9: "), "{unknown}");
        let named = flights.replace("[flights", "[\"Flights!\"");
        assert!(matches!(Tools::parse(&named).unwrap_err(), ToolsError::Name));
        let many: String = (0..=MAX_TOOLS).map(|n| flights.replace("[flights", &format!("[t{n}"))).collect();
        assert!(matches!(Tools::parse(&many).unwrap_err(), ToolsError::TooMany(_)));
    }
}
