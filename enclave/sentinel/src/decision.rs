//! The decision point of a running enclave: the measured policy pack, asked about one principal and one action.
//!
//! Promises
//! - Policies that do not validate against the schema stop the start.
//! - Only a decision that lets it happen makes a [`Permit`]; the obligations go with it.
//!
//! Does not: ask a person or try again later. Where a policy would have a person decide, or says "not now", the answer is no.
//!
//! Trusts: the policy pack, because its digest is in PCR16; the [`Principal`], because [`crate::token`] made it.

use crate::token::Principal;
use adyton_attestation::Timestamp;
use adyton_decision::{Decided, Facts, Pack, PackError, Question, Resource, Situation};
use adyton_wire::control::{Action, MAX_PURPOSE};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why something was not permitted. Stays inside the sentinel; a client learns only `forbidden`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// No policy permits it, one forbids it, or one could not be evaluated.
    #[error("denied by policy")]
    Denied,
    /// A field is out of its bounds.
    #[error("denied: a field is out of its bounds")]
    Bounds,
    /// It would be permitted if persons approved, and nobody is asked yet.
    #[error("denied: {persons} would have to approve")]
    NeedsPersons {
        /// How many.
        persons: u8,
    },
    /// It would be permitted at another time.
    #[error("denied: not now")]
    NotNow,
}

/// Having a `Permit` tells you that the measured policy permits one action of one principal, under these limits.
#[derive(Debug)]
pub struct Permit {
    max_tokens: Option<u32>,
}

impl Permit {
    /// At most this many tokens, whatever was asked for.
    pub fn bounded(&self, asked: u32) -> u32 {
        self.max_tokens.map_or(asked, |most| most.min(asked))
    }
}

/// The validated policies.
#[derive(Debug)]
pub struct DecisionPoint(Pack);

impl DecisionPoint {
    /// Parses and validates a policy pack.
    ///
    /// # Errors
    /// [`PackError`] names the file and what is wrong in it.
    pub fn load(schema: &str, policies: &str) -> Result<DecisionPoint, PackError> {
        Pack::load(schema, policies, "", "").map(DecisionPoint)
    }

    /// Decides whether `principal` may do `action` on `model` at `now`.
    ///
    /// # Errors
    /// [`Refusal`] for everything but a decision that lets it happen.
    pub fn decide(
        &self,
        principal: &Principal,
        action: &Action,
        model: &str,
        now: Timestamp,
    ) -> Result<Permit, Refusal> {
        let outcome = self.0.decide(&question(principal, action, model, now)?);
        match outcome.decided {
            Decided::Allow | Decided::Modify => Ok(Permit { max_tokens: outcome.obligations.max_tokens }),
            Decided::StepUp { persons } => Err(Refusal::NeedsPersons { persons }),
            Decided::Defer => Err(Refusal::NotNow),
            Decided::Deny => Err(Refusal::Denied),
        }
    }
}

fn question(who: &Principal, action: &Action, model: &str, now: Timestamp) -> Result<Question, Refusal> {
    let (word, purpose, amounts) = match action {
        Action::ListModels => ("ListModels", String::new(), BTreeMap::new()),
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => {
            if purpose.is_empty() || purpose.len() > MAX_PURPOSE {
                return Err(Refusal::Bounds);
            }
            let amounts = [("max_tokens", *max_tokens), ("prompt_bytes", *prompt_bytes)];
            let amounts = amounts.map(|(name, number)| (name.to_owned(), i64::from(number)));
            ("Generate", purpose.clone(), BTreeMap::from(amounts))
        }
    };
    Ok(Question {
        principal: Facts {
            id: who.id(),
            tenant: who.tenant.clone(),
            roles: who.roles.iter().cloned().collect(),
            clearance: who.clearance,
            attested: who.attested,
        },
        action: word.to_owned(),
        resource: Resource { kind: "Model".to_owned(), id: model.to_owned() },
        purpose,
        amounts,
        situation: situation(now),
    })
}

