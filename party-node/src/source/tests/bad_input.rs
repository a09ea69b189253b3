//! Every fault has its own code, names the place, and never repeats a value.

use query_planner::value::Value;

use super::super::csv::MAX_LINE_BYTES;
use super::super::watch::Watched;
use super::super::{Origin, SiteData};
use super::*;

/// Stands for what must not appear in any message.
const SECRET: &str = "4711";

/// The fault has this code, names these things, and does not repeat the secret.
fn check(fault: &NodeError, code: &str, names: &[&str]) {
    let text = fault.to_string();
    assert_eq!(fault.code, code, "{text}");
    names.iter().for_each(|name| assert!(text.contains(name), "no {name:?} in {text:?}"));
    assert!(!text.contains(SECRET), "{text:?} repeats a value");
}

fn check_csv(content: impl AsRef<[u8]>, code: &str, names: &[&str]) {
    check(&Folder::with("t.csv", content).open().unwrap_err(), code, names);
}

/// Binds `t.csv` with the header `a` and these fields to a declared type.
fn check_field(fields: &str, data_type: ColumnType, code: &str, names: &[&str]) {
    let folder = Folder::with("t.csv", format!("a\n{fields}\n"));
    check(&folder.bind(vec![column("a", data_type)]).unwrap_err(), code, names);
}

#[test]
fn a_folder_that_is_missing_is_a_file_or_has_no_tables_is_refused() {
    let folder = Folder::with("readme.txt", "no table");
    let open = |path: &Path| SiteData::open(path).unwrap_err();
    check(&open(&folder.path().join("nowhere")), "FOLDER_MISSING", &["nowhere"]);
    check(&open(&folder.path().join("readme.txt")), "NOT_A_FOLDER", &["readme.txt"]);
    check(&open(folder.path()), "NO_TABLES", &[".csv", ".parquet"]);
}

#[test]
fn two_files_for_one_table_are_refused_by_name() {
    let folder = Folder::with("visit.csv", "a\n1\n");
    folder.write("Visit.csv", "a\n1\n");
    check(&folder.open().unwrap_err(), "DUPLICATE_TABLE", &["visit.csv", "Visit.csv", "table visit"]);
}

#[test]
fn a_folder_named_like_a_table_is_not_a_file() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("t.csv")).unwrap();
    check(&folder.open().unwrap_err(), "NOT_A_FILE", &["t.csv"]);
}

#[cfg(unix)]
#[test]
fn a_link_may_point_inside_the_folder_but_not_out_of_it() {
    let outside = Folder::with("secret.csv", "a\n1\n");
    let folder = Folder::with("real.csv", "a\n1\n");
    std::os::unix::fs::symlink(folder.path().join("real.csv"), folder.path().join("alias.csv")).unwrap();
    assert_eq!(folder.open().unwrap().schema("person_id").tables.len(), 2);
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), folder.path().join("t.csv")).unwrap();
    check(&folder.open().unwrap_err(), "SYMLINK_OUTSIDE", &["t.csv"]);
}

#[cfg(unix)]
#[test]
fn a_dangling_link_is_unreadable() {
    let folder = Folder::new();
    std::os::unix::fs::symlink(folder.path().join("gone"), folder.path().join("t.csv")).unwrap();
    check(&folder.open().unwrap_err(), "FILE_UNREADABLE", &["t.csv", "not found"]);
}

#[test]
fn a_file_without_a_header_line_is_empty() {
    for content in ["", "\n", "\r\n\r\n", "\u{feff}"] {
        check_csv(content, "EMPTY_FILE", &["t.csv"]);
    }
    check(&Folder::with("t.parquet", "").open().unwrap_err(), "EMPTY_FILE", &["t.parquet"]);
}

#[test]
fn a_ragged_row_is_named_by_its_line() {
    check_csv("a,b\n1,2\n4711\n", "RAGGED_ROW", &["t.csv", "line 3", "1 fields", "has 2"]);
    check_csv("a,b\n\"x\ny\",2\n4711,1,1\n", "RAGGED_ROW", &["line 4", "3 fields"]);
    check_csv("a,b\r\n\r\n\r\n\"x\r\ny\",2\r\n4711,1,1\r\n", "RAGGED_ROW", &["line 6", "3 fields"]);
    check_csv("\n\na,b\n\n1,2\n\n4711,\"x\n\n\",1", "RAGGED_ROW", &["line 7", "3 fields"]);
}

