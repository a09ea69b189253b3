//! A Parquet file to columns of the few types that a catalogue can declare.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_empty_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use query_planner::catalog::ColumnType;
use query_planner::merge::InferredType;

use super::bind::checked_cast_rows;
use super::parse::Rule;
use super::watch::{Watched, unreadable};
use super::{Origin, Place, RawColumn, SourceTable, Values, check_names};
use crate::fault::{NodeError, printable};

/// Reads a whole file.
pub(super) fn read(path: &Path, origin: Origin) -> Result<SourceTable, NodeError> {
    let (mut file, watched) = Watched::open(path, &origin)?;
    check_magic(&mut file, &watched, &origin)?;
    // The reader's own checks are thorough but not complete; a damaged file must not take the node down.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(file, &origin)));
    let (schema, batches) = decoded.unwrap_or_else(|_| Err(damaged(&origin)))?;
    watched.verify(&origin)?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().trim().to_owned()).collect();
    check_names(&names, &origin)?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let column = |(i, name)| column(&schema, &batches, i, name, &origin);
    let columns = names.into_iter().enumerate().map(column).collect::<Result<_, _>>()?;
    Ok(SourceTable { rows, place: Place::Rows, origin, columns })
}

/// The names and types of a file's columns, as the catalogue would have them.
pub(super) fn columns(path: &Path, origin: &Origin) -> Result<Vec<(String, DataType)>, NodeError> {
    let schema = opened(path, origin, |builder| Ok(builder.schema().clone()))?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().trim().to_owned()).collect();
    check_names(&names, origin)?;
    let types = schema.fields().iter().zip(&names).map(|(field, name)| target(field.data_type(), name, origin));
    names.iter().cloned().zip(types).map(|(name, found)| Ok((name, found?))).collect()
}

/// Hands on these columns of every row, as texts.
pub(super) fn visit(
    path: &Path,
    origin: &Origin,
    columns: &[usize],
    mut take: impl FnMut(&[Option<&str>]),
) -> Result<(), NodeError> {
    opened(path, origin, |builder| {
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let reader =
            builder.with_projection(mask).with_batch_size(VISITED_ROWS).build().map_err(|_| damaged(origin))?;
        // The reader keeps the file's order.
        let mut order: Vec<usize> = columns.to_vec();
        order.sort_unstable();
        order.dedup();
        let place: Vec<usize> = columns.iter().filter_map(|at| order.iter().position(|known| known == at)).collect();
        let mut start = 0;
        for batch in reader {
            let batch = batch.map_err(|_| damaged(origin))?;
            let texts = batch.columns().iter().zip(batch.schema_ref().fields());
            let texts = texts.map(|(array, field)| texts_of(array, field.name(), start, origin));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            start += batch.num_rows();
            for row in 0..batch.num_rows() {
                let field = |at: &usize| {
                    let texts = texts[*at].as_string::<i32>();
                    texts.is_valid(row).then(|| texts.value(row))
                };
                let fields: Vec<Option<&str>> = place.iter().map(field).collect();
                take(&fields);
            }
        }
        Ok(())
    })
}

/// Rows that are in memory at a time.
const VISITED_ROWS: usize = 8192;

/// Every type of a column has a text, by which the catalogue's types are told apart as in a CSV file.
fn texts_of(array: &ArrayRef, name: &str, start: usize, origin: &Origin) -> Result<ArrayRef, NodeError> {
    let typed = convert(array, &target(array.data_type(), name, origin)?);
    let typed = typed.map_err(|row| misfit(row.map(|row| start + row), name, origin))?;
    cast(&typed, &DataType::Utf8).map_err(|_| misfit(None, name, origin))
}

fn opened<T>(
    path: &Path,
    origin: &Origin,
    work: impl FnOnce(ParquetRecordBatchReaderBuilder<File>) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let (mut file, watched) = Watched::open(path, origin)?;
    check_magic(&mut file, &watched, origin)?;
    let done = catch_unwind(AssertUnwindSafe(|| {
        work(ParquetRecordBatchReaderBuilder::try_new(file).map_err(|_| damaged(origin))?)
    }));
    let done = done.unwrap_or_else(|_| Err(damaged(origin)))?;
    watched.verify(origin)?;
    Ok(done)
}

