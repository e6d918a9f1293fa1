//! Writes the key policy for images and releases.
//!
//! # Promises
//! - Plaintext is released to the enclave's role alone, only to whole images (PCR0, 1 and 2 of one), of the signer if one is named
//!   (PCR8), which run a named manifest (PCR16), and only if the ciphertext was made for that manifest and its weights.
//! - Everybody else is denied explicitly, register by register: a permission that is added elsewhere does not open a way round.
//! - Nobody can change the policy unless somebody is named for that. Then each new image needs a new key.

use super::{CHANGE, CONTEXT, CONTEXT_MANIFEST, CONTEXT_MODEL, DETOUR, REGISTER, RELEASE};
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::Image;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use thiserror::Error;

/// What administrators may do: nothing with the key's secrets, nothing with its policy.
const ADMINISTER: [&str; 12] = [
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
];
/// A key policy has at most so many bytes (AWS KMS developer guide, "Resource quotas").
const MAX_POLICY: usize = 32 * 1024;

/// A release that the key may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// PCR16.
    pub pcr16: Measurement,
    /// SHA-256 of the weights.
    pub weights: [u8; 32],
}

/// Whom the policy names.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Images that may have the key.
    pub images: Vec<Image>,
    /// The signer of the images, if they are signed.
    pub pcr8: Option<Measurement>,
    /// Releases that they may run.
    pub releases: Vec<Release>,
    /// The role of the parent instances, by ARN: it passes the enclave's request on.
    pub role: String,
    /// Administrators of the key, by ARN.
    pub admins: Vec<String>,
    /// Who may encrypt a release's key, by ARN, if anybody.
    pub encryptor: Option<String>,
    /// Who may change this policy, by ARN. Nobody, if absent.
    pub policy_admin: Option<String>,
}

/// Why no policy was written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Nothing would be released, or the key could not be administered.
    #[error("name at least one {0}")]
    Missing(&'static str),
    /// Not a principal that can be named.
    #[error("{0} is not the ARN of one role or user, as arn:aws:iam::111122223333:role/name")]
    Arn(String),
    /// A debug image.
    #[error("a register is all zero, as in a debug enclave, into which its host can look")]
    Zero,
    /// Who uses the key would also rule it.
    #[error(
        "{0} has two parts; the enclave's role, administrators, the encryptor and who changes the policy are different principals"
    )]
    TwoParts(String),
    /// Over [`MAX_POLICY`].
    #[error("the policy would have {0} bytes and AWS takes {MAX_POLICY}; name fewer images and releases")]
    TooLarge(usize),
}

