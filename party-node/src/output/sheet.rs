//! An answer's cells, and how they are written.

use std::fmt::Write;

use arrow::datatypes::DataType;
use query_planner::disclosure::Sentence;

use super::cell::{self, Cell};
use super::{Cost, Format};

/// An answer as it is shown: nothing of a hidden cell is in it.
#[derive(Clone)]
pub struct Sheet {
    /// Names and types.
    pub columns: Vec<(String, DataType)>,
    /// The rows, one cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// What the run revealed: its name, and in words.
    pub revealed: Vec<(String, Sentence)>,
    /// What it cost.
    pub cost: Cost,
}

impl Sheet {
    /// As text that ends with a line end.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => self.to_table(),
            Format::Csv => self.to_csv(),
            Format::Json => self.to_json(),
        }
    }

    fn to_table(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| cell::escaped(name)).collect();
        let rows: Vec<Vec<String>> = self.cells(Cell::for_people);
        let width =
            |c: usize| rows.iter().map(|row| &row[c]).chain([&names[c]]).map(|t| cell::width(t)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let right: Vec<bool> = self.columns.iter().map(|(_, data_type)| data_type.is_numeric()).collect();
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
        if self.revealed.is_empty() {
            lines.push("  nothing".to_owned());
        }
        let line = |(_, d): &(String, Sentence)| format!("  to {}: {}", cell::escaped(&d.to), cell::escaped(&d.what));
        lines.extend(self.revealed.iter().map(line));
        let Cost { rounds, bytes, wall_ms, parties } = self.cost;
        lines.push(format!("Cost\n  {rounds} rounds, {bytes} bytes, {wall_ms} ms, {parties} parties"));
        lines
    }

    fn to_csv(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| cell::quoted(name)).collect();
        let mut out = header.join(",") + "\r\n";
        for row in self.cells(Cell::for_csv) {
            out += &(row.join(",") + "\r\n");
        }
        out
    }

    fn to_json(&self) -> String {
        let columns = self.columns.iter();
        let columns =
            columns.map(|(name, t)| object(&[("name", cell::json(name)), ("type", cell::json(&t.to_string()))]));
        let rows = self.cells(Cell::for_json).into_iter().map(|row| array(row.into_iter()));
        let suppressed = self.hidden().map(|(row, at, label)| {
            let column = cell::json(&self.columns[at].0);
            object(&[("row", row.to_string()), ("column", column), ("label", cell::json(label))])
        });
        let disclosures = self.revealed.iter().map(|(id, words)| {
            let parts = [("what", &words.what), ("to", &words.to), ("kind", &words.kind), ("why", &words.why)];
            let parts = parts.map(|(name, text)| (name, cell::json(text)));
            object(&[&[("id", cell::json(id))], parts.as_slice()].concat())
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

    /// The hidden cells: row, column and label, in this order.
    pub fn hidden(&self) -> impl Iterator<Item = (usize, usize, &str)> {
        let row = |(row, cells): (usize, &'_ Vec<Cell>)| (0..cells.len()).map(move |at| (row, at)).collect::<Vec<_>>();
        let places = self.rows.iter().enumerate().flat_map(row);
        places.filter_map(|(row, at)| Some((row, at, self.rows[row][at].label()?)))
    }

    /// Every cell in one form, by row.
    fn cells(&self, form: impl Fn(&Cell) -> String) -> Vec<Vec<String>> {
        self.rows.iter().map(|row| row.iter().map(&form).collect()).collect()
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
