//! Spellings of "missing" that are not NULL. Reports name them by this list, never by what was found.

/// A code for a missing value.
pub(in crate::source) struct Code {
    /// As reports name it.
    pub name: &'static str,
    /// In upper case and without blanks around it.
    pub words: &'static [&'static str],
}

const fn code(name: &'static str, words: &'static [&'static str]) -> Code {
    Code { name, words }
}

/// All of them: what is empty, words, and from [`FIRST_NUMBER`] on numbers, which are codes in columns of numbers too.
pub(in crate::source) const CODES: [Code; 19] = [
    code("''", &[""]),
    code("blanks", &[]),
    code("NA", &["NA"]),
    code("N/A", &["N/A", "#N/A", "N.A."]),
    code("NULL", &["NULL", "(NULL)", "NIL", "\\N"]),
    code("NONE", &["NONE"]),
    code("NaN", &["NAN"]),
    code("-", &["-", "--", "---"]),
    code(".", &[".", "..", "..."]),
    code("?", &["?", "??", "???"]),
    code("UNKNOWN", &["UNKNOWN", "UNK"]),
    code("-1", &["-1"]),
    code("-9", &["-9"]),
    code("-99", &["-99"]),
    code("-999", &["-999"]),
    code("-9999", &["-9999"]),
    code("9999", &["9999"]),
    code("99999", &["99999"]),
    code("999999", &["999999"]),
];

/// The first code that is a number. 99 and 999 are none: too many real values are.
pub(in crate::source) const FIRST_NUMBER: usize = 11;

/// No word is longer.
const LONGEST_WORD: usize = 7;

/// The code that a text is, if it is one.
pub(super) fn of_text(text: &str) -> Option<usize> {
    let bare = text.trim_matches(' ');
    if bare.is_empty() {
        return Some(usize::from(!text.is_empty()));
    }
    if bare.len() > LONGEST_WORD {
        return None;
    }
    CODES.iter().position(|code| code.words.iter().any(|word| bare.eq_ignore_ascii_case(word)))
}

/// The number of a code that is one.
pub(in crate::source) fn number(code: usize) -> Option<i64> {
    CODES.get(code).filter(|_| code >= FIRST_NUMBER)?.name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_words_and_no_word_is_longer_than_the_longest() {
        assert!((0..CODES.len()).all(|at| number(at).is_some() == (at >= FIRST_NUMBER)));
        let longest = CODES.iter().flat_map(|code| code.words).map(|word| word.len()).max();
        assert_eq!(longest, Some(LONGEST_WORD));
    }

    #[test]
    fn a_code_is_found_in_any_case_and_among_blanks() {
        let name = |text| of_text(text).map(|at| CODES[at].name);
        for (text, expected) in [
            ("", "''"),
            ("  ", "blanks"),
            (" na", "NA"),
            ("n/a", "N/A"),
            ("\\N", "NULL"),
            ("null", "NULL"),
            ("NaN", "NaN"),
            ("--", "-"),
            ("-9999", "-9999"),
        ] {
            assert_eq!(name(text), Some(expected), "{text:?}");
        }
        for text in ["nab", "0", "-2", "99", "999", "9999.0", "unknown to us", "\t"] {
            assert_eq!(name(text), None, "{text:?}");
        }
    }
}
