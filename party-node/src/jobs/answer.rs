//! An answer as a node keeps it, and the parts in which its analyst reads it.

use arrow::datatypes::DataType;
use query_planner::disclosure::{Disclosure, Kind, Language, Recipient, Sentence, sentence};
use serde::{Deserialize, Serialize};

use crate::fault::NodeError;
use crate::output::{Answer, Cell, Cost, Sheet};

/// What is kept of an answer besides its rows. Those lie in parts, each under the number of its first row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Head {
    /// Names and types.
    pub columns: Vec<Column>,
    /// What the run revealed.
    pub disclosures: Vec<Disclosure>,
    /// What it cost.
    pub cost: Cost,
    /// Rows in all.
    pub rows: u64,
    /// The first row of each part.
    pub parts: Vec<u64>,
}

/// Rows that lie together.
pub type Rows = Vec<Vec<Cell>>;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Arrow's name of its type, such as `Decimal128(18, 4)`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A part of an answer. Numbers are their decimal texts, because JSON readers would round them; the column's type says how to read a text.
#[derive(Clone, Serialize, Deserialize)]
pub struct Page {
    /// Names and types.
    pub columns: Vec<Column>,
    /// Texts and truth values; null where there is none, and where one is hidden.
    pub rows: Vec<Vec<Value>>,
    /// The hidden cells of these rows.
    pub suppressed: Vec<Hidden>,
    /// What the run revealed; with the first part.
    pub disclosures: Vec<Revealed>,
    /// What it cost.
    pub cost: Cost,
    /// The row at which the next part begins.
    pub next: Option<u64>,
}

/// A cell in JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// Anything else.
    Text(String),
    /// Nothing, or hidden.
    Null(()),
}

/// A hidden cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// Its row in the whole answer, from 0.
    pub row: u64,
    /// Its column, from 0.
    pub at: usize,
    /// The column's name.
    pub column: String,
    /// What is shown instead.
    pub label: String,
}

/// Something that the run revealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revealed {
    /// Its name in the plan.
    pub id: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Who learns it.
    pub to: Recipient,
    /// Is something opened for it?
    pub opened: bool,
    /// In words.
    pub words: Sentence,
}

/// Rows of a part, as JSON, unless one alone is longer.
const PART_BYTES: usize = 128 << 10;

/// Head and parts of an answer.
pub fn kept(answer: &Answer) -> (Head, Vec<Rows>) {
    let Sheet { columns, rows, cost, .. } = answer.sheet();
    let column = |(name, data_type): (String, DataType)| Column { name, data_type: data_type.to_string() };
    let (count, mut parts, mut firsts, mut bytes) = (rows.len() as u64, Vec::<Rows>::new(), Vec::new(), 0);
    for (at, row) in rows.into_iter().enumerate() {
        let length: usize = row.iter().map(length).sum();
        match parts.last_mut().filter(|_| bytes + length <= PART_BYTES) {
            Some(part) => part.push(row),
            None => {
                firsts.push(at as u64);
                parts.push(vec![row]);
                bytes = 0;
            }
        }
        bytes += length;
    }
    let (columns, disclosures) = (columns.into_iter().map(column).collect(), answer.disclosures.clone());
    (Head { columns, disclosures, cost, rows: count, parts: firsts }, parts)
}

fn length(cell: &Cell) -> usize {
    // With its kind and the punctuation of JSON.
    12 + match cell {
        Cell::Hidden(text) | Cell::Number(text) | Cell::Text(text) => text.len(),
        Cell::Null | Cell::Bool(_) => 5,
    }
}

impl Head {
    /// The part that holds a row, and where the next one begins. The first of an answer without rows.
    pub fn part_of(&self, row: u64) -> Option<(u64, Option<u64>)> {
        let after = self.parts.partition_point(|first| *first <= row);
        let first = *self.parts.get(after.checked_sub(1)?)?;
        Some((first, self.parts.get(after).copied()))
    }

    /// The part of an answer from this row on.
    pub fn page(&self, first: u64, rows: Rows, from: u64, next: Option<u64>) -> Page {
        let rows: Rows = rows.into_iter().skip((from.saturating_sub(first)) as usize).collect();
        let mut suppressed = Vec::new();
        for (row, cells) in (from..).zip(&rows) {
            let hidden = |(at, cell): (usize, &Cell)| {
                Some(Hidden { row, at, column: self.columns[at].name.clone(), label: cell.label()?.to_owned() })
            };
            suppressed.extend(cells.iter().enumerate().filter_map(hidden));
        }
        let disclosures = if from == 0 { self.disclosures.iter().map(Revealed::of).collect() } else { Vec::new() };
        let rows = rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect();
        Page { columns: self.columns.clone(), rows, suppressed, disclosures, cost: self.cost, next }
    }
}

