//! Personal data: Presidio's own cases of its recognisers, and Presidio-research's synthetic texts.

use crate::data;
use crate::table::{Line, share};
use anyhow::Result;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Case {
    text: String,
    expected_len: Option<usize>,
    positions: Option<Vec<(usize, usize)>>,
    recognizer: String,
}

/// Presidio's recogniser, without `_recognizer`, and our kind. What is not here is not supported: names (`spacy`, `stanza`,
/// `transformers`), and `pattern`, which is a test of a pattern given by its caller.
const KINDS: [(&str, &str); 73] = [
    ("aba_routing", "us_routing_number"),
    ("au_abn", "au_abn"),
    ("au_acn", "au_acn"),
    ("au_medicare", "au_medicare"),
    ("au_tfn", "au_tfn"),
    ("ca_sin", "ca_sin"),
    ("certificate_number", "us_medical_licence"),
    ("credit_card", "credit_card"),
    ("crypto", "crypto"),
    ("date", "date"),
    ("de_bsnr", "de_practice"),
    ("de_fuehrerschein", "de_driving_licence"),
    ("de_handelsregister", "de_register"),
    ("de_health_insurance", "de_health_insurance"),
    ("de_id_card", "de_id_card"),
    ("de_kfz", "de_plate"),
    ("de_lanr", "de_physician"),
    ("de_passport", "de_passport"),
    ("de_plz", "de_postcode"),
    ("de_social_security", "de_pension_insurance"),
    ("de_tax_id", "de_tax_id"),
    ("de_tax_number", "de_tax_number"),
    ("de_vat_id", "de_vat_id"),
    ("email", "email"),
    ("es_nie", "es_nie"),
    ("es_nif", "es_nif"),
    ("es_passport", "es_passport"),
    ("fi_personal_identity_code", "fi_personal_code"),
    ("in_aadhaar", "in_aadhaar"),
    ("in_gstin", "in_gstin"),
    ("in_pan", "in_pan"),
    ("in_passport", "in_passport"),
    ("in_vehicle_registration", "in_plate"),
    ("in_voter", "in_voter"),
    ("ip", "ip_address"),
    ("it_driver_license", "it_driving_licence"),
    ("it_fiscal_code", "it_fiscal_code"),
    ("it_identity_card", "it_identity_card"),
    ("it_passport", "it_passport"),
    ("it_vat_code", "it_vat"),
    ("kr_brn", "kr_business"),
    ("kr_driver_license", "kr_driving_licence"),
    ("kr_frn", "kr_foreigner"),
    ("kr_passport", "kr_passport"),
    ("kr_rrn", "kr_resident"),
    ("mac", "mac_address"),
    ("ng_nin", "ng_nin"),
    ("ng_vehicle_registration", "ng_plate"),
    ("ph_mobile_number", "ph_mobile"),
    ("ph_tin", "ph_tin"),
    ("phone", "phone"),
    ("pl_pesel", "pl_pesel"),
    ("se_organisationsnummer", "se_organisation_number"),
    ("se_personnummer", "se_personal_number"),
    ("sg_fin", "sg_fin"),
    ("sg_uen", "sg_uen"),
    ("th_tnin", "th_national"),
    ("tr_license_plate", "tr_plate"),
    ("tr_national_id", "tr_national"),
    ("tr_phone_number", "tr_phone"),
    ("uk_driving_licence", "uk_driving_licence"),
    ("uk_nhs", "uk_nhs"),
    ("uk_nino", "uk_nino"),
    ("uk_passport", "uk_passport"),
    ("uk_postcode", "uk_postcode"),
    ("uk_vehicle_registration", "uk_plate"),
    ("url", "url"),
    ("us_bank", "us_bank_account"),
    ("us_driver_license", "us_driver_licence"),
    ("us_itin", "us_itin"),
    ("us_mbi", "us_mbi"),
    ("us_npi", "us_npi"),
    ("us_passport", "us_passport"),
];
/// The same, where our kind has another recogniser as well.
const MORE: [(&str, &str); 2] = [("us_ssn", "us_ssn"), ("za_id_number", "za_identity")];

