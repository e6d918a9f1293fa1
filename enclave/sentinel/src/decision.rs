//! The decision point of a running enclave: the measured policy pack, asked about one principal and one action.
//!
//! Promises
//! - Policies that do not validate against the schema stop the start.
//! - Only a decision that lets it happen makes a [`Permit`]; the obligations go with it.
//!
//! Does not: ask a person or try again later; it says that somebody should. [`crate::people`] asks.
//!
//! Trusts: the policy pack, because its digest is in PCR16; the [`Principal`], because [`crate::token`] made it.

use crate::labels::Labels;
use crate::token::Principal;
use adyton_attestation::Timestamp;
use adyton_decision::{Decided, Facts, Obligations, Pack, PackError, Question, Resource, Situation};
use adyton_wire::control::{Action, MAX_PURPOSE};
use std::collections::{BTreeMap, BTreeSet};
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
    /// It would be permitted if persons approved.
    #[error("held: {persons} have to approve")]
    NeedsPersons {
        /// How many.
        persons: u8,
        /// The policies that want them, by name.
        policies: String,
    },
    /// It would be permitted at another time.
    #[error("denied: not now")]
    NotNow,
}

/// Having a `Permit` tells you that the measured policy permits one action of one principal, under these limits.
#[derive(Debug)]
pub struct Permit {
    obligations: Obligations,
}

impl Permit {
    /// At most this many tokens, whatever was asked for.
    pub fn bounded(&self, asked: u32) -> u32 {
        self.obligations.max_tokens.map_or(asked, |most| most.min(asked))
    }

    /// What else it is bound to.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }
}

/// What is known of the moment, beside who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the calendar.
    pub now: Timestamp,
    /// 0 to 100, by behaviour.
    pub risk: u8,
    /// Persons who have approved exactly this.
    pub approvals: u8,
    /// Grants that the principal has open.
    pub open: u8,
    /// What the session has taken in and done so far.
    pub labels: Labels,
}

/// The validated policies.
#[derive(Debug)]
pub struct DecisionPoint(Pack);

impl DecisionPoint {
    /// Parses and validates a policy pack.
    ///
    /// # Errors
    /// [`PackError`] names the file and what is wrong in it.
    pub fn load(
        schema: &str,
        policies: &str,
        contexts: &str,
        resources: &str,
    ) -> Result<DecisionPoint, PackError> {
        Pack::load(schema, policies, contexts, resources).map(DecisionPoint)
    }

    /// Decides whether `principal` may do `action` on `model` at this moment.
    ///
    /// # Errors
    /// [`Refusal`] for everything but a decision that lets it happen.
    pub fn decide(
        &self,
        principal: &Principal,
        action: &Action,
        model: &str,
        moment: Moment,
    ) -> Result<Permit, Refusal> {
        self.permit(&question(principal, action, model, moment)?)
    }

    fn permit(&self, question: &Question) -> Result<Permit, Refusal> {
        let outcome = self.0.decide(question);
        match outcome.decided {
            Decided::Allow | Decided::Modify => Ok(Permit { obligations: outcome.obligations }),
            Decided::StepUp { persons } => {
                Err(Refusal::NeedsPersons { persons, policies: outcome.policies.join(", ") })
            }
            Decided::Defer => Err(Refusal::NotNow),
            Decided::Deny => Err(Refusal::Denied),
        }
    }
}

/// Having a `Reach` tells you that the measured policy permits something to leave for this address. Made by
/// [`DecisionPoint::may_reach`] alone; [`crate::egress::open`] takes it.
///
/// ```compile_fail,E0423
/// let forged = adyton_sentinel::decision::Reach("anywhere:443".to_owned());
/// ```
#[derive(Debug)]
pub struct Reach(String);

impl Reach {
    /// `name:port`
    pub fn address(&self) -> &str {
        &self.0
    }
}

