//! Whether the rows of a table are what the catalogue declares, found by one statement that counts; and the digest of these rows.

use query_planner::bind::arrow_type;
use query_planner::catalog::ColumnType;
use query_planner::value::{Value, write_decimal};

use super::connection::Connection;
use super::emit;
use super::fault::refused;
use super::sql::{Statement, Writer, quoted};
use super::table::{DatabaseTable, Held, HeldColumn};
use crate::fault::{NodeError, printable};
use crate::source::Origin;

/// What one look at a table found.
pub(super) struct Checked {
    /// Rows of the table that take part.
    pub rows: u64,
    /// A sum of digests of these rows; equal for the same rows in any order.
    pub digest: String,
    /// Bytes of the longest text among the columns.
    pub widest: u64,
}

/// Counts the rows of these columns (positions) that break what is declared, and refuses any; `digest` also adds up digests of
/// the rows.
///
/// # Errors
/// `TOO_MANY_ROWS`, `VALUE_OUT_OF_RANGE`, `VALUE_OUTSIDE_DOMAIN`, `NOT_FINITE`, `INVALID_DATE`, `INVALID_TIMESTAMP`,
/// `NOT_A_DECIMAL` with the number of rows, and those of a failed statement.
pub(super) async fn check(
    connection: &Connection,
    table: &DatabaseTable,
    columns: &[usize],
    digest: bool,
) -> Result<Checked, NodeError> {
    let rules = rules(columns.iter().map(|at| &table.held.columns[*at]));
    let statement = statement(table, columns, &rules, digest)?;
    let row = connection.query_one(&statement.text, &statement.bound()).await?;
    let number = |at: usize| row.try_get::<_, i64>(at).map(i64::unsigned_abs).map_err(|e| refused(&e));
    let (rows, origin) = (number(0)?, Origin::of_database(&table.held.name));
    if rows > table.held.declared.max_rows {
        let what = format!("has more rows than the declared {}", table.held.declared.max_rows);
        return Err(origin.fault("TOO_MANY_ROWS", &what).hint("declare a larger max_rows in network.toml"));
    }
    for (i, rule) in rules.iter().enumerate() {
        let broken = number(i + 3)?;
        if broken > 0 {
            let column = printable(&rule.column.declared.name);
            return Err(origin.fault(rule.code, &format!("column {column}: {broken} of {rows} rows are {}", rule.why)));
        }
    }
    Ok(Checked { rows, digest: row.try_get(1).map_err(|e| refused(&e))?, widest: number(2)? })
}

/// One thing that no row may be.
pub(super) struct Rule<'a> {
    column: &'a HeldColumn,
    breaks: Breaks<'a>,
    pub code: &'static str,
    why: &'static str,
}

/// When a value breaks a rule.
enum Breaks<'a> {
    /// It meets this, where `?` is the column.
    Meets(&'static str),
    Outside(i64, i64),
    NotAmong(&'a [Value]),
}

/// Rules for columns that the database has in the declared type: the others are read, and so checked, by the node.
pub(super) fn rules<'a>(columns: impl Iterator<Item = &'a HeldColumn>) -> Vec<Rule<'a>> {
    let mut rules = Vec::new();
    for column in columns.filter(|column| column.is_same && !column.is_dropped) {
        let mut rule = |breaks, code, why| rules.push(Rule { column, breaks, code, why });
        match column.declared.data_type {
            ColumnType::Real => rule(Breaks::Meets(NOT_FINITE), "NOT_FINITE", "no finite number"),
            ColumnType::Decimal { .. } => rule(Breaks::Meets("? = 'NaN'"), "NOT_A_DECIMAL", "no number"),
            ColumnType::Date => rule(Breaks::Meets(NO_DAY), "INVALID_DATE", "outside the years 1 to 9999"),
            ColumnType::Timestamp => rule(Breaks::Meets(NO_TIME), "INVALID_TIMESTAMP", "outside the years 1 to 9999"),
            _ => {}
        }
        if let Some((low, high)) = column.declared.range {
            rule(Breaks::Outside(low, high), "VALUE_OUT_OF_RANGE", "outside the declared range");
        }
        if let Some(domain) = &column.declared.domain {
            rule(Breaks::NotAmong(domain), "VALUE_OUTSIDE_DOMAIN", "outside the declared domain");
        }
    }
    rules
}

