//! Numbers of European countries.

use super::Recogniser;
use super::checks::{
    Outcome, bsnr, de_pension, de_tax_id, de_vat, fiscal_code, hetu, icao, it_vat, kvnr, lanr, nhs, nif,
    none, organisationsnummer, personnummer, pesel,
};

pub(super) fn recognisers() -> Vec<Recogniser> {
    [germany(), britain(), south(), north()].into_iter().flatten().collect()
}

/// Characters of German passports and identity cards: no vowels, none that looks like a digit.
const SERIAL: &str = "cfghjklmnprtvwxyz";

/// German postcodes run from 01001 to 99998.
fn plz(text: &str) -> Outcome {
    if (1001..=99998).contains(&text.parse::<u32>().unwrap_or(0)) { Outcome::Unsure } else { Outcome::No }
}

fn germany() -> Vec<Recogniser> {
    vec![
        Recogniser::new("de_tax_id", de_tax_id, &["steuer", "tin", "idnr"])
            .pattern(50, r"\b[1-9]\d(?: ?\d{3}){3}\b"),
        Recogniser::new("de_tax_number", none, &["steuernummer", "steuer", "finanzamt", "st.-nr"])
            .pattern(30, r"\b\d{2,3}/\d{3,4}/\d{4,5}\b")
            .pattern(20, r"\b(?:0[1-9]|1[0-6])\d{11}\b"),
        Recogniser::new("de_vat_id", de_vat, &["ust", "vat", "umsatzsteuer", "mwst"])
            .pattern(50, r"\bde[ -]?\d{3}[ .-]?\d{3}[ .-]?\d{3}\b"),
        Recogniser::new("de_passport", icao, &["reisepass", "pass"])
            .pattern(30, &format!(r"\b[cfghjk][{SERIAL}0-9]{{7}}\d\b")),
        Recogniser::new("de_id_card", icao, &["personalausweis", "ausweis"])
            .pattern(30, &format!(r"\b[lmnprtvwxy][{SERIAL}0-9]{{8}}\d?\b"))
            .pattern(20, r"\bt\d{8}\b"),
        Recogniser::new("de_driving_licence", none, &["führerschein", "fahrerlaubnis"])
            .pattern(30, r"\b[a-z]{2}\d{8}[a-z0-9]\b")
            .pattern(10, r"\b[a-z]\d{2}[a-z0-9]{6}\d[a-z0-9]\b"),
        Recogniser::new("de_health_insurance", kvnr, &["krankenkasse", "versicherten", "kvnr", "krankenversicher"])
            .pattern(30, r"\b[a-z]\d{9}\b"),
        Recogniser::new("de_pension_insurance", de_pension, &["rentenversicherung", "sozialversicherung", "svnr"])
            .pattern(50, r"\b\d{2} ?\d{6} ?[a-z] ?\d{3}\b"),
        Recogniser::new("de_physician", lanr, &["lanr", "arzt"]).pattern(20, r"\b\d{9}\b"),
        Recogniser::new("de_practice", bsnr, &["bsnr", "betriebsstätte"]).pattern(5, r"\b\d{9}\b"),
        Recogniser::new("de_register", none, &["handelsregister", "amtsgericht", "registergericht"])
            .pattern(50, r"\bhr[ab][ :.-]*(?:nr\.? ?)?\d{1,6}(?: ?[a-z]{1,2})?\b"),
        Recogniser::new("de_plate", none, &["kennzeichen", "kfz", "auto", "fahrzeug"])
            .inside(
                20,
                r"(?:^|[^\w\x80-\xff])((?:[a-z]|\xc3[\xa4\xb6\xbc\x84\x96\x9c]){1,3}[- ][a-z]{1,2}[- ]?[1-9]\d{0,3}[eh]?)\b",
            ),
        Recogniser::new("de_postcode", plz, &["plz", "postleitzahl", "wohnhaft", "straße", "adresse"])
            .pattern(10, r"\b\d{5}\b"),
    ]
}

