//! Which policies a question needs. The others are false for it, and need not be asked.
//!
//! Cedar evaluates every policy for every request, at a microsecond or two each. Here each policy is filed under the
//! actions that its scope names, and under a word without which it cannot hold: a purpose, a tenant or a role that its
//! conditions demand. A question is put to those that are filed under its own words, and to those under none.
//!
//! # Promises
//! - The answer is Cedar's over all policies: the same decision, reasons and errors. A policy is left out only if it is
//!   false for the question, and only if nothing in its conditions can fail under strict validation ([`harmless`]): an
//!   error would deny.
//! - Memory grows with the policies and the schema's actions, not with combinations of words.
//!
//! # Trusts
//! - That requests and entities were validated against the schema, as policies were.
//!
//! Source: Cedar, "policy slicing"; the JSON form of policies (EST) for what stands in a condition.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Entities, EntityUid, Policy, PolicySet, Request, Response, Schema,
};
use serde_json::Value;

use crate::question::Question;

/// What a condition demands to be so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Purpose(String),
    Tenant(String),
    Role(String),
}

/// Policies by action, and then by word.
#[derive(Debug)]
pub(crate) struct Index(HashMap<EntityUid, Filed>);

/// The policies that may apply to one action.
#[derive(Debug, Default)]
struct Filed {
    general: PolicySet,
    purposes: BTreeMap<String, PolicySet>,
    tenants: BTreeMap<String, PolicySet>,
    roles: BTreeMap<String, PolicySet>,
}

impl Index {
    /// Files every policy. `None` if one cannot be read or filed, which one that was parsed can.
    pub(crate) fn new(schema: &Schema, policies: &PolicySet) -> Option<Index> {
        let mut index: HashMap<EntityUid, Filed> =
            schema.actions().map(|action| (action.clone(), Filed::default())).collect();
        let demands: Vec<(&Policy, Vec<BTreeSet<Word>>)> = policies
            .policies()
            .map(|policy| Some((policy, demands(&policy.to_json().ok()?))))
            .collect::<Option<_>>()?;
        // How many policies could be filed under a word: the rarer, the better it divides.
        let mut usual: BTreeMap<&Word, usize> = BTreeMap::new();
        for word in demands.iter().flat_map(|(_, demands)| demands.iter().flatten()) {
            *usual.entry(word).or_default() += 1;
        }
        let most = |demand: &&BTreeSet<Word>| demand.iter().filter_map(|word| usual.get(word)).max().copied();
        for (policy, demands) in &demands {
            let under = demands.iter().min_by_key(most);
            let named = |action: &EntityUid| match policy.action_constraint() {
                // Whether an action is in a group is the schema's matter; to ask the policy is right in any case.
                ActionConstraint::Any | ActionConstraint::In(_) => true,
                ActionConstraint::Eq(only) => only == *action,
            };
            for filed in index.iter_mut().filter(|(action, _)| named(action)).map(|(_, filed)| filed) {
                filed.file(policy, under)?;
            }
        }
        Some(Index(index))
    }

    /// What Cedar answers over all policies. `None` for an action that the schema does not have.
    pub(crate) fn ask(
        &self,
        question: &Question,
        request: &Request,
        entities: &Entities,
    ) -> Option<Response> {
        let filed = self.0.get(request.action()?)?;
        let who = &question.principal;
        let sets = [filed.purposes.get(&question.purpose), filed.tenants.get(&who.tenant)];
        let roles = who.roles.iter().map(|role| filed.roles.get(role));
        let sets = sets.into_iter().chain(roles).flatten();
        let authorizer = Authorizer::new();
        let answers = std::iter::once(&filed.general).chain(sets);
        Some(joined(answers.map(|set| authorizer.is_authorized(request, set, entities))))
    }
}

impl Filed {
    fn file(&mut self, policy: &Policy, under: Option<&BTreeSet<Word>>) -> Option<()> {
        let Some(words) = under else { return self.general.add(policy.clone()).ok() };
        for word in words {
            let set = match word {
                Word::Purpose(purpose) => self.purposes.entry(purpose.clone()).or_default(),
                Word::Tenant(tenant) => self.tenants.entry(tenant.clone()).or_default(),
                Word::Role(role) => self.roles.entry(role.clone()).or_default(),
            };
            set.add(policy.clone()).ok()?;
        }
        Some(())
    }
}