impl Plan {
    /// The policy, as JSON.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn policy(&self) -> Result<String, PlanError> {
        self.check()?;
        let mut statements = vec![json!({
            "Sid": "Administer", "Effect": "Allow", "Principal": { "AWS": self.admins }, "Action": ADMINISTER, "Resource": "*",
        })];
        for (i, image) in self.images.iter().enumerate() {
            for (r, release) in self.releases.iter().enumerate() {
                statements.push(self.release(&format!("ReleaseImage{i}Release{r}"), image, release));
            }
        }
        if let Some(encryptor) = &self.encryptor {
            statements.push(json!({
                "Sid": "Encrypt", "Effect": "Allow", "Principal": { "AWS": encryptor }, "Action": "kms:Encrypt", "Resource": "*",
                "Condition": { "StringEquals": self.contexts() },
            }));
        }
        if let Some(admin) = &self.policy_admin {
            statements.push(json!({
                "Sid": "ChangePolicy", "Effect": "Allow", "Principal": { "AWS": admin }, "Action": CHANGE, "Resource": "*",
            }));
        }
        statements.extend(self.denials());
        let policy = json!({ "Version": "2012-10-17", "Id": "adyton", "Statement": statements });
        let text = format!("{policy:#}");
        // AWS counts without white space; so is this what is given to it at most.
        match policy.to_string().len() {
            0..=MAX_POLICY => Ok(text),
            more => Err(PlanError::TooLarge(more)),
        }
    }

    fn check(&self) -> Result<(), PlanError> {
        for (there, what) in [
            (!self.images.is_empty(), "image"),
            (!self.releases.is_empty(), "release manifest"),
            (!self.admins.is_empty(), "administrator"),
        ] {
            there.then_some(()).ok_or(PlanError::Missing(what))?;
        }
        let registers = self.images.iter().flat_map(|image| [image.pcr0, image.pcr1, image.pcr2]);
        let registers = registers.chain(self.pcr8).chain(self.releases.iter().map(|release| release.pcr16));
        if registers.into_iter().any(|register| register == Measurement::new([0; 48])) {
            return Err(PlanError::Zero);
        }
        let named = std::iter::once(&self.role).chain(&self.admins);
        let mut parts = BTreeSet::new();
        for arn in named.chain(&self.encryptor).chain(&self.policy_admin) {
            if !is_one_principal(arn) {
                return Err(PlanError::Arn(arn.clone()));
            }
            if !parts.insert(arn) {
                return Err(PlanError::TwoParts(arn.clone()));
            }
        }
        Ok(())
    }

    /// One image and one release: lists of values would let registers of two images pass as a third.
    fn release(&self, sid: &str, image: &Image, release: &Release) -> Value {
        let mut registers = Map::new();
        for (number, value) in registers_of(image, self.pcr8, release) {
            registers.insert(format!("{REGISTER}{number}"), json!(value.to_string()));
        }
        let context = json!({
            format!("{CONTEXT}{CONTEXT_MANIFEST}"): release.pcr16.to_string(),
            format!("{CONTEXT}{CONTEXT_MODEL}"): hex::encode(release.weights),
        });
        json!({
            "Sid": sid, "Effect": "Allow", "Principal": { "AWS": self.role }, "Action": "kms:Decrypt", "Resource": "*",
            "Condition": { "StringEqualsIgnoreCase": registers, "StringEquals": context },
        })
    }

    fn contexts(&self) -> Value {
        let manifests: Vec<String> = self.releases.iter().map(|release| release.pcr16.to_string()).collect();
        let models: BTreeSet<String> =
            self.releases.iter().map(|release| hex::encode(release.weights)).collect();
        json!({
            format!("{CONTEXT}{CONTEXT_MANIFEST}"): manifests,
            format!("{CONTEXT}{CONTEXT_MODEL}"): models,
        })
    }

    /// One statement for each register: conditions of one statement hold together, so that all would have to differ. A request
    /// without an attestation document has no register, and what is absent is not equal: it is denied too.
    fn denials(&self) -> Vec<Value> {
        let mut values: std::collections::BTreeMap<u8, BTreeSet<String>> = std::collections::BTreeMap::new();
        for image in &self.images {
            for release in &self.releases {
                for (number, value) in registers_of(image, self.pcr8, release) {
                    values.entry(number).or_default().insert(value.to_string());
                }
            }
        }
        let deny = |sid: String, actions: &[&str]| json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": "*" });
        let mut denials: Vec<Value> = values
            .into_iter()
            .map(|(number, values)| {
                let mut denial = deny(format!("DenyOtherPcr{number}"), &RELEASE);
                denial["Condition"] =
                    json!({ "StringNotEqualsIgnoreCase": { format!("{REGISTER}{number}"): values } });
                denial
            })
            .collect();
        denials.push(deny("DenyDetours".to_owned(), &DETOUR));
        let mut change = deny("DenyPolicyChange".to_owned(), &CHANGE);
        if let Some(admin) = &self.policy_admin {
            change["Condition"] = json!({ "ArnNotEquals": { "aws:PrincipalArn": admin } });
        }
        denials.push(change);
        denials
    }
}

fn registers_of(
    image: &Image,
    pcr8: Option<Measurement>,
    release: &Release,
) -> impl Iterator<Item = (u8, Measurement)> {
    let image = [(0, image.pcr0), (1, image.pcr1), (2, image.pcr2)];
    image.into_iter().chain(pcr8.map(|value| (8, value))).chain([(16, release.pcr16)])
}

