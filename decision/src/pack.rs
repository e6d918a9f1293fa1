//! A policy pack: schema, policies, decision contexts, resources. Loading is judging.
//!
//! # Promises
//! - A pack whose policies do not validate against its schema, have no `@id`, share one, or carry an annotation that is not
//!   understood does not load; the error names file and place.
//! - A forbid that a person can lift steps up only where everything else would allow.
//!
//! # Does not
//! - Read files.
//!
//! # Trusts
//! - The pack's bytes, which the caller has compared with a measurement.
//!
//! Source: Cedar 4, strict validation; `is_authorized` skips policies whose evaluation fails, so diagnostics are looked at.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, Response, RestrictedExpression, Schema, ValidationMode, Validator,
};

use miette::Diagnostic;

use crate::contexts::{Contexts, ContextsError};
use crate::index::Index;
use crate::obligations::{Annotations, Obligations};
use crate::outcome::{Decided, Outcome};
use crate::place;
use crate::question::{Question, Resource, Resources, Situation};

/// Why a pack was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The schema does not parse.
    #[error("adyton.cedarschema: {0}")]
    Schema(String),
    /// The policies do not parse.
    #[error("policies.cedar: {0}")]
    Syntax(String),
    /// The policies do not fit the schema.
    #[error("policies.cedar does not fit the schema: {0}")]
    Invalid(String),
    /// An annotation is wrong.
    #[error("policies.cedar: {0}")]
    Annotation(String),
    /// The contexts.
    #[error(transparent)]
    Contexts(#[from] ContextsError),
    /// The resources.
    #[error("resources.toml: {0}")]
    Resources(String),
}

/// A pack that was judged.
#[derive(Debug)]
pub struct Pack {
    schema: Schema,
    policies: PolicySet,
    index: Index,
    annotations: BTreeMap<PolicyId, Annotations>,
    contexts: Contexts,
    resources: Resources,
}

impl Pack {
    /// From the texts of its files; contexts and resources may be empty.
    ///
    /// # Errors
    /// [`PackError`]
    pub fn load(schema: &str, policies: &str, contexts: &str, resources: &str) -> Result<Self, PackError> {
        let (schema, _warnings) = Schema::from_cedarschema_str(schema)
            .map_err(|error| PackError::Schema(place::cedar(schema, &error)))?;
        let text = policies;
        let policies =
            PolicySet::from_str(text).map_err(|errors| PackError::Syntax(listed(text, errors.iter())))?;
        let report = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if !report.validation_passed() {
            return Err(PackError::Invalid(listed(text, report.validation_errors())));
        }
        let index = Index::new(&schema, &policies);
        Ok(Self {
            index: index.ok_or_else(|| PackError::Syntax("a policy cannot be filed".to_owned()))?,
            annotations: annotations(&policies)?,
            contexts: Contexts::parse(contexts)?,
            resources: Resources::parse(resources).map_err(PackError::Resources)?,
            schema,
            policies,
        })
    }

    /// The policies by what they demand.
    #[cfg(test)]
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Decides one question.
    pub fn decide(&self, question: &Question) -> Outcome {
        let Some(limits) = self.contexts.limits(question) else {
            return Outcome::deny(Vec::new(), "it is outside the decision context of its purpose");
        };
        let Some((request, entities)) = self.request(question) else {
            return Outcome::deny(Vec::new(), "the question does not fit the schema");
        };
        let Some(response) = self.index.ask(question, &request, &entities) else {
            return Outcome::deny(Vec::new(), "the schema has no such action");
        };
        if let Some(error) = response.diagnostics().errors().next() {
            return Outcome::deny(self.names(&response), format!("a policy could not be evaluated: {error}"));
        }
        match response.decision() {
            Decision::Allow => self.allowed(question, &response, limits),
            Decision::Deny => self.denied(&response, &request, &entities),
        }
    }

    /// What `resources.toml` says of a resource under a name, if that is true or false.
    pub fn truth(&self, resource: &Resource, name: &str) -> Option<bool> {
        self.resources.attributes(resource)?.get(name)?.as_bool()
    }

    /// What it says under a name, if that is a number.
    pub fn number(&self, resource: &Resource, name: &str) -> Option<i64> {
        self.resources.attributes(resource)?.get(name)?.as_i64()
    }

    /// What it says under a name, if that is text.
    pub fn text(&self, resource: &Resource, name: &str) -> Option<&str> {
        self.resources.attributes(resource)?.get(name)?.as_str()
    }