/// The answer over several sets: a forbid in any denies, then a permit in any allows, else nothing does.
fn joined(answers: impl Iterator<Item = Response>) -> Response {
    let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        let reasons = answer.diagnostics().reason().cloned();
        match answer.decision() {
            Decision::Allow => permits.extend(reasons),
            Decision::Deny => forbids.extend(reasons),
        }
        errors.extend(answer.diagnostics().errors().cloned());
    }
    let allowed = forbids.is_empty() && !permits.is_empty();
    let (decision, reasons) = if allowed { (Decision::Allow, permits) } else { (Decision::Deny, forbids) };
    Response::new(decision, reasons.into_iter().collect(), errors)
}

/// Each thing that a policy's conditions demand, as the words of which one must be there. Nothing, if anything in them
/// could fail: then the policy must be asked, for its error denies.
fn demands(policy: &Value) -> Vec<BTreeSet<Word>> {
    let mut parts = Vec::new();
    for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let Some(body) = condition.get("body").filter(|body| harmless(body)) else { return Vec::new() };
        if condition.get("kind").and_then(Value::as_str) == Some("when") {
            conjuncts(body, &mut parts);
        }
    }
    parts.into_iter().filter_map(words).collect()
}

fn conjuncts<'a>(body: &'a Value, parts: &mut Vec<&'a Value>) {
    match sides(body, "&&") {
        Some((left, right)) => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        None => parts.push(body),
    }
}

/// Both sides of an expression, if it is of this kind.
fn sides<'a>(body: &'a Value, kind: &str) -> Option<(&'a Value, &'a Value)> {
    let inner = body.get(kind)?;
    Some((inner.get("left")?, inner.get("right")?))
}

/// What one part demands: `context.purpose == "x"`, `["x", "y"].contains(context.purpose)`, `principal.tenant` alike,
/// `principal.roles.contains("x")`, `principal.roles.containsAny(["x", "y"])`.
fn words(part: &Value) -> Option<BTreeSet<Word>> {
    let purpose = ("context", "purpose", Word::Purpose as fn(String) -> Word);
    let tenant = ("principal", "tenant", Word::Tenant as fn(String) -> Word);
    let role = |words: Vec<String>| words.into_iter().map(Word::Role).collect();
    if let Some((left, right)) = sides(part, "==") {
        let known = [purpose, tenant].into_iter().find(|(var, name, _)| is_attribute(left, var, name))?;
        return Some(BTreeSet::from([known.2(text(right)?)]));
    }
    if let Some((left, right)) = sides(part, "contains") {
        if is_attribute(left, "principal", "roles") {
            return Some(role(vec![text(right)?]));
        }
        let known = [purpose, tenant].into_iter().find(|(var, name, _)| is_attribute(right, var, name))?;
        return Some(texts(left)?.into_iter().map(known.2).collect());
    }
    let (left, right) = sides(part, "containsAny")?;
    is_attribute(left, "principal", "roles").then(|| texts(right).map(role))?
}

fn is_attribute(body: &Value, of: &str, name: &str) -> bool {
    let access = body.get(".");
    let var = access.and_then(|access| access.get("left")?.get("Var")?.as_str());
    let attr = access.and_then(|access| access.get("attr")?.as_str());
    var == Some(of) && attr == Some(name)
}

fn text(body: &Value) -> Option<String> {
    body.get("Value")?.as_str().map(str::to_owned)
}

fn texts(body: &Value) -> Option<Vec<String>> {
    body.get("Set")?.as_array()?.iter().map(text).collect()
}

/// Whether an expression cannot fail: no arithmetic, which may overflow; no function of an extension; attributes only of
/// what is in every request, and of the record `context.situation`.
fn harmless(body: &Value) -> bool {
    let Some((kind, inner)) = body.as_object().filter(|one| one.len() == 1).and_then(|one| one.iter().next())
    else {
        return false;
    };
    let side = |name: &str| inner.get(name).is_some_and(harmless);
    match kind.as_str() {
        "Value" => inner.is_boolean() || inner.is_i64() || inner.is_string(),
        "Var" => true,
        "Set" => inner.as_array().is_some_and(|all| all.iter().all(harmless)),
        "!" => side("arg"),
        "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||" | "contains" | "containsAll" | "containsAny" => {
            side("left") && side("right")
        }
        "." => inner
            .get("left")
            .is_some_and(|left| left.get("Var").is_some() || is_attribute(left, "context", "situation")),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
