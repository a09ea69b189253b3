//! Notes in English.

use super::Note;
use crate::approx_distinct::error_words;
use crate::disclosure::{distinct_words, figure_words};

pub(super) fn words(note: &Note) -> String {
    match note {
        Note::IntegersDivided => "an integer divided by an integer is truncated, as in PostgreSQL: cast one to DOUBLE for a ratio".into(),
        Note::NullsLast => "ORDER BY puts NULLs last, with DESC first, as in PostgreSQL".into(),
        Note::FirstRows => "only the rows of the answer are revealed: of rows with equal figures those that ORDER BY, then the order of the \
                            keys, puts first; hidden figures come behind all shown ones"
            .into(),
        Note::AllGroups => "HAVING, WHERE and LIMIT on revealed rows hide nothing: all groups are revealed first".into(),
        Note::ExactPercentiles => "APPROX_MEDIAN and APPROX_PERCENTILE_CONT are computed exactly here".into(),
        Note::HiddenInside { least } => {
            format!("min_patients is {least}: figures are hidden inside the computation, before anything is opened")
        }
        Note::HiddenCells => "a hidden cell is NULL for WHERE, HAVING and LIMIT; ORDER BY puts it behind all others in both \
                              directions; what is computed from it, also by COALESCE or CASE, is hidden too"
            .into(),
        Note::LessOwnRows { least } => format!(
            "every site sees the answer: a figure is shown only if what is left without a site's own rows is 0 or at least {least}"
        ),
        Note::KeysByRows => {
            "which keys are agreed is judged by their rows, what is shown of them by their patients".into()
        }
        Note::RowsNotPatients { patient_key } => {
            format!("counts are of rows, not of patients: one {patient_key} may have several rows")
        }
        Note::SensitiveValues { least } => format!(
            "a patient may have several values of a sensitive key, so that of the groups of a combination of keys one must have {least} \
             patients by itself"
        ),
        Note::JudgedByRows => "small cells are judged by their rows, not by their patients".into(),
        Note::Unbounded(figure) => format!(
            "{} is not bounded by declared ranges: each site checks its own before it shares anything",
            figure_words(figure)
        ),
        Note::SortedUnbounded { column, bits } => {
            format!("{column} is sorted in {bits} bits without a declared range: each site checks its own values")
        }
        Note::Approximate { column, filter } => format!(
            "the number of {} is approximate: {}; asked again of the same rows it is the same",
            distinct_words(column, filter.as_deref()),
            error_words()
        ),
        Note::NineDecimals => "percentiles of real numbers are exact to nine decimals".into(),
        Note::Rounded { sites } => {
            format!("sums of real numbers are rounded once per site: off by at most {sites} · 2^-41")
        }
        Note::KnownBy { patient_key } => {
            format!("a patient is known by {patient_key}: patients are counted once, however many sites know them")
        }
        Note::WithoutKey { patient_key } => {
            format!("rows without {patient_key} are left out, also for NOT IN and NOT EXISTS")
        }
        Note::MostEvents { most } => {
            format!("a site with more than {most} rows of one patient to be ordered refuses")
        }
        Note::Clamped { table, column, lo, hi } => {
            format!("values of {table}.{column} below {lo} or above {hi} are read as these, as the policies ask")
        }
        Note::ListInFile { receiver, patient_key } => {
            format!("{receiver} finds the matched {patient_key} in a file in its state folder, in its own spelling, each once")
        }
        Note::NoLeastList => "no smallest number of patients holds here: one patient in common is told like many".into(),
        Note::EnteredKept => {
            "both sites note the patients they enter; where small cells are hidden, later releases are compared with them".into()
        }
    }
}
