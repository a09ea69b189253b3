//! One text field to one typed value. A failure names the rule that was broken, never the text.

/// A rule that a field breaks. Each has a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Not an optional minus sign and digits.
    NotAnInteger,
    /// An integer outside 64 bits.
    IntegerOverflow,
    /// Neither a plain nor a scientific number.
    NotANumber,
    /// NaN, an infinity, or beyond the largest double.
    NotFinite,
    /// A comma inside a number.
    ThousandsSeparator,
    /// Digits other than ASCII 0–9.
    ForeignDigits,
    /// Not a plain decimal number.
    NotADecimal,
    /// More digits after the point than declared.
    DecimalScale,
    /// More digits than declared.
    DecimalOverflow,
    /// Not a calendar day written YYYY-MM-DD.
    InvalidDate,
    /// Not a time written YYYY-MM-DD HH:MM:SS.
    InvalidTimestamp,
    /// Neither true nor false.
    InvalidBool,
    /// A word such as NA where a value or nothing is expected.
    MissingWord,
}

impl Rule {
    /// The stable code of the error.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// What is wrong, to follow the name of the column.
    pub fn sentence(self) -> &'static str {
        self.words().1
    }

    /// What to do, when there is one thing to do.
    pub fn help(self) -> Option<&'static str> {
        match self {
            Self::ThousandsSeparator => Some("write 1234.5, not 1,234.5 or 1234,5"),
            Self::MissingWord => Some("write a missing value as an empty field"),
            Self::IntegerOverflow => Some("declare an identifier that is not a number as text"),
            Self::NotFinite => Some("write a missing value as an empty field"),
            _ => None,
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotAnInteger => ("NOT_AN_INTEGER", "is not a whole number"),
            Self::IntegerOverflow => ("INTEGER_OVERFLOW", "is a whole number that does not fit 64 bits"),
            Self::NotANumber => ("NOT_A_NUMBER", "is not a number"),
            Self::NotFinite => ("NOT_FINITE", "is not a finite number"),
            Self::ThousandsSeparator => ("THOUSANDS_SEPARATOR", "has a comma inside a number"),
            Self::ForeignDigits => ("FULL_WIDTH_DIGITS", "has digits other than 0-9 (full-width, for example)"),
            Self::NotADecimal => ("NOT_A_DECIMAL", "is not a plain decimal number"),
            Self::DecimalScale => ("DECIMAL_SCALE", "has more digits after the point than declared"),
            Self::DecimalOverflow => ("DECIMAL_OVERFLOW", "has more digits than declared"),
            Self::InvalidDate => ("INVALID_DATE", "is not a calendar day written YYYY-MM-DD"),
            Self::InvalidTimestamp => ("INVALID_TIMESTAMP", "is not a time written YYYY-MM-DD HH:MM:SS"),
            Self::InvalidBool => ("INVALID_BOOL", "is neither true nor false"),
            Self::MissingWord => ("MISSING_VALUE_WORD", "is a word for a missing value"),
        }
    }
}

/// A 64-bit integer: optional minus sign and digits. Leading zeros are accepted here; inference keeps them as text.
pub fn int(text: &str) -> Result<i64, Rule> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !all_digits(digits) {
        return Err(why_not(text, Rule::NotAnInteger));
    }
    text.parse().map_err(|_| Rule::IntegerOverflow)
}

/// A finite double: digits with an optional sign, point and exponent.
pub fn real(text: &str) -> Result<f64, Rule> {
    if !looks_real(text.as_bytes()) {
        return Err(why_not(text, Rule::NotANumber));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Rule::NotFinite),
        Err(_) => Err(Rule::NotANumber),
    }
}

/// The unscaled value of an exact decimal. Zeros beyond the scale are accepted, since they change nothing.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Rule> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if digits.len() < 1 + usize::from(digits.contains('.')) || !all_digits(whole) || !all_digits(fraction) {
        return Err(why_not(text, Rule::NotADecimal));
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).map_err(|_| Rule::DecimalScale)?;
    if fraction.len() > scale {
        return Err(Rule::DecimalScale);
    }
    let unscaled = unsigned(whole, 0)?;
    let unscaled = unsigned(fraction, unscaled)?;
    let unscaled = unsigned(&"0".repeat(scale - fraction.len()), unscaled)?;
    if unscaled >= 10i128.pow(u32::from(precision.min(38))) {
        return Err(Rule::DecimalOverflow);
    }
    Ok(if text.starts_with('-') { -unscaled } else { unscaled })
}

/// Days since 1970-01-01 of a day written YYYY-MM-DD, years 0001 to 9999.
pub fn date(text: &str) -> Result<i32, Rule> {
    days(text.as_bytes()).ok_or_else(|| why_not(text, Rule::InvalidDate))
}