fn check_magic(file: &mut File, watched: &Watched, origin: &Origin) -> Result<(), NodeError> {
    if watched.bytes() == 0 {
        return Err(origin.fault("EMPTY_FILE", "is empty"));
    }
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(|e| unreadable(origin, &e))?;
    if magic != *b"PAR1" {
        return Err(origin.fault("NOT_PARQUET", "is not a Parquet file"));
    }
    Ok(())
}

fn decode(file: File, origin: &Origin) -> Result<(SchemaRef, Vec<RecordBatch>), NodeError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|_| damaged(origin))?;
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(1 << 16).build().map_err(|_| damaged(origin))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|_| damaged(origin))?;
    Ok((schema, batches))
}

fn damaged(origin: &Origin) -> NodeError {
    origin.fault("PARQUET_DAMAGED", "is damaged, encrypted or compressed in a way that cannot be read")
}

fn column(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    i: usize,
    name: String,
    origin: &Origin,
) -> Result<RawColumn, NodeError> {
    let target = target(schema.field(i).data_type(), &name, origin)?;
    let mut start = 0;
    let mut parts = Vec::with_capacity(batches.len());
    for batch in batches {
        let part = convert(batch.column(i), &target);
        parts.push(part.map_err(|row| misfit(row.map(|row| start + row), &name, origin))?);
        start += batch.num_rows();
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let whole = if parts.is_empty() { Ok(new_empty_array(&target)) } else { concat(&parts) };
    let whole = whole.map_err(|_| origin.fault("FILE_TOO_LARGE", "has a column with more than 2 GiB of text"))?;
    let values = if target == DataType::Utf8 { Values::Text(whole.as_string().clone()) } else { Values::Typed(whole) };
    Ok(RawColumn { name, values, shape: None })
}

fn target(found: &DataType, name: &str, origin: &Origin) -> Result<DataType, NodeError> {
    canonical(found).ok_or_else(|| {
        let what = format!("column {}: has type {found}, which has no place in a catalogue", printable(name));
        let fault = origin.fault("UNSUPPORTED_TYPE", &what);
        fault.hint("use integers, floats, decimals, dates, timestamps without a zone (or in UTC), booleans or text")
    })
}

fn misfit(row: Option<usize>, name: &str, origin: &Origin) -> NodeError {
    let name = printable(name);
    match row {
        Some(row) => {
            let (code, sentence) = (Rule::IntegerOverflow.code(), "does not fit its type in a catalogue");
            origin.fault(code, &format!("row {}, column {name}: a value {sentence}", row + 1))
        }
        None => origin.fault("UNSUPPORTED_TYPE", &format!("column {name}: cannot be converted")),
    }
}

/// The catalogue's type nearest to a file's, or none when it has none.
pub(super) fn canonical(found: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match found {
        D::Null => D::Null,
        D::Boolean => D::Boolean,
        integer if integer.is_integer() => D::Int64,
        D::Float16 | D::Float32 | D::Float64 => D::Float64,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) if *s >= 0 => D::Decimal128(*p, *s),
        D::Date32 | D::Date64 => D::Date32,
        D::Timestamp(_, zone) if zone.as_deref().is_none_or(is_utc) => D::Timestamp(TimeUnit::Microsecond, None),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::Dictionary(_, values) => canonical(values)?,
        _ => return None,
    })
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "Z" | "+00:00")
}

/// Casts to the catalogue's type; the first row that does not fit, if that is the reason.
fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Option<usize>> {
    if let DataType::Dictionary(_, values) = array.data_type() {
        return convert(&cast(array, values).map_err(|_| None)?, to);
    }
    let DataType::Timestamp(_, Some(zone)) = array.data_type() else { return checked_cast_rows(array, to) };
    // Already UTC: keep the instant, drop the name of the zone.
    let instants = checked_cast_rows(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone())))?;
    Ok(Arc::new(instants.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>)))
}

/// The type a file itself declares for a column.
pub(super) fn declared(data_type: &DataType) -> InferredType {
    InferredType::Typed(match data_type {
        DataType::Null => return InferredType::Empty,
        DataType::Int64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Real,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal { precision: *precision, scale: *scale },
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Boolean => ColumnType::Bool,
        _ => ColumnType::Text,
    })
}
