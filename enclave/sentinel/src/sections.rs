//! Which section of `guardrails.toml` holds for whom, and how many persons lift what it holds.
//!
//! Promises
//! - The first section that fits purpose and tenant counts, in the order of the file; without one it is the default, number 0.
//! - A section that cannot be read stops the start, with the line.
//!
//! Does not: know what detectors do. The worker reads the same file, screens by the number that a grant names, and says what
//! it found.
//!
//! Trusts: the measured policy pack.

use serde::Deserialize;
use thiserror::Error;

/// Most sections; the worker has the same bound.
const MAX_SECTIONS: usize = 256;
/// Most purposes or tenants of one section.
const MAX_NAMES: usize = 256;

/// Why the sections were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("guardrails.toml: {0}")]
pub struct SectionsError(String);

/// The sections, in order.
#[derive(Debug)]
pub struct Sections {
    default_persons: u8,
    sections: Vec<Section>,
}

/// What the sentinel reads of the file; the worker reads all of it, strictly.
#[derive(Deserialize)]
struct File {
    persons: u8,
    #[serde(default, rename = "for")]
    sections: Vec<Section>,
}

#[derive(Debug, Deserialize)]
struct Section {
    purposes: Vec<String>,
    tenants: Vec<String>,
    persons: Option<u8>,
}

impl Section {
    fn fits(&self, purpose: &str, tenant: &str) -> bool {
        let among = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        among(&self.purposes, purpose) && among(&self.tenants, tenant)
    }
}

/// The section that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its number.
    pub number: u16,
    /// How many persons lift what it holds.
    pub persons: u8,
}

impl Sections {
    /// From `guardrails.toml`.
    ///
    /// # Errors
    /// [`SectionsError`]
    pub fn parse(toml: &str) -> Result<Sections, SectionsError> {
        let file: File = toml::from_str(toml).map_err(|e| SectionsError(crate::tools::placed(toml, &e)))?;
        let many = file.sections.iter().any(|s| s.purposes.len() > MAX_NAMES || s.tenants.len() > MAX_NAMES);
        if many || file.sections.len() >= MAX_SECTIONS {
            let most = format!("at most {} sections of {MAX_NAMES} purposes and tenants", MAX_SECTIONS - 1);
            return Err(SectionsError(most));
        }
        let persons = file.sections.iter().filter_map(|section| section.persons).chain([file.persons]);
        if persons.min() == Some(0) {
            return Err(SectionsError("persons must be more than zero".to_owned()));
        }
        Ok(Sections { default_persons: file.persons, sections: file.sections })
    }

    /// The section for a purpose and a tenant.
    pub fn of(&self, purpose: &str, tenant: &str) -> Chosen {
        let fitting = self.sections.iter().zip(1u16..).find(|(section, _)| section.fits(purpose, tenant));
        match fitting {
            Some((section, number)) => {
                Chosen { number, persons: section.persons.unwrap_or(self.default_persons) }
            }
            None => Chosen { number: 0, persons: self.default_persons },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../policy/guardrails.toml");

    #[test]
    fn the_first_section_that_fits_counts() {
        let section = |name: &str, purposes: &str, tenants: &str, rest: &str| {
            format!("\n[[for]]\nname = \"{name}\"\npurposes = [{purposes}]\ntenants = [{tenants}]\n{rest}\n")
        };
        let text = [
            SHIPPED,
            &section("both", "\"support\"", "\"acme\"", "persons = 2"),
            &section("purpose", "\"support\", \"letters\"", "", ""),
            &section("tenant", "", "\"acme\"", "persons = 3"),
        ]
        .concat();
        let sections = Sections::parse(&text).unwrap();
        for (purpose, tenant, number, persons) in [
            ("support", "acme", 1, 2),
            ("support", "other", 2, 1),
            ("letters", "acme", 2, 1),
            ("general", "acme", 3, 3),
            ("general", "other", 0, 1),
        ] {
            assert_eq!(sections.of(purpose, tenant), Chosen { number, persons }, "{purpose} {tenant}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let line = SHIPPED.lines().count() + 2;
        let refused =
            Sections::parse(&format!("{SHIPPED}\n[[for]]\npurposes = 1\n")).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("guardrails.toml: line {}: ", line + 1)), "{refused}");
        assert!(Sections::parse(&SHIPPED.replace("persons = 1", "persons = 0")).is_err());
        assert!(Sections::parse(&SHIPPED.replace("persons = 1", "")).is_err());
    }
}
