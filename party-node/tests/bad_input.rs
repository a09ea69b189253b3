//! Bad data ends in a clear error: a stable code first, the site, file, line and column in words, never a value of a row, no
//! panic, no hang.

mod common;

use common::cases::{CANARY, Case, all_refused, csv, data, good, with_bytes, with_row, with_settings};

const AT_LINE_3: &[&str] = &["site B", "t.csv", "line 3"];
const HEADER: &str = "person_id,n,day,dose,sex,note";

fn file_cases() -> Vec<Case> {
    vec![
        data("no folder", |f| std::fs::remove_dir(f.path()).unwrap(), "NO_SUCH_FOLDER", &[], CANARY),
        data("no sites", |f| drop(f.write("t.csv", csv(&[]))), "NO_SITES", &["sub-folders"], CANARY),
        data(
            "site without tables",
            |f| {
                good(f);
                std::fs::remove_file(f.at("B/t.csv")).unwrap()
            },
            "NO_TABLES",
            &["site B", ".csv"],
            CANARY,
        ),
        data("empty file", |f| with_bytes(f, ""), "EMPTY_FILE", &["site B", "t.csv", "header"], CANARY),
        data(
            "ragged row",
            |f| with_row(f, "2,77317731"),
            "RAGGED_ROW",
            &["site B", "t.csv", "line 3", "3 fields", "6"],
            "77317731",
        ),
        data(
            "unterminated quote",
            |f| with_row(f, "2,5,,1,\"Zanzibar77"),
            "UNTERMINATED_QUOTE",
            AT_LINE_3,
            "Zanzibar77",
        ),
        data(
            "not UTF-8",
            |f| with_bytes(f, [format!("{HEADER}\n1,5,,1,F,a\n2,5,,1,").as_bytes(), b"Zanzi\xffbar,b\n"].concat()),
            "NOT_UTF8",
            &["site B", "t.csv", "line 3", "column 5"],
            "Zanzi",
        ),
        data("UTF-16", |f| with_bytes(f, [0xff, 0xfe, b'p', 0]), "NOT_UTF8", &["site B", "t.csv", "UTF-16"], CANARY),
        data("NUL", |f| with_row(f, "2,5,,1,Zanzi\0bar"), "NUL_BYTE", AT_LINE_3, "Zanzi"),
        data(
            "duplicate column",
            |f| with_bytes(f, format!("person_id,n,N\n1,2,{CANARY}\n")),
            "DUPLICATE_COLUMN",
            &["site B", "t.csv", "2 and 3"],
            CANARY,
        ),
        data(
            "column without a name",
            |f| with_bytes(f, format!("person_id,,n\n1,2,{CANARY}\n")),
            "EMPTY_COLUMN_NAME",
            &["site B", "t.csv", "column 2"],
            CANARY,
        ),
        data(
            "over-long line",
            |f| with_row(f, &format!("2,5,,1,{}", "Zanzibar".repeat(1 << 18))),
            "LINE_TOO_LONG",
            AT_LINE_3,
            "Zanzibar",
        ),
        data(
            "lone carriage returns",
            |f| with_bytes(f, format!("person_id,n\r1,{CANARY}\r")),
            "CR_LINE_ENDS",
            &["site B", "t.csv"],
            CANARY,
        ),
        data(
            "gzip",
            |f| with_bytes(f, [0x1f, 0x8b, 8, 0, 0, 0]),
            "GZIP_AS_CSV",
            &["site B", "t.csv", "gunzip"],
            CANARY,
        ),
        data(
            "text as Parquet",
            |f| {
                good(f);
                f.write("B/u.parquet", csv(&[]));
            },
            "NOT_PARQUET",
            &["site B", "u.parquet"],
            CANARY,
        ),
        data(
            "damaged Parquet",
            |f| {
                good(f);
                f.write("B/u.parquet", b"PAR1 nothing of the kind PAR1");
            },
            "PARQUET_DAMAGED",
            &["site B", "u.parquet"],
            CANARY,
        ),
        data(
            "two files for one table",
            |f| {
                good(f);
                f.write("B/T.csv", csv(&[]));
            },
            "DUPLICATE_TABLE",
            &["site B", "T.csv", "t.csv"],
            CANARY,
        ),
        data(
            "folder named as a file",
            |f| {
                good(f);
                std::fs::create_dir(f.at("B/u.csv")).unwrap()
            },
            "NOT_A_FILE",
            &["site B", "u.csv"],
            CANARY,
        ),
        #[cfg(unix)]
        data(
            "link out of the folder",
            |f| {
                good(f);
                let outside = f.write(".outside/secret.csv", csv(&["1,2,,,F"]));
                std::os::unix::fs::symlink(outside, f.at("B/u.csv")).unwrap();
            },
            "SYMLINK_OUTSIDE",
            &["site B", "u.csv"],
            "secret.csv",
        ),
        data(
            "too many rows",
            |f| {
                with_settings(f, "[tables.t]\nmax_rows = 2\n");
                f.write("B/t.csv", csv(&["1,5,,1,F"; 3]));
            },
            "TOO_MANY_ROWS",
            &["site B", "t.csv", "3 rows", "2"],
            CANARY,
        ),
        data(
            "another schema",
            |f| with_bytes(f, "person_id,n,day,dose,sex,remark\n1,abc,,,F,x\n"),
            "SCHEMA_DIFFERS",
            &["t.n: A: int, B: text, C: int", "t.note: A: text, B: missing", "t.remark", "network.toml"],
            CANARY,
        ),
    ]
}

