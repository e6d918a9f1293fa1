//! One statement of a key policy, as AWS reads it: names of actions and conditions without regard to case, single values or lists.

use serde_json::Value;

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// `Sid`, or its number.
    pub(super) name: String,
    pub(super) allows: bool,
    pub(super) principals: Vec<String>,
    pub(super) actions: Vec<String>,
    /// `NotAction`, `NotPrincipal` or `NotResource`: it says what is left out.
    pub(super) inverted: bool,
    /// Operator, key and values.
    pub(super) conditions: Vec<Condition>,
}

/// One line of a `Condition`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) operator: String,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

impl Statement {
    /// All statements of a policy, or why it is none.
    pub(super) fn all(json: &[u8]) -> Result<Vec<Statement>, String> {
        let policy: Value = serde_json::from_slice(json).map_err(|e| format!("this is not JSON: {e}"))?;
        if policy.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
            return Err("its Version is not 2012-10-17".to_owned());
        }
        let statements = match policy.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err("it has no Statement".to_owned()),
        };
        let one =
            |(number, value)| Statement::one(number, value).ok_or(format!("statement {number} is malformed"));
        statements.into_iter().enumerate().map(one).collect()
    }

    fn one(number: usize, value: &Value) -> Option<Statement> {
        let name =
            value.get("Sid").and_then(Value::as_str).map_or(format!("statement {number}"), str::to_owned);
        let allows = match value.get("Effect")?.as_str()? {
            "Allow" => true,
            "Deny" => false,
            _ => return None,
        };
        let principal = value.get("Principal").or_else(|| value.get("NotPrincipal"))?;
        let principals = match principal {
            Value::Object(kinds) => kinds.values().map(texts).collect::<Option<Vec<_>>>()?.concat(),
            other => texts(other)?,
        };
        let actions = texts(value.get("Action").or_else(|| value.get("NotAction"))?)?;
        let inverted =
            ["NotAction", "NotPrincipal", "NotResource"].iter().any(|key| value.get(key).is_some());
        let mut conditions = Vec::new();
        if let Some(blocks) = value.get("Condition") {
            for (operator, keys) in blocks.as_object()? {
                for (key, values) in keys.as_object()? {
                    conditions.push(Condition {
                        operator: operator.to_ascii_lowercase(),
                        key: key.to_ascii_lowercase(),
                        values: texts(values)?,
                    });
                }
            }
        }
        Some(Statement { name, allows, principals, actions, inverted, conditions })
    }

    /// Whether it covers an action, by name or by pattern.
    pub(super) fn covers(&self, action: &str) -> bool {
        self.actions
            .iter()
            .any(|pattern| matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
    }

    /// Whether it covers one of them.
    pub(super) fn covers_any(&self, actions: &[&str]) -> bool {
        actions.iter().any(|action| self.covers(action))
    }

    /// It speaks of everybody.
    pub(super) fn of_everybody(&self) -> bool {
        self.principals.iter().any(|principal| principal == "*")
    }

    /// Conditions on a key, whatever their operator.
    pub(super) fn on(&self, key: &str) -> impl Iterator<Item = &Condition> {
        let key = key.to_ascii_lowercase();
        self.conditions.iter().filter(move |condition| condition.key == key)
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(flag) => Some(vec![flag.to_string()]),
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// `*` stands for any number of characters, `?` for one. Linear in both: the last star is all that is gone back to.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&b) if b == b'?' || text.get(t) == Some(&b) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_aws() {
        for (pattern, text, expected) in [
            ("kms:*", "kms:decrypt", true),
            ("*", "kms:decrypt", true),
            ("kms:de*t", "kms:decrypt", true),
            ("kms:d?crypt", "kms:decrypt", true),
            ("kms:*crypt*", "kms:reencryptfrom", true),
            ("kms:generatedatakey", "kms:generatedatakeypair", false),
            ("kms:de", "kms:decrypt", false),
            ("kms:?", "kms:", false),
            ("", "kms:decrypt", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
