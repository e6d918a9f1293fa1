//! That the rules are sound, what they find, and what they leave alone.

use super::rules::RULES;
use super::*;
use proptest::prelude::*;

fn found(text: &str) -> Vec<&str> {
    find(text).unwrap().iter().map(|span| &text[span.start..span.end]).collect()
}

#[test]
fn each_rule_compiles_and_has_a_keyword() {
    assert!(RULES.list.len() > 200);
    RULES.list.iter().for_each(rules::Rule::check);
    assert!(
        RULES
            .starts
            .iter()
            .chain(&RULES.contexts)
            .all(|word| word.len() >= 2 && *word == word.to_lowercase())
    );
}

#[test]
fn keys_and_passwords_are_found() {
    for (text, secret) in [
        ("export T=ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5", "ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"),
        ("stripe sk_live_9aZ8bY7cX6dW5eV4fU3g ", "sk_live_9aZ8bY7cX6dW5eV4fU3g"),
        ("api_key = \"7hG4kd0Lq2Xv9Bn5Wm8R\"", "7hG4kd0Lq2Xv9Bn5Wm8R"),
        ("curl -u admin:h7Gk2Lq9Xv https://example.org", "admin:h7Gk2Lq9Xv"),
    ] {
        assert_eq!(found(text), [secret], "{text}");
    }
}

#[test]
fn ordinary_text_has_none() {
    for text in [
        "The secret of a good token is that nobody knows the password.",
        "Set api_key = YOUR_API_KEY_HERE in the file.",
        "The access key is in the keyboard drawer: behind the monkey.",
        "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad fixes it",
        "token = ${GITHUB_TOKEN}",
    ] {
        assert_eq!(found(text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn a_text_of_nothing_but_keywords_is_told() {
    let keywords: String =
        RULES.starts.iter().chain(&RULES.contexts).map(|word| format!("{word} ")).collect();
    assert_eq!(find(&keywords.repeat(200)), Err(TooManyKeywords));
    assert!(find(&"password token secret ".repeat(10_000)).is_ok());
}

proptest! {
    #[test]
    fn spans_are_in_order_and_on_boundaries(text in "(api_key|token|ghp_|AKIA|[= :\"']|[A-Za-z0-9]{0,40}|é|\\PC){0,30}") {
        let spans = find(&text).unwrap();
        let mut last = 0;
        for span in spans {
            prop_assert!(span.start >= last && span.start < span.end && text.get(span.start..span.end).is_some());
            last = span.end;
        }
    }
}
