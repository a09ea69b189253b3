//! What stands in a database's tables, counted by the database: one statement for each table, all in one transaction. Columns that the
//! node would read as another type than the database's stream through it in portions and are counted there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use query_planner::catalog::{Column, ColumnType};
use query_planner::value::Value;

use super::catalog::{self, Found, Kind};
use super::check;
use super::connect::{self, wait};
use super::connection::Connection;
use super::fault::refused;
use super::settings::Settings;
use super::sql::{Statement, Writer, quoted};
use super::stream::{Access, Portions};
use super::table::HeldColumn;
use crate::fault::NodeError;
use crate::source::left::Left;
use crate::source::survey::{
    CODES, ColumnPlan, Counts, FIRST_NUMBER, Reads, Seen, TablePlan, TableSurvey, Tally, Wanted,
};

/// Counts what stands in every table of a database, at one moment.
///
/// # Errors
/// `DATABASE_…`, and what is wrong with names.
pub(in crate::source) fn survey(settings: Settings, wanted: Wanted) -> Result<Vec<TableSurvey>, NodeError> {
    wait(async move {
        let connection = connect::begin(&settings, &Left::never()).await?;
        let found = catalog::described(&connection, &settings).await?;
        let patients = wanted.patient_table().and_then(|name| Patients::of(found.get(name)?, &settings, &wanted));
        let mut surveys = Vec::with_capacity(found.len());
        for (name, found) in &found {
            let seen = found.columns.iter().map(|(name, kind)| Seen {
                name: name.clone(),
                inferred: kind.inferred(),
                likely: None,
            });
            let plan = wanted.plan(name, seen.collect());
            let place = format!("{}.{}", quoted(&settings.schema), quoted(&found.name));
            let patients = patients.as_ref().filter(|patients| patients.place != place);
            let look = Look { plan: &plan, found, place, patients, today: wanted.today };
            surveys.push(look.survey(&connection).await?);
        }
        Ok(surveys)
    })
}

/// The table with a row for each patient.
struct Patients {
    place: String,
    key: String,
    kind: Kind,
}

impl Patients {
    fn of(found: &Found, settings: &Settings, wanted: &Wanted) -> Option<Self> {
        let named = |(name, _): &&(String, Kind)| name.eq_ignore_ascii_case(&wanted.settings.patient_key);
        let (key, kind) = found.columns.iter().find(named)?;
        let place = format!("{}.{}", quoted(&settings.schema), quoted(&found.name));
        Some(Self { place, key: quoted(key), kind: *kind })
    }
}

/// What is asked about one table.
struct Look<'a> {
    plan: &'a TablePlan,
    found: &'a Found,
    place: String,
    patients: Option<&'a Patients>,
    today: i32,
}

/// What one figure of the statement is.
enum Figure {
    Rows,
    Null(usize),
    Code(usize, usize),
    Misfit(usize),
    OutOfRange(usize),
    OutsideDomain(usize),
    Before1900(usize),
    InFuture(usize),
    Period(usize),
    Duplicates,
    Orphans,
    Units,
}

/// The figures of a statement, in its order.
#[derive(Default)]
struct Asked {
    writer: Writer,
    figures: Vec<(Figure, String)>,
}

impl Asked {
    fn rows_where(&mut self, figure: Figure, condition: &str) {
        self.figures.push((figure, format!("count(*) FILTER (WHERE {condition})")));
    }
}

