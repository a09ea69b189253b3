use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};

use super::*;

use query_planner::disclosure::{DisclosureId, Kind, Recipient, Revealed, Why};

fn answer(columns: Vec<(&str, ArrayRef)>, suppressed: Vec<Suppressed>) -> Answer {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let columns = rows.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
    let disclosures = vec![Disclosure {
        id: DisclosureId::patients(0),
        kind: Kind::Size,
        what: Revealed::Patients { most: 7, further: None },
        to: Recipient::Analyst,
        why: Why::Asked,
    }];
    let cost = Cost { rounds: 4, bytes: 12345, wall_ms: 87, parties: 3 };
    Answer { table: Table { columns, rows }, suppressed, disclosures, cost }
}

fn sample() -> Answer {
    let cents = Decimal128Array::from(vec![Some(1250), Some(-5), None]).with_precision_and_scale(10, 2).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), Some("病人"), Some("")]))),
        ("n", Arc::new(Int64Array::from(vec![2694, 7, 0]))),
        ("mean", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1234.5)]))),
        ("cost", Arc::new(cents)),
    ];
    let hidden = Suppressed { row: 1, at: 1, column: "n".into(), label: "<11".into() };
    answer(columns, vec![hidden])
}

#[test]
fn the_table_is_aligned_and_tells_what_was_revealed() {
    let expected = [
        r#" name    |    n |   mean |  cost"#,
        r#"---------+------+--------+-------"#,
        r#" a,"b"\n | 2694 |    0.1 | 12.50"#,
        r#" 病人    |  <11 |   NULL | -0.05"#,
        r#"         |    0 | 1234.5 |  NULL"#,
        "(3 rows)",
        "",
        "Revealed",
        "  to analyst: that a site has at most 7 patients, and nothing about which of them others know",
        "Cost",
        "  4 rounds, 12345 bytes, 87 ms, 3 parties",
        "",
    ];
    let expected = expected.join("\n");
    assert_eq!(sample().render(Format::Table), expected);
}

#[test]
fn csv_follows_rfc_4180_and_tells_null_from_empty() {
    let expected = "name,n,mean,cost\r\n\"a,\"\"b\"\"\n\",2694,0.1,12.50\r\n病人,<11,,-0.05\r\n\"\",0,1234.5,\r\n";
    assert_eq!(sample().render(Format::Csv), expected);
}

#[test]
fn json_is_one_object_on_one_line_with_exact_numbers() {
    let expected = concat!(
        r#"{"columns":[{"name":"name","type":"Utf8"},{"name":"n","type":"Int64"},{"name":"mean","type":"Float64"},"#,
        r#"{"name":"cost","type":"Decimal128(10, 2)"}],"rows":[["a,\"b\"\n",2694,0.1,12.50],["病人",null,null,-0.05],"#,
        r#"["",0,1234.5,null]],"suppressed":[{"row":1,"column":"n","label":"<11"}],"#,
        r#""disclosures":[{"id":"patients/0","#,
        r#""what":"that a site has at most 7 patients, and nothing about which of them others know","#,
        r#""to":"analyst","kind":"size","why":"the answer shows it"}],"#,
        r#""cost":{"rounds":4,"bytes":12345,"wall_ms":87,"parties":3}}"#,
        "\n"
    );
    let json = sample().render(Format::Json);
    assert_eq!(json, expected);
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
}

#[test]
fn doubles_read_back_as_they_were() {
    for x in [1e300, 5e-324, 0.1 + 0.2, -1.0, 9_007_199_254_740_993.0] {
        let json = answer(vec![("x", Arc::new(Float64Array::from(vec![x])))], vec![]).render(Format::Json);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["rows"][0][0].as_f64(), Some(x));
    }
}

#[test]
fn every_type_has_a_json_form() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("day", Arc::new(Date32Array::from(vec![11016]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![86_400_250_000]))),
        ("ok", Arc::new(BooleanArray::from(vec![true]))),
        ("f32", Arc::new(Float32Array::from(vec![0.1]))),
        ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("inf", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY]))),
        ("one", Arc::new(Float64Array::from(vec![1.0]))),
        ("none", arrow::array::new_null_array(&arrow::datatypes::DataType::Null, 1)),
    ];
    let json = answer(columns, vec![]).render(Format::Json);
    let rows = r#""rows":[["2000-02-29","1970-01-02T00:00:00.250","#;
    assert!(json.contains(&format!(r#"{rows}true,0.1,"NaN","-Infinity",1.0,null]]"#)), "{json}");
    assert!(json.contains(r#"{"name":"day","type":"Date32"}"#), "{json}");
}

#[test]
fn text_cannot_move_the_cursor_in_a_table() {
    let columns: Vec<(&str, ArrayRef)> = vec![("x\u{1b}[2J", Arc::new(StringArray::from(vec!["\u{202e}abc\r"])))];
    let table = answer(columns, vec![]).render(Format::Table);
    assert!(table.contains(r"\u{202e}abc\r") && table.contains(r"x\u{1b}[2J"), "{table}");
}

#[test]
fn a_suppressed_value_appears_in_no_format() {
    let columns: Vec<(&str, ArrayRef)> = vec![("n", Arc::new(Int64Array::from(vec![4711])))];
    let answer = answer(columns, vec![Suppressed { row: 0, at: 0, column: "n".into(), label: "<11".into() }]);
    for format in [Format::Table, Format::Csv, Format::Json] {
        assert!(!answer.render(format).contains("4711"), "{format:?}");
        assert!(answer.render(format).contains("<11"), "{format:?}");
    }
}

#[test]
fn no_rows_are_an_empty_list() {
    let answer = answer(vec![("n", Arc::new(Int64Array::from(Vec::<i64>::new())))], vec![]);
    assert!(answer.render(Format::Json).contains(r#""rows":[]"#));
    assert!(answer.render(Format::Table).contains("(0 rows)"));
}
