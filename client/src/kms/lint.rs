//! Finds the known mistakes in a key policy that should release a key to attested enclaves only.
//!
//! # Promises
//! - Each mistake has a code of its own. An error is a way to the key, or to its policy, that does not lead through a named image;
//!   a warning is what somebody should know.
//! - What is not understood in a statement that allows something is an error.
//!
//! # Does not
//! - See IAM policies, grants and other keys. A statement for the whole account is an error because they decide then.

use super::statement::{Condition, Statement};
use super::{CHANGE, CONTEXT, CONTEXT_MANIFEST, DETOUR, IMAGE, REGISTER, RELEASE};
use serde::Serialize;

/// Registers without which an image is not named.
const IMAGE_REGISTERS: [&str; 3] = ["0", "1", "2"];
/// Words in the names of principals that build and deploy. Whoever may push a commit is then one of them.
const PIPELINES: [&str; 10] = [
    "github",
    "gitlab",
    "jenkins",
    "codebuild",
    "codepipeline",
    "circleci",
    "buildkite",
    "terraform",
    "deployer",
    "-ci",
];

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A way round attestation.
    Error,
    /// Somebody should know.
    Warning,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// A word that does not change.
    pub code: &'static str,
    /// The statement; empty for the policy as a whole.
    pub statement: String,
    /// What, and what to do.
    pub message: String,
}

/// Everything found in a policy.
pub fn lint(json: &[u8]) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    match Statement::all(json) {
        Err(reason) => {
            found.error("malformed", "", format!("{reason}; AWS would refuse it, or read something else"))
        }
        Ok(statements) => {
            for statement in statements.iter().filter(|statement| statement.allows) {
                allows(statement, &statements, &mut found);
            }
            denials(&statements, &mut found);
        }
    }
    found.0.sort_by_key(|finding| finding.level);
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, code: &'static str, statement: &str, message: impl Into<String>) {
        self.add(Level::Error, code, statement, message.into());
    }

    fn warn(&mut self, code: &'static str, statement: &str, message: impl Into<String>) {
        self.add(Level::Warning, code, statement, message.into());
    }

    fn add(&mut self, level: Level, code: &'static str, statement: &str, message: String) {
        self.0.push(Finding { level, code, statement: statement.to_owned(), message });
    }
}

fn allows(statement: &Statement, all: &[Statement], found: &mut Findings) {
    let name = &statement.name;
    if statement.inverted {
        found.error("inverted", name, "it allows all but what it names; name what is allowed");
        return;
    }
    if statement.principals.iter().any(|principal| principal.contains(['*', '?'])) {
        found.error("wildcard_principal", name, "anybody is allowed; name one role");
    }
    if statement.principals.iter().any(|principal| is_account(principal)) {
        let message =
            "the whole account is allowed, so that IAM policies decide, which nobody measured; name one role";
        found.error("account", name, message);
    }
    if statement.actions.iter().any(|action| action == "*" || action.eq_ignore_ascii_case("kms:*")) {
        found.error(
            "wildcard_action",
            name,
            "every action is allowed, with the plaintext among them; name each",
        );
    }
    let releases = statement.covers_any(&RELEASE);
    if releases {
        attestation(statement, found);
    }
    for action in DETOUR.iter().filter(|action| statement.covers(action)) {
        let why = match *action {
            "kms:CreateGrant" => "a grant hands the key on, past this policy",
            _ => "the ciphertext can be made one for another key, and no enclave is asked for",
        };
        found.error("detour", name, format!("{action}: {why}; take it out"));
    }
    if statement.covers_any(&CHANGE) {
        let message = "it lets this policy be changed, and with it everything it says: whoever that is can release the key to \
                       anything. Guard the principal as the key itself, or leave it out and make a key for each release";
        found.warn("policy_change", name, message);
        let also = all.iter().any(|other| {
            other.allows
                && other.covers_any(&RELEASE)
                && other.principals.iter().any(|principal| statement.principals.contains(principal))
        });
        if also {
            let message = "who uses the key can change its policy; take one right from it";
            found.error("user_changes_policy", name, message);
        }
    }
    if (releases || statement.covers_any(&CHANGE) || statement.covers_any(&DETOUR))
        && let Some(pipeline) = statement.principals.iter().find(|principal| is_pipeline(principal))
    {
        let message = format!(
            "{pipeline} looks like a pipeline: whoever may change what it runs has this right; give it to a role that persons assume"
        );
        found.error("pipeline", name, message);
    }
}