impl Look<'_> {
    async fn survey(&self, connection: &Arc<Connection>) -> Result<TableSurvey, NodeError> {
        let mut asked = Asked::default();
        asked.figures.push((Figure::Rows, "count(*)".into()));
        for at in (0..self.plan.columns.len()).filter(|at| self.is_counted(*at)) {
            self.column(at, &mut asked)?;
        }
        for (i, (start, end)) in self.plan.periods.iter().enumerate() {
            if self.is_counted(*start) && self.is_counted(*end) {
                asked.rows_where(Figure::Period(i), &format!("{} < {}", self.sql(*end), self.sql(*start)));
            }
        }
        let joined = self.keys(&mut asked);
        let figures: String = asked.figures.iter().map(|(_, sql)| format!("{sql}, ")).collect();
        let longest = self.streamed().into_iter().map(|at| format!("max(octet_length(({})::text)), ", self.sql(at)));
        let longest = format!("greatest({}0)", longest.collect::<String>());
        let text = format!("SELECT ARRAY[{figures}{longest}]::bigint[] FROM {} AS t{joined}", self.place);
        let Asked { writer, figures } = asked;
        let statement = writer.finish(text);
        let row = connection.query_one(&statement.text, &statement.bound()).await?;
        let mut numbers: Vec<i64> = row.try_get(0).map_err(|e| refused(&e))?;
        let widest = numbers.pop().map_or(0, i64::unsigned_abs);
        let mut survey = self.read(figures.into_iter().map(|(figure, _)| figure).zip(numbers));
        self.stream(connection, widest, &mut survey).await?;
        Ok(survey)
    }

    /// Does the database count this column?
    fn is_counted(&self, at: usize) -> bool {
        let (kind, expected) = (self.kind(at), self.plan.columns[at].expected);
        let is_number = matches!(kind, Kind::Int | Kind::Decimal(..) | Kind::Numeric);
        kind.is_same(expected) || is_number && expected == ColumnType::Real
    }

    fn kind(&self, at: usize) -> Kind {
        self.found.columns[at].1
    }

    fn sql(&self, at: usize) -> String {
        let (name, kind) = &self.found.columns[at];
        kind.sql(name)
    }

    fn column(&self, at: usize, asked: &mut Asked) -> Result<(), NodeError> {
        let (plan, x) = (&self.plan.columns[at], self.sql(at));
        asked.rows_where(Figure::Null(at), &format!("{x} IS NULL"));
        match plan.expected {
            ColumnType::Text => text_codes(at, plan, &x, asked),
            ColumnType::Int | ColumnType::Real | ColumnType::Decimal { .. } => {
                number_codes(at, plan, self.kind(at), &x, asked);
            }
            ColumnType::Date => self.days(at, plan, &x, "date", asked),
            ColumnType::Timestamp => self.days(at, plan, &x, "timestamp", asked),
            ColumnType::Bool => {}
        }
        let declared = declared(plan);
        let held = HeldColumn { declared, sql: x, is_same: true, is_dropped: false };
        for rule in check::rules(std::iter::once(&held)) {
            let figure = match rule.code {
                "VALUE_OUT_OF_RANGE" => Figure::OutOfRange(at),
                "VALUE_OUTSIDE_DOMAIN" => Figure::OutsideDomain(at),
                // Whole numbers and decimals have no infinity before they are read as reals.
                _ if self.kind(at) == Kind::Int => continue,
                _ => Figure::Misfit(at),
            };
            let condition = rule
                .sql(&mut asked.writer)
                .ok_or_else(|| NodeError::new("INTERNAL", "a declared domain with a value that SQL cannot write"))?;
            asked.rows_where(figure, &condition);
        }
        Ok(())
    }

    /// Years that the node does not read are misfits and neither early nor late.
    fn days(&self, at: usize, plan: &ColumnPlan, x: &str, sql_type: &str, asked: &mut Asked) {
        let mut day = |text: String| format!("({}::text)::{sql_type}", asked.writer.bind(text));
        let (first, from, last) = (day("0001-01-01".into()), day("1900-01-01".into()), day("9999-12-31".into()));
        let late = day(Value::Date(self.today.saturating_add(2)).to_string());
        asked.rows_where(Figure::Before1900(at), &format!("{x} >= {first} AND {x} < {from}"));
        if !plan.may_be_later {
            asked.rows_where(Figure::InFuture(at), &format!("{x} >= {late} AND {x} <= {last}"));
        }
    }

    /// Figures about keys and units; what the table is joined with for them.
    fn keys(&self, asked: &mut Asked) -> String {
        if let Some(key) = self.plan.primary_key.map(|at| self.sql(at)) {
            asked.figures.push((Figure::Duplicates, format!("count({key}) - count(DISTINCT {key})")));
        }
        if let Some((what, unit)) = self.plan.units {
            let [what, unit] = [what, unit].map(|at| quoted(&self.found.columns[at].0));
            let several = format!(
                "SELECT 1 FROM {} AS u WHERE u.{what} IS NOT NULL AND u.{unit} IS NOT NULL GROUP BY u.{what} HAVING count(DISTINCT u.{unit}) > 1",
                self.place
            );
            asked.figures.push((Figure::Units, format!("(SELECT count(*) FROM ({several}) AS s)")));
        }
        let (Some(patients), Some(key)) = (self.patients, self.plan.patient_key) else { return String::new() };
        // As texts, keys of different types have one form.
        let form = if patients.kind == self.kind(key) { "" } else { "::text" };
        let own = format!("(t.{}){form}", quoted(&self.found.columns[key].0));
        asked.rows_where(Figure::Orphans, &format!("{own} IS NOT NULL AND p.k IS NULL"));
        let known = format!("SELECT DISTINCT ({}){form} AS k FROM {}", patients.key, patients.place);
        format!(" LEFT JOIN ({known}) AS p ON p.k = {own}")
    }

    fn read(&self, figures: impl Iterator<Item = (Figure, i64)>) -> TableSurvey {
        let mut counts = vec![Counts::default(); self.plan.columns.len()];
        let (mut rows, mut duplicates, mut orphans, mut units) = (0, None, None, None);
        let mut periods: Vec<_> = self.plan.periods.iter().map(|(start, end)| (*start, *end, 0)).collect();
        for (figure, number) in figures {
            let number = number.unsigned_abs();
            match figure {
                Figure::Rows => rows = number,
                Figure::Null(at) => counts[at].nulls = number,
                Figure::Code(at, code) => counts[at].codes[code] = number,
                Figure::Misfit(at) => counts[at].misfits = number,
                Figure::OutOfRange(at) => counts[at].out_of_range = number,
                Figure::OutsideDomain(at) => counts[at].outside_domain = number,
                Figure::Before1900(at) => counts[at].before_1900 = number,
                Figure::InFuture(at) => counts[at].in_future = number,
                Figure::Period(i) => periods[i].2 = number,
                Figure::Duplicates => duplicates = self.plan.primary_key.map(|at| (at, number)),
                Figure::Orphans => orphans = self.plan.patient_key.map(|at| (at, number)),
                Figure::Units => units = self.plan.units.map(|(what, unit)| (what, unit, number)),
            }
        }
        TableSurvey { duplicates, orphans, periods, units, ..TableSurvey::of(self.plan.clone(), rows, counts) }
    }

    /// The columns that only the node can read, and what a period needs beside them.
    fn streamed(&self) -> Vec<usize> {
        let foreign: BTreeSet<usize> = (0..self.plan.columns.len()).filter(|at| !self.is_counted(*at)).collect();
        let split = |(start, end): &&(usize, usize)| foreign.contains(start) || foreign.contains(end);
        let beside = self.plan.periods.iter().filter(split).flat_map(|(start, end)| [*start, *end]);
        foreign.iter().copied().chain(beside).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Reads these columns, of which no value has more bytes than `widest`.
    async fn stream(
        &self,
        connection: &Arc<Connection>,
        widest: u64,
        survey: &mut TableSurvey,
    ) -> Result<(), NodeError> {
        let read = self.streamed();
        if read.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = read.iter().map(|at| format!("({})::text", self.sql(*at))).collect();
        let text = format!("SELECT {} FROM {} AS t", columns.join(", "), self.place);
        let tally = |at: &usize| {
            let plan = &self.plan.columns[*at];
            // As it is bound: beside another type, nothing is no value.
            Tally::new(plan, Reads::Nullable(plan.expected), self.today)
        };
        let mut tallies: Vec<Tally<'_>> = read.iter().map(tally).collect();
        let place: BTreeMap<usize, usize> = read.iter().enumerate().map(|(i, at)| (*at, i)).collect();
        let mut moments = vec![None; read.len()];
        let access = Access { connection: connection.clone(), widest };
        let mut portions = Portions::new(Statement::plain(text), read.len(), access);
        while let Some(rows) = portions.next().await? {
            for row in rows {
                for (i, (tally, moment)) in tallies.iter_mut().zip(&mut moments).enumerate() {
                    *moment = tally.see(row.try_get(i).map_err(|e| refused(&e))?);
                }
                for (start, end, wrong) in &mut survey.periods {
                    let (Some(start), Some(end)) = (place.get(start), place.get(end)) else { continue };
                    *wrong += u64::from(matches!((moments[*start], moments[*end]), (Some(s), Some(e)) if e < s));
                }
            }
        }
        for (at, tally) in read.iter().zip(tallies).filter(|(at, _)| !self.is_counted(**at)) {
            survey.columns[*at].counts = tally.counts;
        }
        Ok(())
    }
}

