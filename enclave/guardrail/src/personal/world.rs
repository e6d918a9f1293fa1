//! Numbers and names that are the same everywhere: addresses of mail, of the web, of machines; cards, accounts, phones, dates.

use super::Recogniser;
use super::checks::{bitcoin, iban, ip, luhn, mac, none};

/// How long an IBAN of a country is (SWIFT, IBAN registry, release 99).
pub(super) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: [(usize, &str); 19] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FK FI FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
        (0, ""),
    ];
    let has = |(_, countries): &&(usize, &str)| country.len() == 2 && countries.contains(country);
    LENGTHS.iter().find(has).map(|(length, _)| *length)
}

/// Top-level domains of the web that are written without a scheme; with one, any is an address.
const WEB: &str = concat!(
    r"\b(?:https?://[\w.~%\[\]-]+(?::\d{1,5})?(?:[/?#][^\s<>()\x22'\[\]{}]*)?",
    r"|(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:com|org|net|edu|gov|mil|int|info|biz|io|co|ai|app|dev|me|tv|us|uk|ca|au|",
    r"de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|cz|pt|gr|ie|il|in|jp|cn|kr|sg|hk|tw|br|mx|ar|za|ru|ua|tr|eu|gl|ly|xyz|online|site|",
    r"tech|store|cloud)\b(?::\d{1,5})?(?:[/?#][^\s<>()\x22'\[\]{}]*)?)"
);

const MONTH: &str = concat!(
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|",
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
);

pub(super) fn recognisers() -> Vec<Recogniser> {
    let card =
        r"\b(?:[1346]\d{3}|5[0-5]\d{2}|2[2-7]\d{2})[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{3,5}(?:[- ]?\d{1,3})?\b";
    let six = concat!(
        r"(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,7}:|(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}",
        r"|:(?:(?::[0-9a-f]{1,4}){1,7}|:)|(?:[0-9a-f]{0,4}:){2,6}(?:\d{1,3}\.){3}\d{1,3})"
    );
    let four = r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)";
    vec![
        Recogniser::new("email", none, &["mail"]).pattern(
            70,
            r"\b[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}\b",
        ),
        Recogniser::new("url", none, &["url", "website", "link"]).pattern(50, WEB),
        Recogniser::new("ip_address", ip, &["ip"])
            .inside(60, &format!(r"(?:^|[^\w.:])({four}(?:/\d{{1,2}})?)(?:[^\w.]|\.(?:[^\w]|$)|$)"))
            .inside(60, &format!(r"(?:^|[^\w.:])({six}(?:%[0-9a-z]+)?(?:/\d{{1,3}})?)(?:[^\w:.]|\.(?:[^\w]|$)|$)")),
        Recogniser::new("mac_address", mac, &["mac", "hardware"])
            .pattern(60, r"\b[0-9a-f]{2}(?:(?:-[0-9a-f]{2}){5}|(?::[0-9a-f]{2}){5})\b")
            .pattern(60, r"\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b"),
        Recogniser::new("credit_card", luhn, &["credit", "card", "visa", "mastercard", "amex", "debit"])
            .pattern(30, card),
        Recogniser::new("iban", iban, &["iban", "bank", "account"])
            .pattern(50, r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b"),
        Recogniser::new("crypto", bitcoin, &["wallet", "btc", "bitcoin", "crypto"])
            .pattern(50, r"\b(?:bc1[ac-hj-np-z02-9]{25,59}|[13][a-km-zA-HJ-NP-Z1-9]{25,34})\b"),
        phone(),
        dates(),
    ]
}

fn phone() -> Recogniser {
    Recogniser::new("phone", none, &["phone", "number", "telephone", "cell", "mobile", "call", "tel", "fax", "contact"])
        .inside(60, r"(?:^|[^\w+.-])(\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4})(?:\D|$)")
        .inside(50, r"(?:^|[^\w+.-])((?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]?\d{4}(?: ?(?:x|ext\.?) ?\d{1,5})?)(?:\D|$)")
        .inside(40, r"(?:^|[^\w+.-])(\(?0\d{1,4}\)?[ .-]?\d{3,4}[ .-]?\d{3,4}(?:[ .-]?\d{1,3})?)(?:\D|$)")
        .inside(20, r"(?:^|[^\w+.-])(\d{3}[ .-]\d{4})(?:[^\w-]|$)")
        .inside(20, r"(?:^|[^\w+.-])(\d{10,11})(?:\W|$)")
}

fn dates() -> Recogniser {
    let day = r"(?:0?[1-9]|[12]\d|3[01])";
    let month = r"(?:0?[1-9]|1[0-2])";
    let short = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)";
    let recogniser = Recogniser::new("date", none, &["date", "birthday", "born", "birth", "dob"]);
    recogniser
        .pattern(60, &format!(r"\b{month}/{day}/(?:\d{{4}}|\d{{2}})\b"))
        .pattern(60, &format!(r"\b{day}/{month}/(?:\d{{4}}|\d{{2}})\b"))
        .pattern(60, &format!(r"\b\d{{4}}/{month}/{day}\b"))
        .pattern(60, &format!(r"\b{month}-{day}-\d{{4}}\b"))
        .pattern(60, &format!(r"\b{day}-{month}-\d{{4}}\b"))
        .pattern(60, &format!(r"\b\d{{4}}-{month}-{day}\b"))
        .pattern(60, &format!(r"\b{day}\.{month}\.(?:\d{{4}}|\d{{2}})\b"))
        .pattern(60, &format!(r"\b\d{{4}}\.{month}\.{day}\b"))
        .pattern(60, &format!(r"\b{day}[-/ ]{short}[-/ ](?:\d{{4}}|\d{{2}})\b"))
        .pattern(60, &format!(r"\b{short}[-/]{day}[-/](?:\d{{4}}|\d{{2}})\b"))
        .pattern(60, &format!(r"\b{short}-\d{{4}}\b"))
        .pattern(60, &format!(r"\b{MONTH}\.? {day}(?:st|nd|rd|th)?,? \d{{4}}\b"))
        .pattern(60, &format!(r"\b{day}(?:st|nd|rd|th)? (?:of )?{MONTH},? \d{{4}}\b"))
        .pattern(40, &format!(r"\b(?:{day}-{short}|{short}-{day})\b"))
        .pattern(20, r"\b(?:0?[1-9]|1[0-2])/\d{4}\b")
        .pattern(20, &format!(r"\b{month}/\d{{2}}\b"))
        .pattern(
            80,
            &format!(
                r"\b\d{{4}}-{month}-{day}T\d{{2}}:\d{{2}}(?::\d{{2}})?(?:\.\d+)?(?:Z|[+-]\d{{2}}:?\d{{2}})?\b"
            ),
        )
}
