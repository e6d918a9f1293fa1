//! The decision point: Cedar over the measured policy pack. Default deny; an evaluation error denies.
//!
//! Promises
//! - Policies that do not validate against the schema stop the start.
//! - A decision with any evaluation error is a deny, also where Cedar alone would permit (it skips a policy
//!   whose evaluation fails, a `forbid` too).
//!
//! Trusts: the policy pack, because its digest is in PCR16; the [`Principal`], because [`crate::token`] made it.

use crate::token::Principal;
use adyton_wire::control::{Action, MAX_PURPOSE};
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use thiserror::Error;

/// Why a policy pack was refused at start.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The schema does not parse.
    #[error("adyton.cedarschema: {0}")]
    Schema(String),
    /// The policies do not parse.
    #[error("policies.cedar: {0}")]
    Syntax(String),
    /// The policies do not fit the schema.
    #[error("policies.cedar does not fit the schema: {0}")]
    Invalid(String),
}

/// Why something was not permitted. Stays inside the sentinel; a client learns only `forbidden`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// No policy permits it, or one forbids it.
    #[error("denied by policy")]
    Denied,
    /// The request does not fit the schema, or a policy could not be evaluated.
    #[error("denied: the policy could not be evaluated")]
    Evaluation,
}

/// Having a `Permit` tells you that the measured policy permits one action of one principal.
#[derive(Debug)]
pub struct Permit {
    _private: (),
}

/// The validated policies.
#[derive(Debug)]
pub struct DecisionPoint {
    schema: Schema,
    policies: PolicySet,
    principal_type: EntityTypeName,
    model_type: EntityTypeName,
    action_type: EntityTypeName,
}

impl DecisionPoint {
    /// Parses and validates a policy pack.
    ///
    /// # Errors
    /// [`PolicyError`] names the file and what is wrong in it.
    pub fn load(schema: &str, policies: &str) -> Result<DecisionPoint, PolicyError> {
        let (schema, _warnings) =
            Schema::from_cedarschema_str(schema).map_err(|e| PolicyError::Schema(e.to_string()))?;
        let policies = PolicySet::from_str(policies).map_err(|e| PolicyError::Syntax(located(&e)))?;
        let report = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if !report.validation_passed() {
            let errors: Vec<String> = report.validation_errors().map(ToString::to_string).collect();
            return Err(PolicyError::Invalid(errors.join("; ")));
        }
        let name =
            |name: &str| EntityTypeName::from_str(name).map_err(|e| PolicyError::Schema(e.to_string()));
        Ok(DecisionPoint {
            schema,
            policies,
            principal_type: name("Principal")?,
            model_type: name("Model")?,
            action_type: name("Action")?,
        })
    }

    /// Decides whether `principal` may do `action` on `model`.
    ///
    /// # Errors
    /// [`Refusal`] for everything but a permit without an evaluation error.
    pub fn decide(&self, principal: &Principal, action: &Action, model: &str) -> Result<Permit, Refusal> {
        let (request, entities) = self.question(principal, action, model).ok_or(Refusal::Evaluation)?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        if response.diagnostics().errors().next().is_some() {
            return Err(Refusal::Evaluation);
        }
        match response.decision() {
            cedar_policy::Decision::Allow => Ok(Permit { _private: () }),
            cedar_policy::Decision::Deny => Err(Refusal::Denied),
        }
    }

    fn question(&self, who: &Principal, action: &Action, model: &str) -> Option<(Request, Entities)> {
        let uid = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let principal = uid(&self.principal_type, &who.id());
        let resource = uid(&self.model_type, model);
        let (word, context) = describe(action)?;
        let roles = who.roles.iter().map(|r| RestrictedExpression::new_string(r.clone()));
        let attributes = HashMap::from([
            ("tenant".to_owned(), RestrictedExpression::new_string(who.tenant.clone())),
            ("roles".to_owned(), RestrictedExpression::new_set(roles)),
            ("clearance".to_owned(), RestrictedExpression::new_long(i64::from(who.clearance))),
            ("attested".to_owned(), RestrictedExpression::new_bool(who.attested)),
        ]);
        let entities = Entities::from_entities(
            [
                Entity::new(principal.clone(), attributes, HashSet::new()).ok()?,
                Entity::new_no_attrs(resource.clone(), HashSet::new()),
            ],
            Some(&self.schema),
        )
        .ok()?;
        let context = Context::from_pairs(context).ok()?;
        let action = uid(&self.action_type, word);
        Some((Request::new(principal, action, resource, context, Some(&self.schema)).ok()?, entities))
    }
}

