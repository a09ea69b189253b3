//! Dates as sites write them, to one form.

use serde::{Deserialize, Serialize};

use super::text::Text;

/// How a date is written: `yyyy` once, `mm` or `m` once, `dd` or `d` once, anything else as it stands. `mm` and `dd` have two
/// digits, `m` and `d` one or two. Two-digit years are not read: their century would be a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DateForm {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Year,
    Month { digits: usize },
    Day { digits: usize },
    Literal(char),
}

/// A day that exists. It does not print: a date of birth is an identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// A day of the Gregorian calendar, in the years in which patients were born and treated.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (YEARS.contains(&year) && (1..=last).contains(&day)).then_some(Self { year, month, day })
    }

    /// `1995-07-17`.
    pub fn iso(self) -> Text {
        let digit = |number: u16, place: u16| char::from(b'0' + (number / place % 10) as u8);
        let (year, month, day) = (self.year, u16::from(self.month), u16::from(self.day));
        let places = [(year, 1000), (year, 100), (year, 10), (year, 1), (month, 10), (month, 1), (day, 10), (day, 1)];
        let digits = places.map(|(number, place)| digit(number, place));
        let (year, rest) = digits.split_at(4);
        let parts = [year, &['-'], &rest[..2], &['-'], &rest[2..]];
        Text::collect(parts.into_iter().flatten().copied(), 10)
    }
}

/// The day that the forms read in a text. Forms of one schema never read two different days (see [`two_readings`]).
pub(super) fn read(forms: &[DateForm], text: &str) -> Option<Day> {
    forms.iter().find_map(|form| form.read(text))
}

/// Two forms that read one text as different days, such as `dd/mm/yyyy` and `mm/dd/yyyy`.
///
/// Every day of a leap year is written in every form, with and without leading zeros, and read by every other form. One
/// year says it for all: only the year has four digits, so no form reads a part of it as a day or a month.
pub(super) fn two_readings(forms: &[DateForm]) -> Option<(&DateForm, &DateForm)> {
    let days = (1..=12).flat_map(|month| (1..=31).filter_map(move |day| Day::new(2004, month, day)));
    for day in days {
        for writer in forms {
            let spellings = [writer.write(day, true), writer.write(day, false)];
            let differs =
                |reader: &&DateForm| spellings.iter().any(|text| reader.read(text).is_some_and(|read| read != day));
            if let Some(reader) = forms.iter().find(differs) {
                return Some((writer, reader));
            }
        }
    }
    None
}

impl DateForm {
    fn read(&self, text: &str) -> Option<Day> {
        let (mut year, mut month, mut day) = (0, 0, 0);
        let mut rest = text;
        for piece in &self.pieces {
            match *piece {
                Piece::Year => year = number(&mut rest, 4, 4)?,
                Piece::Month { digits } => month = number(&mut rest, digits, 2)?,
                Piece::Day { digits } => day = number(&mut rest, digits, 2)?,
                Piece::Literal(c) => rest = rest.strip_prefix(c)?,
            }
        }
        let day = Day::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        day.filter(|_| rest.is_empty())
    }

    fn write(&self, date: Day, zeros: bool) -> String {
        let two = |n: u8, digits: usize| if zeros || digits == 2 { format!("{n:02}") } else { n.to_string() };
        let piece = |piece: &Piece| match *piece {
            Piece::Year => format!("{:04}", date.year),
            Piece::Month { digits } => two(date.month, digits),
            Piece::Day { digits } => two(date.day, digits),
            Piece::Literal(c) => c.to_string(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// A number of one or two digits ends where a sign follows, and nowhere else.
    fn is_plain(&self) -> bool {
        let open = |piece: &Piece| matches!(piece, Piece::Month { digits: 1 } | Piece::Day { digits: 1 });
        let digits = |piece: &Piece| !matches!(piece, Piece::Literal(c) if !c.is_ascii_digit());
        let joined = |pair: &[Piece]| (open(&pair[0]) && digits(&pair[1])) || (digits(&pair[0]) && open(&pair[1]));
        !self.pieces.windows(2).any(joined)
    }
}

/// Takes `least` to `most` ASCII digits off the front.
fn number(rest: &mut &str, least: usize, most: usize) -> Option<u16> {
    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    (digits >= least).then(|| number.parse().ok()).flatten()
}

impl TryFrom<String> for DateForm {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = written.as_str();
        while let Some(c) = rest.chars().next() {
            let run = rest.chars().take_while(|other| *other == c).count();
            let (piece, taken) = match (c, run) {
                ('y', 4) => (Piece::Year, 4),
                ('m', 1 | 2) => (Piece::Month { digits: run }, run),
                ('d', 1 | 2) => (Piece::Day { digits: run }, run),
                ('y' | 'm' | 'd', _) => return Err(bad(&written)),
                _ => (Piece::Literal(c), c.len_utf8()),
            };
            pieces.push(piece);
            rest = &rest[taken..];
        }
        let count = |is: fn(&Piece) -> bool| pieces.iter().filter(|piece| is(piece)).count();
        let once = count(|p| matches!(p, Piece::Year)) == 1
            && count(|p| matches!(p, Piece::Month { .. })) == 1
            && count(|p| matches!(p, Piece::Day { .. })) == 1;
        let form = Self { written, pieces };
        if once && form.is_plain() { Ok(form) } else { Err(bad(&form.written)) }
    }
}

impl From<DateForm> for String {
    fn from(form: DateForm) -> String {
        form.written
    }
}

impl std::fmt::Display for DateForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

fn bad(written: &str) -> String {
    format!(
        "'{}' is not a form of a date: write yyyy, mm or m, and dd or d once each, m and d beside signs only",
        crate::fault::printable(written)
    )
}

/// The oldest patient of an old register to the last day of the next century.
const YEARS: std::ops::RangeInclusive<u16> = 1800..=2199;
