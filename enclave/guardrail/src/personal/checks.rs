//! Check digits: whether digits that look like a number of some kind can be one.
//!
//! Each takes what an expression matched, separators included, and reads the digits and letters of it.

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The check digits hold.
    Sure,
    /// There is nothing to check.
    Unsure,
    /// It cannot be one.
    No,
}

pub(super) type Check = fn(&str) -> Outcome;

/// There is nothing to check.
pub(super) fn none(_: &str) -> Outcome {
    Outcome::Unsure
}

fn sure(holds: bool) -> Outcome {
    if holds { Outcome::Sure } else { Outcome::No }
}

fn unsure(possible: bool) -> Outcome {
    if possible { Outcome::Unsure } else { Outcome::No }
}

pub(super) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// Letters and digits, in upper case.
pub(super) fn compact(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

fn number(digits: &[u32]) -> u64 {
    digits.iter().fold(0u64, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(*d)))
}

fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn all_same(digits: &[u32]) -> bool {
    digits.iter().all(|digit| Some(digit) == digits.first())
}

/// A day that exists, in any year.
fn is_day(day: u32, month: u32) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=last).contains(&day)
}

fn pair(digits: &[u32], at: usize) -> u32 {
    digits.get(at..at + 2).map_or(0, |pair| number(pair) as u32)
}