#[test]
fn a_quote_that_is_never_closed_is_named_by_the_line_where_its_row_starts() {
    check_csv("a,b\n1,2\n3,\"4711\n5,6\n", "UNTERMINATED_QUOTE", &["t.csv", "line 3"]);
    check_csv("a,b\n1,\"4711", "UNTERMINATED_QUOTE", &["line 2"]);
    check_csv("a,\"b\n1,2\n", "UNTERMINATED_QUOTE", &["line 1"]);
    check_csv("a\n\"", "UNTERMINATED_QUOTE", &["line 2"]);
    check_csv("a\r\n\r\n\"47\r\n11\r\n", "UNTERMINATED_QUOTE", &["line 3"]);
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_line_and_column() {
    check_csv(b"a,b\n1,2\n4711,\xff\n", "NOT_UTF8", &["line 3", "column 2"]);
    check_csv(b"a,\xe9\n1,2\n", "NOT_UTF8", &["line 1", "column 2"]);
    // One character split by a comma is UTF-8 only if the comma is forgotten.
    check_csv(b"a,b\n\xc3,\xa9\n", "NOT_UTF8", &["line 2", "column 1"]);
    check_csv(b"\xff\xfea\0\n\0", "NOT_UTF8", &["UTF-16"]);
}

#[test]
fn a_nul_byte_is_named_by_its_line() {
    check_csv(b"a,b\n1,2\n\n4711,\0\n", "NUL_BYTE", &["t.csv", "line 4"]);
    check_csv(b"a\n\0\n", "NUL_BYTE", &["line 2"]);
}

#[test]
fn column_names_must_be_there_and_differ_without_case() {
    check_csv("a,,c\n1,2,3\n", "EMPTY_COLUMN_NAME", &["t.csv", "line 1", "column 2"]);
    check_csv("Age,b,aGE\n1,2,3\n", "DUPLICATE_COLUMN", &["line 1", "columns 1 and 3", "aGE"]);
    // Without a header line the first row stands in its place: its values are not repeated.
    check_csv("4711,4711\n", "DUPLICATE_COLUMN", &["columns 1 and 2"]);
}

#[test]
fn a_file_with_carriage_returns_alone_is_refused() {
    check_csv("a,b\r4711,2\r", "CR_LINE_ENDS", &["t.csv", "line feeds"]);
}

#[test]
fn an_endless_line_is_named_and_not_buffered() {
    let long = "4711".repeat(MAX_LINE_BYTES / 4);
    check_csv(format!("a\n1\n{long}\n"), "LINE_TOO_LONG", &["t.csv", "line 3"]);
    let longest = &long[1..];
    assert!(Folder::with("t.csv", format!("a\n{longest}\n")).open().is_ok());
}

#[test]
fn gzip_under_a_csv_name_says_to_unpack_it() {
    check_csv(b"\x1f\x8b\x08\x00rest", "GZIP_AS_CSV", &["t.csv", "gunzip"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let folder = Folder::with("t.csv", "a\n1\n");
    let origin = Origin { table: "t".into(), file: "t.csv".into() };
    let open = || Watched::open(&folder.path().join("t.csv"), &origin).unwrap().1;
    let watched = open();
    watched.verify(&origin).unwrap();
    folder.write("t.csv", "a\n1\n2\n");
    check(&watched.verify(&origin).unwrap_err(), "FILE_CHANGED", &["t.csv"]);
    let watched = open();
    std::fs::remove_file(folder.path().join("t.csv")).unwrap();
    check(&watched.verify(&origin).unwrap_err(), "FILE_CHANGED", &["t.csv"]);
}

#[test]
fn fields_that_do_not_fit_their_declared_type_are_named_by_line_column_and_rule() {
    use ColumnType::{Bool, Date, Int, Real, Timestamp};
    let cents = ColumnType::Decimal { precision: 6, scale: 2 };
    for (fields, data_type, code) in [
        ("1\n4711x", Int, "NOT_AN_INTEGER"),
        ("1\n4711.5", Int, "NOT_AN_INTEGER"),
        ("1\n47114711471147114711", Int, "INTEGER_OVERFLOW"),
        ("1\n\"4,711\"", Int, "THOUSANDS_SEPARATOR"),
        ("1\n４７１１", Int, "FULL_WIDTH_DIGITS"),
        ("1\nNA", Int, "MISSING_VALUE_WORD"),
        ("1\n4711x", Real, "NOT_A_NUMBER"),
        ("1\nNaN", Real, "NOT_FINITE"),
        ("1\n-Inf", Real, "NOT_FINITE"),
        ("1\n4711e4711", Real, "NOT_FINITE"),
        ("1\n\"4,711.5\"", Real, "THOUSANDS_SEPARATOR"),
        ("1\n0.4711", cents, "DECIMAL_SCALE"),
        ("1\n47114711", cents, "DECIMAL_OVERFLOW"),
        ("1\n4711e1", cents, "NOT_A_DECIMAL"),
        ("2020-01-01\n4711-02-30", Date, "INVALID_DATE"),
        ("2020-01-01 00:00:00\n4711-01-01", Timestamp, "INVALID_TIMESTAMP"),
        ("true\n4711", Bool, "INVALID_BOOL"),
    ] {
        check_field(fields, data_type, code, &["t.csv", "table t", "line 3", "column a"]);
    }
}

#[test]
fn values_outside_a_declared_range_or_domain_are_counted_not_shown() {
    let folder = Folder::with("t.csv", "a,b,c\n1,x,1.50\n\n4711,4711x,47.11\n,,\n-4711,x,1.5\n");
    let cents = ColumnType::Decimal { precision: 6, scale: 2 };
    let ranged = |name, data_type| vec![Column { range: Some((0, 150)), ..column(name, data_type) }];
    let fault = folder.bind(ranged("a", ColumnType::Int)).unwrap_err();
    check(&fault, "VALUE_OUT_OF_RANGE", &["column a", "2 of 4 rows", "line 4"]);
    let fault = folder.bind(ranged("c", cents)).unwrap_err();
    check(&fault, "VALUE_OUT_OF_RANGE", &["column c", "1 of 4 rows", "line 4"]);
    let coded = |name, data_type, domain| vec![Column { domain: Some(domain), ..column(name, data_type) }];
    let fault = folder.bind(coded("a", ColumnType::Int, vec![Value::Int(1)])).unwrap_err();
    check(&fault, "VALUE_OUTSIDE_DOMAIN", &["column a", "2 of 4 rows", "line 4"]);
    let fault = folder.bind(coded("b", ColumnType::Text, vec![Value::Text("x".into())])).unwrap_err();
    check(&fault, "VALUE_OUTSIDE_DOMAIN", &["column b", "1 of 4 rows", "line 4"]);
    let fault = folder.bind(coded("c", cents, vec![Value::Decimal(150, 2)])).unwrap_err();
    check(&fault, "VALUE_OUTSIDE_DOMAIN", &["column c", "1 of 4 rows", "line 4"]);
}

#[test]
fn more_rows_than_declared_are_refused() {
    let folder = Folder::with("t.csv", format!("a\n{}", "1\n".repeat(1025)));
    let fault = folder.bind(vec![column("a", ColumnType::Int)]).unwrap_err();
    check(&fault, "TOO_MANY_ROWS", &["t.csv", "1025", "1024"]);
}

#[test]
fn what_the_catalogue_declares_must_be_there() {
    let fault = Folder::with("t.csv", "a\n1\n").bind(vec![column("b", ColumnType::Int)]).unwrap_err();
    check(&fault, "COLUMN_MISSING", &["t.csv", "column b"]);
    let fault = Folder::with("u.csv", "a\n1\n").bind(vec![column("a", ColumnType::Int)]).unwrap_err();
    check(&fault, "TABLE_MISSING", &["site A", "table T", "t.csv"]);
}

#[test]
fn a_doubtful_column_is_reported_with_its_first_odd_line() {
    let folder = Folder::with("t.csv", "n,d,ok\n1,2020-01-01,x\n\"4,711\",4711-02-30,1\n");
    let data = folder.open().unwrap();
    let doubts = data.doubts();
    let found: Vec<_> = doubts.iter().map(|d| (d.table, d.column, &*d.fault.code)).collect();
    assert_eq!(found, [("t", "n", "THOUSANDS_SEPARATOR"), ("t", "d", "INVALID_DATE")]);
    check(&doubts[0].fault, "THOUSANDS_SEPARATOR", &["t.csv", "line 3", "column n"]);
}

#[test]
fn hostile_bytes_are_read_or_refused_but_never_a_panic() {
    let seed = 4242u64;
    println!("seed {seed}");
    let mut random = seed;
    let mut below = move |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    let pieces: [&[u8]; 16] = [
        b"a",
        b",",
        b"\"",
        b"\n",
        b"\r\n",
        b"\r",
        b"-",
        b"0",
        b"9",
        b".",
        b"e",
        b"2020-02-30",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        "１".as_bytes(),
    ];
    let folder = Folder::new();
    for _ in 0..500 {
        let length = below(40);
        let content: Vec<u8> = (0..length).flat_map(|_| pieces[below(pieces.len())].to_vec()).collect();
        folder.write("t.csv", content);
        let Ok(data) = folder.open() else { continue };
        data.doubts();
        let columns = data.schema("person_id").tables[0].columns.clone();
        let declared = |t| columns.iter().map(|(name, _)| column(name, t)).collect();
        for data_type in [ColumnType::Text, ColumnType::Int, ColumnType::Real, ColumnType::Date, ColumnType::Timestamp]
        {
            let bound = folder.bind(declared(data_type));
            assert!(bound.is_ok() || data_type != ColumnType::Text);
        }
    }
}
