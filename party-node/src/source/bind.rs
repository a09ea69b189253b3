//! From the fields of the files to the columns that the catalogue declares, or an error that names the field.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use datafusion::scalar::ScalarValue;
use query_planner::bind::{arrow_type, table_schema};
use query_planner::catalog::{Catalog, Column, ColumnType, SiteName, Table};
use query_planner::plan::LocalStage;
use query_planner::value::Value;
use sha2::{Digest, Sha256};

use super::left::Left;
use super::opt_out::LeftOut;
use super::parse::{self, Rule};
use super::postgres::Database;
use super::{Place, RawColumn, SiteData, SourceTable, Values, identities, patients};
use crate::exec::Budget;
use crate::fault::{NodeError, printable};
use crate::linkage::{Agreed, Linked};

/// The tables of one site, typed and checked as the catalogue declares them.
#[derive(Clone)]
pub struct BoundData {
    pub(super) tables: BTreeMap<String, BoundTable>,
    study: [u8; 32],
    linked: Option<Arc<Linked>>,
    /// Where the tables are if not in memory.
    pub(super) database: Option<Database>,
    /// What an opt-out list took away.
    pub(super) left_out: Option<LeftOut>,
    budget: Budget,
}

/// A site's data as one question sees them.
pub struct Moment<'a> {
    /// The same rows until this is dropped.
    pub data: Cow<'a, BoundData>,
    /// The digest of the rows that the question reads, where they may have changed since the node started.
    pub snapshot: Option<[u8; 32]>,
}

/// One table: columns in the catalogue's order, named in lower case.
#[derive(Clone)]
pub struct BoundTable {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rows: usize,
}

impl SiteData {
    /// Types and checks every table that the catalogue gives this site. Files and columns it does not declare are left
    /// out: no query can reach them.
    ///
    /// # Errors
    /// A stable code with the file, line and column of the first field that does not fit its declared type, or the number
    /// of rows outside a declared range or domain; `TOO_MANY_PATIENTS` beyond the catalogue's bound.
    pub fn bind(self, catalog: &Catalog, site: &SiteName) -> Result<BoundData, NodeError> {
        self.bind_linked(catalog, site, None)
    }

    /// [`SiteData::bind`], and the linkage keys of this site's patients. Columns that identify and that no question may use are
    /// dropped behind them.
    ///
    /// # Errors
    /// As there; `LINKAGE_DIFFERS` when the catalogue has another linkage, `LINKAGE_TABLE` when this site has patients but no table
    /// with their identifiers, `LINKAGE_DUPLICATES`, `LINKAGE_FURTHER_KEYS`, and what is wrong with the columns.
    pub fn bind_linked(
        mut self,
        catalog: &Catalog,
        site: &SiteName,
        linkage: Option<&Agreed>,
    ) -> Result<BoundData, NodeError> {
        identities::check_agreed(catalog, linkage)?;
        if let Some(database) = self.database.take() {
            let database = Some(database.bind(catalog, site)?);
            return Ok(BoundData {
                tables: BTreeMap::new(),
                study: study(catalog),
                linked: None,
                database,
                left_out: None,
                budget: Budget::default(),
            });
        }
        let keyed = linkage.map(|linkage| self.keyed(catalog, site, linkage)).transpose()?.flatten();
        let held = |table: &&Table| table.sites.iter().any(|s| s.0.eq_ignore_ascii_case(&site.0));
        let mut tables = BTreeMap::new();
        for table in catalog.tables.iter().filter(held) {
            let name = table.name.to_lowercase();
            let source = self.tables.remove(&name).ok_or_else(|| {
                let message = format!("site {} has no file for table {}", printable(&site.0), printable(&table.name));
                NodeError::new("TABLE_MISSING", message)
                    .hint(format!("put {name}.csv or {name}.parquet into its folder"))
            })?;
            tables.insert(name, source.bind(table, catalog)?);
        }
        patients::check(&tables, catalog, site)?;
        let (study, budget) = (study(catalog), Budget::default());
        let mut data = BoundData { tables, study, linked: None, database: None, left_out: None, budget };
        if let Some(keyed) = keyed {
            data.linked = Some(Arc::new(data.link(&keyed, catalog, site)?));
        }
        Ok(data)
    }
}

