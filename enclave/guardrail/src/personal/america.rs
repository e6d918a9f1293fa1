//! Numbers of the United States and Canada.

use super::Recogniser;
use super::checks::{Outcome, aba, compact, dea, none, npi, sin, ssn};

/// Area number and a group that the IRS issues (50 to 65, 70 to 88, 90 to 92, 94 to 99).
const ITIN: &str = r"9\d{2}[- ](?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]\d{4}";

/// Passports of the next generation have a letter and eight digits; those before have nine digits.
fn passport(text: &str) -> Outcome {
    if compact(text).len() == 9 { Outcome::Unsure } else { Outcome::No }
}

pub(super) fn recognisers() -> Vec<Recogniser> {
    let licence = concat!(
        r"\b(?:[a-z]\d{3,6}|[a-z]\d{5,9}|[a-z]\d{6,8}|[a-z]\d{4,8}|[a-z]\d{9,11}|[a-z]{1,2}\d{5,6}|h\d{8}|v\d{6}|x\d{8}|",
        r"[a-z]{2}\d{2,5}|[a-z]{2}\d{3,7}|\d{2}[a-z]{3}\d{5,6}|[a-z]\d{13,14}|[a-z]\d{18}|[a-z]\d{6}r|[a-z]\d{9}|[a-z]\d{1,12}|",
        r"\d{9}[a-z]|[a-z]{2}\d{6}[a-z]|\d{8}[a-z]{2}|\d{3}[a-z]{2}\d{4}|[a-z]\d[a-z]\d[a-z]|\d{7,8}[a-z])\b"
    );
    vec![
        Recogniser::new("us_ssn", ssn, &["ssn", "social", "security"])
            .pattern(50, r"\b\d{3}-\d{2}-\d{4}\b")
            .pattern(10, r"\b\d{5}-\d{4}\b|\b\d{3}-\d{6}\b")
            .pattern(10, r"\b\d{3}[ .]\d{2}[ .]\d{4}\b")
            .pattern(5, r"\b\d{9}\b"),
        Recogniser::new("us_itin", none, &["itin", "tax", "taxpayer", "individual"])
            .pattern(50, &format!(r"\b{ITIN}\b"))
            .pattern(30, r"\b9\d{2}(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])\d{4}\b")
            .pattern(5, r"\b9\d{2}[- ](?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])\d{4}\b")
            .pattern(5, r"\b9\d{2}(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]\d{4}\b"),
        Recogniser::new("us_passport", passport, &["passport", "travel", "document"])
            .pattern(5, r"\b\d{9}\b")
            .pattern(10, r"\b[a-z]\d{8}\b"),
        Recogniser::new("us_driver_licence", none, &["driver", "license", "licence", "permit", "driving", "dl"])
            .pattern(30, licence)
            .pattern(1, r"\b(?:\d{6,14}|\d{16})\b"),
        Recogniser::new("us_bank_account", none, &["bank", "account", "debit", "saving", "check", "checking"])
            .pattern(5, r"\b\d{8,17}\b"),
        Recogniser::new("us_routing_number", aba, &["aba", "routing", "bank", "transit"])
            .pattern(5, r"\b[0123678]\d{8}\b")
            .pattern(30, r"\b[0123678]\d{3}-\d{4}-\d\b"),
        Recogniser::new("us_medical_licence", dea, &["dea", "certificate", "medical", "license", "prescriber"])
            .pattern(40, r"\b[abcdefghjklmprstux][a-z9]\d{7}\b"),
        Recogniser::new("us_npi", npi, &["npi", "provider", "physician"])
            .pattern(10, r"\b[12]\d{9}\b")
            .pattern(30, r"\b[12]\d{3}[ -]\d{3}[ -]\d{3}\b"),
        Recogniser::new("us_mbi", none, &["mbi", "medicare", "beneficiary"])
            .pattern(50, r"\b[1-9][ac-hj-kmnp-rt-y][0-9ac-hj-kmnp-rt-y]\d[ac-hj-kmnp-rt-y][0-9ac-hj-kmnp-rt-y]\d[ac-hj-kmnp-rt-y]{2}\d{2}\b")
            .pattern(60, r"\b[1-9][ac-hj-kmnp-rt-y][0-9ac-hj-kmnp-rt-y]\d-[ac-hj-kmnp-rt-y][0-9ac-hj-kmnp-rt-y]\d-[ac-hj-kmnp-rt-y]{2}\d{2}\b"),
        Recogniser::new("ca_sin", sin, &["sin", "social", "insurance"])
            .pattern(5, r"\b\d{9}\b")
            .pattern(40, r"\b\d{3}-\d{3}-\d{3}\b|\b\d{3} \d{3} \d{3}\b"),
    ]
}
