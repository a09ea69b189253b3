//! Text of one identifier while it is normalised, and the foldings that change it.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// An identifier or a part of one. It does not print and is wiped when dropped, also where it had to grow.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(Zeroizing<String>);

impl Text {
    /// Of these characters. `about_bytes` is a guess of the length.
    pub fn collect(characters: impl Iterator<Item = char>, about_bytes: usize) -> Self {
        let mut text = Self(Zeroizing::new(String::with_capacity(about_bytes + 8)));
        characters.for_each(|c| text.push(c));
        text
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// In bytes.
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing but spaces?
    pub fn is_blank(&self) -> bool {
        self.0.chars().all(char::is_whitespace)
    }

    /// A `String` that grows by itself leaves its old content in freed memory; here the old one is wiped.
    fn push(&mut self, c: char) {
        if self.0.len() + c.len_utf8() > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(2 * self.0.capacity() + 8));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        self.0.push(c);
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text")
    }
}

/// Unicode's compatibility composition: one code for what looks or means the same (`é`, full-width `Ａ`, `ﬁ`, `²`).
pub(super) fn nfkc(text: Text) -> Text {
    if text.is_ascii() { text } else { Text::collect(text.as_str().nfkc(), text.len()) }
}

/// Full-width Latin letters, digits and signs, the ideographic space and half-width kana and hangul become the ordinary
/// ones; unlike NFKC it leaves ligatures, superscripts and circled numbers alone.
pub(super) fn width(text: Text) -> Text {
    if text.is_ascii() {
        return text;
    }
    let folded = text.as_str().chars().flat_map(|c| {
        let other_width = matches!(c, '\u{3000}' | '\u{ff00}'..='\u{ffef}');
        std::iter::once(c).nfkc().filter(move |_| other_width).chain((!other_width).then_some(c))
    });
    // A half-width sound mark joins the kana before it.
    Text::collect(folded.nfc(), text.len())
}

/// Unicode's default caseless form (`ß` is `ss`, `Σ` and `ς` are `σ`); not the Turkish one, whose dotless `ı` stays itself.
pub(super) fn casefold(text: Text) -> Text {
    if text.is_ascii() {
        return Text::collect(text.as_str().chars().map(|c| c.to_ascii_lowercase()), text.len());
    }
    // Decomposed first, as the standard's canonical caseless match (D145) asks for, and composed again.
    Text::collect(text.as_str().nfd().default_case_fold().nfc(), text.len())
}

/// Takes accents off letters: `é` is `e`, `ñ` is `n`, `й` is `и`. Marks that are no accents stay: the voicing of kana, the vowel
/// signs of Indic scripts, Arabic and Hebrew points. Letters with a stroke (`ø`, `ł`, `đ`) have no accent in Unicode.
pub(super) fn strip_diacritics(text: Text) -> Text {
    if text.is_ascii() {
        return text;
    }
    Text::collect(text.as_str().nfd().filter(|c| !is_accent(*c)).nfc(), text.len())
}

/// Takes every white-space character out, not only at the ends.
pub(super) fn strip_spaces(text: Text) -> Text {
    kept(text, |c| !c.is_whitespace())
}

/// Takes hyphens, dashes and the minus sign out; the long-vowel mark of kana (`ー`) is a letter and stays.
pub(super) fn strip_hyphens(text: Text) -> Text {
    kept(text, |c| !is_hyphen(c))
}

/// Leaves letters, digits, their marks and white space: no hyphens, apostrophes, dots, symbols, control characters.
pub(super) fn strip_punctuation(text: Text) -> Text {
    let letter = |c: char| c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c);
    kept(text, |c| (letter(c) && !is_invisible(c)) || c.is_whitespace())
}

/// Takes out what nobody sees: control characters that are no spaces, zero-width and bidirectional marks, soft hyphens,
/// byte-order marks, selectors of glyph variants.
pub(super) fn strip_controls(text: Text) -> Text {
    kept(text, |c| !is_invisible(c) && (!c.is_control() || c.is_whitespace()))
}

/// The first `n` characters.
pub(super) fn prefix(text: Text, n: usize) -> Text {
    Text::collect(text.as_str().chars().take(n), text.len())
}

/// The characters that pass. What then stands beside each other is composed, so that a text has one spelling.
fn kept(text: Text, keep: impl Fn(char) -> bool) -> Text {
    if text.is_ascii() && text.as_str().chars().all(&keep) {
        return text;
    }
    Text::collect(text.as_str().chars().filter(|c| keep(*c)).nfc(), text.len())
}

/// The blocks of combining diacritical marks: general ones, extended, supplement, for symbols, half marks.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// The characters with Unicode's property `Dash` that people write between names or digits, and the soft hyphen.
fn is_hyphen(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{ad}' | '\u{58a}' | '\u{5be}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{207b}'
                | '\u{2212}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
    )
}

/// Format characters and variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