/// Whether we find what Presidio's test expects: as many, and where it says. Presidio's tests ask for candidates,
/// however unlikely; so does this.
fn passes(case: &Case, kind: &str) -> bool {
    let character = |byte: usize| case.text.get(..byte).map_or(0, |before| before.chars().count());
    let found: Vec<(usize, usize)> = adyton_guardrail::personal_candidates(kind, &case.text)
        .iter()
        .map(|span| (character(span.start), character(span.end)))
        .collect();
    let expected = case.positions.clone().unwrap_or_default();
    let count = case.expected_len.unwrap_or(expected.len());
    found.len() == count && (expected.is_empty() || expected == found)
}

#[derive(Deserialize)]
struct Synthetic {
    full_text: String,
    spans: Vec<Marked>,
}

#[derive(Deserialize)]
struct Marked {
    entity_type: String,
    start_position: usize,
    end_position: usize,
}

/// What of Presidio-research's entities is recognised at all.
const ENTITIES: [&str; 7] =
    ["CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "DOMAIN_NAME", "IBAN_CODE", "US_SSN", "IP_ADDRESS"];

/// What is likely enough to be masked, in synthetic texts: how much of it is found, and how much of what is found is none.
fn in_texts() -> Result<Vec<Line>> {
    let rows: Vec<Synthetic> = data::rows("eval/presidio_research/synth_dataset_v2_half.jsonl")?;
    let (mut covered, mut marked, mut wrong, mut found) = (0, 0, 0, 0);
    for row in &rows {
        let character = |byte: usize| row.full_text.get(..byte).map_or(0, |before| before.chars().count());
        let spans: Vec<(usize, usize)> = adyton_guardrail::find_personal(&row.full_text, |_| true)
            .iter()
            .map(|span| (character(span.start), character(span.end)))
            .collect();
        let meets = |a: (usize, usize), b: (usize, usize)| a.0 < b.1 && b.0 < a.1;
        let of = |mark: &Marked| (mark.start_position, mark.end_position);
        for mark in row.spans.iter().filter(|mark| ENTITIES.contains(&mark.entity_type.as_str())) {
            marked += 1;
            covered += usize::from(spans.iter().any(|span| span.0 <= of(mark).0 && of(mark).1 <= span.1));
        }
        found += spans.len();
        wrong += spans.iter().filter(|span| !row.spans.iter().any(|mark| meets(**span, of(mark)))).count();
    }
    let what = "Presidio-research's texts, kinds that are recognised";
    Ok(vec![
        Line::new("wholly masked", what, share(covered, marked), ""),
        Line::new("masked, and marked as nothing", "the same texts", share(wrong, found), ""),
    ])
}

/// The lines of the table.
///
/// # Errors
/// If the data is absent.
pub fn measure(show: bool) -> Result<Vec<Line>> {
    let mut cases: Vec<Case> = data::rows("eval/pii_presidio_recognizer_tests/tests.jsonl")?;
    // Eight rows were lifted without what their test expects.
    cases.retain(|case| case.expected_len.is_some() || case.positions.is_some());
    let mut by: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missed: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        let name = case.recognizer.strip_suffix("_recognizer").unwrap_or(&case.recognizer);
        let kind = KINDS.iter().chain(&MORE).find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let Some(kind) = kind else { continue };
        let (passed, all) = by.entry(name).or_default();
        *all += 1;
        let passes = passes(case, kind);
        *passed += usize::from(passes);
        if !passes && case.expected_len.unwrap_or(1) > 0 {
            *missed.entry(name).or_default() += 1;
        }
    }
    if show {
        by.iter().filter(|(_, (passed, all))| passed < all).for_each(|(name, (passed, all))| {
            println!("{name}: {passed} of {all}, {} of the others missed", missed.get(name).unwrap_or(&0));
        });
    }
    let (passed, all) = by.values().fold((0, 0), |(p, a), (passed, of)| (p + passed, a + of));
    let supported = by.len();
    let recognisers: BTreeSet<&str> = cases.iter().map(|case| case.recognizer.as_str()).collect();
    let mut lines = vec![
        Line::new(
            format!("personal data, cases right, {supported} recognisers of {}", recognisers.len()),
            "Presidio's recogniser tests",
            share(passed, all),
            "95 % of supported",
        ),
        Line::new("the same, those of names counted as wrong", "all of them", share(passed, cases.len()), ""),
    ];
    lines.extend(in_texts()?);
    Ok(lines)
}
