//! Numbers of Asia, Australia and Africa.

use super::Recogniser;
use super::checks::{
    aadhaar, abn, acn, brn, frn, gstin, medicare, none, rrn, sg_fin, tfn, tnin, tr_id, verhoeff, za_id,
};

pub(super) fn recognisers() -> Vec<Recogniser> {
    [australia(), india(), korea(), others()].into_iter().flatten().collect()
}

fn australia() -> Vec<Recogniser> {
    vec![
        Recogniser::new("au_abn", abn, &["abn", "business"]).pattern(10, r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b"),
        Recogniser::new("au_acn", acn, &["acn", "company"]).pattern(10, r"\b\d{3} ?\d{3} ?\d{3}\b"),
        Recogniser::new("au_tfn", tfn, &["tfn", "tax"]).pattern(10, r"\b\d{3} ?\d{3} ?\d{3}\b"),
        Recogniser::new("au_medicare", medicare, &["medicare"]).pattern(10, r"\b[2-6]\d{3} ?\d{5} ?\d\b"),
    ]
}

fn india() -> Vec<Recogniser> {
    let states = concat!(
        "(?:an|ap|ar|as|br|cg|ch|dd|dl|dn|ga|gj|hp|hr|jh|jk|ka|kl|la|ld|mh|ml|mn|mp|mz|nl|od|or|pb|py|rj|sk|tn|tr|",
        "ts|tg|ua|uk|up|wb)"
    );
    vec![
        Recogniser::new("in_pan", none, &["pan", "permanent", "account", "income"])
            .pattern(50, r"\b[a-z]{3}[abcfghjlpt][a-z]\d{4}[a-z]\b")
            .pattern(20, r"\b[a-z]{5}\d{4}[a-z]\b")
            .pattern(5, r"\b[a-z0-9]*(?:[a-z]\d|\d[a-z])[a-z0-9]*\b"),
        Recogniser::new("in_aadhaar", aadhaar, &["aadhaar", "uidai"])
            .pattern(10, r"\b\d{12}\b|\b\d{4}([ :-])\d{4}[ :-]\d{4}\b"),
        Recogniser::new("in_gstin", gstin, &["gst", "gstin"])
            .pattern(50, r"\b\d{2}[a-z]{5}\d{4}[a-z][1-9a-z]z[0-9a-z]\b"),
        Recogniser::new("in_passport", none, &["passport"]).pattern(10, r"\b[a-z][1-9]\d{2}[ ]?\d{3}[1-9]\b"),
        Recogniser::new("in_voter", none, &["voter", "epic"]).pattern(30, r"\b[a-z]{3}\d{7}\b"),
        Recogniser::new("in_plate", none, &["vehicle", "registration", "rto", "plate"])
            .pattern(50, &format!(r"\b{states}[- ]?\d{{1,2}}[- ]?[a-z]{{0,3}}[- ]?\d{{4}}\b"))
            .pattern(50, r"\b\d{2}[- ]?bh[- ]?\d{4}[- ]?[a-hj-np-z]{1,2}\b"),
    ]
}

fn korea() -> Vec<Recogniser> {
    vec![
        Recogniser::new("kr_resident", rrn, &["resident", "주민"])
            .pattern(50, r"\b\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[1-4]\d{6}\b"),
        Recogniser::new("kr_foreigner", frn, &["foreigner", "외국인"])
            .pattern(50, r"\b\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[5-8]\d{6}\b"),
        Recogniser::new("kr_business", brn, &["business", "사업자"]).pattern(20, r"\b\d{3}-?\d{2}-?\d{5}\b"),
        Recogniser::new("kr_driving_licence", none, &["driver", "license", "면허"])
            .pattern(20, r"\b(?:1[1-9]|2[0-8])-?\d{2}-?\d{6}-?\d{2}\b"),
        Recogniser::new("kr_passport", none, &["passport", "여권"])
            .pattern(20, r"\b[mrsodg]\d{8}\b|\b[mrsodg]\d{3}[a-z]\d{4}\b"),
    ]
}

fn others() -> Vec<Recogniser> {
    vec![
        Recogniser::new("sg_fin", sg_fin, &["nric", "fin"]).pattern(50, r"\b[stfgm]\d{7}[a-z]\b"),
        Recogniser::new("sg_uen", none, &["uen", "entity"])
            .pattern(30, r"\b\d{8}[a-z]\b|\b(?:19|20)\d{2}\d{5}[a-z]\b|\b[rst]\d{2}[a-z]{2}\d{4}[a-z]\b"),
        Recogniser::new("th_national", tnin, &["thai", "national", "บัตร"])
            .pattern(40, r"\b[1-8][ -]?\d{4}[ -]?\d{5}[ -]?\d{2}[ -]?\d\b"),
        Recogniser::new("tr_national", tr_id, &["tc", "kimlik"]).pattern(30, r"\b[1-9]\d{10}\b"),
        Recogniser::new("tr_plate", none, &["plaka", "araç"])
            .pattern(30, r"\b(?:0[1-9]|[1-7]\d|8[01])(?: ?[a-pr-vyz]{1,3} ?|-[a-pr-vyz]{1,3}-)\d{2,4}\b"),
        Recogniser::new("tr_phone", none, &["telefon", "cep"])
            .inside(50, r"(?:^|[^\w+])(\+90[ -]?\(?[2-5]\d{2}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2})(?:\W|$)")
            .inside(30, r"(?:^|[^\w+])(0[ -]?\(?[2-5]\d{2}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2})(?:\W|$)")
            .inside(10, r"(?:^|[^\w+])(\(?[2-5]\d{2}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2})(?:\W|$)"),
        Recogniser::new("ph_mobile", none, &["mobile", "cellphone", "globe", "smart"])
            .inside(50, r"(?:^|[^\w+])((?:\+?63|0)[ .-]?\(?9\d{2}\)?[ .-]?\d{3}[ .-]?\d{4})(?:\D|$)"),
        Recogniser::new("ph_tin", none, &["tin", "bir", "tax"])
            .pattern(30, r"\b\d{3}-\d{3}-\d{3}(?:-\d{3,5})?\b")
            .pattern(5, r"\b\d{9}(?:\d{3}|\d{5})?\b"),
        Recogniser::new("ng_nin", verhoeff, &["nin", "nimc"]).pattern(10, r"\b\d{11}\b"),
        Recogniser::new("ng_plate", none, &["plate", "vehicle", "registration"])
            .pattern(30, r"\b[a-z]{3}[- ]?\d{3}[- ]?[a-z]{2}\b"),
        Recogniser::new("za_identity", za_id, &["identity", "id"])
            .pattern(40, r"\b\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{4}[0-2]\d{2}\b"),
    ]
}