/// A parse error with its line.
fn located(error: &cedar_policy::ParseErrors) -> String {
    error.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The action's name in the schema and its context; `None` if a field is out of bounds.
fn describe(action: &Action) -> Option<(&'static str, Vec<(String, RestrictedExpression)>)> {
    match action {
        Action::ListModels => Some(("ListModels", Vec::new())),
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => {
            if purpose.is_empty() || purpose.len() > MAX_PURPOSE {
                return None;
            }
            let long = |n: u32| RestrictedExpression::new_long(i64::from(n));
            Some((
                "Generate",
                vec![
                    ("purpose".to_owned(), RestrictedExpression::new_string(purpose.clone())),
                    ("max_tokens".to_owned(), long(*max_tokens)),
                    ("prompt_bytes".to_owned(), long(*prompt_bytes)),
                ],
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../policy/adyton.cedarschema");
    const POLICIES: &str = include_str!("../../policy/policies.cedar");

    fn who(roles: &[&str], clearance: u8) -> Principal {
        Principal::for_tests("acme", "ann", roles, clearance)
    }

    fn generate(purpose: &str, max_tokens: u32) -> Action {
        Action::Generate { model: "m".into(), purpose: purpose.into(), max_tokens, prompt_bytes: 10 }
    }

    #[test]
    fn the_shipped_policy_decides_as_its_comments_say() {
        let point = DecisionPoint::load(SCHEMA, POLICIES).unwrap();
        let long_purpose = "x".repeat(MAX_PURPOSE + 1);
        let cases: [(&[&str], u8, Action, Option<Refusal>); 10] = [
            (&["chat"], 0, generate("general", 100), None),
            (&["chat"], 0, Action::ListModels, None),
            (&[], 3, generate("general", 100), Some(Refusal::Denied)),
            (&["audit"], 3, Action::ListModels, Some(Refusal::Denied)),
            (&["chat"], 1, generate("health", 100), Some(Refusal::Denied)),
            (&["chat"], 2, generate("health", 100), None),
            (&["chat"], 3, generate("world domination", 100), Some(Refusal::Denied)),
            (&["chat"], 3, generate("restricted", 100), Some(Refusal::Denied)),
            (&["chat"], 3, generate("general", 4097), Some(Refusal::Denied)),
            (&["chat"], 3, generate(&long_purpose, 1), Some(Refusal::Evaluation)),
        ];
        for (roles, clearance, action, expected) in cases {
            let decided = point.decide(&who(roles, clearance), &action, "m").err();
            assert_eq!(decided, expected, "{roles:?} {clearance} {action:?}");
        }
    }

    #[test]
    fn restricted_text_is_for_attested_principals() {
        let point = DecisionPoint::load(SCHEMA, POLICIES).unwrap();
        let mut enclave = who(&["chat"], 3);
        enclave.attested = true;
        assert!(point.decide(&enclave, &generate("restricted", 100), "m").is_ok());
    }

    #[test]
    fn an_evaluation_error_denies_although_another_policy_permits() {
        // Overflow is an evaluation error; Cedar would skip the failing forbid and permit.
        let policies = r#"
            permit (principal, action, resource);
            forbid (principal, action == Action::"Generate", resource)
            when { context.max_tokens * 9223372036854775807 > 0 };"#;
        let point = DecisionPoint::load(SCHEMA, policies).unwrap();
        let decided = point.decide(&who(&["chat"], 0), &generate("general", 100), "m").err();
        assert_eq!(decided, Some(Refusal::Evaluation));
    }

    #[test]
    fn bad_packs_stop_the_start() {
        assert!(matches!(DecisionPoint::load("entity", POLICIES), Err(PolicyError::Schema(_))));
        assert!(matches!(DecisionPoint::load(SCHEMA, "permit ("), Err(PolicyError::Syntax(_))));
        let misspelt = "permit (principal, action, resource) when { principal.rolse.contains(\"x\") };";
        assert!(matches!(DecisionPoint::load(SCHEMA, misspelt), Err(PolicyError::Invalid(_))));
    }
}