/// `arn:PARTITION:iam::ACCOUNT:role/..` or `..:user/..`, without a wildcard.
pub(crate) fn is_one_principal(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, "iam", "", account, name] = parts.as_slice() else { return false };
    let letters =
        |text: &str, more: &[char]| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c));
    let named = name.strip_prefix("role/").or_else(|| name.strip_prefix("user/"));
    *prefix == "arn"
        && partition.starts_with("aws")
        && letters(partition, &['-'])
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && named
            .is_some_and(|name| !name.is_empty() && letters(name, &['/', '+', '=', ',', '.', '@', '_', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::lint::{Level, lint};

    fn register(byte: u8) -> Measurement {
        Measurement::new([byte; 48])
    }

    fn plan() -> Plan {
        let arn = |name: &str| format!("arn:aws:iam::111122223333:role/{name}");
        Plan {
            images: vec![Image { pcr0: register(0x10), pcr1: register(0x11), pcr2: register(0x12) }],
            pcr8: Some(register(0x18)),
            releases: vec![Release { pcr16: register(0x26), weights: [7; 32] }],
            role: arn("adyton-host"),
            admins: vec![arn("key-admin")],
            encryptor: Some(arn("release-desk")),
            policy_admin: None,
        }
    }

    fn statements(plan: &Plan) -> Vec<Value> {
        let policy: Value = serde_json::from_str(&plan.policy().unwrap()).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    #[test]
    fn what_is_written_has_no_finding_but_that_it_cannot_change() {
        for change in [None, Some("arn:aws:iam::111122223333:role/policy-desk".to_owned())] {
            let plan = Plan { policy_admin: change.clone(), ..plan() };
            let found = lint(plan.policy().unwrap().as_bytes());
            assert!(found.iter().all(|finding| finding.level == Level::Warning), "{found:?}");
            // Somebody who can change the policy is told of, whoever it is.
            assert_eq!(found.len(), usize::from(change.is_some()), "{found:?}");
        }
    }

    #[test]
    fn every_image_and_release_has_a_statement_and_every_register_a_denial() {
        let mut plan = plan();
        plan.images.push(Image { pcr0: register(0x20), pcr1: register(0x11), pcr2: register(0x22) });
        plan.releases.push(Release { pcr16: register(0x27), weights: [8; 32] });
        let statements = statements(&plan);
        let of = |effect: &str, prefix: &str| {
            let fits = |s: &&Value| s["Effect"] == effect && s["Sid"].as_str().unwrap().starts_with(prefix);
            statements.iter().filter(fits).collect::<Vec<_>>()
        };
        assert_eq!((of("Allow", "Release").len(), of("Deny", "DenyOtherPcr").len()), (4, 5));
        for release in of("Allow", "Release") {
            let registers = release["Condition"]["StringEqualsIgnoreCase"].as_object().unwrap();
            assert!(registers.len() == 5 && registers.values().all(Value::is_string));
        }
        let pcr1 = &of("Deny", "DenyOtherPcr1")[0]["Condition"]["StringNotEqualsIgnoreCase"];
        assert_eq!(pcr1["kms:RecipientAttestation:PCR1"], json!(["11".repeat(48)]));
        assert!(of("Deny", "").iter().all(|denial| denial["Principal"] == "*"));
    }

    #[test]
    fn a_plan_that_would_release_too_much_or_nothing_is_refused() {
        let good = plan();
        let root = "arn:aws:iam::111122223333:root".to_owned();
        let table = [
            (Plan { images: Vec::new(), ..good.clone() }, PlanError::Missing("image")),
            (Plan { releases: Vec::new(), ..good.clone() }, PlanError::Missing("release manifest")),
            (Plan { admins: Vec::new(), ..good.clone() }, PlanError::Missing("administrator")),
            (Plan { pcr8: Some(register(0)), ..good.clone() }, PlanError::Zero),
            (Plan { role: root.clone(), ..good.clone() }, PlanError::Arn(root)),
            (
                Plan { admins: vec![good.role.clone()], ..good.clone() },
                PlanError::TwoParts(good.role.clone()),
            ),
        ];
        for (plan, expected) in table {
            assert_eq!(plan.policy(), Err(expected));
        }
        let many = vec![good.images[0]; 40];
        assert!(matches!(Plan { images: many, ..good }.policy(), Err(PlanError::TooLarge(_))));
        for bad in [
            "*",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:role/",
        ] {
            assert!(!is_one_principal(bad), "{bad}");
        }
        assert!(is_one_principal("arn:aws-us-gov:iam::111122223333:role/path/to/name"));
    }
}