    /// The names of a collection's fields: those of which `resources.toml` knows `collection.field`.
    pub fn fields<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = &'a str> {
        self.resources.fields(collection)
    }

    fn allowed(&self, question: &Question, response: &Response, limits: Obligations) -> Outcome {
        let permits = response.diagnostics().reason().filter_map(|id| self.annotations.get(id));
        let from_policies = permits.map(|permit| permit.obligations.clone()).fold(limits, Obligations::and);
        let obligations = from_policies.and(self.masked(question));
        let decided = if obligations.is_empty() { Decided::Allow } else { Decided::Modify };
        Outcome { decided, obligations, policies: self.names(response), because: "permitted".to_owned() }
    }

    /// A look-up leaves out every field that the context of its purpose does not list.
    fn masked(&self, question: &Question) -> Obligations {
        let collection = &question.resource.id;
        let listed = self.contexts.fields(&question.purpose, collection);
        let (Some(listed), "Retrieve") = (listed, question.action.as_str()) else {
            return Obligations::default();
        };
        let all = self.resources.fields(collection);
        let mask = all.filter(|field| !listed.contains(*field)).map(str::to_owned).collect();
        Obligations { mask, ..Obligations::default() }
    }

    /// Denied: for good, or until somebody approves or some time has passed?
    fn denied(&self, response: &Response, request: &Request, entities: &Entities) -> Outcome {
        let deciding: Vec<&PolicyId> = response.diagnostics().reason().collect();
        let names = self.names(response);
        let lifted: Vec<&Annotations> = deciding.iter().filter_map(|id| self.annotations.get(*id)).collect();
        let passing = |one: &&Annotations| one.step_up.is_some() || one.defer.is_some();
        if deciding.is_empty() {
            return Outcome::deny(names, "no policy permits it");
        }
        if !lifted.iter().all(passing) || !self.allows_without(&deciding, request, entities) {
            return Outcome::deny(names, "a policy forbids it");
        }
        let persons = lifted.iter().filter_map(|one| one.step_up).max();
        let decided = persons.map_or(Decided::Defer, |persons| Decided::StepUp { persons });
        let reasons: Vec<&str> = lifted.iter().filter_map(|one| one.defer.as_deref()).collect();
        let because = match persons {
            Some(persons) => format!("allowed if approved by {persons}"),
            None => format!("not now: {}", reasons.join("; ")),
        };
        Outcome { decided, obligations: Obligations::default(), policies: names, because }
    }

    /// Whether everything but these forbids would allow it.
    fn allows_without(&self, forbids: &[&PolicyId], request: &Request, entities: &Entities) -> bool {
        let mut rest = self.policies.clone();
        let removed = forbids.iter().all(|id| rest.remove_static((*id).clone()).is_ok());
        let response = Authorizer::new().is_authorized(request, &rest, entities);
        let clean = response.diagnostics().errors().next().is_none();
        removed && clean && response.decision() == Decision::Allow
    }

    /// The `@id`s of the policies that decided, in order.
    fn names(&self, response: &Response) -> Vec<String> {
        let mut names: Vec<String> = response
            .diagnostics()
            .reason()
            .filter_map(|id| self.annotations.get(id))
            .map(|a| a.id.clone())
            .collect();
        names.sort();
        names
    }

    /// As Cedar takes it. `None` if it does not fit the schema.
    pub(crate) fn request(&self, question: &Question) -> Option<(Request, Entities)> {
        let principal = uid("Principal", &question.principal.id)?;
        let resource = uid(&question.resource.kind, &question.resource.id)?;
        let action = uid("Action", &question.action)?;
        let who = &question.principal;
        let roles = who.roles.iter().map(|role| RestrictedExpression::new_string(role.clone()));
        let facts = [
            ("tenant".to_owned(), RestrictedExpression::new_string(who.tenant.clone())),
            ("roles".to_owned(), RestrictedExpression::new_set(roles)),
            ("clearance".to_owned(), RestrictedExpression::new_long(who.clearance.into())),
            ("attested".to_owned(), RestrictedExpression::new_bool(who.attested)),
        ];
        let known = self.resources.attributes(&question.resource);
        let attributes: Option<_> =
            known.into_iter().flatten().map(|(key, value)| Some((key.clone(), expression(value)?))).collect();
        let entities = Entities::from_entities(
            [
                Entity::new(principal.clone(), facts.into(), HashSet::new()).ok()?,
                Entity::new(resource.clone(), attributes?, HashSet::new()).ok()?,
            ],
            Some(&self.schema),
        )
        .ok()?;
        let context = Context::from_pairs(context(question)?).ok()?;
        Some((Request::new(principal, action, resource, context, Some(&self.schema)).ok()?, entities))
    }
}

fn annotations(policies: &PolicySet) -> Result<BTreeMap<PolicyId, Annotations>, PackError> {
    let mut read = BTreeMap::new();
    let mut names = HashSet::new();
    for policy in policies.policies() {
        let annotations = Annotations::of(policy).map_err(PackError::Annotation)?;
        if !names.insert(annotations.id.clone()) {
            return Err(PackError::Annotation(format!(
                "two policies have the @id \"{}\"; rename one",
                annotations.id
            )));
        }
        read.insert(policy.id().clone(), annotations);
    }
    Ok(read)
}

fn listed<'a, E: Diagnostic + 'a>(text: &str, errors: impl Iterator<Item = &'a E>) -> String {
    errors.map(|error| place::cedar(text, error)).collect::<Vec<_>>().join("; ")
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind).ok()?, EntityId::new(id)))
}

fn expression(value: &serde_json::Value) -> Option<RestrictedExpression> {
    match value {
        serde_json::Value::Bool(truth) => Some(RestrictedExpression::new_bool(*truth)),
        serde_json::Value::Number(number) => number.as_i64().map(RestrictedExpression::new_long),
        serde_json::Value::String(text) => Some(RestrictedExpression::new_string(text.clone())),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

fn context(question: &Question) -> Option<Vec<(String, RestrictedExpression)>> {
    let amounts = question.amounts.iter().map(|(key, n)| (key.clone(), RestrictedExpression::new_long(*n)));
    let situation = RestrictedExpression::new_record(situation(&question.situation)).ok()?;
    let fixed = [
        ("purpose".to_owned(), RestrictedExpression::new_string(question.purpose.clone())),
        ("situation".to_owned(), situation),
    ];
    Some(fixed.into_iter().chain(amounts).collect())
}

fn situation(now: &Situation) -> Vec<(String, RestrictedExpression)> {
    let long = |number: u8| RestrictedExpression::new_long(number.into());
    let truth = RestrictedExpression::new_bool;
    [
        ("hour", long(now.hour)),
        ("weekday", long(now.weekday)),
        ("risk", long(now.risk)),
        ("approvals", long(now.approvals)),
        ("open", long(now.open)),
        ("untrusted", truth(now.untrusted)),
        ("private", truth(now.private)),
        ("outside", truth(now.outside)),
        ("confidentiality", long(now.confidentiality)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