/// Microseconds since 1970-01-01 of a time written `YYYY-MM-DD HH:MM:SS[.ffffff]`, with a space or a `T` between.
pub fn timestamp(text: &str) -> Result<i64, Rule> {
    micros(text.as_bytes()).ok_or_else(|| why_not(text, Rule::InvalidTimestamp))
}

/// `true` or `false`, in any case.
pub fn bool(text: &str) -> Result<bool, Rule> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(why_not(text, Rule::InvalidBool)),
    }
}

/// Digits that start with a superfluous zero, as codes do: `007`, `-01`, `00.5`.
pub fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
}

/// An integer of at most 18 digits and no leading zero, which cannot overflow.
pub fn is_short_int(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=18).contains(&digits.len()) && all_digits(digits) && !is_code(digits)
}

/// Digits with a point, too few to overflow.
pub fn is_short_real(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let Some((whole, fraction)) = digits.split_once('.') else { return false };
    (1..=18).contains(&whole.len()) && all_digits(whole) && all_digits(fraction) && !is_code(whole)
}

/// A calendar day.
pub fn is_date(text: &str) -> bool {
    days(text.as_bytes()).is_some()
}

/// A time.
pub fn is_timestamp(text: &str) -> bool {
    micros(text.as_bytes()).is_some()
}

/// Shaped like a day, calendar or not: ten bytes, digits but for the two hyphens.
pub fn is_date_shaped(text: &str) -> bool {
    let b = text.as_bytes();
    b.len() == 10 && b.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == b'-' } else { c.is_ascii_digit() })
}

/// The most helpful rule for a field that is not of the expected type.
pub fn why_not(text: &str, otherwise: Rule) -> Rule {
    const WORDS: [&str; 6] = ["NA", "N/A", "NULL", "NONE", "-", "."];
    const UNLIMITED: [&str; 4] = ["NAN", "INF", "INFINITY", "#NUM!"];
    let bare = text.trim_start_matches(['-', '+']);
    if WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Rule::MissingWord
    } else if matches!(otherwise, Rule::InvalidDate | Rule::InvalidTimestamp | Rule::InvalidBool) {
        otherwise
    } else if UNLIMITED.iter().any(|word| bare.eq_ignore_ascii_case(word)) {
        Rule::NotFinite
    } else if number_with(text, |c| c == ',') {
        Rule::ThousandsSeparator
    } else if number_with(text, |c| c.is_numeric() && !c.is_ascii()) {
        Rule::ForeignDigits
    } else {
        otherwise
    }
}

/// Would `text` look like a number but for characters that `odd` accepts, at least one of which it has?
fn number_with(text: &str, odd: impl Fn(char) -> bool) -> bool {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | ',');
    let digits = text.chars().any(char::is_numeric);
    digits && text.chars().any(&odd) && text.chars().all(|c| plain(c) || odd(c))
}

fn all_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    // A plain loop: iterator adaptors cost as much as the rest of the file in an unoptimised build.
    let mut i = 0;
    while i < bytes.len() && bytes[i].is_ascii_digit() {
        i += 1;
    }
    i == bytes.len()
}

fn unsigned(digits: &str, start: i128) -> Result<i128, Rule> {
    let step = |value: i128, digit: u8| value.checked_mul(10)?.checked_add(i128::from(digit - b'0'));
    digits.bytes().try_fold(start, step).ok_or(Rule::DecimalOverflow)
}

/// `-?(digits[.digits] | .digits)([eE][+-]?digits)?` with at least one digit in the mantissa.
fn looks_real(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = rest.strip_prefix(b".").map_or((0, rest), split_digits);
    if whole + fraction == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
    let (digits, rest) = split_digits(exponent);
    digits > 0 && rest.is_empty()
}

/// How many digits `text` starts with, and what follows them.
fn split_digits(text: &[u8]) -> (usize, &[u8]) {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    (digits, &text[digits..])
}

fn days(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let valid = year >= 1 && (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    valid.then(|| days_from_civil(year, month, day))
}

fn micros(text: &[u8]) -> Option<i64> {
    let (day, time) = text.split_at_checked(10)?;
    let [b' ' | b'T', h1, h2, b':', m1, m2, b':', s1, s2, ref fraction @ ..] = *time else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(days(day)?) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(seconds * 1_000_000 + i64::from(fraction_micros(fraction)?))
}

/// The microseconds of `.f` to `.ffffff`, or of nothing.
fn fraction_micros(text: &[u8]) -> Option<i32> {
    let Some(digits) = text.strip_prefix(b".") else { return text.is_empty().then_some(0) };
    let missing = 6usize.checked_sub(digits.len()).filter(|missing| *missing < 6)?;
    Some(number(digits)? * 10i32.pow(missing as u32))
}

/// At most six ASCII digits as a number.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |value, d| d.is_ascii_digit().then(|| value * 10 + i32::from(d - b'0')))
}

