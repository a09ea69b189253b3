//! Columns as the text of their file.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};

use super::*;

#[test]
fn the_text_of_a_number_keeps_its_zeros_and_an_empty_field_is_null() {
    let folder = Folder::with("person.csv", "Id,born\n0071,1995-07-17\n,17/07/1995\n");
    let texts = folder.open().unwrap().texts("PERSON", &["born", "id"]).unwrap();
    assert_eq!(texts[0], StringArray::from(vec!["1995-07-17", "17/07/1995"]));
    assert_eq!(texts[1], StringArray::from(vec![Some("0071"), None]));
}

#[test]
fn text_integers_and_days_of_parquet_are_text_and_reals_are_refused() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringArray::from(vec![Some("x"), None]))),
        ("id", Arc::new(Int64Array::from(vec![Some(71), None]))),
        ("born", Arc::new(Date32Array::from(vec![Some(59), None]))),
        ("dose", Arc::new(Float64Array::from(vec![4711.5, 0.0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let data = Folder::with("t.parquet", bytes).open().unwrap();
    let texts = data.texts("t", &["name", "id", "born"]).unwrap();
    for (found, expected) in texts.iter().zip(["x", "71", "1970-03-01"]) {
        assert_eq!(*found, StringArray::from(vec![Some(expected), None]));
    }
    let refused = data.texts("t", &["dose"]).unwrap_err();
    assert_eq!(refused.code, "TYPE_MISMATCH");
    assert!(!refused.to_string().contains("4711"));
}

#[test]
fn an_unknown_table_or_column_is_named_with_the_nearest_one() {
    let data = Folder::with("person.csv", "family_name\nx\n").open().unwrap();
    let refused = data.texts("persn", &[]).unwrap_err();
    assert_eq!((&*refused.code, refused.hint.as_deref()), ("UNKNOWN_TABLE", Some("did you mean 'person'?")));
    let refused = data.texts("person", &["famly_name"]).unwrap_err();
    assert_eq!((&*refused.code, refused.hint.as_deref()), ("COLUMN_MISSING", Some("did you mean 'family_name'?")));
}