/// A statement that gives out plaintext: is it tied to one image and one release?
fn attestation(statement: &Statement, found: &mut Findings) {
    let name = &statement.name;
    let registers: Vec<(&str, &Condition)> = statement.conditions.iter().filter_map(register).collect();
    if registers.is_empty() {
        found.error(
            "unattested",
            name,
            "plaintext is given out without an attestation document; add the registers",
        );
        return;
    }
    for (number, condition) in &registers {
        sound(statement, number, condition, found);
    }
    let named = |wanted: &str| registers.iter().any(|(number, _)| *number == wanted);
    let missing: Vec<&str> = IMAGE_REGISTERS.into_iter().filter(|number| !named(number)).collect();
    if !missing.is_empty() {
        let only: Vec<String> = registers.iter().map(|(number, _)| format!("PCR{number}")).collect();
        let message = format!(
            "only {} is asked for; without PCR{} another image, or anybody's, may pass",
            only.join(", "),
            missing.join(", PCR")
        );
        found.error("registers", name, message);
    }
    if !named("16") {
        found.error(
            "no_manifest",
            name,
            "PCR16 is not asked for: the image may run any model and any policy",
        );
    }
    if !["8", "3", "4"].into_iter().any(named) {
        found.warn(
            "no_owner",
            name,
            "neither PCR8, PCR3 nor PCR4 is asked for: the image need not be signed by you",
        );
    }
    let context = format!("{CONTEXT}{CONTEXT_MANIFEST}");
    let mut bound = statement.on(&context);
    if !bound.any(|condition| condition.operator == "stringequals" && condition.values.len() == 1) {
        let message = format!(
            "{context} is not asked for: a ciphertext of another release, put in place of the right one, is opened as well"
        );
        found.error("no_context", name, message);
    }
}

/// The number of the register that a condition is about.
fn register(condition: &Condition) -> Option<(&str, &Condition)> {
    if condition.key == IMAGE.to_ascii_lowercase() {
        return Some(("0", condition));
    }
    Some((condition.key.strip_prefix(&REGISTER.to_ascii_lowercase())?, condition))
}

/// One register of a statement that allows.
fn sound(statement: &Statement, number: &str, condition: &Condition, found: &mut Findings) {
    let name = &statement.name;
    if !["stringequals", "stringequalsignorecase"].contains(&condition.operator.as_str()) {
        let message = format!(
            "PCR{number} is compared by {}, which also passes without a document, or for other values; use StringEqualsIgnoreCase",
            condition.operator
        );
        found.error("operator", name, message);
    }
    if condition.values.len() != 1 {
        let message = format!(
            "PCR{number} may have several values: registers of two images pass as a third; write a statement for each image"
        );
        found.error("mixed_images", name, message);
    }
    for value in &condition.values {
        let hex = value.len() == 96 && value.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            found.error(
                "register_value",
                name,
                format!("PCR{number} is not compared with 96 hexadecimal digits"),
            );
        } else if value.bytes().all(|b| b == b'0') {
            let message = format!(
                "PCR{number} is all zero: a debug enclave, into which its host can look, gets the key"
            );
            found.error("debug", name, message);
        }
    }
}

/// Is everything that is not attested denied to everybody?
fn denials(all: &[Statement], found: &mut Findings) {
    if !all.iter().any(|statement| statement.allows && statement.covers_any(&RELEASE)) {
        found.warn("no_release", "", "nothing is released to anybody: is this the policy of the key?");
    }
    let denies =
        |statement: &&Statement| !statement.allows && !statement.inverted && statement.of_everybody();
    for number in IMAGE_REGISTERS.into_iter().chain(["16"]) {
        let by_register = all.iter().filter(denies).filter(|statement| {
            RELEASE.iter().all(|action| statement.covers(action))
                && statement.conditions.len() == 1
                && statement.conditions.iter().filter_map(register).any(|(of, condition)| {
                    of == number
                        && ["stringnotequals", "stringnotequalsignorecase"]
                            .contains(&condition.operator.as_str())
                })
        });
        if by_register.count() == 0 {
            let message = format!(
                "no statement denies {} to everybody whose PCR{number} differs: a permission added elsewhere opens a way",
                RELEASE.join(", ")
            );
            found.error("no_deny", "", message);
        }
    }
    for statement in all.iter().filter(denies) {
        let registers = statement.conditions.iter().filter_map(register).count();
        if registers > 0 && statement.conditions.len() > 1 {
            let message = "its conditions hold together: it denies only if all of them differ; write one statement for each";
            found.error("deny_together", &statement.name, message);
        }
    }
    for (code, actions, what) in [
        ("no_deny_detour", &DETOUR[..], "re-encryption and grants are"),
        ("no_deny_change", &CHANGE[..], "changing the policy is"),
    ] {
        if !all.iter().filter(denies).any(|statement| actions.iter().all(|action| statement.covers(action))) {
            found.error(code, "", format!("{what} not denied to everybody: {}", actions.join(", ")));
        }
    }
}

