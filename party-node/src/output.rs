//! An answer as text: aligned for people, CSV, or one JSON object.

mod cell;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use query_planner::disclosure::{Language, sentence};
pub use query_planner::plan::Disclosure;

use crate::finish::Table;
use cell::Cell;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        match format {
            Format::Table => self.to_table(),
            Format::Csv => self.to_csv(),
            Format::Json => self.to_json(),
        }
    }

    fn to_table(&self) -> String {
        let names: Vec<String> = self.table.columns.iter().map(|(name, _)| cell::escaped(name)).collect();
        let rows: Vec<Vec<String>> = self.cells(Cell::for_people);
        let width =
            |c: usize| rows.iter().map(|row| &row[c]).chain([&names[c]]).map(|t| cell::width(t)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let right: Vec<bool> = self.table.columns.iter().map(|(_, data_type)| data_type.is_numeric()).collect();
        let line = |texts: &[String]| {
            let padded =
                texts.iter().zip(&widths).zip(&right).map(|((text, width), right)| cell::pad(text, *width, *right));
            format!(" {}", padded.collect::<Vec<_>>().join(" | ")).trim_end().to_owned()
        };
        let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+");
        let mut lines = vec![line(&names), rule];
        lines.extend(rows.iter().map(|row| line(row)));
        lines.push(format!("({} row{})", rows.len(), if rows.len() == 1 { "" } else { "s" }));
        lines.extend(self.footer());
        lines.join("\n") + "\n"
    }

    /// Disclosures and cost in words.
    fn footer(&self) -> Vec<String> {
        let mut lines = vec![String::new(), "Revealed".to_owned()];
        if self.disclosures.is_empty() {
            lines.push("  nothing".to_owned());
        }
        let sentences = self.disclosures.iter().map(|disclosure| sentence(disclosure, Language::English));
        lines.extend(sentences.map(|d| format!("  to {}: {}", cell::escaped(&d.to), cell::escaped(&d.what))));
        let Cost { rounds, bytes, wall_ms, parties } = self.cost;
        lines.push(format!("Cost\n  {rounds} rounds, {bytes} bytes, {wall_ms} ms, {parties} parties"));
        lines
    }

    fn to_csv(&self) -> String {
        let header: Vec<String> = self.table.columns.iter().map(|(name, _)| cell::quoted(name)).collect();
        let mut out = header.join(",") + "\r\n";
        for row in self.cells(Cell::for_csv) {
            out += &(row.join(",") + "\r\n");
        }
        out
    }

    fn to_json(&self) -> String {
        let columns = self.table.columns.iter();
        let columns =
            columns.map(|(name, t)| object(&[("name", cell::json(name)), ("type", cell::json(&t.to_string()))]));
        let rows = self.cells(Cell::for_json).into_iter().map(|row| array(row.into_iter()));
        let suppressed = self.suppressed.iter().map(|s| {
            object(&[("row", s.row.to_string()), ("column", cell::json(&s.column)), ("label", cell::json(&s.label))])
        });
        let disclosures = self.disclosures.iter().map(|disclosure| {
            let words = sentence(disclosure, Language::English);
            let parts = [("what", words.what), ("to", words.to), ("kind", words.kind), ("why", words.why)];
            let parts = parts.map(|(name, text)| (name, cell::json(&text)));
            object(&[&[("id", cell::json(disclosure.id.as_str()))], parts.as_slice()].concat())
        });
        let cost = object(&[
            ("rounds", self.cost.rounds.to_string()),
            ("bytes", self.cost.bytes.to_string()),
            ("wall_ms", self.cost.wall_ms.to_string()),
            ("parties", self.cost.parties.to_string()),
        ]);
        let parts = [
            ("columns", array(columns)),
            ("rows", array(rows)),
            ("suppressed", array(suppressed)),
            ("disclosures", array(disclosures)),
            ("cost", cost),
        ];
        object(&parts) + "\n"
    }

    /// Every cell in one form, by row.
    fn cells(&self, form: impl Fn(&Cell) -> String) -> Vec<Vec<String>> {
        let cell = |row, column| form(&Cell::read(self.table.rows.column(column), row, self.label(row, column)));
        let row = |row| (0..self.table.columns.len()).map(|column| cell(row, column)).collect();
        (0..self.table.rows.num_rows()).map(row).collect()
    }

    /// The label of a hidden cell.
    fn label(&self, row: usize, column: usize) -> Option<&str> {
        self.suppressed.iter().find(|s| s.row == row && s.at == column).map(|s| s.label.as_str())
    }
}

/// A JSON object of texts that are JSON already. Written by hand so that decimals keep their digits: a JSON number is
/// text of any precision, and serde_json would read it as a double.
fn object(parts: &[(&str, String)]) -> String {
    let mut out = String::from("{");
    for (i, (key, value)) in parts.iter().enumerate() {
        // Writing to a String never fails.
        let _ = write!(out, "{}\"{key}\":{value}", if i == 0 { "" } else { "," });
    }
    out + "}"
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}
