//! Tables with everything planted in them that a report on data can find.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;

use super::common::Scratch;

/// Table, column, code, and how many.
pub type Found = (&'static str, &'static str, &'static str, u64);

/// A table's columns with the types they have in a typed source, and rows of texts; `~` is NULL.
pub struct Planted {
    pub name: &'static str,
    columns: &'static [(&'static str, char)],
    rows: &'static [&'static str],
}

/// One patient without fault, and beside them everything that can be found where columns have types.
pub const PLANTED: &[Planted] = &[
    Planted {
        name: "person",
        columns: &[
            ("person_id", 'i'),
            ("gender_concept_id", 'i'),
            ("year_of_birth", 'i'),
            ("gender_source_value", 't'),
        ],
        rows: &[
            "1|8507|1950|M",
            "2|8532|1960|NA",
            // Out of range, and the code for a number that is none.
            "3|8507|9999| n/a ",
            // Not in the domain.
            "4|8551|1970|F",
            // Nothing where something is required; the second of one key.
            "4|8532|~|-",
            "5|8532|1980|?",
        ],
    },
    Planted {
        name: "visit_occurrence",
        columns: &[
            ("visit_occurrence_id", 'i'),
            ("person_id", 'i'),
            ("visit_start_date", 'd'),
            ("visit_end_date", 'd'),
        ],
        rows: &[
            "1|1|2020-01-01|2020-01-02",
            // Ends before it starts.
            "2|2|2020-01-05|2020-01-04",
            // Before 1900, and after tomorrow.
            "3|3|1899-12-31|2026-06-17",
            // The edges of both.
            "4|4|1900-01-01|2026-06-16",
            // Nobody, and a patient who is in no row of the patients.
            "5|~|2020-01-01|2020-01-01",
            "6|77|2020-01-01|2020-01-01",
        ],
    },
    Planted {
        name: "measurement",
        columns: &[
            ("measurement_id", 'i'),
            ("person_id", 'i'),
            ("measurement_concept_id", 'i'),
            ("measurement_datetime", 's'),
            ("value_as_number", 'r'),
            ("unit_concept_id", 'i'),
            ("wing", 't'),
        ],
        rows: &[
            "9999|1|3004249|2020-01-01 10:00:00|120.5|8876|east",
            "-1|1|3004249|2020-01-01 10:00:00|9999|8876|east",
            // Another unit of the same measurement.
            "3|2|3004249|2020-01-01 10:00:00|-1|44777590|west",
            // None is not another one.
            "4|2|3025315|2020-01-01 10:00:00|70|~|west",
            "5|5|3025315|1850-01-01 00:00:00|99|9529|~",
        ],
    },
    // A table with nothing in it, and one that the profile does not know.
    Planted { name: "death", columns: &[("person_id", 'i'), ("death_date", 'd')], rows: &[] },
    Planted { name: "wards", columns: &[("ward", 't')], rows: &["east"] },
];

/// What is planted there: table, column, code, how many.
pub const FOUND: &[Found] = &[
    ("death", "", "DATA_EMPTY_TABLE", 0),
    ("measurement", "measurement_datetime", "DATA_BEFORE_1900", 1),
    ("measurement", "unit_concept_id", "DATA_UNITS", 1),
    ("measurement", "value_as_number", "DATA_NULL_CODES", 2),
    ("measurement", "wing", "DATA_NOT_IN_PROFILE", 0),
    ("person", "gender_concept_id", "DATA_OUT_OF_DOMAIN", 1),
    ("person", "gender_source_value", "DATA_NULL_CODES", 4),
    ("person", "person_id", "DATA_DUPLICATE_KEY", 1),
    ("person", "year_of_birth", "DATA_NULL_CODES", 1),
    ("person", "year_of_birth", "DATA_OUT_OF_RANGE", 1),
    ("person", "year_of_birth", "DATA_REQUIRED", 1),
    ("visit_occurrence", "person_id", "DATA_NO_PATIENT", 1),
    ("visit_occurrence", "person_id", "DATA_ORPHANS", 1),
    ("visit_occurrence", "visit_end_date", "DATA_END_BEFORE_START", 1),
    ("visit_occurrence", "visit_end_date", "DATA_IN_FUTURE", 1),
    ("visit_occurrence", "visit_start_date", "DATA_BEFORE_1900", 1),
    ("wards", "", "DATA_NOT_IN_PROFILE", 0),
];

