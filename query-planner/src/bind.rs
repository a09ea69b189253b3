//! Names to tables: the catalogue as DataFusion sees it while it plans, and the sources that stand in the finished plans.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::Statement;

use crate::catalog::{Catalog, ColumnType, SiteName, Table};
use crate::error::{PlanError, nearest, refuse};
use crate::registry::Functions;

/// One site's own table: the source of every scan in a [`crate::plan::LocalStage`] fragment. The executor downcasts it
/// and puts its provider in its place. Scans name columns in lower case, in the catalogue's order.
#[derive(Debug, Clone)]
pub struct SiteTable {
    /// The site that holds the rows.
    pub site: SiteName,
    /// The table, as the catalogue spells it.
    pub table: String,
    /// All columns of the table.
    pub schema: SchemaRef,
}

impl TableSource for SiteTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The rows a secure sum reveals: the source of every scan in [`crate::plan::Compiled::finish`].
#[derive(Debug, Clone)]
pub struct RevealedTable {
    /// Position in `joint.sums`.
    pub index: usize,
    /// What [`crate::decode::decode`] returns.
    pub schema: SchemaRef,
}

impl TableSource for RevealedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The union of a table over some sites; exists only while a query is being planned.
#[derive(Debug, Clone)]
pub(crate) struct NetworkTable {
    pub table: Table,
    /// Party positions, ascending.
    pub sites: Vec<usize>,
    pub schema: SchemaRef,
    /// Each site keeps so many rows of a patient, where the answer is noised and the table declares it.
    pub rows_per_patient: Option<u64>,
}

impl TableSource for NetworkTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Binds one parsed query to the catalogue: names become scans of network tables, functions their definitions. `noised`: only the
/// first rows of each patient are meant.
pub(crate) fn bind(
    statement: Statement,
    (catalog, noised): (&Catalog, bool),
    functions: &Functions,
) -> Result<LogicalPlan, PlanError> {
    let provider = Names { catalog, noised, functions, options: ConfigOptions::default() };
    let options = ParserOptions::new()
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMax);
    SqlToRel::new_with_options(&provider, options).sql_statement_to_plan(statement).map_err(|e| refuse(&e))
}

/// The schema of a table as every site must serve it: lower-case names, every column nullable.
pub fn table_schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table
        .columns
        .iter()
        .map(|column| Field::new(column.name.to_lowercase(), arrow_type(column.data_type), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The Arrow type of a declared column.
pub fn arrow_type(column: ColumnType) -> DataType {
    match column {
        ColumnType::Int => DataType::Int64,
        ColumnType::Real => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Text => DataType::Utf8,
    }
}

struct Names<'a> {
    catalog: &'a Catalog,
    noised: bool,
    functions: &'a Functions,
    options: ConfigOptions,
}

impl Names<'_> {
    fn source(&self, name: &TableReference) -> Result<NetworkTable, PlanError> {
        let table = self.table(name.table())?;
        let sites = match (name.catalog(), name.schema()) {
            (Some(_), _) => return Err(unknown_table(name, None)),
            (None, None) => self.holders(table),
            (None, Some(schema)) if schema.eq_ignore_ascii_case(NETWORK) => self.holders(table),
            (None, Some(schema)) => vec![self.site(schema, table)?],
        };
        let rows_per_patient = table.rows_per_patient.filter(|_| self.noised);
        Ok(NetworkTable { table: table.clone(), sites, schema: table_schema(table), rows_per_patient })
    }

    fn table(&self, name: &str) -> Result<&Table, PlanError> {
        self.catalog.table(name).ok_or_else(|| {
            let names = self.catalog.tables.iter().map(|t| t.name.as_str());
            unknown_table(&TableReference::bare(name.to_owned()), nearest(name, names))
        })
    }

    fn holders(&self, table: &Table) -> Vec<usize> {
        (0..self.catalog.sites.len()).filter(|i| table.held_by(&self.catalog.sites[*i])).collect()
    }

    fn site(&self, name: &str, table: &Table) -> Result<usize, PlanError> {
        let sites = &self.catalog.sites;
        let Some(position) = sites.iter().position(|s| s.0.eq_ignore_ascii_case(name)) else {
            let error = PlanError::new("UNKNOWN_SITE", format!("there is no site '{name}' in this network"));
            return Err(match nearest(name, sites.iter().map(|s| s.0.as_str())) {
                Some(near) => error.hint(format!("did you mean {near}.{}?", table.name)),
                None => error,
            });
        };
        if table.held_by(&sites[position]) {
            return Ok(position);
        }
        Err(PlanError::new("UNKNOWN_TABLE", format!("{} has no table '{}'", sites[position].0, table.name)))
    }
}

fn unknown_table(name: &TableReference, near: Option<String>) -> PlanError {
    let error = PlanError::new("UNKNOWN_TABLE", format!("there is no table '{name}' in the catalogue"));
    match near {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// The schema name that means all sites.
const NETWORK: &str = "network";

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.source(&name) {
            Ok(source) => Ok(Arc::new(source)),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.find_scalar(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.find_aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.find_window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.iter().map(|f| f.name().to_owned()).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.iter().map(|f| f.name().to_owned()).collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window.iter().map(|f| f.name().to_owned()).collect()
    }
}
