//! Disclosures in English.

use super::{
    Compared, Disclosure, Facts, Figure, Judged, Kind, Known, Operation, Place, PointOf, Recipient, Revealed, Rows,
};
use super::{Says, Sentence, Sites, Spread, Why};
use crate::approx_distinct::error_words;
use crate::approximate::{LEVELS, REGISTERS};
use crate::noise::{Delta, Noise};
use crate::plan::{Fraction, Point};
use crate::released_tables::ReleasedTables;

pub(super) const HEADING: &str = "Disclosures";

pub(super) fn sentence(disclosure: &Disclosure) -> Sentence {
    Sentence {
        to: recipient(disclosure.to).into(),
        what: what(&disclosure.what),
        kind: kind(disclosure.kind).into(),
        why: why(disclosure.why).into(),
    }
}

pub(super) fn line(Sentence { to, what, kind, why }: &Sentence) -> String {
    format!("to {to}: {what} [{kind}; {why}]")
}

/// Who learns something.
pub(crate) fn recipient(to: Recipient) -> &'static str {
    match to {
        Recipient::Analyst => "analyst",
        Recipient::Everyone => "every site and the analyst",
        Recipient::EachOfTwo => "each of the two sites",
        Recipient::Receiver => "the site that receives the patients, alone",
        Recipient::Guesser => "a site that guesses, with the receiver of the answer",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "value",
        Kind::Size => "size",
        Kind::Order => "order",
        Kind::Keys => "keys",
        Kind::Bit => "yes or no",
    }
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Asked => "the answer shows it",
        Why::Common => "the question asks for the patients themselves",
        Why::Average => "an average is computed from it",
        Why::Variance => "a variance is computed from it",
        Why::Estimate => "the approximate number is computed from it",
        Why::Empty => "it tells a figure over nothing from zero",
        Why::Present => "it says which groups have rows",
        Why::Beside => "no column of the answer needs it: it is opened with the others",
        Why::Grouping => "every site must know the groups to sum by them",
        Why::Listing => "rows are opened one by one after a shuffle, so their number shows",
        Why::Limit => "only the first rows are asked for",
        Why::Differencing => "a release must not differ from an earlier one by few patients",
        Why::SmallCells => "nothing more is opened for it: it shows in the figures, because small ones are hidden",
        Why::Enough => "a sum is shown only where enough patients have part in it",
        Why::Padding => "nothing is opened for it: it is in the plan, and lists are padded to it",
        Why::Follows => "nothing more is opened for it: it follows from the figures",
        Why::Noise => "nothing more is opened for it: it bounds what the figures tell of one patient",
        Why::Warning => "nothing more is opened for it: it follows from the figures, and policy asks to say so",
    }
}

/// Who are counted where rare keys stay unknown.
const COUNTED: &str = "patients (each once at each site; rows, where a table names no patients)";