const NOT_FINITE: &str = "? IN ('NaN', 'Infinity', '-Infinity')";
const NO_DAY: &str = "(NOT isfinite(?) OR ? < '0001-01-01' OR ? > '9999-12-31')";
const NO_TIME: &str = "(NOT isfinite(?) OR ? < '0001-01-01' OR ? >= '9999-12-31'::date + 1)";

impl Rule<'_> {
    /// The condition that a row meets which breaks it; none for a value that SQL cannot write.
    pub fn sql(&self, writer: &mut Writer) -> Option<String> {
        let (column, declared) = (&self.column.sql, &self.column.declared);
        Some(match &self.breaks {
            Breaks::Meets(what) => what.replace('?', column),
            Breaks::Outside(low, high) => {
                let [low, high] = [low, high].map(|end| match declared.data_type {
                    ColumnType::Decimal { scale, .. } => write_decimal((*end).into(), scale),
                    _ => end.to_string(),
                });
                let (low, high) = (writer.bind(low), writer.bind(high));
                format!("({column} NOT BETWEEN ({low}::text)::numeric AND ({high}::text)::numeric)")
            }
            Breaks::NotAmong(domain) => {
                let to = arrow_type(declared.data_type);
                let mut members = Vec::with_capacity(domain.len());
                for member in *domain {
                    members.push(emit::literal(writer, &member.to_scalar(&to)?)?);
                }
                if members.is_empty() {
                    format!("({column} IS NOT NULL)")
                } else {
                    format!("({column} NOT IN ({}))", members.join(", "))
                }
            }
        })
    }
}

fn statement(
    table: &DatabaseTable,
    columns: &[usize],
    rules: &[Rule<'_>],
    digest: bool,
) -> Result<Statement, NodeError> {
    let (held, mut writer) = (&table.held, Writer::default());
    let digest = if digest { digest_of(held, columns) } else { "''".into() };
    let mut wanted = vec!["count(*)".to_owned(), digest, widest_of(held, columns)];
    for rule in rules {
        let sql = rule.sql(&mut writer);
        let sql =
            sql.ok_or_else(|| NodeError::new("INTERNAL", "a declared domain with a value that SQL cannot write"))?;
        wanted.push(format!("count(*) FILTER (WHERE {sql})"));
    }
    let place = format!("{}.{} AS t", quoted(&held.schema_name), quoted(&held.name));
    let keep = table.opted_in(&mut writer).map_or_else(String::new, |opted_in| format!(" WHERE {opted_in}"));
    Ok(writer.finish(format!("SELECT {} FROM {place}{keep}", wanted.join(", "))))
}

/// Bytes of the longest text: a column that the database has in another type than the declared one comes as a text too.
fn widest_of(held: &Held, columns: &[usize]) -> String {
    let columns = columns.iter().map(|at| &held.columns[*at]);
    let is_text = |column: &&HeldColumn| !column.is_same || column.declared.data_type == ColumnType::Text;
    let longest = columns.filter(is_text).map(|column| format!("max(octet_length({})), ", column.sql));
    format!("greatest({}0)::bigint", longest.collect::<String>())
}

/// 64 bits of the MD5 of each row, added up: two tables of a hospital that differ have the same sum by an accident of 2^-64 only, and the
/// hospital, whose own ledger this is for, is not an attacker of it.
fn digest_of(held: &Held, columns: &[usize]) -> String {
    let texts: Vec<String> = columns.iter().map(|at| format!("({})::text", held.columns[*at].sql)).collect();
    let row = format!("ROW({})::text", texts.join(", "));
    format!("coalesce(sum(('x' || substr(md5({row}), 1, 16))::bit(64)::bigint::numeric), 0)::text")
}
