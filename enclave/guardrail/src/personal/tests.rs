//! That each recogniser is sound, what is likely and what is not, and that masking can be taken back.

use super::*;
use proptest::prelude::*;

fn found(text: &str) -> Vec<(&'static str, &str)> {
    find(text, |_| true).iter().map(|span| (span.kind, &text[span.start..span.end])).collect()
}

#[test]
fn each_recogniser_compiles_and_has_its_own_name() {
    let kinds: std::collections::BTreeSet<&str> = kinds().collect();
    assert_eq!(kinds.len(), RECOGNISERS.len());
    assert!(kinds.len() > 60);
    RECOGNISERS.iter().flat_map(|recogniser| &recogniser.patterns).for_each(|pattern| {
        assert!(pattern.regex().captures_len() > pattern.group);
    });
}

#[test]
fn check_digits_decide() {
    // The first of each is the example of its definition, or one made by it; the second has one digit changed.
    for (kind, valid, changed) in [
        ("credit_card", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("iban", "GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 33"),
        ("us_npi", "1234567893", "1234567894"),
        ("us_routing_number", "021000021", "021000022"),
        ("uk_nhs", "943 476 5919", "943 476 5918"),
        ("es_nif", "12345678Z", "12345678A"),
        ("es_nie", "X1234567L", "X1234567M"),
        ("it_fiscal_code", "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        ("pl_pesel", "44051401359", "44051401358"),
        ("fi_personal_code", "131052-308T", "131052-308U"),
        ("se_personal_number", "811228-9874", "811228-9875"),
        ("de_tax_id", "86095742719", "86095742718"),
        ("de_vat_id", "DE136695976", "DE136695978"),
        ("au_abn", "51 824 753 556", "51 824 753 557"),
        ("au_tfn", "876543210", "876543211"),
        ("au_acn", "004 085 616", "004 085 617"),
        ("tr_national", "10000000146", "10000000147"),
        ("crypto", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        (
            "crypto",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        ),
        ("ip_address", "2001:db8::8:800:200c:417a", "2001:db8::8::200c:417a"),
    ] {
        assert_eq!(candidates(kind, valid).len(), 1, "{kind} {valid}");
        assert_eq!(candidates(kind, changed).len(), 0, "{kind} {changed}");
    }
}

#[test]
fn what_is_likely_is_found_and_no_more() {
    for (text, kinds) in [
        ("Write to ann.lee@example.org today.", &["email"][..]),
        ("My card is 4111 1111 1111 1111, thanks", &["credit_card"]),
        ("Her passport number is 123456789.", &["us_passport"]),
        ("see https://example.org/a?b=c", &["url"]),
        ("call me at (415) 555-0132", &["phone"]),
        ("What is an enclave? Answer in two sentences.", &[]),
        ("The year 1984 had 366 days; chapter 12 has 40 pages.", &[]),
        ("version 1.2.3, build 123456789", &[]),
    ] {
        let found: Vec<&str> = found(text).into_iter().map(|(kind, _)| kind).collect();
        assert!(kinds.iter().all(|kind| found.contains(kind)), "{text}: {found:?}");
        assert_eq!(found.is_empty(), kinds.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn the_same_value_has_the_same_placeholder_and_the_texts_own_are_left_alone() {
    let text = "a@b.org wrote to c@d.org and a@b.org; [EMAIL_1] is not a placeholder";
    let masked = mask(text, &find(text, |kind| kind == "email"));
    let expected = "[EMAIL_2] wrote to [EMAIL_3] and [EMAIL_2]; [EMAIL_1] is not a placeholder";
    assert_eq!(masked.text().expose(), expected);
    assert_eq!(masked.unmask(masked.text().expose()).expose(), text);
    assert_eq!(masked.unmask("Dear [EMAIL_3], [EMAIL_9]").expose(), "Dear c@d.org, [EMAIL_9]");
    assert!(!format!("{masked:?}").contains("a@b.org"));
}

/// Texts in which there is much to find.
fn texts() -> impl Strategy<Value = String> {
    let units = "ann@b\\.org|[0-9]{3}-[0-9]{2}-[0-9]{4}|4111111111111111|\\[EMAIL_1\\]|\\[|\\]|EMAIL_1|10\\.0\\.0\\.1|https://a\\.io/\
                 |[A-Z]{2}[0-9]{7}|passport |[ ,.\n]|\\PC|é|[a-z]{1,9}";
    prop::collection::vec(units, 0..30).prop_map(|units| units.concat())
}

proptest! {
    #[test]
    fn masking_then_unmasking_is_the_identity(text in texts()) {
        let masked = mask(&text, &find(&text, |_| true));
        let again = masked.unmask(masked.text().expose());
        prop_assert_eq!(again.expose(), text);
    }

    #[test]
    fn no_masked_span_survives(text in texts()) {
        let spans = find(&text, |_| true);
        let masked = mask(&text, &spans);
        for span in spans {
            let value = &text[span.start..span.end];
            prop_assert!(!masked.text().expose().contains(value), "{} in {}", value, masked.text().expose());
        }
    }

    #[test]
    fn no_text_panics_a_recogniser(text in "\\PC{0,200}|[0-9 A-Z./:-]{0,200}") {
        for kind in kinds() {
            for span in candidates(kind, &text) {
                prop_assert!(span.start < span.end && span.end <= text.len());
            }
        }
        let spans = find(&text, |_| true);
        prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