fn what(what: &Revealed) -> String {
    match what {
        Revealed::Keys { keys, least: 0 | 1, sites, rows } => {
            format!("the values of {} that occur {} in {}", keys.join(", "), whose(sites), source(rows))
        }
        Revealed::Keys { keys, least, sites, rows } => format!(
            "the values of {} that at least {least} {COUNTED} {} in {} have, and nothing about other values",
            keys.join(", "),
            over(sites),
            source(rows)
        ),
        Revealed::KeyCount { keys, least: 0 | 1 } => format!("how many values of {} occur", keys.join(", ")),
        Revealed::KeyCount { keys, least } => {
            format!("how many values of {} at least {least} {COUNTED} have", keys.join(", "))
        }
        Revealed::First { limit, descending, keys, figure: of } => {
            let (which, bound) = if *descending { ("largest", "at most") } else { ("smallest", "at least") };
            format!(
                "which {limit} values of {} have the {which} figure for {}, in their order: every row left out has {bound} the \
                 last one's, or is hidden or empty",
                keys.join(", "),
                figure(of)
            )
        }
        Revealed::Figure { figure: of, place: at } => format!("{}{}", figure(of), place(at)),
        Revealed::Enough { least, figure: of, place: at } => {
            format!(
                "whether {}{} is enough to show the sums over it, that is at least {least}; not the number",
                figure(of),
                place(at)
            )
        }
        Revealed::Point { point: of, place: at, of_one } => {
            let one = if *of_one { ": the exact value of one patient" } else { "" };
            format!("{}{}{one}", point(of), place(at))
        }
        Revealed::Levels { column, filter, place: at } => format!(
            "how many of {REGISTERS} registers of a sketch of {} reach each of {LEVELS} levels{}: the number of values \
             approximately ({}), for few almost exactly; whoever knows all of them but one may see whether that one is there",
            distinct(column, filter.as_deref()),
            place(at),
            error_words()
        ),
        Revealed::Patients { most, further } => {
            let further = further.map_or_else(String::new, |further| {
                format!(", {} of them with several keys in a pass and {} more each", further.patients, further.each)
            });
            format!("that a site has at most {most} patients{further}, and nothing about which of them others know")
        }
        Revealed::Common { receiver, own, sender, other } => format!(
            "which patients of {receiver} in {} are patients of {sender} in {}: single patients, however few they are; a key that \
             {receiver} adds to its own rows is told like any other, and only policy limits that",
            source(own),
            source(other)
        ),
        Revealed::Entered { receiver: (receiver, own), sender: (sender, other) } => format!(
            "that {receiver} enters at most {own} patients and {sender} at most {other}, and nothing about how many it has"
        ),
        Revealed::Guess { patient_key } => format!(
            "what a guessed {patient_key} adds to these figures: whoever adds it to its own rows can test it, and only policy \
             limits that"
        ),
        Revealed::Hidden { least, zeros_shown, judged, tables } => hidden(*least, *zeros_shown, *judged, tables),
        Revealed::Noised { noise, sites, hides, figures } => {
            noised(noise, *sites, *hides) + &spread(figures) + NOT_COVERED
        }
        Revealed::Remainder => {
            "the other's part of each sum of two sites, exactly: the answer less its own part".into()
        }
        Revealed::Difference { least, key, of, own } => {
            let (of, refused) = match of {
                Compared::All => ("this release", "it is refused"),
                Compared::Whole => (
                    "the whole of this release, or all whose group keys are listed,",
                    "it is refused before a group key is agreed",
                ),
                Compared::Groups => (
                    "a group of this release, or a figure over matched patients,",
                    "no figure is opened; its group keys are out by then, and it counts as a release",
                ),
            };
            let beside = match own {
                true => ", or two of its own figures of different or copied rows by some and so few",
                false => "",
            };
            format!(
                "whether {of} would differ from an earlier one of the study by fewer than {least} patients{beside}, in which case {refused}; \
                 not from which one, nor by how many. For this every site's patients behind the figures are matched by \
                 {key} with the other sites', under the rule min_patients alone"
            )
        }
        Revealed::Share { all, patients, group, figure: of } => {
            let (share, whom) = (if *all { "all" } else { "none" }, if *patients { "patients" } else { "rows" });
            let keys: Vec<String> = group.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            let place = if keys.is_empty() { String::new() } else { format!(" where {}", keys.join(", ")) };
            format!("{share} of the {whom}{place} count for {}: the answer holds for every one of them", figure(of))
        }
    }
}

/// What noise says nothing of, beside what it promises.
const NOT_COVERED: &str = "; each further run, also of the same question under the same approval, takes its ε (and δ) again, and only sites with \
    [privacy] add up what was taken; not covered: that a site's own work fails (more patients or events than declared, a value outside \
    its declared domain), how long local work and drawing noise take, which an expression can make depend on rows, and \
    whether a site's data changed since an earlier answer";

fn spread(figures: &[Spread]) -> String {
    let of = |Spread { figure: of, tenths }: &Spread| format!("{} {}.{}", figure(of), tenths / 10, tenths % 10);
    let all: Vec<String> = figures.iter().map(of).collect();
    format!("; standard deviation of the noise, in each group: {}", all.join(", "))
}

/// What Gaussian noise leaves beside the factor.
fn failing(delta: Delta) -> String {
    match delta {
        Delta(0) => String::new(),
        _ => format!(", but for a probability of {delta} at most (δ = {delta})"),
    }
}