/// An account, by its number or its root.
fn is_account(principal: &str) -> bool {
    let number = principal.len() == 12 && principal.bytes().all(|b| b.is_ascii_digit());
    number || principal.ends_with(":root")
}

fn is_pipeline(principal: &str) -> bool {
    let name = principal.rsplit(':').next().unwrap_or(principal).to_ascii_lowercase();
    PIPELINES.iter().any(|word| name.contains(word)) || name.ends_with("/ci") || name.contains("/ci-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::policy::{Plan, Release};
    use adyton_attestation::measurement::Measurement;
    use adyton_attestation::reference::Image;
    use serde_json::{Value, json};

    /// What `adyton kms policy` writes, and nothing is found in.
    fn good() -> Value {
        let register = |byte| Measurement::new([byte; 48]);
        let plan = Plan {
            images: vec![Image { pcr0: register(0x10), pcr1: register(0x11), pcr2: register(0x12) }],
            pcr8: Some(register(0x18)),
            releases: vec![Release { pcr16: register(0x26), weights: [7; 32] }],
            role: "arn:aws:iam::111122223333:role/adyton-host".into(),
            admins: vec!["arn:aws:iam::111122223333:role/key-admin".into()],
            encryptor: None,
            policy_admin: None,
        };
        serde_json::from_str(&plan.policy().unwrap()).unwrap()
    }

    fn codes(policy: &Value) -> Vec<&'static str> {
        lint(policy.to_string().as_bytes()).into_iter().map(|finding| finding.code).collect()
    }

    /// The policy with one statement, found by its name, changed.
    fn changed(sid: &str, change: impl Fn(&mut Value)) -> Vec<&'static str> {
        let mut policy = good();
        let statements = policy["Statement"].as_array_mut().unwrap();
        change(statements.iter_mut().find(|statement| statement["Sid"] == sid).unwrap());
        codes(&policy)
    }

    fn with(statement: Value) -> Vec<&'static str> {
        let mut policy = good();
        policy["Statement"].as_array_mut().unwrap().push(statement);
        codes(&policy)
    }

    const RELEASES: &str = "ReleaseImage0Release0";

    fn register_changed(number: u8, to: Value) -> Vec<&'static str> {
        changed(RELEASES, |statement| {
            statement["Condition"]["StringEqualsIgnoreCase"][format!("{REGISTER}{number}")] = to.clone();
        })
    }

    fn registers_kept(kept: &[&str]) -> Vec<&'static str> {
        changed(RELEASES, |statement| {
            let registers = statement["Condition"]["StringEqualsIgnoreCase"].as_object_mut().unwrap();
            registers.retain(|key, _| kept.iter().any(|number| *key == format!("{REGISTER}{number}")));
        })
    }

    #[test]
    fn the_policy_that_is_written_has_none() {
        assert_eq!(codes(&good()), [""; 0]);
    }

    #[test]
    fn statements_that_allow_too_much_are_found() {
        let admin = |change: fn(&mut Value)| changed("Administer", change);
        let table: [(&str, Vec<&str>); 10] = [
            ("wildcard_principal", admin(|s| s["Principal"] = json!("*"))),
            ("wildcard_principal", admin(|s| s["Principal"] = json!({ "AWS": ["*"] }))),
            ("account", admin(|s| s["Principal"] = json!({ "AWS": "arn:aws:iam::111122223333:root" }))),
            ("account", admin(|s| s["Principal"] = json!({ "AWS": "111122223333" }))),
            ("wildcard_action", admin(|s| s["Action"] = json!("kms:*"))),
            ("unattested", admin(|s| s["Action"] = json!(["KMS:decrypt"]))),
            ("unattested", admin(|s| s["Action"] = json!("kms:GenerateDataKey*"))),
            ("detour", admin(|s| s["Action"] = json!("kms:ReEncrypt*"))),
            ("detour", admin(|s| s["Action"] = json!("kms:CreateGrant"))),
            ("inverted", admin(|s| s["NotAction"] = json!("kms:Decrypt"))),
        ];
        for (code, found) in table {
            assert!(found.contains(&code), "{code}: {found:?}");
        }
    }

    #[test]
    fn a_release_that_does_not_name_the_image_is_found() {
        assert_eq!(registers_kept(&["0", "8", "16"]), ["registers"]);
        assert_eq!(registers_kept(&["4", "8", "16"]).first(), Some(&"registers"));
        assert_eq!(registers_kept(&["0", "1", "2", "8"]), ["no_manifest"]);
        assert_eq!(registers_kept(&["0", "1", "2", "16"]), ["no_owner"]);
        assert_eq!(registers_kept(&[]), ["unattested"]);
        // The other name of PCR0 is PCR0 and no more.
        let image = changed(RELEASES, |s| {
            s["Condition"]["StringEqualsIgnoreCase"] = json!({ IMAGE: "10".repeat(48) });
        });
        assert_eq!(image, ["registers", "no_manifest", "no_owner"]);
        assert_eq!(register_changed(0, json!("0".repeat(96))), ["debug"]);
        assert_eq!(register_changed(1, json!(["11".repeat(48), "21".repeat(48)])), ["mixed_images"]);
        assert_eq!(register_changed(2, json!("12*")), ["register_value"]);
        assert_eq!(
            changed(RELEASES, |s| {
                s["Condition"].as_object_mut().unwrap().remove("StringEquals");
            }),
            ["no_context"]
        );
    }

    #[test]
    fn a_comparison_that_passes_without_a_document_is_found() {
        for operator in
            ["StringEqualsIfExists", "StringNotEquals", "StringLike", "ForAllValues:StringEquals", "Null"]
        {
            let found = changed(RELEASES, |statement| {
                let conditions = statement["Condition"].as_object_mut().unwrap();
                let registers = conditions.remove("StringEqualsIgnoreCase").unwrap();
                conditions.insert(operator.to_owned(), registers);
            });
            assert!(found.contains(&"operator"), "{operator}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_denied_is_found() {
        let without = |sid: &str| {
            let mut policy = good();
            policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != sid);
            codes(&policy)
        };
        for number in [0, 1, 2, 16] {
            assert_eq!(without(&format!("DenyOtherPcr{number}")), ["no_deny"]);
        }
        assert_eq!(without("DenyDetours"), ["no_deny_detour"]);
        assert_eq!(without("DenyPolicyChange"), ["no_deny_change"]);
        assert_eq!(without(RELEASES), ["no_release"]);
        let one = "arn:aws:iam::111122223333:role/x";
        assert_eq!(changed("DenyOtherPcr0", |s| s["Principal"] = json!({ "AWS": one })), ["no_deny"]);
        assert_eq!(changed("DenyOtherPcr0", |s| s["Action"] = json!("kms:Decrypt")), ["no_deny"]);
        let together = changed("DenyOtherPcr0", |s| {
            s["Condition"]["StringNotEqualsIgnoreCase"][format!("{REGISTER}1")] = json!("11".repeat(48));
        });
        assert_eq!(together, ["no_deny", "deny_together"]);
    }

    #[test]
    fn ways_to_change_the_policy_are_found() {
        let may = |name: &str| {
            let arn = format!("arn:aws:iam::111122223333:role/{name}");
            json!({ "Effect": "Allow", "Principal": { "AWS": arn }, "Action": "kms:Put*", "Resource": "*" })
        };
        assert_eq!(with(may("policy-desk")), ["policy_change"]);
        assert_eq!(with(may("adyton-host")), ["user_changes_policy", "policy_change"]);
        for pipeline in ["github-actions", "GitLabRunner", "acme-ci", "ci", "codebuild-x", "terraform-apply"]
        {
            assert_eq!(with(may(pipeline)), ["pipeline", "policy_change"], "{pipeline}");
        }
        let used =
            changed(RELEASES, |s| s["Principal"]["AWS"] = json!("arn:aws:iam::111122223333:role/jenkins"));
        assert_eq!(used, ["pipeline"]);
    }

    #[test]
    fn what_is_no_policy_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"Version": "2008-10-17", "Statement": []}"#,
            r#"{"Version": "2012-10-17"}"#,
            r#"{"Version": "2012-10-17", "Statement": [{}]}"#,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "allow", "Principal": "*", "Action": "*"}]}"#,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": 5}]}"#,
        ] {
            let found = lint(text.as_bytes());
            assert_eq!(found[0].code, "malformed", "{text}");
        }
    }
}