fn text_codes(at: usize, plan: &ColumnPlan, x: &str, asked: &mut Asked) {
    for code in &plan.codes {
        let condition = match code {
            0 => format!("{x} = ''"),
            1 => format!("{x} <> '' AND btrim({x}, ' ') = ''"),
            _ => {
                let words = CODES[*code].words.iter().map(|word| (*word).to_owned()).collect();
                let words = asked.writer.bind_all(Arc::new(words));
                // Every word is ASCII, as what "C" makes upper case.
                format!("upper(btrim({x}, ' ') COLLATE \"C\") = ANY ({words}::text[])")
            }
        };
        asked.rows_where(Figure::Code(at, *code), &condition);
    }
}

fn number_codes(at: usize, plan: &ColumnPlan, kind: Kind, x: &str, asked: &mut Asked) {
    let sql_type = if kind == Kind::Real { "float8" } else { "numeric" };
    for code in plan.codes.iter().filter(|code| **code >= FIRST_NUMBER) {
        let number = asked.writer.bind(CODES[*code].name.into());
        asked.rows_where(Figure::Code(at, *code), &format!("{x} = ({number}::text)::{sql_type}"));
    }
    let not_a_number = CODES.iter().position(|code| code.name == "NaN").filter(|_| kind != Kind::Int);
    if let Some(code) = not_a_number {
        asked.rows_where(Figure::Code(at, code), &format!("{x} = 'NaN'"));
    }
}

fn declared(plan: &ColumnPlan) -> Column {
    Column {
        name: plan.name.clone(),
        data_type: plan.expected,
        domain: plan.domain.clone(),
        range: plan.range,
        clamp: None,
        agree_keys: false,
        quasi_identifier: false,
        allowed: true,
    }
}