impl DecisionPoint {
    /// Decides whether something may leave the enclave for `destination`, on behalf of `principal`.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn may_reach(
        &self,
        principal: &Principal,
        destination: &str,
        purpose: &str,
        bytes: u32,
        moment: Moment,
    ) -> Result<Reach, Refusal> {
        let question = Question {
            principal: facts(principal),
            action: "Egress".to_owned(),
            resource: Resource { kind: "Destination".to_owned(), id: destination.to_owned() },
            purpose: purpose.to_owned(),
            amounts: amounts(&[("bytes", bytes)]),
            situation: situation(moment),
        };
        self.permit(&question).map(|_permit| Reach(destination.to_owned()))
    }

    /// Which fields of a collection `principal` does not see, and which of the sensitive ones he does: a field that is classified
    /// higher than its collection is shown only where unmasking it is permitted.
    pub fn fields(
        &self,
        principal: &Principal,
        (collection, purpose): (&str, &str),
        permit: &Permit,
        moment: Moment,
    ) -> Fields {
        let of_collection = self.collection(collection).map_or(0, |known| known.classification);
        let mut fields = Fields::default();
        for field in self.0.fields(collection) {
            let resource = Resource { kind: "Field".to_owned(), id: format!("{collection}.{field}") };
            let classification = self.0.number(&resource, "classification");
            let sensitive = classification.is_none_or(|level| level > i64::from(of_collection));
            let question = Question {
                principal: facts(principal),
                action: "Unmask".to_owned(),
                resource,
                purpose: purpose.to_owned(),
                amounts: BTreeMap::new(),
                situation: situation(moment),
            };
            let masked = permit.obligations.mask.contains(field);
            if masked || (sensitive && !self.0.decide(&question).decided.lets()) {
                fields.masked.insert(field.to_owned());
            } else if sensitive {
                fields.unmasked.insert(field.to_owned());
            }
        }
        fields
    }

    /// What the pack knows of a collection; `None` of one that it does not know.
    pub fn collection(&self, name: &str) -> Option<Collection> {
        let resource = Resource { kind: "Collection".to_owned(), id: name.to_owned() };
        let classification = self.0.number(&resource, "classification")?;
        Some(Collection {
            classification: u8::try_from(classification).unwrap_or(u8::MAX),
            domain: self.0.text(&resource, "domain")?.to_owned(),
        })
    }

    /// Whether a destination is outside of the organisation. One of which nothing is known is.
    pub fn is_outside(&self, destination: &str) -> bool {
        let resource = Resource { kind: "Destination".to_owned(), id: destination.to_owned() };
        self.0.truth(&resource, "outside").unwrap_or(true)
    }

    /// Whether `principal` may have a release of a metric for so many thousandths of epsilon.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn may_release(
        &self,
        principal: &Principal,
        metric: &str,
        purpose: &str,
        epsilon_milli: u32,
        moment: Moment,
    ) -> Result<(), Refusal> {
        if purpose.is_empty() || purpose.len() > MAX_PURPOSE {
            return Err(Refusal::Bounds);
        }
        let question = Question {
            principal: facts(principal),
            action: "ReleaseTelemetry".to_owned(),
            resource: Resource { kind: "Metric".to_owned(), id: metric.to_owned() },
            purpose: purpose.to_owned(),
            amounts: amounts(&[("epsilon_milli", epsilon_milli)]),
            situation: situation(moment),
        };
        self.permit(&question).map(|_permit| ())
    }

    /// Whether `principal` may see what waits for persons, and vote on `hold` (its name in hexadecimal, or `state`).
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn may_approve(&self, principal: &Principal, hold: &str, moment: Moment) -> Result<(), Refusal> {
        let question = Question {
            principal: facts(principal),
            action: "Approve".to_owned(),
            resource: Resource { kind: "Hold".to_owned(), id: hold.to_owned() },
            purpose: APPROVAL.to_owned(),
            amounts: BTreeMap::new(),
            situation: situation(moment),
        };
        if self.0.decide(&question).decided.lets() { Ok(()) } else { Err(Refusal::Denied) }
    }
}

/// What `resources.toml` says of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// 0 public, 1 internal, 2 confidential, 3 restricted.
    pub classification: u8,
    /// Whose it is: the data role under which it is read.
    pub domain: String,
}

/// Fields of a collection, for one reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Those that are not shown.
    pub masked: BTreeSet<String>,
    /// The sensitive ones that are shown.
    pub unmasked: BTreeSet<String>,
}

fn amounts(named: &[(&str, u32)]) -> BTreeMap<String, i64> {
    named.iter().map(|(name, number)| ((*name).to_owned(), i64::from(*number))).collect()
}

/// The purpose of whoever approves. A pack that declares contexts declares it, too.
const APPROVAL: &str = "approval";

pub(crate) fn facts(who: &Principal) -> Facts {
    Facts {
        id: who.id(),
        tenant: who.tenant.clone(),
        roles: who.roles.iter().cloned().collect(),
        clearance: who.clearance,
        attested: who.attested,
        sets: who.sets.clone(),
    }
}

