//! Check digits: whether digits that look like a number of some kind can be one.
//!
//! Each takes what an expression matched, separators included, and reads the digits and letters of it.

mod asia;
mod europe;

pub(super) use asia::*;
pub(super) use europe::*;

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::personal) enum Outcome {
    /// The check digits hold.
    Sure,
    /// There is nothing to check.
    Unsure,
    /// It cannot be one.
    No,
}

pub(in crate::personal) type Check = fn(&str) -> Outcome;

/// There is nothing to check.
pub(in crate::personal) fn none(_: &str) -> Outcome {
    Outcome::Unsure
}

fn sure(holds: bool) -> Outcome {
    if holds { Outcome::Sure } else { Outcome::No }
}

fn unsure(possible: bool) -> Outcome {
    if possible { Outcome::Unsure } else { Outcome::No }
}

pub(in crate::personal) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// Letters and digits, in upper case.
pub(in crate::personal) fn compact(text: &str) -> String {
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
pub(in crate::personal) fn luhn(text: &str) -> Outcome {
    let digits = digits(text);
    sure(luhn_digits(&digits) && !all_same(&digits))
}

/// Canadian social insurance number: Luhn; none begins with 0 or 8.
pub(in crate::personal) fn sin(text: &str) -> Outcome {
    let digits = digits(text);
    let first = digits.first().copied().unwrap_or(0);
    sure(luhn_digits(&digits) && !matches!(first, 0 | 8) && !all_same(&digits))
}

/// US national provider identifier: Luhn over 80840 and the number (45 CFR 162.406).
pub(in crate::personal) fn npi(text: &str) -> Outcome {
    let number = digits(text);
    let prefixed: Vec<u32> = [8, 0, 8, 4, 0].into_iter().chain(number.iter().copied()).collect();
    sure(luhn_digits(&prefixed) && !all_same(&number))
}

/// ABA routing number: weights 3, 7, 1.
pub(in crate::personal) fn aba(text: &str) -> Outcome {
    let digits = digits(text);
    sure(number(&digits) > 0 && weighted(&digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10))
}

/// US DEA number: the sum of the odd digits, and twice that of the even ones, ends in the seventh.
pub(in crate::personal) fn dea(text: &str) -> Outcome {
    let digits = digits(text);
    sure(digits.get(6).is_some_and(|last| weighted(&digits, &[1, 2, 1, 2, 1, 2]) % 10 == *last))
}

/// US social security number: no area 000, 666 or 900 on, no group 00, no serial 0000, not one of the advertised ones.
pub(in crate::personal) fn ssn(text: &str) -> Outcome {
    let digits = digits(text);
    let (area, group) = (number(digits.get(..3).unwrap_or_default()), pair(&digits, 3));
    let serial = number(digits.get(5..).unwrap_or_default());
    let known = matches!(number(&digits), 123_456_789 | 987_654_320 | 78_051_120);
    let separators: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let uniform = separators.iter().all(|c| Some(c) == separators.first());
    let possible = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    unsure(possible && !known && uniform && !all_same(&digits))
}

/// The value of a base-36 digit.
fn value(c: char) -> u32 {
    c.to_digit(36).unwrap_or(0)
}

/// International bank account number: modulo 97 (ISO 13616).
pub(in crate::personal) fn iban(text: &str) -> Outcome {
    let compact = compact(text);
    let (head, tail) = compact.split_at_checked(4).unwrap_or_default();
    let rest = tail.chars().chain(head.chars()).map(value).fold(0, |rest, digit| {
        let shift = if digit > 9 { 100 } else { 10 };
        (rest * shift + digit) % 97
    });
    let length = crate::personal::world::iban_length(head.get(..2).unwrap_or_default());
    sure(rest == 1 && length == Some(compact.len()))
}

/// An address of version 4 or 6, with or without a prefix length or a zone.
pub(in crate::personal) fn ip(text: &str) -> Outcome {
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
pub(in crate::personal) fn mac(text: &str) -> Outcome {
    let compact = compact(text);
    unsure(!compact.chars().all(|c| c == '0') && !compact.chars().all(|c| c == 'F'))
}

/// A Bitcoin address: base58 with a double SHA-256, or bech32 and bech32m (BIP 173, BIP 350).
pub(in crate::personal) fn bitcoin(text: &str) -> Outcome {
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
