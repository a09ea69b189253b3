//! One table of the catalogue as a database holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableSource};
use query_planner::bind::table_schema;
use query_planner::catalog::{Catalog, Column, ColumnType, SiteName, Table};

use super::super::identities;
use super::catalog::Found;
use super::emit;
use super::sql::Writer;
use crate::fault::{NodeError, printable};

/// A table that the catalogue gives this site.
pub(super) struct Held {
    /// The database's schema and the table in it.
    pub schema_name: String,
    pub name: String,
    /// The catalogue's.
    pub declared: Table,
    /// As the planner knows it.
    pub schema: SchemaRef,
    /// In the catalogue's order.
    pub columns: Vec<HeldColumn>,
    /// The patient key among them.
    pub key: Option<usize>,
}

/// A column of it.
pub(super) struct HeldColumn {
    /// The catalogue's.
    pub declared: Column,
    /// What it is in SQL, where the table is called `t`.
    pub sql: String,
    /// Does the database have the declared type? Otherwise the column comes as text and the node reads it as it reads a file's.
    pub is_same: bool,
    /// NULL instead of what identifies.
    pub is_dropped: bool,
}

impl Held {
    /// Finds the catalogue's tables among the database's.
    ///
    /// # Errors
    /// `TABLE_MISSING`, `COLUMN_MISSING`.
    pub fn all(
        found: &BTreeMap<String, Found>,
        schema_name: &str,
        catalog: &Catalog,
        site: &SiteName,
    ) -> Result<BTreeMap<String, Arc<Self>>, NodeError> {
        let mut all = BTreeMap::new();
        for table in catalog.tables.iter().filter(|table| table.held_by(site)) {
            let name = table.name.to_lowercase();
            let found = found.get(&name).ok_or_else(|| {
                let (site, table, schema) = (printable(&site.0), printable(&table.name), printable(schema_name));
                NodeError::new(
                    "TABLE_MISSING",
                    format!("site {site}: schema {schema} of its database has no table {table}"),
                )
                .hint("may the user of the connection read it?")
            })?;
            all.insert(name, Arc::new(Self::new(found, schema_name, table, catalog)?));
        }
        Ok(all)
    }

    fn new(found: &Found, schema_name: &str, table: &Table, catalog: &Catalog) -> Result<Self, NodeError> {
        let column = |declared: &Column| {
            let same = |(name, _): &&(String, _)| name.to_lowercase() == declared.name.to_lowercase();
            let (name, kind) = found.columns.iter().find(same).ok_or_else(|| {
                let (table, column) = (printable(&found.name), printable(&declared.name));
                let message =
                    format!("table {table} of the database has no column {column}, or one of a type that is not read");
                NodeError::new("COLUMN_MISSING", message)
            })?;
            let is_dropped = identities::is_dropped(catalog, table, declared);
            let is_same = is_dropped || kind.is_same(declared.data_type);
            let sql = match (is_dropped, is_same) {
                (true, _) => format!("NULL::{}", type_name(declared.data_type)),
                (_, true) => kind.sql(name),
                // As in a file, nothing is no value of any type but text.
                (_, false) => format!("NULLIF(({})::text, '')", kind.sql(name)),
            };
            Ok(HeldColumn { declared: declared.clone(), sql, is_same, is_dropped })
        };
        let columns = table.columns.iter().map(column).collect::<Result<Vec<_>, NodeError>>()?;
        Ok(Self {
            schema_name: schema_name.to_owned(),
            name: found.name.clone(),
            declared: table.clone(),
            schema: table_schema(table),
            key: table.columns.iter().position(|column| catalog.is_patient_key(&column.name)),
            columns,
        })
    }
}

fn type_name(declared: ColumnType) -> &'static str {
    match declared {
        ColumnType::Int => "bigint",
        ColumnType::Real => "float8",
        ColumnType::Decimal { .. } => "numeric",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Bool => "boolean",
        ColumnType::Text => "text",
    }
}

/// A table of one moment, as the source of a scan: what of a plan can be SQL is found by it.
pub(super) struct DatabaseTable {
    pub held: Arc<Held>,
    /// The keys, as the database writes them, of patients who opted out.
    pub left_out: Option<Arc<Vec<String>>>,
}

impl DatabaseTable {
    /// What keeps out the rows of patients who opted out.
    pub fn opted_in(&self, writer: &mut Writer) -> Option<String> {
        let key = &self.held.columns[self.held.key?].sql;
        let list = self.left_out.as_ref().filter(|list| !list.is_empty())?;
        let place = writer.bind_all(list.clone());
        Some(format!("(({key})::text = ANY ({place}::text[])) IS NOT TRUE"))
    }
}

impl TableSource for DatabaseTable {
    fn schema(&self) -> SchemaRef {
        self.held.schema.clone()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let is_sql: Vec<bool> = filters.iter().map(|filter| emit::is_condition(self, filter)).collect();
        // Over fewer rows it would fail less often than over a file's.
        let one_can_fail = filters.iter().zip(&is_sql).any(|(filter, is_sql)| !is_sql && can_fail(filter));
        let support = |is_sql: bool| match is_sql && !one_can_fail {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(is_sql.into_iter().map(support).collect())
    }
}

/// May the node fail to evaluate this on a row?
fn can_fail(filter: &Expr) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    let fails = |expr: &Expr| {
        Ok(match expr {
            Expr::BinaryExpr(binary) => {
                !matches!(binary.op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
            }
            Expr::Column(_) | Expr::Literal(..) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => false,
            Expr::Like(_) | Expr::InList(_) | Expr::Between(_) | Expr::Case(_) => false,
            _ => true,
        })
    };
    filter.exists(fails).unwrap_or(true)
}

// What opted out does not print.
impl fmt::Debug for DatabaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseTable({})", self.held.name)
    }
}