impl BoundData {
    /// The same data for work that may take so much memory.
    pub fn within(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// What work on them may take.
    pub fn budget(&self) -> Budget {
        self.budget
    }
}

/// What patient keys are hashed with: the same at every site and in every version of a network's catalogue, so that patients
/// of earlier releases are recognised. Another patient key, or another linkage, has other hashes. No secret.
fn study(catalog: &Catalog) -> [u8; 32] {
    let linkage = catalog.linkage.as_ref().map_or("", |linkage| linkage.digest.as_str());
    let hash = Sha256::new().chain_update(b"consilium patients v1\0").chain_update(linkage).chain_update([0]);
    // A key of another type has other bytes.
    let columns = catalog.tables.iter().flat_map(|table| &table.columns);
    let types: BTreeSet<String> =
        columns.filter(|c| catalog.is_patient_key(&c.name)).map(|c| c.data_type.to_string()).collect();
    let hash = types.iter().fold(hash, |hash, name| hash.chain_update(name).chain_update([0]));
    hash.chain_update(catalog.patient_key.to_lowercase()).finalize().into()
}

impl BoundData {
    /// A table by its name, compared without case.
    pub fn table(&self, name: &str) -> Option<&BoundTable> {
        self.tables.get(&name.to_lowercase())
    }

    /// What all sites hash their patient keys with.
    pub fn study(&self) -> [u8; 32] {
        self.study
    }

    /// This site's patients as others can find them, where the network declares a linkage and this site has patients.
    pub fn linked(&self) -> Option<&Linked> {
        self.linked.as_deref()
    }

    /// The data as a question sees them from its first row to its last: a database's in one transaction, in which `digest` asks for
    /// the digest of what the stages read.
    ///
    /// # Errors
    /// A database's: it cannot be read, or its rows are no longer as the catalogue declares.
    pub fn at_one_moment(&self, stages: &[LocalStage], site: &SiteName, digest: bool) -> Result<Moment<'_>, NodeError> {
        self.at_one_moment_for(stages, site, digest, Left::never())
    }

    /// [`BoundData::at_one_moment`] for somebody who may leave: a database's work, then and later, is given up for it.
    ///
    /// # Errors
    /// As there; `ANALYST_LEFT`.
    pub fn at_one_moment_for(
        &self,
        stages: &[LocalStage],
        site: &SiteName,
        digest: bool,
        left: Left,
    ) -> Result<Moment<'_>, NodeError> {
        let Some(database) = &self.database else { return Ok(Moment { data: Cow::Borrowed(self), snapshot: None }) };
        let (database, snapshot) = database.begin(stages, site, digest, left)?;
        Ok(Moment { data: Cow::Owned(Self { database: Some(database), ..self.clone() }), snapshot })
    }

    /// Are the tables in a database?
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// All tables with their names in lower case, sorted.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &BoundTable)> {
        self.tables.iter().map(|(name, table)| (name.as_str(), table))
    }
}

impl BoundTable {
    /// The planner's schema of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows, in batches of at most 8192.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

// Rows are a hospital's: they do not print.
impl std::fmt::Debug for BoundTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BoundTable({} rows)", self.rows)
    }
}

impl std::fmt::Debug for BoundData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.tables).finish()
    }
}

/// Rows of a batch: DataFusion's own default, so that operators neither split nor merge.
const BATCH_ROWS: usize = 8192;

