//! The index against Cedar over all policies.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::*;
use crate::pack::Pack;
use crate::question::{Facts, Resource, Situation};

const SCHEMA: &str = include_str!("../../../enclave/policy/adyton.cedarschema");
const SHIPPED: &str = include_str!("../../../enclave/policy/policies.cedar");
const HR: &str = include_str!("../../../enclave/policy/packs/hr/policies.cedar");
const AIRLINE: &str = include_str!("../../../enclave/policy/packs/airline/policies.cedar");

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap()
    }
}

const WORDS: [&str; 4] = ["a", "b", "c", ""];
/// Parts of conditions: those that are filed, those that are not, and one that fails where tokens are few.
const PARTS: [&str; 16] = [
    "context.purpose == \"a\"",
    "[\"a\", \"b\"].contains(context.purpose)",
    "[\"\"].contains(context.purpose)",
    "principal.tenant == \"a\"",
    "[\"b\", \"c\"].contains(principal.tenant)",
    "principal.roles.contains(\"a\")",
    "principal.roles.contains(\"b\")",
    "principal.roles.containsAny([\"b\", \"c\"])",
    "principal.roles.containsAll([\"a\", \"b\"])",
    "context.purpose != \"a\"",
    "!(context.purpose == \"b\")",
    "(context.purpose == \"a\" || principal.tenant == \"b\")",
    "principal.clearance >= 2",
    "context.situation.risk > 50",
    "principal.attested",
    "principal.clearance * 9223372036854775807 > 0",
];

fn policies(random: &mut Random) -> String {
    let policy = |n: usize, random: &mut Random| {
        let effect = if random.below(4) == 0 { "forbid" } else { "permit" };
        let action = random.one(&[
            "action",
            "action == Action::\"Generate\"",
            "action == Action::\"ListModels\"",
            "action in [Action::\"Generate\", Action::\"Retrieve\"]",
        ]);
        let conditions: String = (0..random.below(3))
            .map(|_| {
                let kind = random.one(&["when", "when", "unless"]);
                let parts: Vec<&str> = (0..=random.below(3)).map(|_| random.one(&PARTS)).collect();
                format!(" {kind} {{ {} }}", parts.join(" && "))
            })
            .collect();
        format!("@id(\"p{n}\") {effect} (principal, {action}, resource){conditions};\n")
    };
    (0..12).map(|n| policy(n, random)).collect()
}

fn question(random: &mut Random) -> Question {
    let roles: BTreeSet<String> = (0..random.below(4)).map(|_| random.one(&WORDS).to_owned()).collect();
    let generate = random.below(2) == 0;
    let amounts = if generate { vec![("max_tokens", 10), ("prompt_bytes", 5)] } else { Vec::new() };
    Question {
        principal: Facts {
            id: "ann".into(),
            tenant: random.one(&WORDS).into(),
            roles,
            clearance: u8::try_from(random.below(4)).unwrap(),
            attested: random.below(2) == 0,
            sets: Default::default(),
        },
        action: if generate { "Generate" } else { "ListModels" }.into(),
        resource: Resource { kind: "Model".into(), id: "m".into() },
        purpose: random.one(&WORDS).into(),
        amounts: amounts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
        situation: Situation { risk: u8::try_from(random.below(100)).unwrap(), ..Situation::default() },
    }
}

/// Decision, reasons and which policies failed.
fn parts(response: &Response) -> (Decision, BTreeSet<String>, BTreeSet<String>) {
    let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
    let errors = response.diagnostics().errors().map(ToString::to_string).collect();
    (response.decision(), reasons, errors)
}

#[test]
fn the_answer_is_that_of_cedar_over_all_policies() {
    let mut random = Random(20_261_124);
    let (mut allowed, mut failed) = (0, 0);
    for _ in 0..600 {
        let text = policies(&mut random);
        let all = PolicySet::from_str(&text).unwrap();
        let pack = Pack::load(SCHEMA, &text, "", "").unwrap_or_else(|e| panic!("{e}\n{text}"));
        for _ in 0..20 {
            let question = question(&mut random);
            let (request, entities) = pack.request(&question).unwrap();
            let expected = parts(&Authorizer::new().is_authorized(&request, &all, &entities));
            let answer = parts(&pack.index().ask(&question, &request, &entities).unwrap());
            assert_eq!(answer, expected, "{question:?}\n{text}");
            allowed += u32::from(expected.0 == Decision::Allow);
            failed += u32::from(!expected.2.is_empty());
        }
    }
    // Otherwise the test says little.
    assert!(allowed > 1000 && failed > 1000, "{allowed} allowed, {failed} failed");
}

fn demanded(condition: &str) -> Vec<String> {
    let text = format!("permit (principal, action == Action::\"Generate\", resource) {condition};");
    let set = PolicySet::from_str(&text).unwrap();
    let policy = set.policies().next().unwrap().to_json().unwrap();
    demands(&policy).iter().map(|words| format!("{words:?}")).collect()
}

#[test]
fn what_a_condition_demands_is_found_only_where_nothing_can_fail() {
    let purpose = ["{Purpose(\"a\")}"];
    assert_eq!(demanded("when { context.purpose == \"a\" && context.max_tokens < 9 }"), purpose);
    assert_eq!(demanded("when { context.situation.hour < 9 } when { context.purpose == \"a\" }"), purpose);
    assert_eq!(
        demanded("when { [\"a\", \"b\"].contains(context.purpose) }"),
        ["{Purpose(\"a\"), Purpose(\"b\")}"]
    );
    assert_eq!(
        demanded("when { principal.roles.containsAny([\"r\", \"s\"]) }"),
        ["{Role(\"r\"), Role(\"s\")}"]
    );
    for none in [
        "",
        "unless { context.purpose == \"a\" }",
        "when { context.purpose == \"a\" || principal.attested }",
        "when { !(context.purpose == \"a\") }",
        "when { context.purpose != \"a\" }",
        "when { context.purpose == \"a\" && context.max_tokens + 1 < 9 }",
        "when { context.purpose == \"a\" } unless { context.max_tokens * 2 < 9 }",
        "when { context.purpose == \"a\" && principal.manager.attested }",
        "when { context.purpose == \"a\" && ip(\"10.0.0.1\").isIpv4() }",
        "when { principal.roles.contains(context.purpose) }",
        "when { principal.roles.containsAll([\"r\", \"s\"]) }",
        "when { [].contains(context.purpose) && context.max_tokens + 1 > 0 }",
    ] {
        assert_eq!(demanded(none), Vec::<String>::new(), "{none}");
    }
}

#[test]
fn policies_that_ship_are_filed_under_words() {
    for text in [SHIPPED, HR, AIRLINE] {
        let all = PolicySet::from_str(text).unwrap();
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let index = Index::new(&schema, &all).unwrap();
        let most = index.0.values().map(|filed| filed.general.policies().count()).max().unwrap();
        let all = all.policies().count();
        assert!(most < all, "all {all} are under no word");
    }
}