fn question(who: &Principal, action: &Action, model: &str, moment: Moment) -> Result<Question, Refusal> {
    let (word, (kind, id), purpose, numbers) = match action {
        Action::ListModels => ("ListModels", ("Model", model), None, BTreeMap::new()),
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => {
            let amounts = amounts(&[("max_tokens", *max_tokens), ("prompt_bytes", *prompt_bytes)]);
            ("Generate", ("Model", model), Some(purpose), amounts)
        }
        Action::CallTool { tool, purpose, argument_bytes, .. } => (
            "CallTool",
            ("Tool", tool.as_str()),
            Some(purpose),
            amounts(&[("argument_bytes", *argument_bytes)]),
        ),
        Action::Embed { model, purpose, texts, .. } => {
            ("Embed", ("Model", model.as_str()), Some(purpose), amounts(&[("texts", *texts)]))
        }
        Action::Retrieve { collection, purpose, passages, .. } => {
            let amounts = amounts(&[("passages", *passages)]);
            ("Retrieve", ("Collection", collection.as_str()), Some(purpose), amounts)
        }
        Action::Ingest { collection, purpose, passages, document_bytes, .. } => {
            let amounts = amounts(&[("passages", *passages), ("document_bytes", *document_bytes)]);
            ("Ingest", ("Collection", collection.as_str()), Some(purpose), amounts)
        }
    };
    let purpose = match purpose {
        Some(purpose) if purpose.is_empty() || purpose.len() > MAX_PURPOSE => return Err(Refusal::Bounds),
        Some(purpose) => purpose.clone(),
        None => String::new(),
    };
    Ok(Question {
        principal: facts(who),
        action: word.to_owned(),
        resource: Resource { kind: kind.to_owned(), id: id.to_owned() },
        purpose,
        amounts: numbers,
        situation: situation(moment),
    })
}

