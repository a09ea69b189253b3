//! What the columns of an expression are called in SQL.

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::LogicalPlan;

/// A schema, and the SQL of each of its columns.
pub(super) struct Scope {
    /// What types are found by.
    pub schema: DFSchema,
    /// None for a column that only the node can read.
    names: Vec<Option<String>>,
}

impl Scope {
    /// `names[i]` is the SQL of field `i`.
    pub fn new(schema: DFSchema, names: Vec<Option<String>>) -> Self {
        Self { schema, names }
    }

    /// The columns of a subquery called `alias`.
    pub fn of(plan: &LogicalPlan, alias: &str) -> Self {
        let schema = plan.schema().as_ref().clone();
        let names = (0..schema.fields().len()).map(|i| Some(format!("{alias}.c{i}"))).collect();
        Self { schema, names }
    }

    /// The columns of both sides of a join.
    pub fn beside(self, right: Self) -> Option<Self> {
        let schema = self.schema.join(&right.schema).ok()?;
        Some(Self { schema, names: self.names.into_iter().chain(right.names).collect() })
    }

    /// The SQL of a column.
    pub fn column(&self, column: &Column) -> Option<String> {
        self.names.get(self.schema.maybe_index_of_column(column)?)?.clone()
    }
}
