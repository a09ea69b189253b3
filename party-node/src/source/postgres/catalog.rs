//! What a database says of itself: its schema's tables and views, and the types of their columns.

use std::collections::BTreeMap;

use query_planner::catalog::ColumnType;
use query_planner::merge::InferredType;
use tokio_postgres::Row;

use super::connection::Connection;
use super::fault::refused;
use super::settings::Settings;
use super::sql::quoted;
use crate::fault::{NodeError, printable};

/// A table or view as the database has it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// In the database's spelling.
    pub name: String,
    /// In the table's order; those of a type that has no place in a catalogue are left out.
    pub columns: Vec<(String, Kind)>,
    /// At the moment it was looked at.
    pub rows: u64,
}

/// A type of PostgreSQL's that a column of a catalogue can be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Real,
    /// Digits in all, and after the point.
    Decimal(u8, i8),
    /// A number of any digits.
    Numeric,
    Date,
    Timestamp,
    /// Read in UTC.
    TimestampZone,
    Bool,
    Text,
}

impl Kind {
    fn of(name: &str, precision: Option<i32>, scale: Option<i32>) -> Option<Self> {
        Some(match name {
            "smallint" | "integer" | "bigint" => Self::Int,
            "real" | "double precision" => Self::Real,
            "numeric" => match (precision.map(u8::try_from), scale.map(i8::try_from)) {
                (Some(Ok(precision @ 1..=38)), Some(Ok(scale))) if scale >= 0 => Self::Decimal(precision, scale),
                _ => Self::Numeric,
            },
            "date" => Self::Date,
            "timestamp without time zone" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampZone,
            "boolean" => Self::Bool,
            "text" | "character varying" | "character" | "uuid" => Self::Text,
            _ => return None,
        })
    }

    /// What a network takes the column for unless it declares otherwise.
    pub fn inferred(self) -> InferredType {
        InferredType::Typed(match self {
            Self::Int => ColumnType::Int,
            Self::Real | Self::Numeric => ColumnType::Real,
            Self::Decimal(precision, scale) => ColumnType::Decimal { precision, scale },
            Self::Date => ColumnType::Date,
            Self::Timestamp | Self::TimestampZone => ColumnType::Timestamp,
            Self::Bool => ColumnType::Bool,
            Self::Text => ColumnType::Text,
        })
    }

    /// Has every value of the database's type one of the declared type, and do both order them alike?
    pub fn is_same(self, declared: ColumnType) -> bool {
        match (self, declared) {
            (Self::Decimal(p, s), ColumnType::Decimal { precision, scale }) => {
                scale >= s && i16::from(precision) - i16::from(scale) >= i16::from(p) - i16::from(s)
            }
            (Self::Int, ColumnType::Int) | (Self::Real, ColumnType::Real) | (Self::Date, ColumnType::Date) => true,
            (Self::Timestamp | Self::TimestampZone, ColumnType::Timestamp) => true,
            (Self::Bool, ColumnType::Bool) | (Self::Text, ColumnType::Text) => true,
            _ => false,
        }
    }

    /// The column `t.name` as the node means it.
    pub fn sql(self, name: &str) -> String {
        let column = format!("t.{}", quoted(name));
        match self {
            // PostgreSQL's collations may find different texts equal.
            Self::Text => format!("(({column})::text COLLATE \"C\")"),
            Self::TimestampZone => format!("({column} AT TIME ZONE 'UTC')"),
            Self::Real => format!("({column})::float8"),
            _ => column,
        }
    }
}

/// All tables of the schema by their names in lower case.
///
/// # Errors
/// As [`described`].
pub(super) async fn tables(connection: &Connection, settings: &Settings) -> Result<BTreeMap<String, Found>, NodeError> {
    let mut tables = described(connection, settings).await?;
    for found in tables.values_mut() {
        found.rows = count(connection, settings, found).await?;
    }
    Ok(tables)
}

