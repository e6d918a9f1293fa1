//! Which language a text is in: by its script, then by letters that few languages have, then by a small model.
//!
//! Promises
//! - One pass for scripts and letters, one of the model over at most [`MODEL`] bytes; nothing is loaded.
//! - Too few letters, or no script that prevails, is a doubt and not a guess.
//!
//! Does not: know every language. Of those in Latin script the model tells ten apart; of the others only those with letters
//! of their own are told, and the rest is taken for one of the ten. A model of 75 languages would be 180 MB in the image.
//!
//! Trusts: the weights of `whichlang`, which are compiled in. Source of the letters: the orthographies themselves.

use unicode_script::{Script, UnicodeScript};

/// Fewest letters of an alphabet that tell a language. Names and numbers have fewer.
const LETTERS: usize = 20;
/// The model sees no more than this, in bytes: its answer does not change after a few sentences.
const MODEL: usize = 4096;
/// Letters of its own that tell a language: at least two, and at least one in this many letters.
const OWN: usize = 80;

/// Languages with a script of their own.
const SCRIPTS: [(Script, &str); 20] = [
    (Script::Greek, "el"),
    (Script::Hebrew, "he"),
    (Script::Thai, "th"),
    (Script::Georgian, "ka"),
    (Script::Armenian, "hy"),
    (Script::Bengali, "bn"),
    (Script::Gujarati, "gu"),
    (Script::Gurmukhi, "pa"),
    (Script::Tamil, "ta"),
    (Script::Telugu, "te"),
    (Script::Kannada, "kn"),
    (Script::Malayalam, "ml"),
    (Script::Sinhala, "si"),
    (Script::Khmer, "km"),
    (Script::Lao, "lo"),
    (Script::Myanmar, "my"),
    (Script::Ethiopic, "am"),
    (Script::Tibetan, "bo"),
    (Script::Hangul, "ko"),
    (Script::Han, "zh"),
];

/// Letters that a language has and those near it have not. Earlier lines win where letters are shared.
const CYRILLIC: [(&str, &str); 8] = [
    ("kk", "әғқңұһ"),
    ("mn", "өү"),
    ("be", "ў"),
    ("uk", "їєґ"),
    ("mk", "ѓќѕ"),
    ("sr", "ђћљњџј"),
    ("ru", "ыэё"),
    ("bg", "ъ"),
];
const ARABIC: [(&str, &str); 2] = [("ur", "ٹڈڑںےہھ"), ("fa", "پچژگیک")];
const LATIN: [(&str, &str); 17] = [
    ("az", "ə"),
    ("yo", "ẹọṣ"),
    ("vi", "ơưăđạảấầẩậắằặẻẽếềểễệỉịọỏốồổỗộớờởợụủứừửữựỳỹ"),
    ("is", "þðý"),
    ("pl", "łąęśźżćń"),
    ("cs", "ěřů"),
    ("hu", "őű"),
    ("ro", "ășțţş"),
    ("lv", "āēīģķļņ"),
    ("lt", "ėįųą"),
    ("eo", "ĉĝĥĵŝŭ"),
    ("cy", "ŵŷ"),
    ("tr", "ğışİ"),
    ("sk", "ľĺŕťď"),
    ("da", "æø"),
    ("sq", "ë"),
    ("hr", "čćđžš"),
];

/// The language (ISO 639-1), or a doubt.
pub fn language(text: &str) -> Option<&'static str> {
    told(text, LETTERS)
}

/// The likeliest language of a text that may be too short to tell: no ground to refuse anything.
pub fn likely_language(text: &str) -> Option<&'static str> {
    told(text, 1)
}

