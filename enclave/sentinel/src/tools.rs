//! The tools of the measured policy pack, read and judged.
//!
//! Promises
//! - A tool with a fault, or with one name too many, stops the start; the error names the tool and the fault.
//!
//! Trusts: `tools.toml` of the measured policy pack.

use adyton_wire::tools::{MAX_TOOLS, Tool, is_name};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why `tools.toml` was refused.
#[derive(Debug, Error)]
pub enum ToolsError {
    /// Not the TOML expected.
    #[error("tools.toml: {0}")]
    Syntax(#[from] toml::de::Error),
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
        let tools: BTreeMap<String, Tool> = toml::from_str(text)?;
        if tools.len() > MAX_TOOLS {
            return Err(ToolsError::TooMany(tools.len()));
        }
        for (name, tool) in &tools {
            if !is_name(name) {
                return Err(ToolsError::Name);
            }
            if let Some(fault) = tool.fault() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const FLIGHTS: &str = r#"
        [flights]
        about = "the state of a flight"
        destination = "flights.test:443"
        root = ""
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

    #[test]
    fn tools_are_read_strictly() {
        assert!(Tools::parse(include_str!("../../policy/tools.toml")).unwrap().list().is_empty());
        let read = Tools::parse(FLIGHTS).unwrap();
        assert_eq!(read.get("flights").unwrap().host(), "flights.test");
        assert!(read.get("trains").is_none());
        let fault = Tools::parse(&FLIGHTS.replace("{number}", "{date}")).unwrap_err().to_string();
        assert!(fault.starts_with("tools.toml: flights: each {name}"), "{fault}");
        let unknown = Tools::parse(&FLIGHTS.replace("private", "secret")).unwrap_err();
        assert!(matches!(unknown, ToolsError::Syntax(_)));
        let named = FLIGHTS.replace("[flights", "[\"Flights!\"");
        assert!(matches!(Tools::parse(&named).unwrap_err(), ToolsError::Name));
        let many: String = (0..=MAX_TOOLS).map(|n| FLIGHTS.replace("[flights", &format!("[t{n}"))).collect();
        assert!(matches!(Tools::parse(&many).unwrap_err(), ToolsError::TooMany(_)));
    }
}