fn luhn_digits(digits: &[u32]) -> bool {
    let doubled = |(at, digit): (usize, &u32)| match at % 2 {
        0 => *digit,
        _ if *digit > 4 => digit * 2 - 9,
        _ => digit * 2,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

/// ISO/IEC 7812-1, annex B.
pub(super) fn luhn(text: &str) -> Outcome {
    let digits = digits(text);
    sure(luhn_digits(&digits) && !all_same(&digits))
}

/// Canadian social insurance number: Luhn; none begins with 0 or 8.
pub(super) fn sin(text: &str) -> Outcome {
    let digits = digits(text);
    let first = digits.first().copied().unwrap_or(0);
    sure(luhn_digits(&digits) && !matches!(first, 0 | 8) && !all_same(&digits))
}

/// US national provider identifier: Luhn over 80840 and the number (45 CFR 162.406).
pub(super) fn npi(text: &str) -> Outcome {
    let number = digits(text);
    let prefixed: Vec<u32> = [8, 0, 8, 4, 0].into_iter().chain(number.iter().copied()).collect();
    sure(luhn_digits(&prefixed) && !all_same(&number))
}

/// Israeli, Swedish and South African numbers and others whose last ten or so digits are Luhn's.
pub(super) fn za_id(text: &str) -> Outcome {
    let digits = digits(text);
    sure(is_day(pair(&digits, 4), pair(&digits, 2)) && luhn_digits(&digits))
}

/// Swedish personal identity number; coordination numbers add 60 to the day (Skatteverket, SKV 704).
pub(super) fn personnummer(text: &str) -> Outcome {
    let all = digits(text);
    let ten = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    let day = match pair(ten, 4) {
        day if day > 60 => day - 60,
        day => day,
    };
    sure(ten.len() == 10 && is_day(day, pair(ten, 2)) && luhn_digits(ten))
}

/// Swedish organisation number: the third digit is at least 2, so that it is no date (SKV 709).
pub(super) fn organisationsnummer(text: &str) -> Outcome {
    let all = digits(text);
    let ten = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    sure(ten.len() == 10 && ten.get(2).is_some_and(|third| *third >= 2) && luhn_digits(ten))
}

/// ABA routing number: weights 3, 7, 1.
pub(super) fn aba(text: &str) -> Outcome {
    let digits = digits(text);
    sure(number(&digits) > 0 && weighted(&digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10))
}

/// US DEA number: the sum of the odd digits, and twice that of the even ones, ends in the seventh.
pub(super) fn dea(text: &str) -> Outcome {
    let digits = digits(text);
    sure(digits.get(6).is_some_and(|last| weighted(&digits, &[1, 2, 1, 2, 1, 2]) % 10 == *last))
}

/// US social security number: no area 000, 666 or 900 on, no group 00, no serial 0000, not one of the advertised ones.
pub(super) fn ssn(text: &str) -> Outcome {
    let digits = digits(text);
    let (area, group) = (number(digits.get(..3).unwrap_or_default()), pair(&digits, 3));
    let serial = number(digits.get(5..).unwrap_or_default());
    let known = matches!(number(&digits), 123_456_789 | 987_654_320 | 78_051_120);
    let separators: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let uniform = separators.iter().all(|c| Some(c) == separators.first());
    let possible = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    unsure(possible && !known && uniform && !all_same(&digits))
}

/// Australian business number: the first digit less one, then weights, divisible by 89.
pub(super) fn abn(text: &str) -> Outcome {
    let mut digits = digits(text);
    if let Some(first) = digits.first_mut() {
        *first = first.checked_sub(1).unwrap_or(9);
    }
    sure(weighted(&digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).is_multiple_of(89))
}

/// Australian company number.
pub(super) fn acn(text: &str) -> Outcome {
    let digits = digits(text);
    let check = (10 - weighted(&digits, &[8, 7, 6, 5, 4, 3, 2, 1]) % 10) % 10;
    sure(digits.last() == Some(&check))
}

/// Australian tax file number.
pub(super) fn tfn(text: &str) -> Outcome {
    sure(weighted(&digits(text), &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11))
}

/// Australian Medicare number.
pub(super) fn medicare(text: &str) -> Outcome {
    let digits = digits(text);
    sure(digits.get(8) == Some(&(weighted(&digits, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10)))
}

/// Multiplication in the dihedral group of order ten, for Verhoeff's check.
const DIHEDRAL: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];
/// Its permutation, applied once for each place.
const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

fn verhoeff_digits(digits: &[u32]) -> bool {
    let mut sum = 0u8;
    for (place, digit) in digits.iter().rev().enumerate() {
        let mut turned = (*digit % 10) as u8;
        for _ in 0..place % 8 {
            turned = PERMUTED[usize::from(turned) % 10];
        }
        sum = DIHEDRAL[usize::from(sum) % 10][usize::from(turned) % 10];
    }
    sum == 0
}

/// Nigerian NIN: Verhoeff.
pub(super) fn verhoeff(text: &str) -> Outcome {
    sure(verhoeff_digits(&digits(text)))
}

/// Aadhaar: Verhoeff, does not begin with 0 or 1, no palindrome (UIDAI).
pub(super) fn aadhaar(text: &str) -> Outcome {
    let digits = digits(text);
    let palindrome = digits.iter().eq(digits.iter().rev());
    sure(digits.first().is_some_and(|first| *first > 1) && !palindrome && verhoeff_digits(&digits))
}

/// The value of a base-36 digit.
fn value(c: char) -> u32 {
    c.to_digit(36).unwrap_or(0)
}

/// Indian GSTIN: the last character is the check of the others in base 36, weights 1 and 2.
pub(super) fn gstin(text: &str) -> Outcome {
    let characters: Vec<char> = compact(text).chars().collect();
    let state = characters.iter().take(2).collect::<String>().parse::<u32>().unwrap_or(0);
    unsure(characters.len() == 15 && (1..=38).contains(&state))
}

/// ISO 7064 mod 11, 10: German tax and VAT numbers.
fn mod_11_10(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10, |product, digit| {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    (11 - product) % 10 == *check
}

/// German VAT number.
pub(super) fn de_vat(text: &str) -> Outcome {
    let digits = digits(text);
    sure(mod_11_10(&digits) && digits.first() != Some(&0))
}

/// German tax identification number: mod 11, 10; one digit of the first ten occurs twice or three times, never 0 first.
pub(super) fn de_tax_id(text: &str) -> Outcome {
    let digits = digits(text);
    let body = digits.get(..10).unwrap_or_default();
    let often: Vec<usize> =
        (0..10).map(|digit| body.iter().filter(|d| **d == digit).count()).filter(|n| *n > 1).collect();
    let pattern = matches!(often.as_slice(), [2 | 3]);
    sure(digits.first() != Some(&0) && pattern && mod_11_10(&digits))
}

/// The digits of a sum of products, each product's own digits summed.
fn cross_sum(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(d, w)| d * w / 10 + d * w % 10).sum()
}

/// A number with one letter in it, the letter as its two-digit place in the alphabet.
fn letter_as_two(text: &str) -> Vec<u32> {
    let two = |c: char| match c.to_digit(10) {
        Some(digit) => vec![digit],
        None => vec![(value(c) - 9) / 10, (value(c) - 9) % 10],
    };
    compact(text).chars().flat_map(two).collect()
}

/// German health insurance number (KVNR, section 290 SGB V).
pub(super) fn kvnr(text: &str) -> Outcome {
    let digits = letter_as_two(text);
    let body = digits.get(..10).unwrap_or_default();
    sure(digits.last() == Some(&(cross_sum(body, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10)))
}

/// German pension insurance number (VKVV, section 4).
pub(super) fn de_pension(text: &str) -> Outcome {
    let digits = letter_as_two(text);
    let body = digits.get(..12).unwrap_or_default();
    let sum = cross_sum(body, &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]);
    let day = match pair(&digits, 2) {
        day if day > 50 => day - 50,
        day => day,
    };
    sure(digits.last() == Some(&(sum % 10)) && is_day(day, pair(&digits, 4)))
}

/// German physician number (LANR): weights 4 and 9 over six digits.
pub(super) fn lanr(text: &str) -> Outcome {
    let digits = digits(text);
    let check = (10 - weighted(&digits, &[4, 9, 4, 9, 4, 9]) % 10) % 10;
    sure(digits.get(6) == Some(&check) && number(digits.get(..6).unwrap_or_default()) > 0)
}

/// German practice number (BSNR): begins with the two digits of a regional association (KBV).
pub(super) fn bsnr(text: &str) -> Outcome {
    let area = pair(&digits(text), 0);
    let areas = [1, 2, 3, 17, 20, 38, 46, 51, 52, 71, 72, 73, 78, 83, 88, 93, 98];
    unsure(areas.contains(&area))
}

/// ICAO 9303 check digit, weights 7, 3, 1: German passport and identity card with their tenth digit.
pub(super) fn icao(text: &str) -> Outcome {
    let characters: Vec<u32> = compact(text).chars().map(value).collect();
    let Some((check, body)) = characters.split_last() else { return Outcome::No };
    if characters.len() < 10 {
        let holds = weighted(body, &[7, 3, 1, 7, 3, 1, 7, 3]) % 10 == *check;
        return if holds { Outcome::Sure } else { Outcome::Unsure };
    }
    sure(weighted(body, &[7, 3, 1, 7, 3, 1, 7, 3, 1]) % 10 == *check)
}

/// Letters of Spanish numbers, by the remainder of the number by 23 (Real Decreto 1553/2005).
const SPANISH: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Spanish NIF and NIE; X, Y, Z stand for 0, 1, 2.
pub(super) fn nif(text: &str) -> Outcome {
    let compact = compact(text);
    let Some((body, letter)) = compact.split_at_checked(compact.len().saturating_sub(1)) else {
        return Outcome::No;
    };
    let plain: String = body
        .chars()
        .map(|c| match c {
            'X' => '0',
            'Y' => '1',
            'Z' => '2',
            c => c,
        })
        .collect();
    let Ok(number) = plain.parse::<usize>() else { return Outcome::No };
    sure(SPANISH.get(number % 23) == letter.as_bytes().first())
}

/// Finnish personal identity code: the check character is the remainder of date and number by 31.
pub(super) fn hetu(text: &str) -> Outcome {
    let compact: Vec<char> = text.chars().collect();
    let nine: String = compact.iter().take(10).filter(|c| c.is_ascii_digit()).collect();
    let letter = compact.last().map(|c| c.to_ascii_uppercase());
    let Ok(number) = nine.parse::<usize>() else { return Outcome::No };
    let digits = digits(&nine);
    let expected = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(number % 31).map(|b| char::from(*b));
    let serial = number % 1000;
    sure(nine.len() == 9 && letter == expected && is_day(pair(&digits, 0), pair(&digits, 2)) && serial > 1)
}

/// Italian VAT number: Luhn over eleven digits, not all zero.
pub(super) fn it_vat(text: &str) -> Outcome {
    let digits = digits(text);
    sure(number(&digits) > 0 && luhn_digits(&digits))
}

/// Italian fiscal code (D.M. 23 December 1976): odd places by this table, even places by value, modulo 26.
pub(super) fn fiscal_code(text: &str) -> Outcome {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let compact = compact(text);
    let place = |c: char| c.to_digit(10).unwrap_or_else(|| value(c).saturating_sub(10));
    let sum: u32 = compact
        .chars()
        .take(15)
        .enumerate()
        .map(|(at, c)| match at % 2 {
            0 => ODD.get(place(c) as usize).copied().unwrap_or(0),
            _ => place(c),
        })
        .sum();
    sure(compact.chars().last().map(place) == Some(sum % 26))
}

/// Korean business number.
pub(super) fn brn(text: &str) -> Outcome {
    let digits = digits(text);
    let ninth = digits.get(8).copied().unwrap_or(0);
    let sum = weighted(&digits, &[1, 3, 7, 1, 3, 7, 1, 3]) + ninth * 5 / 10 + ninth * 5;
    sure(digits.get(9) == Some(&((10 - sum % 10) % 10)))
}

fn korean(text: &str, from: u32) -> Outcome {
    let digits = digits(text);
    let region = number(digits.get(7..9).unwrap_or_default());
    let sum = weighted(&digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    if region > 95 || !is_day(pair(&digits, 4), pair(&digits, 2)) {
        return Outcome::No;
    }
    // Since October 2020 the last digits are random: a check that fails says little.
    match digits.get(12) == Some(&((from - sum % 11) % 10)) {
        true => Outcome::Sure,
        false => Outcome::Unsure,
    }
}

/// Korean resident number.
pub(super) fn rrn(text: &str) -> Outcome {
    korean(text, 11)
}

/// Korean number of foreigners.
pub(super) fn frn(text: &str) -> Outcome {
    korean(text, 13)
}

/// Polish PESEL.
pub(super) fn pesel(text: &str) -> Outcome {
    let digits = digits(text);
    sure(weighted(&digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10))
}

/// Singapore NRIC and FIN: weights, an offset by series, a letter by series.
pub(super) fn sg_fin(text: &str) -> Outcome {
    let compact = compact(text);
    let sum = weighted(&digits(&compact), &[2, 7, 6, 5, 4, 3, 2]);
    let (offset, letters): (u32, &[u8; 11]) = match compact.chars().next() {
        Some('S') => (0, b"JZIHGFEDCBA"),
        Some('T') => (4, b"JZIHGFEDCBA"),
        Some('F') => (0, b"XWUTRQPNMLK"),
        Some('G') => (4, b"XWUTRQPNMLK"),
        Some('M') => (3, b"XWUTRQPNJLK"),
        _ => return Outcome::No,
    };
    let at = ((sum + offset) % 11) as usize;
    let at = if compact.starts_with('M') { 10 - at } else { at };
    let holds = letters.get(at) == compact.as_bytes().last();
    if holds { Outcome::Sure } else { Outcome::Unsure }
}

/// Thai national number.
pub(super) fn tnin(text: &str) -> Outcome {
    let digits = digits(text);
    let sum = weighted(&digits, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let first = digits.first().copied().unwrap_or(0);
    sure(digits.get(12) == Some(&((11 - sum % 11) % 10)) && first > 0)
}

/// Turkish national number.
pub(super) fn tr_id(text: &str) -> Outcome {
    let digits = digits(text);
    let odd: u32 = digits.iter().take(9).step_by(2).sum();
    let even: u32 = digits.iter().take(8).skip(1).step_by(2).sum();
    let tenth = (odd * 7 + 90 - even) % 10;
    let eleventh = (digits.iter().take(10).sum::<u32>()) % 10;
    sure(digits.first() != Some(&0) && digits.get(9) == Some(&tenth) && digits.get(10) == Some(&eleventh))
}

/// UK NHS number: modulo 11.
pub(super) fn nhs(text: &str) -> Outcome {
    let digits = digits(text);
    sure(weighted(&digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11) && number(&digits) > 0)
}

/// International bank account number: modulo 97 (ISO 13616).
pub(super) fn iban(text: &str) -> Outcome {
    let compact = compact(text);
    let (head, tail) = compact.split_at_checked(4).unwrap_or_default();
    let rest = tail.chars().chain(head.chars()).map(value).fold(0, |rest, digit| {
        let shift = if digit > 9 { 100 } else { 10 };
        (rest * shift + digit) % 97
    });
    let length = super::world::iban_length(head.get(..2).unwrap_or_default());
    sure(rest == 1 && length == Some(compact.len()))
}

/// An address of version 4 or 6, with or without a prefix length or a zone.
pub(super) fn ip(text: &str) -> Outcome {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "0"));
    let address = address.split('%').next().unwrap_or_default();
    let parsed: Result<std::net::IpAddr, _> = address.parse();
    let bits = match parsed {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return Outcome::No,
    };
    sure(prefix.parse::<u32>().is_ok_and(|prefix| prefix <= bits))
}

/// A hardware address that is neither all zeros nor all ones.
pub(super) fn mac(text: &str) -> Outcome {
    let compact = compact(text);
    unsure(!compact.chars().all(|c| c == '0') && !compact.chars().all(|c| c == 'F'))
}

/// A Bitcoin address: base58 with a double SHA-256, or bech32 and bech32m (BIP 173, BIP 350).
pub(super) fn bitcoin(text: &str) -> Outcome {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("bc1") {
        Some(data) => sure(bech32(data) && (text == lower || text == text.to_ascii_uppercase())),
        None => sure(base58(text)),
    }
}

fn sha256(bytes: &[u8]) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, bytes)
}

fn base58(text: &str) -> bool {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0u8; 25];
    for c in text.bytes() {
        let Some(mut carry) = DIGITS.iter().position(|digit| *digit == c) else { return false };
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return false;
        }
    }
    let (body, check) = bytes.split_at(21);
    sha256(sha256(body).as_ref()).as_ref().get(..4) == Some(check)
}

fn bech32(data: &str) -> bool {
    const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ value;
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, g)| sum ^ g)
    };
    // "bc", expanded.
    let mut sum = [3, 3, 0, 2, 3].into_iter().fold(1, step);
    for c in data.bytes() {
        let Some(value) = DIGITS.iter().position(|digit| *digit == c) else { return false };
        sum = step(sum, value as u32);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}