fn month_days(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; the year is counted from March so that a leap day is last.
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_signs_and_digits_within_64_bits() {
        assert_eq!(int("-0"), Ok(0));
        assert_eq!(int("007"), Ok(7));
        assert_eq!(int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(int("9223372036854775808"), Err(Rule::IntegerOverflow));
        for (text, rule) in [
            ("+5", Rule::NotAnInteger),
            (" 5", Rule::NotAnInteger),
            ("1.5", Rule::NotAnInteger),
            ("", Rule::NotAnInteger),
            ("--1", Rule::NotAnInteger),
            ("1,234", Rule::ThousandsSeparator),
            ("１２", Rule::ForeignDigits),
            ("NA", Rule::MissingWord),
            ("-", Rule::MissingWord),
        ] {
            assert_eq!(int(text), Err(rule), "{text:?}");
        }
    }

    #[test]
    fn reals_are_plain_or_scientific_and_finite() {
        for (text, value) in [("1", 1.0), ("-.5", -0.5), ("5.", 5.0), ("1e3", 1e3), ("2.5E-3", 2.5e-3), ("1e+2", 100.0)]
        {
            assert_eq!(real(text), Ok(value), "{text:?}");
        }
        for (text, rule) in [
            ("NaN", Rule::NotFinite),
            ("-inf", Rule::NotFinite),
            ("Infinity", Rule::NotFinite),
            ("1e999", Rule::NotFinite),
            ("1.234,5", Rule::ThousandsSeparator),
            ("１.5", Rule::ForeignDigits),
            (".", Rule::MissingWord),
            ("e5", Rule::NotANumber),
            ("1e", Rule::NotANumber),
            ("0x10", Rule::NotANumber),
            ("1 ", Rule::NotANumber),
        ] {
            assert_eq!(real(text), Err(rule), "{text:?}");
        }
    }

    #[test]
    fn decimals_are_exact_within_the_declared_digits() {
        assert_eq!(decimal("12.5", 10, 2), Ok(1250));
        assert_eq!(decimal("-0.01", 10, 2), Ok(-1));
        assert_eq!(decimal("1.2300", 10, 2), Ok(123));
        assert_eq!(decimal("1.234", 10, 2), Err(Rule::DecimalScale));
        assert_eq!(decimal("100.00", 4, 2), Err(Rule::DecimalOverflow));
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Ok(10i128.pow(38) - 1));
        assert_eq!(decimal(&"9".repeat(60), 38, 0), Err(Rule::DecimalOverflow));
        for text in ["", "-", ".", "1e5", "1.2.3", "+1"] {
            assert!(decimal(text, 10, 2).is_err(), "{text:?}");
        }
    }

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(date("1970-01-01"), Ok(0));
        assert_eq!(date("1969-12-31"), Ok(-1));
        assert_eq!(date("2000-02-29"), Ok(11016));
        assert_eq!(date("2024-03-01").and_then(|a| Ok(a - date("2024-02-28")?)), Ok(2));
        for text in
            ["2023-02-29", "1900-02-29", "2020-13-01", "2020-00-10", "2020-01-32", "0000-01-01", "20200101", "2020-1-1"]
        {
            assert_eq!(date(text), Err(Rule::InvalidDate), "{text:?}");
        }
    }

    #[test]
    fn times_have_microseconds_and_no_zone() {
        assert_eq!(timestamp("1970-01-01 00:00:01"), Ok(1_000_000));
        assert_eq!(timestamp("1970-01-02T00:00:00.25"), Ok(86_400_250_000));
        assert_eq!(timestamp("1969-12-31 23:59:59.999999"), Ok(-1));
        let bad = [
            "1970-01-01",
            "1970-01-01 24:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01 00:00:00.",
            "1970-01-01 00:00:00.1234567",
        ];
        for text in bad {
            assert_eq!(timestamp(text), Err(Rule::InvalidTimestamp), "{text:?}");
        }
    }

    #[test]
    fn days_agree_with_a_walk_through_four_centuries() {
        let mut expected = date("1899-12-31").unwrap();
        for year in 1900..2301 {
            for month in 1..=12 {
                for day in 1..=month_days(year, month) {
                    expected += 1;
                    assert_eq!(date(&format!("{year:04}-{month:02}-{day:02}")), Ok(expected));
                }
            }
        }
    }
}
