//! Row rules: which rows a purpose or a policy lets through. A grammar, judged when the pack is loaded; never SQL.
//!
//! ```text
//! rules := rule { "and" rule }
//! rule  := column "=" 'text'  |  column "in" set  |  column "=" principal.tenant
//! ```
//!
//! `''` in a text is one quote. A set comes from the principal's signed token (its claim `sets`); one that the token does not
//! carry is empty, and an empty set lets nothing through.
//!
//! # Promises
//! - What is not of this grammar does not load; the error says where.
//! - Rules only narrow: two rules about one column leave what both allow.
//!
//! # Does not
//! - Know which columns a collection has: a row without the column does not pass.
//!
//! # Trusts
//! - The facts of a question, which its caller has established.

use std::collections::{BTreeMap, BTreeSet};

use crate::question::Facts;

/// Longest text of rules, in bytes: they are read by people.
const MAX_RULES_TEXT: usize = 2048;
/// Most rules. A look-up's grant carries no more.
const MAX_RULES: usize = 8;
/// Longest name, in bytes, and longest text; those of a look-up's grant.
const MAX_NAME: usize = 40;
const MAX_TEXT: usize = 256;

/// Which values each column may have: what a grant carries.
pub type Resolved = BTreeMap<String, BTreeSet<String>>;

/// Where the values of a rule come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    Text(String),
    Set(String),
    Tenant,
}

/// Rules that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRules(Vec<(String, Values)>);

/// Why a text is no row rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "row rule, at byte {at}: expected {expected}; write column = 'text', column in set, or column = principal.tenant, joined by and"
)]
pub struct RowsError {
    /// Where.
    at: usize,
    /// What.
    expected: &'static str,
}

impl RowRules {
    /// Reads rules.
    ///
    /// # Errors
    /// [`RowsError`]
    pub fn parse(text: &str) -> Result<Self, RowsError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > MAX_RULES_TEXT {
            return Err(reader.error("at most 2048 bytes"));
        }
        let mut rules = Vec::new();
        loop {
            rules.push(reader.rule()?);
            reader.spaces();
            if reader.rest().is_empty() {
                return Ok(Self(rules));
            }
            if rules.len() >= MAX_RULES {
                return Err(reader.error("at most 8 rules"));
            }
            if reader.word() != Some("and") {
                return Err(reader.error("\"and\" or the end"));
            }
        }
    }

    /// The values that each column may have, for this principal.
    pub fn resolve(&self, who: &Facts) -> Resolved {
        let mut resolved = Resolved::new();
        for (column, values) in &self.0 {
            let allowed = match values {
                Values::Text(text) => BTreeSet::from([text.clone()]),
                Values::Set(name) => who.sets.get(name).cloned().unwrap_or_default(),
                Values::Tenant => BTreeSet::from([who.tenant.clone()]),
            };
            narrow(&mut resolved, column, allowed);
        }
        resolved
    }
}

/// Reads and resolves several texts that must all hold.
///
/// # Errors
/// [`RowsError`] of the first that is none.
pub fn resolve<'a>(texts: impl IntoIterator<Item = &'a String>, who: &Facts) -> Result<Resolved, RowsError> {
    let mut all = Resolved::new();
    for text in texts {
        for (column, allowed) in RowRules::parse(text)?.resolve(who) {
            narrow(&mut all, &column, allowed);
        }
    }
    Ok(all)
}

