//! Generated tables, the same in every run, and the answer of the pooled rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Bench, Question};

/// Most events of a patient at a site.
pub const MAX_EVENTS: u64 = 4;

/// Days over which events are spread.
const DAYS: u64 = 3650;

/// Files by their place in the sandbox's folder, and what must come of them.
pub struct Files {
    pub texts: Vec<(String, String)>,
    pub answer: u64,
}

/// The files of a benchmark.
pub fn generate(bench: Bench) -> Files {
    match bench.question {
        Question::Distinct => distinct(bench),
        Question::Aspirin => aspirin(bench),
        Question::Recurrence => recurrence(bench),
    }
}

fn distinct(bench: Bench) -> Files {
    let mut everybody = BTreeSet::new();
    let text = |site: usize| {
        let mut text = "person_id\n".to_owned();
        for person in patients(bench, site) {
            line(&mut text, format_args!("{person}"));
            everybody.insert(person);
        }
        (file(site, "person"), text)
    };
    let texts = (0..bench.parties).map(text).collect();
    Files { texts, answer: everybody.len() as u64 }
}

fn aspirin(bench: Bench) -> Files {
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    let mut condition = vec!["person_id,condition_concept_id,condition_start_date\n".to_owned(); bench.parties];
    let mut drug = vec!["person_id,drug_concept_id,drug_exposure_start_date\n".to_owned(); bench.parties];
    for row in 0..bench.elements {
        let event = |salt| {
            let random = mixed(row as u64, salt);
            (random % (bench.elements as u64 / 2).max(1), (random >> 32) % DAYS, random >> 63 == 1)
        };
        let (person, day, counts) = event(1);
        let concept = if counts { 317_576 } else { 40_481_087 };
        line(&mut condition[row % bench.parties], format_args!("{person},{concept},{}", date(day)));
        if counts {
            first.entry(person).and_modify(|d: &mut u64| *d = day.min(*d)).or_insert(day);
        }
        let (person, day, counts) = event(2);
        let concept = if counts { [1_112_807, 19_059_056][row / bench.parties % 2] } else { 1_125_315 };
        line(&mut drug[row % bench.parties], format_args!("{person},{concept},{}", date(day)));
        if counts {
            last.entry(person).and_modify(|d: &mut u64| *d = day.max(*d)).or_insert(day);
        }
    }
    let follows = |(person, day): &(&u64, &u64)| last.get(*person).is_some_and(|last| *day <= last);
    let answer = first.iter().filter(follows).count() as u64;
    let named = |name: &'static str, texts: Vec<String>| {
        texts.into_iter().enumerate().map(move |(site, text)| (file(site, name), text))
    };
    Files { texts: named("condition_occurrence", condition).chain(named("drug_exposure", drug)).collect(), answer }
}

fn recurrence(bench: Bench) -> Files {
    let mut days: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let text = |site: usize| {
        let mut text = "person_id,condition_concept_id,condition_start_date\n".to_owned();
        for person in patients(bench, site) {
            let salt = 8 * site as u64;
            for event in 0..=mixed(person, salt) % MAX_EVENTS {
                let day = mixed(person, salt + 1 + event) % DAYS;
                line(&mut text, format_args!("{person},40481087,{}", date(day)));
                days.entry(person).or_default().push(day);
            }
        }
        (file(site, "condition_occurrence"), text)
    };
    let texts = (0..bench.parties).map(text).collect();
    days.values_mut().for_each(|days| days.sort_unstable());
    let recurs = |days: &&Vec<u64>| days.windows(2).any(|pair| (15..=56).contains(&(pair[1] - pair[0])));
    Files { texts, answer: days.values().filter(recurs).count() as u64 }
}

/// The patients of a site: half of them are the next one's too.
fn patients(bench: Bench, site: usize) -> std::ops::Range<u64> {
    let first = (site * (bench.elements / 2)) as u64;
    first..first + bench.elements as u64
}

fn file(site: usize, table: &str) -> String {
    format!("site_{}/{table}.csv", (b'a' + site as u8) as char)
}

fn line(text: &mut String, fields: std::fmt::Arguments<'_>) {
    // Writing to a String never fails.
    let _ = writeln!(text, "{fields}");
}

/// A number that looks random.
fn mixed(number: u64, salt: u64) -> u64 {
    let x = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (salt + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
    let x = (x ^ x >> 27).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 31
}

/// So many days after the first of 2010.
fn date(mut day: u64) -> String {
    let mut year = 2010;
    let leap = |year: u64| year.is_multiple_of(4);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_counted_over_months_and_leap_years() {
        let dates =
            [(0, "2010-01-01"), (31, "2010-02-01"), (365, "2011-01-01"), (789, "2012-02-29"), (790, "2012-03-01")];
        for (day, expected) in dates {
            assert_eq!(date(day), expected);
        }
        assert_eq!(date(3 * 365 + 1), "2013-01-01");
    }
}