impl Revealed {
    fn of(disclosure: &Disclosure) -> Self {
        let Disclosure { id, kind, to, why, .. } = disclosure;
        let words = sentence(disclosure, Language::English);
        Self { id: id.as_str().to_owned(), kind: *kind, to: *to, opened: why.is_opened(), words }
    }
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Null | Cell::Hidden(_) => Self::Null(()),
            Cell::Bool(value) => Self::Bool(value),
            Cell::Number(text) | Cell::Text(text) => Self::Text(text),
        }
    }
}

/// Parts of one answer put together again.
///
/// # Errors
/// `NODE_REFUSED` for what are no parts of an answer.
pub fn sheet(pages: Vec<Page>) -> Result<Sheet, NodeError> {
    let other = || NodeError::new("NODE_REFUSED", "what the node sent is no answer").hint("is it of this version?");
    let first = pages.first().ok_or_else(other)?;
    let column = |column: &Column| Ok((column.name.clone(), column.data_type.parse().map_err(|_| other())?));
    let columns: Vec<(String, DataType)> = first.columns.iter().map(column).collect::<Result<_, NodeError>>()?;
    let revealed = first.disclosures.iter().map(|revealed| (revealed.id.clone(), revealed.words.clone())).collect();
    let (cost, mut rows) = (first.cost, Rows::new());
    for page in pages {
        for row in page.rows {
            let cells = row.into_iter().zip(&columns).map(|(value, (_, data_type))| cell(value, data_type));
            rows.push(cells.collect());
        }
        for Hidden { row, at, label, .. } in page.suppressed {
            let place = rows.get_mut(row as usize).and_then(|row| row.get_mut(at)).ok_or_else(other)?;
            *place = Cell::Hidden(label);
        }
    }
    Ok(Sheet { columns, rows, revealed, cost })
}

fn cell(value: Value, data_type: &DataType) -> Cell {
    match value {
        Value::Null(()) => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        // JSON has no number for what is none.
        Value::Text(text) if data_type.is_numeric() && text.bytes().any(|b| b.is_ascii_digit()) => Cell::Number(text),
        Value::Text(text) => Cell::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::finish::Table;
    use crate::output::{Format, Suppressed};

    /// So many rows with texts of this length.
    fn answer(rows: usize, letters: usize) -> Answer {
        let texts = StringArray::from_iter((0..rows).map(|row| (row % 5 != 1).then(|| "é".repeat(letters / 2))));
        let reals = [1.5, f64::NAN, -0.25, f64::INFINITY];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
            ("text", Arc::new(texts)),
            ("mean", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| reals[row % 4])))),
            ("is", Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let columns = batch.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let hidden = |row| Suppressed { row, at: 0, column: "n".into(), label: "<11".into() };
        let suppressed = (0..rows).step_by(7).map(hidden).collect();
        let cost = Cost { rounds: 1, bytes: 2, wall_ms: 3, parties: 4 };
        Answer { table: Table { columns, rows: batch }, suppressed, disclosures: Vec::new(), cost }
    }

    /// Reads it as an analyst does, from a row on.
    fn read(answer: &Answer, mut from: u64) -> Vec<Page> {
        let (head, parts) = kept(answer);
        let mut pages = Vec::new();
        loop {
            let Some((first, next)) = head.part_of(from) else { return vec![head.page(0, Rows::new(), 0, None)] };
            let part = parts[head.parts.iter().position(|known| *known == first).unwrap()].clone();
            let text = serde_json::to_string(&head.page(first, part, from, next)).unwrap();
            pages.push(serde_json::from_str(&text).unwrap());
            match next {
                Some(next) => from = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn an_answer_read_in_parts_is_the_answer() {
        for (rows, letters) in [(0, 2), (1, 2), (5_000, 40), (9, 300_000)] {
            let answer = answer(rows, letters);
            let pages = read(&answer, 0);
            assert!(rows < 9 || pages.len() > 1, "{rows} rows in {} parts", pages.len());
            let again = sheet(pages).unwrap();
            for format in [Format::Csv, Format::Json, Format::Table] {
                assert!(again.render(format) == answer.render(format), "{rows} rows differ in {format:?}");
            }
        }
    }

    #[test]
    fn a_part_may_begin_at_any_row_and_counts_hidden_cells_from_the_first() {
        let answer = answer(5_000, 40);
        let pages = read(&answer, 3_001);
        let rows: Vec<_> = pages.iter().flat_map(|page| &page.rows).collect();
        assert_eq!(rows.len(), 1_999);
        assert!(rows[0][0] == Value::Text("3001".into()));
        let hidden: Vec<u64> = pages.iter().flat_map(|page| &page.suppressed).map(|hidden| hidden.row).collect();
        assert_eq!(hidden, (0..5_000).step_by(7).filter(|row| *row >= 3_001).collect::<Vec<u64>>());
    }
}
