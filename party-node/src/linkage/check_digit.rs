//! Check digits of identifiers, as their authorities define them.

use serde::{Deserialize, Serialize};

use super::dates::Day;

/// A rule that a whole identifier must obey. Letters may be of either case; nothing is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckDigit {
    /// China's citizen number, GB 11643-1999: 17 digits, of which 7 to 14 are a day that exists, and a check character by ISO
    /// 7064 MOD 11-2. The older numbers of 15 digits have no check digit and do not pass.
    Gb11643,
    /// ISO 7064 MOD 11-2: digits and a check character 0 to 9 or X.
    #[serde(rename = "iso7064_mod11_2")]
    Iso7064Mod11_2,
    /// ISO 7064 MOD 97-10: digits, the last two of which are the check.
    #[serde(rename = "iso7064_mod97_10")]
    Iso7064Mod97_10,
    /// ISO/IEC 7812-1 annex B (Luhn): Canada's and Sweden's numbers, many hospital numbers.
    Luhn,
    /// The NHS number (NHS Data Dictionary): ten digits, modulus 11.
    Nhs,
    /// The Dutch burgerservicenummer: nine digits, the eleven test.
    Bsn,
    /// Verhoeff's dihedral check (1969): India's Aadhaar.
    Verhoeff,
}

impl CheckDigit {
    /// The names of all rules in a linkage file.
    pub(super) const NAMES: [&'static str; 7] =
        ["gb11643", "iso7064_mod11_2", "iso7064_mod97_10", "luhn", "nhs", "bsn", "verhoeff"];

    /// Is the text an identifier of this kind, with the right check digit? Zeros alone stand for nothing known, though their
    /// check digit is right under some of the rules.
    pub(super) fn accepts(self, text: &str) -> bool {
        text.bytes().any(|byte| byte != b'0') && self.is_right(text)
    }

    fn is_right(self, text: &str) -> bool {
        match self {
            Self::Gb11643 => gb11643(text),
            Self::Iso7064Mod11_2 => iso7064_mod11_2(text),
            Self::Iso7064Mod97_10 => iso7064_mod97_10(text),
            Self::Luhn => luhn(text),
            Self::Nhs => nhs(text),
            Self::Bsn => bsn(text),
            Self::Verhoeff => verhoeff(text),
        }
    }
}

fn gb11643(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u16>().ok());
    let born = || Some((number(6, 10)?, number(10, 12)?, number(12, 14)?));
    let exists = |(year, month, day): (u16, u16, u16)| Day::new(year, month as u8, day as u8).is_some();
    text.len() == 18 && iso7064_mod11_2(text) && born().is_some_and(exists)
}

/// The polynomial in 2 over all characters is 1 modulo 11 (ISO/IEC 7064:2003, pure system MOD 11-2).
fn iso7064_mod11_2(text: &str) -> bool {
    let Some((body, check)) = text.split_at_checked(text.len().saturating_sub(1)) else { return false };
    let Some(digits) = digits(body).filter(|digits| !digits.is_empty()) else { return false };
    let sum = digits.iter().fold(0, |sum, digit| (sum + digit) * 2 % 11);
    let check = match check.as_bytes() {
        [b'x' | b'X'] => 10,
        [digit @ b'0'..=b'9'] => u32::from(digit - b'0'),
        _ => return false,
    };
    (sum + check) % 11 == 1
}

/// The whole number is 1 modulo 97 (pure system MOD 97-10).
fn iso7064_mod97_10(text: &str) -> bool {
    let one = |digits: &[u32]| digits.iter().fold(0, |rest, digit| (rest * 10 + digit) % 97) == 1;
    digits(text).is_some_and(|digits| digits.len() > 2 && one(&digits))
}

fn luhn(text: &str) -> bool {
    let doubled = |digit: u32| if digit < 5 { 2 * digit } else { 2 * digit - 9 };
    let value = |(i, digit): (usize, &u32)| if i % 2 == 1 { doubled(*digit) } else { *digit };
    let sum = |digits: &[u32]| digits.iter().rev().enumerate().map(value).sum::<u32>();
    digits(text).is_some_and(|digits| digits.len() > 1 && sum(&digits).is_multiple_of(10))
}

/// Weights 10 to 2 and 1 for the check digit; 10 cannot be written, so such a number is never given out.
fn nhs(text: &str) -> bool {
    digits(text).is_some_and(|digits| digits.len() == 10 && weighted(&digits).is_multiple_of(11))
}

/// Weights 9 to 2 and −1 for the last digit.
fn bsn(text: &str) -> bool {
    let passes = |digits: &[u32]| (weighted(digits) + 9 * digits[8]).is_multiple_of(11);
    digits(text).is_some_and(|digits| digits.len() == 9 && passes(&digits))
}

/// Each digit times its place from the right, counted from 1.
fn weighted(digits: &[u32]) -> u32 {
    digits.iter().rev().zip(1..).map(|(digit, place)| digit * place).sum()
}

/// The product in the dihedral group of ten elements, of digits permuted by their place, is the neutral element.
fn verhoeff(text: &str) -> bool {
    let product = |digits: &[u32]| {
        let places = digits.iter().rev().zip(0..);
        places.fold(0, |product, (digit, place)| dihedral(product, permuted(*digit, place % 8)))
    };
    digits(text).is_some_and(|digits| digits.len() > 1 && product(&digits) == 0)
}

/// Rotations of a pentagon are 0 to 4, reflections 5 to 9.
fn dihedral(a: u32, b: u32) -> u32 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b) % 5,
        (false, true) => 5 + (a + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Verhoeff's permutation (1 5 8 9 4 2 7 0)(3 6), `times` times.
fn permuted(digit: u32, times: u32) -> u32 {
    const NEXT: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..times).fold(digit, |digit, _| NEXT[digit as usize])
}

/// ASCII digits only. Wiped when dropped.
fn digits(text: &str) -> Option<zeroize::Zeroizing<Vec<u32>>> {
    let mut digits = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    for byte in text.bytes() {
        digits.push(byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?);
    }
    Some(digits)
}