fn narrow(resolved: &mut Resolved, column: &str, allowed: BTreeSet<String>) {
    match resolved.get_mut(column) {
        Some(before) => before.retain(|value| allowed.contains(value)),
        None => drop(resolved.insert(column.to_owned(), allowed)),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, expected: &'static str) -> RowsError {
        RowsError { at: self.at, expected }
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n']).len();
    }

    /// The next word, if there is one here.
    fn word(&mut self) -> Option<&'a str> {
        self.spaces();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.'));
        let word = rest.get(..end.unwrap_or(rest.len())).filter(|word| !word.is_empty())?;
        self.at += word.len();
        Some(word)
    }

    fn name(&mut self, expected: &'static str) -> Result<String, RowsError> {
        self.spaces();
        let error = self.error(expected);
        let word = self.word().filter(|word| word.len() <= MAX_NAME && !word.contains('.') && *word != "and");
        word.map(str::to_owned).ok_or(error)
    }

    fn rule(&mut self) -> Result<(String, Values), RowsError> {
        let column = self.name("a column of up to 40 of a-z, A-Z, 0-9 and _")?;
        self.spaces();
        if self.rest().starts_with('=') {
            self.at += 1;
            return Ok((column, self.equal()?));
        }
        if self.word() != Some("in") {
            return Err(self.error("= or in"));
        }
        Ok((column, Values::Set(self.name("the name of a set")?)))
    }

    fn equal(&mut self) -> Result<Values, RowsError> {
        self.spaces();
        if !self.rest().starts_with('\'') {
            let error = self.error("'text' or principal.tenant");
            return if self.word() == Some("principal.tenant") { Ok(Values::Tenant) } else { Err(error) };
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let end = self.rest().find('\'').ok_or_else(|| self.error("a quote that ends the text"))?;
            text.push_str(self.rest().get(..end).unwrap_or_default());
            self.at += end + 1;
            if !self.rest().starts_with('\'') {
                break;
            }
            text.push('\'');
            self.at += 1;
        }
        let fits = !text.is_empty() && text.len() <= MAX_TEXT && !text.contains('\0');
        if fits { Ok(Values::Text(text)) } else { Err(self.error("a text of 1 to 256 bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Facts {
        Facts {
            id: "bot".into(),
            tenant: "air".into(),
            roles: BTreeSet::new(),
            clearance: 0,
            attested: false,
            sets: BTreeMap::from([("cancelled".into(), set(&["LH400", "LH401"]))]),
        }
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn rules_resolve_to_lists_of_values() {
        let check = |text: &str, expected: &[(&str, &[&str])]| {
            let resolved = RowRules::parse(text).unwrap().resolve(&who());
            let expected: Resolved =
                expected.iter().map(|(column, values)| ((*column).into(), set(values))).collect();
            assert_eq!(resolved, expected, "{text}");
        };
        check("flight in cancelled", &[("flight", &["LH400", "LH401"])]);
        check("flight in others", &[("flight", &[])]);
        check(
            "state='open' and flight in cancelled",
            &[("flight", &["LH400", "LH401"]), ("state", &["open"])],
        );
        check("name = 'O''Hara; drop table x --'", &[("name", &["O'Hara; drop table x --"])]);
        check("tenant = principal.tenant", &[("tenant", &["air"])]);
        check("flight in cancelled and flight = 'LH401'", &[("flight", &["LH401"])]);
        check("flight in cancelled and flight = 'LH9'", &[("flight", &[])]);
        let both =
            resolve(&["flight in cancelled".to_owned(), "flight = 'LH400'".to_owned()], &who()).unwrap();
        assert_eq!(both, Resolved::from([("flight".into(), set(&["LH400"]))]));
    }

    #[test]
    fn what_is_not_of_the_grammar_is_refused() {
        let nine = ["a = 'b'"; 9].join(" and ");
        for text in [
            "",
            "flight",
            "flight =",
            "flight = LH400",
            "flight = 'x",
            "flight = ''",
            "flight in",
            "flight in 'x'",
            "flight in a or b = 'c'",
            "flight in a; drop table x",
            "1=1 --",
            "flight in a and",
            "and = 'x'",
            "flight = 'a' flight = 'b'",
            "a.b = 'c'",
            "(flight in a)",
            "flight <> 'a'",
            "tenant = principal.id",
            "flight in principal.tenant",
            "é = 'x'",
            &nine,
        ] {
            assert!(RowRules::parse(text).is_err(), "{text}");
        }
    }
}