fn noised(noise: &Noise, sites: u32, hides: bool) -> String {
    let Noise { shape, epsilon, honest_sites, tables } = noise;
    let (kind, also) = (shape.kind(), failing(noise.delta()));
    let kept = tables
        .iter()
        .map(|kept| format!("; of one patient in {} each site counts at most {} row(s)", kept.table, kept.rows));
    let small = if hides { "; which figures are small is judged by the noised ones" } else { "" };
    format!(
        "these figures of this run alone, with {kind} noise, never without: whatever is done with them, they tell apart whether one \
         patient, with everything it has at all sites, is in the data by a factor of e^{epsilon} at most (ε = {epsilon}){also}, as long as \
         {honest_sites} of the {sites} sites add their noise and keep it to themselves; a noised count may be negative{small}{}",
        kept.collect::<String>()
    )
}

fn hidden(least: u32, zeros_shown: bool, judged: Judged, tables: &ReleasedTables) -> String {
    let zeros = if zeros_shown { "zeros are shown" } else { "zeros too" };
    let of = match judged {
        Judged::Patients => "patients",
        Judged::Rows => "rows",
        Judged::RowsOrPatients => "rows or patients",
    };
    let (classes, both) = (classes(tables, of), if tables.asks() { "all" } else { "both" });
    format!(
        "which of these figures are hidden: those with fewer than {least} {of} behind them ({zeros}){classes}, and those from which \
         one of them would follow; {both} are shown as <{least}"
    )
}

/// What hides whole classes of groups.
fn classes(ReleasedTables { k_anonymous, l_diverse, sensitive }: &ReleasedTables, of: &str) -> String {
    let sensitive: Vec<&str> = sensitive.iter().map(String::as_str).collect();
    let mut text = String::new();
    if *k_anonymous > 1 {
        text += &format!(", all of a combination of group keys with fewer than {k_anonymous} {of}");
    }
    if *l_diverse > 1 {
        let names = sensitive.join(" or ");
        text += &format!(", all of a combination of group keys with fewer than {l_diverse} values of {names}");
    }
    let aside = !text.is_empty() && !sensitive.is_empty();
    if aside { format!("{text} (combinations without the keys made of {})", sensitive.join(", ")) } else { text }
}

fn place(Place { keys, sites, rows, first_only }: &Place) -> String {
    let per_group = if keys.is_empty() { String::new() } else { format!(" for each value of {}", keys.join(", ")) };
    let only = if *first_only { ", of these rows only" } else { "" };
    format!("{per_group} {} in {}{only}", over(sites), source(rows))
}

fn over(sites: &Sites) -> String {
    match &sites.names[..] {
        [only] => format!("at {only} alone"),
        _ if sites.all => "over all sites".into(),
        some => format!("over {}", joined(some, " and ")),
    }
}

fn whose(sites: &Sites) -> String {
    match &sites.names[..] {
        [_] => over(sites),
        // Whoever knows its own keys knows what the other of two sites alone has.
        [one, other] => format!("at {one} or {other} (each of the two then knows which the other alone has)"),
        _ if sites.all => "at any site (not which)".into(),
        some => format!("at {} (not which)", joined(some, " or ")),
    }
}

fn joined(sites: &[crate::catalog::SiteName], with: &str) -> String {
    sites.iter().map(|site| site.0.as_str()).collect::<Vec<_>>().join(with)
}

/// `person, condition_occurrence where …`
fn source(Rows { tables, conditions, grouped }: &Rows) -> String {
    let mut text = tables.join(", ");
    if !conditions.is_empty() {
        text += &format!(" where {}", conditions.join(" AND "));
    }
    if !grouped.is_empty() {
        text += &format!(", first grouped by {}", grouped.join(", "));
    }
    text
}

