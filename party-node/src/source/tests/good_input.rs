//! What is accepted, and what it becomes.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type};
use query_planner::merge::InferredType;

use super::*;

/// Inferred types of the columns of `t.csv`.
fn types(content: &str) -> Vec<(String, InferredType)> {
    Folder::with("t.csv", content).open().unwrap().schema("person_id").tables.remove(0).columns
}

#[test]
fn the_schema_has_file_order_inferred_types_and_a_rounded_row_count() {
    let folder = Folder::with(
        "Visit.CSV",
        "Person_ID, dose ,day,at,ok,code,none\n1,0.5,2020-01-01,2020-01-01 10:00:00,true,007,\n",
    );
    let schema = folder.open().unwrap().schema("person_id");
    let table = &schema.tables[0];
    assert_eq!((table.name.as_str(), table.rows), ("visit", 1024));
    let typed = |name: &str, t| (name.to_owned(), InferredType::Typed(t));
    let expected = [
        typed("Person_ID", ColumnType::Int),
        typed("dose", ColumnType::Real),
        typed("day", ColumnType::Date),
        typed("at", ColumnType::Timestamp),
        typed("ok", ColumnType::Bool),
        typed("code", ColumnType::Text),
        ("none".to_owned(), InferredType::Empty),
    ];
    assert_eq!(table.columns, expected);
}

#[test]
fn a_header_without_rows_is_an_empty_table() {
    assert_eq!(types("a\n"), [("a".to_owned(), InferredType::Empty)]);
    let bound = Folder::with("t.csv", "a").bind(vec![column("a", ColumnType::Date)]).unwrap();
    assert_eq!(bound.table("t").map(|t| (t.rows(), t.batches().len())), Some((0, 0)));
}

#[test]
fn byte_order_marks_and_windows_line_ends_are_accepted() {
    let int = |name: &str| (name.to_owned(), InferredType::Typed(ColumnType::Int));
    assert_eq!(types("\u{feff}a,b\r\n1,2\r\n3,4\r\n"), [int("a"), int("b")]);
    assert_eq!(types("\u{feff}\"a\",b\n1,2"), [int("a"), int("b")]);
    assert_eq!(types("a,\"b\"\r\n\r\n1,\"2\"\r\n"), [int("a"), int("b")]);
    assert_eq!(types("a\r\n1\r\n\r\n2"), [int("a")]);
}

#[test]
fn empty_fields_are_null_whether_quoted_or_not() {
    let bound = Folder::with("t.csv", "a,b\n,\"\"\n1,x\n").bind(vec![column("b", ColumnType::Text)]).unwrap();
    let batch = &bound.table("T").unwrap().batches()[0];
    let texts = batch.column(0).as_string::<i32>();
    assert!(texts.is_null(0));
    assert_eq!(texts.value(1), "x");
}

#[test]
fn quoted_fields_keep_commas_quotes_and_line_ends() {
    let bound = Folder::with("t.csv", "a\n\"x, \"\"y\"\"\r\nz\"\n").bind(vec![column("a", ColumnType::Text)]).unwrap();
    let batch = &bound.table("t").unwrap().batches()[0];
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "x, \"y\"\r\nz");
}

#[test]
fn columns_take_the_catalogues_order_types_and_lower_case_names() {
    let cents = ColumnType::Decimal { precision: 10, scale: 2 };
    let folder = Folder::with("t.csv", "X,day,cost,n,unused\n1,2000-02-29,12.5,007,z\n,,,,\n-2,1969-12-31,-0.01,8,z\n");
    let declared = vec![
        column("n", ColumnType::Int),
        column("COST", cents),
        column("x", ColumnType::Real),
        column("day", ColumnType::Date),
    ];
    let bound = folder.bind(declared).unwrap();
    let table = bound.table("t").unwrap();
    let names: Vec<_> = table.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["n", "cost", "x", "day"]);
    let batch = &table.batches()[0];
    assert_eq!(batch.schema(), *table.schema());
    assert_eq!(batch.column(0).as_primitive::<Int64Type>(), &[Some(7), None, Some(8)].into_iter().collect());
    let cost: Vec<_> = batch.column(1).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(cost, [Some(1250), None, Some(-1)]);
    assert_eq!(batch.column(2).as_primitive::<Float64Type>(), &[Some(1.0), None, Some(-2.0)].into_iter().collect());
    assert_eq!(batch.column(3).as_primitive::<Date32Type>(), &[Some(11016), None, Some(-1)].into_iter().collect());
}

#[test]
fn an_empty_column_takes_any_declared_type() {
    for data_type in [ColumnType::Int, ColumnType::Text, ColumnType::Timestamp, ColumnType::Bool] {
        let bound = Folder::with("t.csv", "k,a\n1,\n2,\n").bind(vec![column("a", data_type)]).unwrap();
        assert_eq!(bound.table("t").unwrap().batches()[0].column(0).null_count(), 2);
    }
}

#[test]
fn long_tables_come_in_batches() {
    let content = format!("a\n{}", "1\n".repeat(20_000));
    let mut catalog = catalog(vec![column("a", ColumnType::Int)]);
    catalog.tables[0].max_rows = 20_000;
    let bound = Folder::with("t.csv", content).open().unwrap().bind(&catalog, &site()).unwrap();
    let table = bound.table("t").unwrap();
    assert_eq!((table.rows(), table.batches().len()), (20_000, 3));
    assert_eq!(table.batches().iter().map(|b| b.num_rows()).sum::<usize>(), 20_000);
}

#[test]
fn files_of_other_kinds_are_left_alone() {
    let folder = Folder::with("t.csv", "a\n1\n");
    folder.write("notes.txt", "x");
    folder.write("network.toml", "x");
    assert_eq!(folder.open().unwrap().schema("person_id").tables.len(), 1);
}

#[test]
fn what_the_schema_infers_can_be_bound() {
    let content = "a,b,c,d,e\n1,1.5,2020-01-01,2020-01-01T10:00:00,true\n-0,99999999999999999999,,,FALSE\n,.5,,,\n";
    let folder = Folder::with("t.csv", content);
    let typed = |(name, t): (String, InferredType)| match t {
        InferredType::Typed(t) => column(&name, t),
        InferredType::Empty => column(&name, ColumnType::Real),
    };
    let bound = folder.bind(types(content).into_iter().map(typed).collect()).unwrap();
    assert_eq!(bound.table("t").unwrap().rows(), 3);
}