fn britain() -> Vec<Recogniser> {
    let area = "[abceghj-prstw-z][abceghj-nprstw-z]";
    vec![
        Recogniser::new("uk_nhs", nhs, &["nhs", "health"])
            .pattern(40, r"\b\d{3}[- ]?\d{3}[- ]?\d{4}\b"),
        Recogniser::new("uk_nino", nino, &["insurance", "nino", "national"])
            .pattern(50, &format!(r"\b{area}(?: ?\d{{2}}){{3}} ?[a-d]\b")),
        Recogniser::new("uk_passport", none, &["passport", "travel"]).pattern(10, r"\b[a-z]{2}\d{7}\b"),
        Recogniser::new("uk_driving_licence", none, &["driving", "licence", "dvla", "license"])
            .pattern(60, r"\b[a-z9]{5}\d[0156]\d(?:[0-2]\d|3[01])\d[a-z9]{2}[a-z0-9][a-z]{2}\b"),
        Recogniser::new("uk_postcode", none, &["postcode", "address", "postal", "post"])
            .pattern(10, concat!(
                r"\b(?:gir ?0aa|[a-pr-uwyz](?:\d{1,2}|[a-hk-y]\d{1,2}|\d[a-hjkps-uw]|[a-hk-y]\d[abehmnprv-y]) ?",
                r"\d[abd-hjlnp-uw-z]{2})\b"
            )),
        Recogniser::new("uk_plate", plate, &["registration", "vehicle", "plate", "car", "vrn", "reg"])
            .pattern(30, r"\b[a-hj-pr-y][a-hj-pr-y]\d{2}[ -]?[a-hj-pr-z]{3}\b")
            .pattern(20, r"\b[a-hj-pr-y]\d{1,3}[ -]?[a-z]{3}\b")
            .pattern(10, r"\b[a-z]{3}[ -]?\d{1,3}[a-hj-npr-tv-y]\b"),
    ]
}

/// Prefixes that HMRC does not issue.
fn nino(text: &str) -> Outcome {
    let prefix: String = text.chars().take(2).map(|c| c.to_ascii_uppercase()).collect();
    let unused = ["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"].contains(&prefix.as_str());
    if unused { Outcome::No } else { Outcome::Unsure }
}

/// Plates of today: the age is 02 to 29 for spring, 51 to 79 for autumn.
fn plate(text: &str) -> Outcome {
    let mut characters = text.chars().filter(char::is_ascii_alphanumeric);
    let letters = characters.by_ref().take(2).filter(char::is_ascii_alphabetic).count();
    let age: String = characters.take(2).collect();
    match (letters, age.parse::<u32>()) {
        (2, Ok(age)) if !matches!(age, 2..=29 | 51..=79) => Outcome::No,
        _ => Outcome::Unsure,
    }
}

fn south() -> Vec<Recogniser> {
    vec![
        Recogniser::new("es_nif", nif, &["nif", "dni", "documento", "identificación", "fiscal"])
            .pattern(50, r"\b\d{7,8}-?[a-hj-np-tv-z]\b"),
        Recogniser::new("es_nie", nif, &["nie", "extranjero"])
            .pattern(50, r"\b[xyz]-?\d{7}-?[a-hj-np-tv-z]\b"),
        Recogniser::new("es_passport", none, &["pasaporte", "passport"])
            .pattern(10, r"\b[a-z]{3}\d{6}[a-z]?\b"),
        Recogniser::new("it_fiscal_code", fiscal_code, &["codice", "fiscale", "cf"])
            .pattern(40, r"\b[a-z]{6}[0-9lmnp-v]{2}[abcdehlmprst][0-9lmnp-v]{2}[a-z][0-9lmnp-v]{3}[a-z]\b"),
        Recogniser::new("it_vat", it_vat, &["partita", "iva", "piva"]).pattern(10, r"\b(?:\d[ _]?){11}\b"),
        Recogniser::new("it_passport", none, &["passaporto", "passport"]).pattern(5, r"\b[a-z]{2}\d{7}\b"),
        Recogniser::new("it_identity_card", none, &["carta", "identità"])
            .pattern(5, r"\b[a-z]{2} ?\d{7}\b")
            .pattern(5, r"\b\d{7}[a-z]{2}\b")
            .pattern(5, r"\b[a-z]{2}\d{5}[a-z]{2}\b"),
        Recogniser::new("it_driving_licence", none, &["patente", "guida"])
            .pattern(20, r"\b(?:[a-z]{2}\d{7}[a-z]|u1[bcdfghjklmnprstwxyz0-9]{7}[a-z])\b"),
    ]
}

fn north() -> Vec<Recogniser> {
    vec![
        Recogniser::new("fi_personal_code", hetu, &["hetu", "henkilötunnus", "personbeteckning"])
            .pattern(50, r"\b\d{6}[-+a-fu-y]\d{3}[0-9a-fhj-npr-y]\b"),
        Recogniser::new("se_personal_number", personnummer, &["personnummer", "svenskt"])
            .pattern(50, r"\b(?:\d{2})?\d{6}[-+]?\d{4}\b"),
        Recogniser::new("se_organisation_number", organisationsnummer, &["organisationsnummer", "orgnr"])
            .pattern(50, r"\b(?:16)?\d{6}-?\d{4}\b"),
        Recogniser::new("pl_pesel", pesel, &["pesel"])
            .pattern(40, r"\b\d{2}(?:[02468][1-9]|[13579][0-2])(?:0[1-9]|[12]\d|3[01])\d{5}\b"),
    ]
}
