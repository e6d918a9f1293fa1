//! Check digits of European numbers.

use super::{Outcome, compact, digits, is_day, luhn_digits, number, pair, sure, unsure, value, weighted};

/// Swedish personal identity number; coordination numbers add 60 to the day (Skatteverket, SKV 704).
pub(in crate::personal) fn personnummer(text: &str) -> Outcome {
    let all = digits(text);
    let ten = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    let day = match pair(ten, 4) {
        day if day > 60 => day - 60,
        day => day,
    };
    sure(ten.len() == 10 && is_day(day, pair(ten, 2)) && luhn_digits(ten))
}

/// Swedish organisation number: the third digit is at least 2, so that it is no date (SKV 709).
pub(in crate::personal) fn organisationsnummer(text: &str) -> Outcome {
    let all = digits(text);
    let ten = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    sure(ten.len() == 10 && ten.get(2).is_some_and(|third| *third >= 2) && luhn_digits(ten))
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
pub(in crate::personal) fn de_vat(text: &str) -> Outcome {
    let digits = digits(text);
    sure(mod_11_10(&digits) && digits.first() != Some(&0))
}

/// German tax identification number: mod 11, 10; one digit of the first ten occurs twice or three times, never 0 first.
pub(in crate::personal) fn de_tax_id(text: &str) -> Outcome {
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
pub(in crate::personal) fn kvnr(text: &str) -> Outcome {
    let digits = letter_as_two(text);
    let body = digits.get(..10).unwrap_or_default();
    sure(digits.last() == Some(&(cross_sum(body, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10)))
}

/// German pension insurance number (VKVV, section 4).
pub(in crate::personal) fn de_pension(text: &str) -> Outcome {
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
pub(in crate::personal) fn lanr(text: &str) -> Outcome {
    let digits = digits(text);
    let check = (10 - weighted(&digits, &[4, 9, 4, 9, 4, 9]) % 10) % 10;
    sure(digits.get(6) == Some(&check) && number(digits.get(..6).unwrap_or_default()) > 0)
}

/// German practice number (BSNR): begins with the two digits of a regional association (KBV).
pub(in crate::personal) fn bsnr(text: &str) -> Outcome {
    let area = pair(&digits(text), 0);
    let areas = [1, 2, 3, 17, 20, 38, 46, 51, 52, 71, 72, 73, 78, 83, 88, 93, 98];
    unsure(areas.contains(&area))
}

/// ICAO 9303 check digit, weights 7, 3, 1: German passport and identity card with their tenth digit.
pub(in crate::personal) fn icao(text: &str) -> Outcome {
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
pub(in crate::personal) fn nif(text: &str) -> Outcome {
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
pub(in crate::personal) fn hetu(text: &str) -> Outcome {
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
pub(in crate::personal) fn it_vat(text: &str) -> Outcome {
    let digits = digits(text);
    sure(number(&digits) > 0 && luhn_digits(&digits))
}

/// Italian fiscal code (D.M. 23 December 1976): odd places by this table, even places by value, modulo 26.
pub(in crate::personal) fn fiscal_code(text: &str) -> Outcome {
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

/// Polish PESEL.
pub(in crate::personal) fn pesel(text: &str) -> Outcome {
    let digits = digits(text);
    sure(weighted(&digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10))
}

/// UK NHS number: modulo 11.
pub(in crate::personal) fn nhs(text: &str) -> Outcome {
    let digits = digits(text);
    sure(weighted(&digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11) && number(&digits) > 0)
}
