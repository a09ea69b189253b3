//! Rows of a statement as batches of columns, read a portion at a time: memory grows neither with the table nor with its texts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::try_unfold;
use query_planner::catalog::{Column, ColumnType};
use tokio_postgres::Row;

use super::connection::Connection;
use super::fault::refused;
use super::sql::Statement;
use super::table::Held;
use crate::exec::external;
use crate::fault::NodeError;
use crate::source::{Origin, Place, RawColumn, SourceTable, Values};

/// Most rows of a portion: DataFusion's own batch.
const PORTION: u64 = 8192;
/// Most bytes of a portion; a row that has more comes alone. The driver, the texts and the typed columns have a copy each for a moment.
const PORTION_BYTES: u64 = 64 << 20;
/// A number, a day or a moment as a text has no more bytes than this.
const NARROW: u64 = 64;

/// A transaction that rows are read from.
#[derive(Clone)]
pub(super) struct Access {
    pub connection: Arc<Connection>,
    /// Bytes of the longest text in the columns that its statements read.
    pub widest: u64,
}

/// Rows of a portion of so many columns, of which none has more than `widest` bytes.
fn portion(columns: usize, widest: u64) -> u64 {
    let row = (columns.max(1) as u64).saturating_mul(widest.max(NARROW));
    (PORTION_BYTES / row).clamp(1, PORTION)
}

/// A statement whose columns are texts, and what the node reads them as.
#[derive(Clone)]
pub(super) struct Reading {
    statement: Statement,
    /// Of the batches.
    schema: SchemaRef,
    /// What each column is read as; with the declared range and domain where only the node can check them.
    columns: Vec<Column>,
    origin: Origin,
}

impl Reading {
    /// A whole plan's rows; `alone` is the table whose columns only the node can read, if it is the rows of one.
    ///
    /// None for a column of a type that no catalogue has.
    pub fn new(statement: Statement, schema: SchemaRef, alone: Option<&Held>) -> Option<Self> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (i, field) in schema.fields().iter().enumerate() {
            let declared = alone.and_then(|held| held.columns.get(held.schema.index_of(field.name()).ok()?));
            columns.push(match declared {
                Some(column) => column.declared.clone(),
                None => plain(format!("column {}", i + 1), column_type(field.data_type())?),
            });
        }
        let origin = Origin::of_database(alone.map_or("(local work)", |held| &held.name));
        Some(Self { statement, schema, columns, origin })
    }

    /// The same with columns called `c0`, `c1`…: names of a plan may stand in it twice.
    pub fn renamed(mut self) -> Self {
        let fields = self.schema.fields().iter().enumerate();
        let fields = fields.map(|(i, field)| field.as_ref().clone().with_name(format!("c{i}")));
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self
    }

    /// Of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The SQL, without any value.
    pub fn text(&self) -> &str {
        &self.statement.text
    }

    /// Reads all of it.
    pub fn stream(self, access: Access) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let portions = Portions::new(self.statement.clone(), self.columns.len(), access);
        let batches = try_unfold((self, portions), |(reading, mut portions)| async move {
            let rows = portions.next().await.map_err(external)?;
            let batch = rows.map(|rows| reading.batch(&rows)).transpose().map_err(external)?;
            Ok(batch.map(|batch| (batch, (reading, portions))))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    fn batch(&self, rows: &[Row]) -> Result<RecordBatch, NodeError> {
        let mut raw = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let texts: Result<StringArray, _> = rows.iter().map(|row| row.try_get::<_, Option<&str>>(at)).collect();
            let values = Values::Text(texts.map_err(|e| refused(&e))?);
            raw.push(RawColumn { name: column.name.clone(), values, shape: None });
        }
        let mut source =
            SourceTable { origin: self.origin.clone(), rows: rows.len(), place: Place::Nowhere, columns: raw };
        let fields = self.schema.fields().iter().zip(&self.columns);
        let typed = fields.map(|(field, column)| {
            let array: ArrayRef = source.bind_column(column)?;
            // Days and years are 32 bits wide to the node and 64 to a catalogue.
            cast(&array, field.data_type()).map_err(|_| odd())
        });
        let typed = typed.collect::<Result<Vec<_>, NodeError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), typed, &options).map_err(|_| odd())
    }
}

fn odd() -> NodeError {
    NodeError::new("INTERNAL", "the database's rows are not of the types that the plan gives them")
}

fn plain(name: String, data_type: ColumnType) -> Column {
    Column {
        name,
        data_type,
        domain: None,
        range: None,
        clamp: None,
        agree_keys: false,
        quasi_identifier: false,
        allowed: true,
    }
}

/// The catalogue's type that texts of this one are read as.
pub(super) fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        integer if integer.is_integer() && *integer != DataType::UInt64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Real,
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            ColumnType::Decimal { precision: *precision, scale: *scale }
        }
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => ColumnType::Timestamp,
        DataType::Boolean => ColumnType::Bool,
        DataType::Utf8 => ColumnType::Text,
        _ => return None,
    })
}

/// A statement's rows, a portion at a time.
pub(super) struct Portions {
    statement: Statement,
    connection: Arc<Connection>,
    /// Rows of a portion.
    rows: u64,
    at: At,
}

#[derive(Clone)]
enum At {
    Start,
    /// The cursor's name, and what reads a portion of it.
    Open(String, tokio_postgres::Statement),
    End,
}

impl Portions {
    /// Of so many columns, none with more bytes than the statement's own values or `widest`. Nothing is asked yet.
    pub fn new(statement: Statement, columns: usize, Access { connection, widest }: Access) -> Self {
        let rows = portion(columns, widest.max(statement.widest() as u64));
        Self { statement, connection, rows, at: At::Start }
    }

    /// The next portion, of which the last may be empty; none behind it.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, NodeError> {
        let (name, fetch) = match self.at.clone() {
            At::Start => self.declare().await?,
            At::Open(name, fetch) => (name, fetch),
            At::End => return Ok(None),
        };
        let rows = self.connection.query(&fetch, &[]).await?;
        if (rows.len() as u64) < self.rows {
            self.connection.run(&format!("CLOSE {name}")).await?;
            self.at = At::End;
        }
        Ok(Some(rows))
    }

    async fn declare(&mut self) -> Result<(String, tokio_postgres::Statement), NodeError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("consilium_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("DECLARE {name} NO SCROLL CURSOR FOR {}", self.statement.text);
        self.connection.execute(&sql, &self.statement.bound()).await?;
        let fetch = format!("FETCH FORWARD {} FROM {name}", self.rows);
        let fetch = self.connection.prepare(&fetch).await?;
        self.at = At::Open(name.clone(), fetch.clone());
        Ok((name, fetch))
    }
}

/// A [`Reading`] as a part of a plan.
pub(super) struct Part {
    pub reading: Reading,
    pub access: Access,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.reading.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.reading.clone().stream(self.access.clone())
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({:?})", self.reading.statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_has_no_more_bytes_than_its_share_or_one_row() {
        for columns in [0, 1, 3, 200] {
            for widest in [0, 1, 4711, 100 << 10, 1 << 30, u64::MAX] {
                let rows = portion(columns, widest);
                let bytes = u128::from(rows) * columns as u128 * u128::from(widest);
                assert!((1..=PORTION).contains(&rows), "{columns} columns of {widest} bytes: {rows} rows");
                assert!(rows == 1 || bytes <= PORTION_BYTES.into(), "{columns} columns of {widest} bytes: {rows} rows");
            }
        }
        assert_eq!(portion(3, 0), PORTION, "numbers come in whole batches");
    }
}