impl SourceTable {
    fn bind(mut self, table: &Table, catalog: &Catalog) -> Result<BoundTable, NodeError> {
        if self.rows as u64 > table.max_rows {
            let what = format!("has {} rows, more than the declared {}", self.rows, table.max_rows);
            return Err(self.origin.fault("TOO_MANY_ROWS", &what));
        }
        let schema = table_schema(table);
        let bind = |column: &Column| match identities::is_dropped(catalog, table, column) {
            true => self.drop_column(column),
            false => self.bind_column(column),
        };
        let columns = table.columns.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|_| self.origin.fault("TYPE_MISMATCH", "cannot be laid out as declared"))?;
        let slice = |start: usize| batch.slice(start, BATCH_ROWS.min(self.rows - start));
        let batches = (0..self.rows).step_by(BATCH_ROWS).map(slice).collect();
        Ok(BoundTable { schema, batches, rows: self.rows })
    }

    /// Takes a column out of the table, so that its text is freed as soon as it is typed.
    pub(super) fn bind_column(&mut self, declared: &Column) -> Result<ArrayRef, NodeError> {
        let column = self.take_column(declared)?;
        let typed = typed(&column.values, declared.data_type).map_err(|misfit| match misfit {
            Misfit::Field(row, rule) => self.broken(&column, row, rule),
            Misfit::Type(found) => self.mismatch(&column, &found, declared.data_type),
        })?;
        self.check_range(&column, declared, &typed)?;
        self.check_domain(&column, declared, &typed)?;
        Ok(typed)
    }

    fn take_column(&mut self, declared: &Column) -> Result<RawColumn, NodeError> {
        let wanted = declared.name.to_lowercase();
        let Some(i) = self.columns.iter().position(|column| column.name.to_lowercase() == wanted) else {
            let what = format!("has no column {}", printable(&declared.name));
            return Err(self.origin.fault("COLUMN_MISSING", &what));
        };
        Ok(self.columns.swap_remove(i))
    }

    /// NULL instead of what identifies.
    fn drop_column(&mut self, declared: &Column) -> Result<ArrayRef, NodeError> {
        self.take_column(declared)?;
        Ok(new_null_array(&arrow_type(declared.data_type), self.rows))
    }

    fn mismatch(&self, column: &RawColumn, found: &DataType, declared: ColumnType) -> NodeError {
        let declared = arrow_type(declared);
        let what = format!("column {}: holds {found}, which is not the declared {declared}", printable(&column.name));
        self.origin.fault("TYPE_MISMATCH", &what)
    }

    fn check_range(&self, column: &RawColumn, declared: &Column, values: &ArrayRef) -> Result<(), NodeError> {
        let Some((low, high)) = declared.range else { return Ok(()) };
        let (low, high) = (i128::from(low), i128::from(high));
        let outside = rows_where(values, |v| !(low..=high).contains(&v));
        self.refuse_rows(column, &outside, "VALUE_OUT_OF_RANGE", "outside the declared range")
    }

    fn check_domain(&self, column: &RawColumn, declared: &Column, values: &ArrayRef) -> Result<(), NodeError> {
        let Some(domain) = &declared.domain else { return Ok(()) };
        let outside = outside_domain(values, domain);
        self.refuse_rows(column, &outside, "VALUE_OUTSIDE_DOMAIN", "outside the declared domain")
    }

    fn refuse_rows(&self, column: &RawColumn, rows: &[usize], code: &'static str, why: &str) -> Result<(), NodeError> {
        let Some(first) = rows.first() else { return Ok(()) };
        if matches!(self.place, Place::Nowhere) {
            // Rows come in portions: how many there are in all is not known here.
            return Err(self.origin.fault(code, &format!("column {}: some rows are {why}", printable(&column.name))));
        }
        let (first, name) = (self.place.name(*first), printable(&column.name));
        let what = format!("column {name}: {} of {} rows are {why}, the first at {first}", rows.len(), self.rows);
        Err(self.origin.fault(code, &what))
    }
}

/// Why a column cannot be typed.
enum Misfit {
    /// This row breaks this rule.
    Field(usize, Rule),
    /// The file's own type cannot become the declared one.
    Type(DataType),
}

fn typed(values: &Values, to: ColumnType) -> Result<ArrayRef, Misfit> {
    match values {
        Values::Text(texts) => from_text(texts, to),
        Values::Typed(array) => from_typed(array, to),
    }
}

fn from_text(texts: &StringArray, to: ColumnType) -> Result<ArrayRef, Misfit> {
    Ok(match to {
        ColumnType::Int => Arc::new(parsed::<Int64Type>(texts, parse::int)?),
        ColumnType::Real => Arc::new(parsed::<Float64Type>(texts, parse::real)?),
        ColumnType::Decimal { precision, scale } => {
            let unscaled = parsed::<Decimal128Type>(texts, |text| parse::decimal(text, precision, scale))?;
            let decimals = unscaled.with_precision_and_scale(precision, scale);
            Arc::new(decimals.map_err(|_| Misfit::Type(DataType::Decimal128(precision, scale)))?)
        }
        ColumnType::Date => Arc::new(parsed::<Date32Type>(texts, parse::date)?),
        ColumnType::Timestamp => Arc::new(parsed::<TimestampMicrosecondType>(texts, parse::timestamp)?),
        ColumnType::Bool => {
            let field = |row| if texts.is_null(row) { Ok(None) } else { parse::bool(texts.value(row)).map(Some) };
            let at = |row| field(row).map_err(|rule| Misfit::Field(row, rule));
            Arc::new((0..texts.len()).map(at).collect::<Result<BooleanArray, _>>()?)
        }
        ColumnType::Text => Arc::new(texts.clone()),
    })
}

/// Parses every field that is not NULL.
fn parsed<T: ArrowPrimitiveType>(
    texts: &StringArray,
    parse: impl Fn(&str) -> Result<T::Native, Rule>,
) -> Result<PrimitiveArray<T>, Misfit> {
    let mut values = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        let value = if texts.is_null(row) { Ok(T::default_value()) } else { parse(texts.value(row)) };
        values.push(value.map_err(|rule| Misfit::Field(row, rule))?);
    }
    Ok(PrimitiveArray::new(values.into(), texts.nulls().cloned()))
}