/// A slot as a reader would say it.
pub(crate) fn figure(Figure { of, filter }: &Figure) -> String {
    let what = match of {
        Operation::Rows => "the number of rows".to_owned(),
        Operation::NotNull(c) => format!("the number of rows where {c} is not NULL"),
        Operation::Value(c) => format!("the sum of {c}"),
        Operation::Square(c) => format!("the sum of squares of {c}"),
        Operation::Product(a, b) => format!("the sum of {a} times {b}"),
        Operation::BothNotNull(a, b) => format!("the number of rows where {a} and {b} are not NULL"),
        Operation::PatientsWith(known) => format!("the number of patients with {}", expression(known)),
        Operation::OverPatients(Known::Node(node)) => format!("node {node}"),
        Operation::OverPatients(known) => format!("the sum over patients of {}", expression(known)),
    };
    filtered(what, filter.as_deref())
}

fn filtered(what: String, filter: Option<&str>) -> String {
    filter.map_or(what.clone(), |filter| format!("{what} ({filter})"))
}

/// A point as a reader would say it.
pub(crate) fn point(of: &PointOf) -> String {
    let column = &of.column;
    let what = match of.point {
        Point::Min => format!("the smallest {column}"),
        Point::Max => format!("the largest {column}"),
        Point::Cont { .. } if of.is_median() => format!("the median of {column}"),
        Point::Cont { share } => format!("the interpolated {} percentile of {column}", part(share)),
        Point::Disc { share, descending } => {
            let from = if descending { " from the largest down" } else { "" };
            format!("the value of {column} at {}{from}", part(share))
        }
    };
    filtered(what, of.filter.as_deref())
}

fn part(share: Fraction) -> String {
    format!("{}/{}", share.numerator, share.denominator)
}

/// What a sketch counts.
pub(crate) fn distinct(column: &str, filter: Option<&str>) -> String {
    filtered(format!("the distinct {column}"), filter)
}

fn expression(known: &Known) -> String {
    let inner = |known: &Known| match known.has_two_sides() {
        true => format!("({})", expression(known)),
        false => expression(known),
    };
    match known {
        Known::Rows(facts) => feature(facts),
        Known::Constant(x) => format!("{x}"),
        Known::Not(a) => format!("not {}", inner(a)),
        Known::And(a, b) => format!("{} and {}", expression(a), expression(b)),
        Known::Or(a, b) => format!("{} or {}", inner(a), inner(b)),
        Known::Differ(a, b) => format!("either {} or {}", inner(a), inner(b)),
        Known::Less(a, b) => format!("{} < {}", inner(a), inner(b)),
        Known::Equal(a, b) => format!("{} = {}", inner(a), inner(b)),
        Known::Add(a, b) => format!("{} + {}", inner(a), inner(b)),
        Known::Subtract(a, b) => format!("{} - {}", inner(a), inner(b)),
        Known::Multiply(a, b) => format!("{} · {}", inner(a), inner(b)),
        Known::Number(a) => format!("1 if {}", inner(a)),
        Known::Select(a, b) => format!("{} if {}", inner(b), inner(a)),
        Known::Gaps { of, at_least, at_most: Some(most) } => {
            format!("neighbours that are {at_least} to {most} apart ({})", feature(of))
        }
        Known::Gaps { of, at_least, at_most: None } => {
            format!("neighbours that are {at_least} or more apart ({})", feature(of))
        }
        Known::Nth { of, n } => format!("value {n} of {}", feature(of)),
        Known::Length(of) => format!("the number of {}", feature(of)),
        Known::Node(node) => format!("node {node}"),
    }
}

/// What the rows of one patient say.
pub(crate) fn feature(Facts { relation, what, filter, keys }: &Facts) -> String {
    let rows = format!("rows of relation {relation}");
    let what = match what {
        Says::Any => format!("any {rows}"),
        Says::Count(None) => format!("the number of {rows}"),
        Says::Count(Some(column)) => format!("the number of {rows} where {column} is not NULL"),
        Says::Sum(column) => format!("the sum of {column} over {rows}"),
        Says::Least(column) => format!("the smallest {column} in {rows}"),
        Says::Greatest(column) => format!("the largest {column} in {rows}"),
        Says::Events { column, bound } => format!("each {column} in {rows} in order, at most {bound} at a site"),
    };
    let filter = filter.as_ref().map(|filter| format!(", {filter}")).unwrap_or_default();
    let keys = if keys.is_empty() { String::new() } else { format!(", for each {}", keys.join(", ")) };
    format!("{what}{filter}{keys}")
}
