//! The steps of normalisation, in the words of the linkage file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check_digit::CheckDigit;
use super::dates::{self, DateForm};
use super::text::{self, Text};

/// One step. Each is idempotent: done twice it gives what it gives once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Unicode's compatibility composition.
    Nfkc,
    /// Full and half width to ordinary width; NFKC does it too.
    Width,
    /// Unicode's default caseless form.
    Casefold,
    /// Accents off letters.
    StripDiacritics,
    /// White space out.
    StripSpaces,
    /// Hyphens and dashes out.
    StripHyphens,
    /// Everything out but letters, digits, their marks and white space.
    StripPunctuation,
    /// Invisible characters out.
    StripControls,
    /// Everything out but the digits 0 to 9; a text with numerals of other scripts (`٣`) has no value.
    DigitsOnly,
    /// The first characters.
    Prefix(u16),
    /// A date in one of these forms becomes `1995-07-17`; anything else is an unreadable date.
    Dates(Vec<DateForm>),
    /// Each code and the words that stand for it; any other text is an unknown code.
    Codes(BTreeMap<String, Vec<String>>),
    /// Texts that mean that nothing is known.
    Absent(Vec<String>),
    /// The text must pass this rule.
    Check(CheckDigit),
}

/// Why a part of a key could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// NULL, empty, only spaces, or a text declared to mean nothing; also when a step left nothing.
    Missing,
    /// In none of the declared forms, or a day that does not exist.
    UnreadableDate,
    /// Not a declared code.
    UnknownCode,
    /// Not an identifier of its kind, or a wrong check digit.
    CheckDigit,
    /// Numerals other than 0 to 9.
    OtherNumerals,
}

impl Step {
    /// The steps that are one word.
    pub(super) const WORDS: [&'static str; 9] = [
        "nfkc",
        "width",
        "casefold",
        "strip_diacritics",
        "strip_spaces",
        "strip_hyphens",
        "strip_punctuation",
        "strip_controls",
        "digits_only",
    ];

    /// The steps that need a value.
    pub(super) const WITH_VALUE: [&'static str; 5] = ["prefix", "dates", "codes", "absent", "check"];

    fn apply(&self, text: Text) -> Result<Text, Fault> {
        let given = text.as_str();
        Ok(match self {
            Self::Nfkc => text::nfkc(text),
            Self::Width => text::width(text),
            Self::Casefold => text::casefold(text),
            Self::StripDiacritics => text::strip_diacritics(text),
            Self::StripSpaces => text::strip_spaces(text),
            Self::StripHyphens => text::strip_hyphens(text),
            Self::StripPunctuation => text::strip_punctuation(text),
            Self::StripControls => text::strip_controls(text),
            Self::DigitsOnly => digits_only(given)?,
            Self::Prefix(n) => text::prefix(text, usize::from(*n)),
            Self::Dates(forms) => dates::read(forms, given).ok_or(Fault::UnreadableDate)?.iso(),
            Self::Codes(codes) => Text::from(code(codes, given).ok_or(Fault::UnknownCode)?),
            Self::Absent(words) if words.iter().any(|word| word == given) => return Err(Fault::Missing),
            Self::Check(rule) if !rule.accepts(given) => return Err(Fault::CheckDigit),
            Self::Absent(_) | Self::Check(_) => text,
        })
    }
}

/// Does the steps in order.
///
/// # Errors
/// Why there is no value; never the value.
pub(super) fn normalise(steps: &[Step], raw: Option<&str>) -> Result<Text, Fault> {
    let filled = |text: Text| if text.is_blank() { Err(Fault::Missing) } else { Ok(text) };
    let raw = filled(raw.ok_or(Fault::Missing)?.into())?;
    steps.iter().try_fold(raw, |text, step| filled(step.apply(text)?))
}

fn digits_only(text: &str) -> Result<Text, Fault> {
    // Dropping them would make two different numbers the same.
    if text.chars().any(|c| c.is_numeric() && !c.is_ascii_digit()) {
        return Err(Fault::OtherNumerals);
    }
    Ok(Text::collect(text.chars().filter(char::is_ascii_digit), text.len()))
}

fn code<'a>(codes: &'a BTreeMap<String, Vec<String>>, text: &str) -> Option<&'a str> {
    let means = |(code, words): &(&String, &Vec<String>)| *code == text || words.iter().any(|word| word == text);
    codes.iter().find(means).map(|(code, _)| code.as_str())
}