fn cell_cases() -> Vec<Case> {
    const AT_N: &[&str] = &["site B", "t.csv", "line 3", "column n"];
    const TYPED: &str = "[tables.t.columns.n]\ntype = \"int\"\n[tables.t.columns.dose]\ntype = \"decimal(6,2)\"\n\
                         [tables.t.columns.day]\ntype = \"date\"\n";
    vec![
        data(
            "integer beyond 64 bits",
            |f| with_row(f, "2,99999999999999997731,,1,F"),
            "INTEGER_OVERFLOW",
            AT_N,
            "99999999999999997731",
        ),
        data("NaN", |f| with_row(f, "2,5,,NaN,F"), "NOT_FINITE", &["site B", "t.csv", "line 3", "column dose"], "NaN"),
        data("infinity", |f| with_row(f, "2,5,,1e999,F"), "NOT_FINITE", &["line 3", "column dose"], "1e999"),
        data("thousands separator", |f| with_row(f, "2,\"7,731\",,1,F"), "THOUSANDS_SEPARATOR", AT_N, "7,731"),
        data("full-width digits", |f| with_row(f, "2,７７３１,,1,F"), "FULL_WIDTH_DIGITS", AT_N, "７７３１"),
        data(
            "a word for a missing value",
            |f| with_row(f, "2,NULL,,1,F"),
            "MISSING_VALUE_WORD",
            &["line 3", "column n", "empty field"],
            CANARY,
        ),
        data(
            "day that is not in the calendar",
            |f| with_row(f, "2,5,2021-02-29,1,F"),
            "INVALID_DATE",
            &["site B", "t.csv", "line 3", "column day"],
            "2021-02-29",
        ),
        data(
            "word where a number is declared",
            |f| {
                with_row(f, "2,Zanzibar,,1,F");
                f.write("network.toml", TYPED);
            },
            "NOT_AN_INTEGER",
            AT_N,
            "Zanzibar",
        ),
        data(
            "word where a day is declared",
            |f| {
                with_row(f, "2,5,Zanzibar,1,F");
                f.write("network.toml", TYPED);
            },
            "INVALID_DATE",
            &["line 3", "column day"],
            "Zanzibar",
        ),
        data(
            "too many digits after the point",
            |f| {
                with_row(f, "2,5,,77.317,F");
                f.write("network.toml", TYPED);
            },
            "DECIMAL_SCALE",
            &["line 3", "column dose"],
            "77.317",
        ),
        data(
            "too many digits",
            |f| {
                with_row(f, "2,5,,77317.5,F");
                f.write("network.toml", TYPED);
            },
            "DECIMAL_OVERFLOW",
            &["line 3", "column dose"],
            "77317.5",
        ),
        data(
            "number outside its range",
            |f| {
                with_row(f, "2,7731,,1,F");
                f.write("network.toml", "[tables.t.columns.n]\nrange = [0, 100]\n");
            },
            "VALUE_OUT_OF_RANGE",
            AT_N,
            "7731",
        ),
        data(
            "negative where forbidden",
            |f| {
                with_row(f, "2,-7,,1,F");
                f.write("network.toml", "[tables.t.columns.n]\nrange = [0, 100]\n");
            },
            "VALUE_OUT_OF_RANGE",
            AT_N,
            "-7",
        ),
        data(
            "code outside its domain",
            |f| {
                with_row(f, "2,5,,1,Zanzibar");
                f.write("network.toml", "[tables.t.columns.sex]\ndomain = [\"F\", \"M\"]\n");
            },
            "VALUE_OUTSIDE_DOMAIN",
            &["site B", "t.csv", "line 3", "column sex", "1 of 3 rows"],
            "Zanzibar",
        ),
        Case {
            sql: "SELECT SUM(10 / (n - 7731)) FROM t",
            ..data(
                "division by zero at a site",
                |f| with_row(f, "2,7731,,1,F"),
                "LOCAL_FAILED",
                &["site B", "[B] its own work failed: DIVISION_BY_ZERO"],
                CANARY,
            )
        },
        Case {
            sql: "SELECT SUM(CAST(note AS INTEGER)) FROM t",
            ..data(
                "cast that fails at a site",
                good,
                "LOCAL_FAILED",
                &["site ", "its own work failed: CAST_FAILED"],
                CANARY,
            )
        },
        Case {
            sql: "SELECT SUM(n * n * n * n * n) FROM t",
            ..data(
                "product beyond 64 bits at a site",
                |f| with_row(f, "2,77317731,,1,F"),
                "LOCAL_FAILED",
                &["site B", "[B] its own work failed: ARITHMETIC_OVERFLOW"],
                "77317731",
            )
        },
    ]
}

#[test]
fn a_bad_file_is_named_with_its_site_and_line() {
    all_refused(&file_cases());
}

#[test]
fn a_bad_cell_is_named_with_its_line_and_column_and_not_repeated() {
    all_refused(&cell_cases());
}