/// Values of a typed file to the declared type, where that loses nothing.
fn from_typed(array: &ArrayRef, to: ColumnType) -> Result<ArrayRef, Misfit> {
    let target = arrow_type(to);
    let rule = match (array.data_type(), to) {
        (DataType::Null, _) => return Ok(new_null_array(&target, array.len())),
        (DataType::Float64, ColumnType::Real) => return finite(array),
        (DataType::Decimal128(_, scale), ColumnType::Decimal { scale: wanted, .. }) if *scale > wanted => {
            Rule::DecimalScale
        }
        (DataType::Int64 | DataType::Decimal128(..), ColumnType::Decimal { .. }) => Rule::DecimalOverflow,
        (DataType::Decimal128(_, 0), ColumnType::Int) => Rule::IntegerOverflow,
        (DataType::Int64 | DataType::Decimal128(..), ColumnType::Real) => Rule::NotFinite,
        (DataType::Date32, ColumnType::Timestamp) => Rule::InvalidTimestamp,
        (same, _) if *same == target => return Ok(array.clone()),
        (other, _) => return Err(Misfit::Type(other.clone())),
    };
    if let (Rule::DecimalScale, ColumnType::Decimal { scale, .. }) = (rule, to) {
        fits_scale(array, scale)?;
    }
    checked_cast(array, &target, rule)
}

/// Casts, and refuses the first row that the new type cannot hold.
pub(super) fn checked_cast_rows(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Option<usize>> {
    let cast = cast_with_options(array, to, &CastOptions { safe: true, ..Default::default() }).map_err(|_| None)?;
    let valid = |nulls: Option<&NullBuffer>, row| nulls.is_none_or(|nulls| nulls.is_valid(row));
    if cast.null_count() == array.logical_null_count() {
        return Ok(cast);
    }
    let before = array.logical_nulls();
    let lost = (0..array.len()).find(|row| valid(before.as_ref(), *row) && !valid(cast.nulls(), *row));
    lost.map_or(Ok(cast), |row| Err(Some(row)))
}

fn checked_cast(array: &ArrayRef, to: &DataType, rule: Rule) -> Result<ArrayRef, Misfit> {
    checked_cast_rows(array, to).map_err(|row| match row {
        Some(row) => Misfit::Field(row, rule),
        None => Misfit::Type(array.data_type().clone()),
    })
}

/// A cast to fewer digits after the point would round: refuse digits that are not zero.
fn fits_scale(array: &ArrayRef, scale: i8) -> Result<(), Misfit> {
    let DataType::Decimal128(_, from) = array.data_type() else { return Ok(()) };
    let unit = 10i128.pow(u32::try_from(i16::from(*from) - i16::from(scale)).unwrap_or(0).min(38));
    let lossy = rows_where(array, |unscaled| unscaled % unit != 0);
    lossy.first().map_or(Ok(()), |row| Err(Misfit::Field(*row, Rule::DecimalScale)))
}

fn finite(array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let reals = array.as_primitive::<Float64Type>();
    let bad = (0..reals.len()).find(|row| reals.is_valid(*row) && !reals.value(*row).is_finite());
    bad.map_or_else(|| Ok(array.clone()), |row| Err(Misfit::Field(row, Rule::NotFinite)))
}

/// Rows of an integer-like column whose value is not NULL and meets a condition; none for other types.
fn rows_where(array: &ArrayRef, holds: impl Fn(i128) -> bool) -> Vec<usize> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef, holds: impl Fn(i128) -> bool) -> Vec<usize> {
        let array = array.as_primitive::<T>();
        (0..array.len()).filter(|row| array.is_valid(*row) && holds(array.value(*row).into())).collect()
    }
    match array.data_type() {
        DataType::Int64 => of::<Int64Type>(array, holds),
        DataType::Decimal128(..) => of::<Decimal128Type>(array, holds),
        DataType::Date32 => of::<Date32Type>(array, holds),
        DataType::Timestamp(..) => of::<TimestampMicrosecondType>(array, holds),
        _ => Vec::new(),
    }
}

/// Rows that are not NULL and not in the domain.
fn outside_domain(array: &ArrayRef, domain: &[Value]) -> Vec<usize> {
    match array.data_type() {
        DataType::Int64 => {
            let codes: HashSet<i128> =
                domain.iter().filter_map(|v| if let Value::Int(i) = v { Some((*i).into()) } else { None }).collect();
            rows_where(array, |v| !codes.contains(&v))
        }
        DataType::Utf8 => {
            let words: HashSet<&str> =
                domain.iter().filter_map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None }).collect();
            let texts = array.as_string::<i32>();
            (0..texts.len()).filter(|row| texts.is_valid(*row) && !words.contains(texts.value(*row))).collect()
        }
        _ => {
            let members: HashSet<&Value> = domain.iter().collect();
            let value = |row| ScalarValue::try_from_array(array, row).ok().as_ref().and_then(Value::from_scalar);
            let inside = |row| value(row).is_some_and(|v| v == Value::Null || members.contains(&v));
            (0..array.len()).filter(|row| !inside(*row)).collect()
        }
    }
}