/// What is known of the moment: the time, and that nobody has approved. Sessions have no memory yet and behaviour is not
/// watched, so of the rest the worst is assumed: a policy that relies on it denies, and does not pass for kept.
fn situation(now: Timestamp) -> Situation {
    let hours = now.as_millis() / 3_600_000;
    // 1970-01-01 was a Thursday.
    let weekday = (hours / 24 + 3) % 7 + 1;
    let small = |number: u64| u8::try_from(number).unwrap_or(0);
    Situation {
        hour: small(hours % 24),
        weekday: small(weekday),
        approvals: 0,
        risk: 100,
        untrusted: true,
        private: true,
        outside: true,
        confidentiality: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../policy/adyton.cedarschema");
    /// 2026-11-03T10:20:30Z, a Tuesday.
    const NOW: Timestamp = Timestamp::from_secs(1_793_701_230);
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
            (&["chat"], 3, generate(&long_purpose, 1), Some(Refusal::Bounds)),
        ];
        for (roles, clearance, action, expected) in cases {
            let decided = point.decide(&who(roles, clearance), &action, "m", NOW).err();
            assert_eq!(decided, expected, "{roles:?} {clearance} {action:?}");
        }
    }

    #[test]
    fn restricted_text_is_for_attested_principals() {
        let point = DecisionPoint::load(SCHEMA, POLICIES).unwrap();
        let mut enclave = who(&["chat"], 3);
        enclave.attested = true;
        assert!(point.decide(&enclave, &generate("restricted", 100), "m", NOW).is_ok());
    }

    #[test]
    fn obligations_bound_what_was_asked_for_and_persons_are_not_there_yet() {
        let policies = r#"
            @id("short") @max_tokens("50") permit (principal, action, resource);
            @id("person") @step_up("2") forbid (principal, action == Action::"Generate", resource)
            when { context.purpose == "letters" && context.situation.approvals < 2 };
            @id("night") @defer("at night") forbid (principal, action == Action::"Generate", resource)
            when { context.purpose == "files" && context.situation.hour < 6 };"#;
        let point = DecisionPoint::load(SCHEMA, policies).unwrap();
        let decide = |purpose: &str, now| point.decide(&who(&[], 0), &generate(purpose, 100), "m", now);
        let permit = decide("general", NOW).unwrap();
        assert_eq!((permit.bounded(100), permit.bounded(20)), (50, 20));
        assert_eq!(decide("letters", NOW).unwrap_err(), Refusal::NeedsPersons { persons: 2 });
        let night = Timestamp::from_secs(1_793_671_200); // 02:00
        assert_eq!(decide("files", night).unwrap_err(), Refusal::NotNow);
        assert!(decide("files", NOW).is_ok());
    }

    #[test]
    fn of_what_nobody_establishes_the_worst_is_assumed() {
        for relied_on in
            ["risk >= 90", "untrusted", "private", "outside", "confidentiality >= 3", "approvals < 1"]
        {
            let policies = format!(
                "@id(\"all\") permit (principal, action, resource);
                 @id(\"relies\") forbid (principal, action, resource) when {{ context.situation.{relied_on} }};"
            );
            let point = DecisionPoint::load(SCHEMA, &policies).unwrap();
            let decided = point.decide(&who(&["chat"], 3), &generate("general", 100), "m", NOW).err();
            assert_eq!(decided, Some(Refusal::Denied), "{relied_on}");
        }
    }

    #[test]
    fn days_and_hours_are_those_of_the_calendar() {
        let tuesday = situation(NOW);
        assert_eq!((tuesday.weekday, tuesday.hour), (2, 10));
        let thursday = situation(Timestamp::from_secs(0));
        assert_eq!((thursday.weekday, thursday.hour), (4, 0));
    }

    #[test]
    fn bad_packs_stop_the_start() {
        assert!(matches!(DecisionPoint::load("entity", POLICIES), Err(PackError::Schema(_))));
        assert!(matches!(DecisionPoint::load(SCHEMA, "permit ("), Err(PackError::Syntax(_))));
        let misspelt =
            "@id(\"a\") permit (principal, action, resource) when { principal.rolse.contains(\"x\") };";
        assert!(matches!(DecisionPoint::load(SCHEMA, misspelt), Err(PackError::Invalid(_))));
    }
}
