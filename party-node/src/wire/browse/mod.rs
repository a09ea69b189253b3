//! What programs ask about tables, columns and types, answered by the node: a small evaluator of SELECT over small tables in memory.
//!
//! Programs ask with what PostgreSQL's own catalogue is asked with: correlated subqueries, casts to `regclass`, operators by their schema,
//! functions of visibility. So it reads leniently: a column of the catalogue that nothing here has is NULL, and a function that is not known
//! is an error only where it would be called. No row of a site can be reached from here.

mod eval;
mod functions;
mod join;
mod kinds;
mod lists;
mod ranks;
mod select;
mod tables;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Query, visit_relations};
use query_planner::Catalog;

use super::cells::Shown;
use super::params::{self, Literal};
use crate::fault::NodeError;
use crate::jobs::job::Job;
use crate::output::Cell;
pub use lists::knows;
use select::{Engine, Relation};

/// What the node's tables are made of.
pub struct World {
    /// The joint tables.
    pub catalog: Arc<Catalog>,
    /// Who asks.
    pub account: String,
    /// The database that the program named.
    pub database: String,
    /// The connection's settings.
    pub settings: BTreeMap<String, String>,
    /// The account's jobs, if it is asked for them.
    pub jobs: Vec<Job>,
}

/// Does the node have this schema by itself?
pub fn is_schema(name: &str) -> bool {
    tables::SCHEMAS.contains(&name)
}

/// Does it ask for the account's jobs?
pub fn reads_jobs(query: &Query) -> bool {
    visit_relations(query, |name| {
        let name = name.to_string().replace('"', "").to_lowercase();
        if name == "consilium.jobs" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

/// Answers a question with these values of its parameters.
///
/// # Errors
/// `UNKNOWN_TABLE`, `UNKNOWN_COLUMN`, `UNKNOWN_FUNCTION`, `UNSUPPORTED`, `TOO_MUCH_WORK`.
pub fn run(mut query: Query, values: &[Literal], world: World) -> Result<(Vec<Shown>, Vec<Vec<Cell>>), NodeError> {
    params::fill(&mut query, values)?;
    let Relation { columns: described, rows, .. } = Engine::new(&world).query(&query, &HashMap::new(), None)?;
    let columns = described.iter().map(|column| Shown::new(&column.name, column.kind.pg())).collect();
    // Rows go as cells come.
    let cells =
        |row: Vec<value::Value>| row.iter().zip(&described).map(|(value, column)| value.cell(column.kind)).collect();
    Ok((columns, rows.into_iter().map(cells).collect()))
}

#[cfg(test)]
mod tests;
