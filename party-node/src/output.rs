//! An answer as text: aligned for people, CSV, or one JSON object.

mod cell;
mod sheet;
#[cfg(test)]
mod tests;

use query_planner::disclosure::{Language, sentence};
pub use query_planner::plan::Disclosure;
use serde::{Deserialize, Serialize};

use crate::finish::Table;
pub use cell::Cell;
pub use sheet::Sheet;

/// What the analyst receives.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The rows. A suppressed cell's value is not there: whatever stands in its place is not shown.
    pub table: Table,
    /// The cells that the release rules hide.
    pub suppressed: Vec<Suppressed>,
    /// What the run revealed, and to whom.
    pub disclosures: Vec<Disclosure>,
    /// What the run cost.
    pub cost: Cost,
}

/// A hidden cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// Row, from 0.
    pub row: usize,
    /// Column, from 0: names may repeat.
    pub at: usize,
    /// The column's name.
    pub column: String,
    /// What is shown instead, such as `<11`.
    pub label: String,
}

/// What a run cost, over all parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Longest chain of dependent messages.
    pub rounds: u64,
    /// Bytes sent by all parties.
    pub bytes: u64,
    /// From submission to the answer.
    pub wall_ms: u64,
    /// Computing parties.
    pub parties: usize,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, disclosures and cost, for people.
    #[default]
    Table,
    /// Header and rows (RFC 4180): NULL is an empty field, an empty text is `""`.
    Csv,
    /// One JSON object on one line.
    Json,
}

impl Answer {
    /// The answer as text that ends with a line end.
    pub fn render(&self, format: Format) -> String {
        self.sheet().render(format)
    }

    /// Its cells, as every format reads them.
    pub fn sheet(&self) -> Sheet {
        let columns = self.table.columns.clone();
        let cell = |row, column| Cell::read(self.table.rows.column(column), row, self.label(row, column));
        let row = |row| (0..columns.len()).map(|column| cell(row, column)).collect();
        let rows = (0..self.table.rows.num_rows()).map(row).collect();
        let words =
            |disclosure: &Disclosure| (disclosure.id.as_str().to_owned(), sentence(disclosure, Language::English));
        let revealed = self.disclosures.iter().map(words).collect();
        Sheet { columns, rows, revealed, cost: self.cost }
    }

    /// The label of a hidden cell.
    fn label(&self, row: usize, column: usize) -> Option<&str> {
        self.suppressed.iter().find(|s| s.row == row && s.at == column).map(|s| s.label.as_str())
    }
}
