//! Parquet files become the same tables as CSV files.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int16Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use query_planner::merge::InferredType;

use super::*;

fn file(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn plain(name: &str, array: ArrayRef) -> Folder {
    Folder::with("t.parquet", file(vec![(name, array)], Compression::UNCOMPRESSED))
}

fn ints() -> ArrayRef {
    Arc::new(Int64Array::from(vec![Some(1), None, Some(4711)]))
}

#[test]
fn every_supported_type_is_recognised() {
    let cents = Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).unwrap();
    let words: DictionaryArray<Int32Type> = ["x"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i16", Arc::new(Int16Array::from(vec![1]))),
        ("u64", Arc::new(UInt64Array::from(vec![1]))),
        ("f32", Arc::new(Float32Array::from(vec![1.5]))),
        ("cents", Arc::new(cents)),
        ("day", Arc::new(Date32Array::from(vec![0]))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_000]))),
        ("utc", Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC"))),
        ("ok", Arc::new(BooleanArray::from(vec![true]))),
        ("text", Arc::new(StringArray::from(vec!["x"]))),
        ("large", Arc::new(LargeStringArray::from(vec!["x"]))),
        ("view", Arc::new(StringViewArray::from(vec!["x"]))),
        ("words", Arc::new(words)),
    ];
    let folder = Folder::with("t.parquet", file(columns, Compression::UNCOMPRESSED));
    let schema = folder.open().unwrap().schema("person_id");
    let found: Vec<String> = schema.tables[0].columns.iter().map(|(_, t)| String::from(*t)).collect();
    let expected = "int,int,real,decimal(10,2),date,timestamp,timestamp,bool,text,text,text,text";
    assert_eq!(found.join(","), expected.replace("decimal(10,2)", &found[3]));
    assert_eq!(schema.tables[0].columns[3].1, InferredType::Typed(ColumnType::Decimal { precision: 10, scale: 2 }));
    let bound = folder.bind(vec![column("utc", ColumnType::Timestamp), column("ns", ColumnType::Timestamp)]).unwrap();
    let batch = &bound.table("t").unwrap().batches()[0];
    assert_eq!(batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0), 7);
    assert_eq!(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0), 1);
}

#[test]
fn values_survive_every_compression() {
    let all = [
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
    ];
    for compression in all {
        let folder = Folder::with("t.parquet", file(vec![("A", ints())], compression));
        let bound = folder.bind(vec![column("a", ColumnType::Int)]).unwrap();
        let batch = &bound.table("t").unwrap().batches()[0];
        assert_eq!(batch.column(0).as_primitive::<Int64Type>(), ints().as_primitive::<Int64Type>(), "{compression:?}");
    }
}

#[test]
fn typed_columns_widen_where_nothing_is_lost() {
    let cents = ColumnType::Decimal { precision: 10, scale: 2 };
    let bound = plain("a", ints()).bind(vec![column("a", cents)]).unwrap();
    let values: Vec<_> =
        bound.table("t").unwrap().batches()[0].column(0).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(values, [Some(100), None, Some(471_100)]);
    assert!(plain("a", ints()).bind(vec![column("a", ColumnType::Real)]).is_ok());
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    assert!(plain("a", days).bind(vec![column("a", ColumnType::Timestamp)]).is_ok());
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("12"), None]));
    assert!(plain("a", text).bind(vec![column("a", ColumnType::Int)]).is_ok());
}

#[test]
fn what_does_not_fit_is_named_by_row_and_column_without_its_value() {
    let decimal = |p, s, v: i128| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![0, v]).with_precision_and_scale(p, s).unwrap())
    };
    let cents = ColumnType::Decimal { precision: 6, scale: 2 };
    let cases: [(ArrayRef, ColumnType, &str, &str); 6] = [
        (Arc::new(Float64Array::from(vec![4711.0, f64::NAN])), ColumnType::Real, "NOT_FINITE", "row 2"),
        (decimal(10, 4, 4711), cents, "DECIMAL_SCALE", "row 2"),
        (decimal(10, 2, 47_114_711), cents, "DECIMAL_OVERFLOW", "row 2"),
        (Arc::new(StringArray::from(vec!["1", "4711x"])), ColumnType::Int, "NOT_AN_INTEGER", "row 2"),
        (Arc::new(Float64Array::from(vec![4711.5])), ColumnType::Int, "TYPE_MISMATCH", "Float64"),
        (ints(), ColumnType::Text, "TYPE_MISMATCH", "Int64"),
    ];
    for (array, declared, code, place) in cases {
        let fault = plain("a", array).bind(vec![column("a", declared)]).unwrap_err();
        let text = fault.to_string();
        assert_eq!(fault.code, code, "{text}");
        assert!(text.contains("column a") && text.contains(place) && !text.contains("4711"), "{text}");
    }
}

#[test]
fn unsigned_integers_beyond_63_bits_are_refused_by_row() {
    let fault = plain("a", Arc::new(UInt64Array::from(vec![1, u64::MAX]))).open().unwrap_err();
    assert_eq!(fault.code, "INTEGER_OVERFLOW");
    assert!(fault.message.contains("row 2, column a"), "{fault}");
}

#[test]
fn types_without_a_place_in_a_catalogue_are_named() {
    let fault = plain("blob", Arc::new(BinaryArray::from(vec![b"4711".as_slice()]))).open().unwrap_err();
    assert_eq!(fault.code, "UNSUPPORTED_TYPE");
    assert!(fault.message.contains("blob") && fault.message.contains("Binary"), "{fault}");
    let zoned = TimestampMicrosecondArray::from(vec![7]).with_timezone("+02:00");
    assert_eq!(plain("at", Arc::new(zoned)).open().unwrap_err().code, "UNSUPPORTED_TYPE");
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    assert_eq!(Folder::with("t.parquet", "a,b\n1,2\n").open().unwrap_err().code, "NOT_PARQUET");
    let good = file(vec![("a", ints())], Compression::SNAPPY);
    for cut in [4, 12, good.len() / 2, good.len() - 1] {
        assert_eq!(Folder::with("t.parquet", &good[..cut]).open().unwrap_err().code, "PARQUET_DAMAGED", "{cut}");
    }
}

#[test]
fn a_parquet_table_without_rows_keeps_its_types() {
    let folder = plain("a", ints().slice(0, 0));
    let schema = folder.open().unwrap().schema("person_id");
    assert_eq!(schema.tables[0].columns[0].1, InferredType::Typed(ColumnType::Int));
    assert_eq!(folder.bind(vec![column("a", ColumnType::Int)]).unwrap().table("t").map(|t| t.rows()), Some(0));
}