/// The same where every column is text, with values of other types among them.
pub const MISTYPED: &[Planted] = &[
    Planted {
        name: "person",
        columns: &[("person_id", 't'), ("year_of_birth", 't'), ("month_of_birth", 't'), ("birth_datetime", 't')],
        rows: &[
            "1|1950|1|1950-01-01 00:00:00",
            "2|NA|13|1950-02-30 00:00:00",
            "3|1,950|NULL|1850-01-01 00:00:00",
            "7|1960|2|2999-01-01 00:00:00",
        ],
    },
    Planted {
        name: "death",
        columns: &[("person_id", 't'), ("death_date", 't'), ("cause_concept_id", 't')],
        rows: &["1|2020-02-30|-1", "2|9999-12-31|x", "8|.|0"],
    },
];

pub const FOUND_MISTYPED: &[Found] = &[
    ("death", "cause_concept_id", "DATA_NULL_CODES", 1),
    ("death", "cause_concept_id", "DATA_TYPE", 1),
    ("death", "death_date", "DATA_IN_FUTURE", 1),
    ("death", "death_date", "DATA_NULL_CODES", 1),
    ("death", "death_date", "DATA_TYPE", 2),
    ("death", "person_id", "DATA_ORPHANS", 1),
    ("person", "birth_datetime", "DATA_BEFORE_1900", 1),
    ("person", "birth_datetime", "DATA_IN_FUTURE", 1),
    ("person", "birth_datetime", "DATA_TYPE", 1),
    ("person", "month_of_birth", "DATA_NULL_CODES", 1),
    ("person", "month_of_birth", "DATA_OUT_OF_RANGE", 1),
    ("person", "month_of_birth", "DATA_TYPE", 1),
    ("person", "year_of_birth", "DATA_NULL_CODES", 1),
    ("person", "year_of_birth", "DATA_TYPE", 2),
];

impl Planted {
    fn cells(&self) -> Vec<Vec<Option<&str>>> {
        self.rows
            .iter()
            .map(|row| row.split('|').map(|cell| Some(cell).filter(|cell| *cell != "~")).collect())
            .collect()
    }

    fn csv(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        // Quoted, as a number may have a comma.
        let row =
            |row: Vec<Option<&str>>| row.iter().map(|cell| format!("\"{}\"", cell.unwrap_or(""))).collect::<Vec<_>>();
        let rows = self.cells().into_iter().map(|cells| row(cells).join(",") + "\n");
        format!("{}\n{}", names.join(","), rows.collect::<String>())
    }

    pub fn batch(&self) -> RecordBatch {
        let cells = self.cells();
        let column = |(at, (name, kind)): (usize, &(&str, char))| {
            let texts: ArrayRef = Arc::new(cells.iter().map(|row| row[at]).collect::<StringArray>());
            let data_type = match kind {
                'i' => DataType::Int64,
                'r' => DataType::Float64,
                'd' => DataType::Date32,
                's' => DataType::Timestamp(TimeUnit::Microsecond, None),
                _ => DataType::Utf8,
            };
            (Field::new(*name, data_type.clone(), true), cast(&texts, &data_type).unwrap())
        };
        let (fields, arrays): (Vec<_>, Vec<_>) = self.columns.iter().enumerate().map(column).unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

/// The same tables as CSV and Parquet files.
pub fn write_files(folder: &Scratch, tables: &[Planted]) {
    for table in tables {
        folder.write(&format!("csv/{}.csv", table.name), table.csv());
        write_parquet(&folder.write(&format!("parquet/{}.parquet", table.name), ""), &table.batch());
    }
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}