fn told(text: &str, least: usize) -> Option<&'static str> {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic()).collect();
    let of = |script: Script| letters.iter().filter(|c| c.script() == script).count();
    let prevails = |count: usize| count * 2 > letters.len();
    let (kana, han) = (of(Script::Hiragana) + of(Script::Katakana), of(Script::Han));
    // Each sign of these says more than a letter.
    if kana > 0 && prevails(kana + han) {
        return (kana + han > least / 4).then_some("ja");
    }
    let alone = SCRIPTS.iter().find(|(script, _)| prevails(of(*script)));
    if let Some((_, language)) = alone {
        return (letters.len() > least / 4).then_some(language);
    }
    if letters.len() < least {
        return None;
    }
    let modelled = || model(text);
    if prevails(of(Script::Cyrillic)) {
        return Some(own_letters(&letters, &CYRILLIC).unwrap_or("ru"));
    }
    if prevails(of(Script::Arabic)) {
        return Some(own_letters(&letters, &ARABIC).unwrap_or("ar"));
    }
    if prevails(of(Script::Devanagari)) {
        return Some(if letters.contains(&'ळ') { "mr" } else { "hi" });
    }
    prevails(of(Script::Latin)).then(|| own_letters(&letters, &LATIN).or_else(modelled)).flatten()
}

/// The language with the most letters of its own.
fn own_letters(letters: &[char], table: &[(&'static str, &str)]) -> Option<&'static str> {
    let lower: Vec<char> = letters.iter().flat_map(|c| c.to_lowercase()).collect();
    let count = |own: &str| lower.iter().filter(|c| own.contains(**c)).count();
    let counted = table.iter().rev().map(|(language, own)| (count(own), *language));
    let most = counted.max_by_key(|(count, _)| *count)?;
    let few = if letters.len() < LETTERS { 1 } else { 2 };
    (most.0 >= few && most.0 * OWN >= letters.len()).then_some(most.1)
}

fn model(text: &str) -> Option<&'static str> {
    use whichlang::Lang;
    let seen = text.get(..text.floor_char_boundary(MODEL)).unwrap_or_default();
    Some(match whichlang::detect_language(seen) {
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Ita => "it",
        Lang::Nld => "nl",
        Lang::Por => "pt",
        Lang::Spa => "es",
        Lang::Swe => "sv",
        Lang::Tur => "tr",
        Lang::Vie => "vi",
        // Languages of other scripts: this text is Latin, so the model is at a loss.
        _ => return None,
    })
}

/// What [`language`] can say.
pub fn languages() -> impl Iterator<Item = &'static str> {
    let tables = [&CYRILLIC[..], &ARABIC, &LATIN];
    let lettered = tables.into_iter().flatten().map(|(language, _)| *language);
    let modelled = ["ja", "ar", "hi", "mr", "de", "en", "fr", "it", "nl", "pt", "es", "sv"];
    SCRIPTS.iter().map(|(_, language)| *language).chain(lettered).chain(modelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (text, expected) in [
            ("What is the capital of France, and why is it famous?", Some("en")),
            ("Was ist die Hauptstadt von Frankreich, und warum ist sie bekannt?", Some("de")),
            ("Quelle est la capitale de la France, et pourquoi est-elle connue ?", Some("fr")),
            ("¿Cuál es la capital de Francia y por qué es famosa?", Some("es")),
            ("Jaka jest stolica Francji i dlaczego jest znana? Proszę, powiedz więcej.", Some("pl")),
            ("Яка столиця Франції і чому вона відома? Її історія цікава.", Some("uk")),
            ("Какая столица Франции, и почему она известна?", Some("ru")),
            ("ما هي عاصمة فرنسا ولماذا هي مشهورة؟", Some("ar")),
            ("フランスの首都はどこですか。", Some("ja")),
            ("法国的首都是哪里？", Some("zh")),
            ("프랑스의 수도는 어디입니까?", Some("ko")),
            ("Ποια είναι η πρωτεύουσα της Γαλλίας;", Some("el")),
            // Doubts.
            ("", None),
            ("OK 17 + 25", None),
            ("<|im_<|im_<|im_", None),
            ("👍👍👍", None),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
        assert!(languages().all(|code| code.len() == 2));
    }
}