fn situation(moment: Moment) -> Situation {
    let hours = moment.now.as_millis() / 3_600_000;
    // 1970-01-01 was a Thursday.
    let weekday = (hours / 24 + 3) % 7 + 1;
    let small = |number: u64| u8::try_from(number).unwrap_or(0);
    Situation {
        hour: small(hours % 24),
        weekday: small(weekday),
        approvals: moment.approvals,
        risk: moment.risk,
        open: moment.open,
        untrusted: moment.labels.untrusted,
        private: moment.labels.private,
        outside: moment.labels.outside,
        confidentiality: moment.labels.confidentiality,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../policy/adyton.cedarschema");
    /// 2026-11-03T10:20:30Z, a Tuesday.
    const NOW: Moment = at(1_793_701_230);
    const POLICIES: &str = include_str!("../../policy/policies.cedar");

    const fn at(secs: u64) -> Moment {
        Moment { now: Timestamp::from_secs(secs), risk: 0, approvals: 0, open: 0, labels: Labels::NONE }
    }

    fn load(policies: &str) -> DecisionPoint {
        DecisionPoint::load(SCHEMA, policies, "", "").unwrap()
    }

    fn who(roles: &[&str], clearance: u8) -> Principal {
        Principal::for_tests("acme", "ann", roles, clearance)
    }

    fn generate(purpose: &str, max_tokens: u32) -> Action {
        Action::Generate {
            model: "m".into(),
            purpose: purpose.into(),
            max_tokens,
            prompt_bytes: 10,
            request: [0; 32],
            untrusted: false,
            held: Vec::new(),
        }
    }

    #[test]
    fn the_shipped_policy_decides_as_its_comments_say() {
        let point = load(POLICIES);
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
    fn the_shipped_policy_reads_by_clearance_and_asks_a_person_about_unusual_reading() {
        let resources = "[Collection]\nfiles = { classification = 2, domain = \"hr\" }\n[Field]\n\
            \"files.salary\" = { classification = 3, domain = \"hr\" }\n\
            \"files.team\" = { classification = 2, domain = \"hr\" }\n";
        let point = DecisionPoint::load(SCHEMA, POLICIES, "", resources).unwrap();
        let read = |roles: &[&str], clearance, moment| {
            let action = Action::Retrieve {
                collection: "files".into(),
                purpose: "general".into(),
                passages: 20,
                query: [0; 32],
                request: [0; 32],
                connect: false,
            };
            point.decide(&who(roles, clearance), &action, "m", moment)
        };
        assert_eq!(read(&["reader"], 1, NOW).unwrap_err(), Refusal::Denied);
        assert_eq!(read(&["chat"], 3, NOW).unwrap_err(), Refusal::Denied);
        let permit = read(&["reader"], 2, NOW).unwrap();
        assert_eq!(permit.obligations().max_passages, Some(8));
        let persons = Refusal::NeedsPersons { persons: 1, policies: "unusual-reading".into() };
        assert_eq!(read(&["reader"], 2, Moment { risk: 75, ..NOW }).unwrap_err(), persons);
        assert!(read(&["reader"], 2, Moment { risk: 75, approvals: 1, ..NOW }).is_ok());
        let fields =
            |clearance| point.fields(&who(&["reader"], clearance), ("files", "general"), &permit, NOW);
        let salary = BTreeSet::from(["salary".to_owned()]);
        assert_eq!(fields(2), Fields { masked: salary.clone(), unmasked: BTreeSet::new() });
        assert_eq!(fields(3), Fields { masked: BTreeSet::new(), unmasked: salary });
    }

    #[test]
    fn restricted_text_is_for_attested_principals() {
        let point = load(POLICIES);
        let mut enclave = who(&["chat"], 3);
        enclave.attested = true;
        assert!(point.decide(&enclave, &generate("restricted", 100), "m", NOW).is_ok());
    }

    #[test]
    fn obligations_bound_what_was_asked_for_and_persons_are_asked_for_by_name() {
        let policies = r#"
            @id("short") @max_tokens("50") permit (principal, action, resource);
            @id("person") @step_up("2") forbid (principal, action == Action::"Generate", resource)
            when { context.purpose == "letters" && context.situation.approvals < 2 };
            @id("night") @defer("at night") forbid (principal, action == Action::"Generate", resource)
            when { context.purpose == "files" && context.situation.hour < 6 };"#;
        let point = load(policies);
        let decide = |purpose: &str, moment| point.decide(&who(&[], 0), &generate(purpose, 100), "m", moment);
        let permit = decide("general", NOW).unwrap();
        assert_eq!((permit.bounded(100), permit.bounded(20)), (50, 20));
        let needs = Refusal::NeedsPersons { persons: 2, policies: "person".into() };
        assert_eq!(decide("letters", NOW).unwrap_err(), needs);
        assert_eq!(decide("letters", Moment { approvals: 1, ..NOW }).unwrap_err(), needs);
        assert!(decide("letters", Moment { approvals: 2, ..NOW }).is_ok());
        let night = at(1_793_671_200); // 02:00
        assert_eq!(decide("files", night).unwrap_err(), Refusal::NotNow);
        assert!(decide("files", NOW).is_ok());
    }

    #[test]
    fn what_is_established_reaches_the_policies() {
        let policies = r#"
            @id("all") permit (principal, action, resource);
            @id("risky") forbid (principal, action, resource) when { context.situation.risk >= 90 };
            @id("tools") forbid (principal, action, resource) when { context.situation.untrusted };
            @id("many") @defer("too many at once") forbid (principal, action, resource)
            when { context.situation.risk >= 50 && context.situation.open >= 2 };"#;
        let point = load(policies);
        let decide = |moment| point.decide(&who(&[], 0), &generate("general", 100), "m", moment).err();
        assert_eq!(decide(Moment { risk: 89, open: 1, ..NOW }), None);
        assert_eq!(decide(Moment { risk: 90, ..NOW }), Some(Refusal::Denied));
        let labels = Labels { untrusted: true, ..Labels::NONE };
        assert_eq!(decide(Moment { labels, ..NOW }), Some(Refusal::Denied));
        assert_eq!(decide(Moment { risk: 50, open: 2, ..NOW }), Some(Refusal::NotNow));
    }

    #[test]
    fn days_and_hours_are_those_of_the_calendar() {
        let tuesday = situation(NOW);
        assert_eq!((tuesday.weekday, tuesday.hour), (2, 10));
        let thursday = situation(at(0));
        assert_eq!((thursday.weekday, thursday.hour), (4, 0));
    }

    #[test]
    fn bad_packs_stop_the_start() {
        assert!(matches!(DecisionPoint::load("entity", POLICIES, "", ""), Err(PackError::Schema(_))));
        assert!(matches!(DecisionPoint::load(SCHEMA, "permit (", "", ""), Err(PackError::Syntax(_))));
        let misspelt =
            "@id(\"a\") permit (principal, action, resource) when { principal.rolse.contains(\"x\") };";
        assert!(matches!(DecisionPoint::load(SCHEMA, misspelt, "", ""), Err(PackError::Invalid(_))));
        assert!(matches!(DecisionPoint::load(SCHEMA, POLICIES, "x = ", ""), Err(PackError::Contexts(_))));
        assert!(matches!(DecisionPoint::load(SCHEMA, POLICIES, "", "x = "), Err(PackError::Resources(_))));
    }
}