/// The same, and no rows are counted.
///
/// # Errors
/// `NO_TABLES`, `DUPLICATE_TABLE`, `DUPLICATE_COLUMN`, `TABLE_NAME`, `DATABASE_ENCODING`, and those of a failed statement.
pub(super) async fn described(
    connection: &Connection,
    settings: &Settings,
) -> Result<BTreeMap<String, Found>, NodeError> {
    check_encoding(connection).await?;
    let rows = connection.query(COLUMNS, &[&settings.schema]).await?;
    let mut tables: BTreeMap<String, Found> = BTreeMap::new();
    for row in &rows {
        let (table, column): (String, String) = (field(row, 0)?, field(row, 1)?);
        check_name(&table)?;
        let found = tables.entry(table.to_lowercase()).or_insert_with(|| Found {
            name: table.clone(),
            columns: vec![],
            rows: 0,
        });
        if found.name != table {
            let message = format!("tables {} and {} differ in case only", printable(&found.name), printable(&table));
            return Err(NodeError::new("DUPLICATE_TABLE", message));
        }
        let Some(kind) = Kind::of(&field::<String>(row, 2)?, field(row, 3)?, field(row, 4)?) else { continue };
        if found.columns.iter().any(|(known, _)| known.to_lowercase() == column.to_lowercase()) {
            let message = format!("table {} of the database: two columns differ in case only", printable(&table));
            return Err(NodeError::new("DUPLICATE_COLUMN", message));
        }
        found.columns.push((column, kind));
    }
    if tables.is_empty() {
        let message =
            format!("schema {} has no table that {} may read", printable(&settings.schema), printable(&settings.user));
        return Err(
            NodeError::new("NO_TABLES", message).hint("is 'schema' right, and has the user the right to SELECT?")
        );
    }
    Ok(tables)
}

const COLUMNS: &str = "\
    SELECT table_name::text, column_name::text, data_type::text, numeric_precision::int4, numeric_scale::int4 \
    FROM information_schema.columns WHERE table_schema::text = $1::text ORDER BY table_name, ordinal_position";

fn field<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, NodeError> {
    row.try_get(at).map_err(|e| refused(&e))
}

fn check_name(table: &str) -> Result<(), NodeError> {
    if table.trim().is_empty() || table != printable(table) {
        let message = format!("the database's table {} has a name that cannot name a table", printable(table));
        return Err(NodeError::new("TABLE_NAME", message));
    }
    Ok(())
}

/// Only in UTF-8 do bytes sort as the node's texts do.
async fn check_encoding(connection: &Connection) -> Result<(), NodeError> {
    let row = connection.query_one("SELECT current_setting('server_encoding')", &[]).await?;
    let encoding: String = field(&row, 0)?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let message = format!("the database's texts are in {}, not in UTF8", printable(&encoding));
    Err(NodeError::new("DATABASE_ENCODING", message).hint("copy it to a database with ENCODING 'UTF8'"))
}

async fn count(connection: &Connection, settings: &Settings, found: &Found) -> Result<u64, NodeError> {
    let sql = format!("SELECT count(*) FROM {}.{}", quoted(&settings.schema), quoted(&found.name));
    let rows: i64 = field(&connection.query_one(&sql, &[]).await?, 0)?;
    Ok(rows.unsigned_abs())
}

/// Distinct values of the patient key, over all tables that have it.
///
/// # Errors
/// Those of a failed statement.
pub(super) async fn patients(
    connection: &Connection,
    schema: &str,
    keys: &[(String, String)],
) -> Result<u64, NodeError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let one = |(table, key): &(String, String)| {
        format!("SELECT ({})::text AS k FROM {}.{} WHERE {0} IS NOT NULL", quoted(key), quoted(schema), quoted(table))
    };
    let all = keys.iter().map(one).collect::<Vec<_>>().join(" UNION ");
    let row = connection.query_one(&format!("SELECT count(*) FROM ({all}) AS a"), &[]).await?;
    Ok(field::<i64>(&row, 0)?.unsigned_abs())
}
