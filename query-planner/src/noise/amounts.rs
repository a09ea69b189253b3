//! ε and δ as exact decimal numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A privacy loss, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epsilon(pub u64);

/// A probability with which a promise may fail, or a sum of such, in units of 10⁻¹⁸.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delta(pub u64);

pub(super) const MILLION: u64 = 1_000_000;

/// A δ that is larger promises little; of thousands of patients somebody's data could then come out as they are.
pub const MIN_DELTA_DIGITS: u32 = 3;

/// The smallest δ that sums of δ are exact with.
pub const MAX_DELTA_DIGITS: u32 = 18;

impl Delta {
    /// 10^−digits; below [`MAX_DELTA_DIGITS`] it is counted as that.
    pub fn of_digits(digits: u32) -> Delta {
        Delta(10u64.pow(MAX_DELTA_DIGITS.saturating_sub(digits)))
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / MILLION, self.0 % MILLION);
        let digits = format!("{part:06}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}

impl fmt::Display for Delta {
    /// Exact: `0`, `10^-6` or `12·10^-7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut times, mut digits) = (self.0, MAX_DELTA_DIGITS);
        while digits > 0 && times > 0 && times.is_multiple_of(10) {
            (times, digits) = (times / 10, digits - 1);
        }
        match (times, digits) {
            (_, 0) | (0, _) => write!(f, "{times}"),
            (1, _) => write!(f, "10^-{digits}"),
            _ => write!(f, "{times}·10^-{digits}"),
        }
    }
}

impl FromStr for Epsilon {
    type Err = String;

    /// Exact: no more than six digits after the point.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a decimal number with at most six digits after the point, such as 0.5");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| (1..=12).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 6 {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| bad())?;
        whole.checked_mul(MILLION).and_then(|all| all.checked_add(part)).map(Epsilon).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epsilon_is_read_exactly_or_not_at_all() {
        for (text, millionths) in [("0.5", 500_000), ("1", 1_000_000), ("2.000001", 2_000_001), ("0.10", 100_000)] {
            assert_eq!(text.parse(), Ok(Epsilon(millionths)));
        }
        for text in ["", ".5", "1.", "-1", "+1", "1e-3", "0.0000001", "١", "1 ", "9999999999999999999999"] {
            assert!(text.parse::<Epsilon>().is_err(), "{text}");
        }
        for text in ["0.5", "1", "2.000001", "0"] {
            assert_eq!(text.parse::<Epsilon>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_delta_is_written_exactly() {
        let sum = |digits: &[u32]| Delta(digits.iter().map(|digits| Delta::of_digits(*digits).0).sum()).to_string();
        assert_eq!([sum(&[]), sum(&[6]), sum(&[6, 6]), sum(&[6, 7, 7])], ["0", "10^-6", "2·10^-6", "12·10^-7"]);
        assert_eq!([sum(&[18]), sum(&[0]), sum(&[0, 0])], ["10^-18", "1", "2"]);
        // Never less than it is.
        assert_eq!(sum(&[19]), "10^-18");
    }
}
