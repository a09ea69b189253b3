//! Bad input ends in a clear error: a stable code first, the place in words, never a value of a row, no panic, no hang.

mod common;

use std::fmt::Write;
use std::time::Duration;

use common::{Run, Scratch, consilium, in_parallel, run, sandbox};

/// Stands in rows of every site's table; no message may repeat it.
const CANARY: &str = "Quaxolotl7731";
/// Longest a refusal may take: nothing here waits for a network.
const BOUND: Duration = Duration::from_secs(20);
const HEADER: &str = "person_id,n,day,dose,sex,note";

/// A folder, a question, and what must come of it.
struct Case {
    name: &'static str,
    make: fn(&Scratch),
    sql: &'static str,
    set: &'static [&'static str],
    code: &'static str,
    /// Must stand in the error: site, file, line, column, rule.
    words: &'static [&'static str],
    /// The bad value, which must not.
    secret: &'static str,
}

const COUNT: &str = "SELECT COUNT(*) FROM t";
const AT_LINE_3: &[&str] = &["site B", "t.csv", "line 3"];

/// Three sites with a good table.
fn good(folder: &Scratch) {
    for site in ["A", "B", "C"] {
        folder.write(&format!("{site}/t.csv"), csv(&["1,5,2020-02-29,1.5,F", "2,,,0.25,M"]));
    }
}

fn csv(rows: &[&str]) -> String {
    rows.iter().fold(format!("{HEADER}\n"), |text, row| text + row + "," + CANARY + "\n")
}

/// The good network, with another second row of data in B's table.
fn with_row(folder: &Scratch, row: &str) {
    good(folder);
    folder.write("B/t.csv", csv(&["1,5,2020-02-29,1.5,F", row, "3,6,2020-03-01,2,M"]));
}

fn with_bytes(folder: &Scratch, bytes: impl AsRef<[u8]>) {
    good(folder);
    folder.write("B/t.csv", bytes);
}

fn with_settings(folder: &Scratch, settings: &str) {
    good(folder);
    folder.write("network.toml", settings);
}

fn data(
    name: &'static str,
    make: fn(&Scratch),
    code: &'static str,
    words: &'static [&'static str],
    secret: &'static str,
) -> Case {
    Case { name, make, sql: COUNT, set: &[], code, words, secret }
}

fn query(name: &'static str, sql: &'static str, code: &'static str, words: &'static [&'static str]) -> Case {
    Case { name, make: good, sql, set: &[], code, words, secret: CANARY }
}

fn settings(
    name: &'static str,
    make: fn(&Scratch),
    sql: &'static str,
    code: &'static str,
    words: &'static [&'static str],
) -> Case {
    Case { name, make, sql, set: &[], code, words, secret: CANARY }
}

fn set(name: &'static str, set: &'static [&'static str], code: &'static str, words: &'static [&'static str]) -> Case {
    Case { name, make: good, sql: COUNT, set, code, words, secret: CANARY }
}

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
                "DIVISION_BY_ZERO",
                &["site B", "NULLIF"],
                CANARY,
            )
        },
        Case {
            sql: "SELECT SUM(CAST(note AS INTEGER)) FROM t",
            ..data("cast that fails at a site", good, "CAST_FAILED", &["site", "TRY_CAST"], CANARY)
        },
        Case {
            sql: "SELECT SUM(n * n * n * n * n) FROM t",
            ..data(
                "product beyond 64 bits at a site",
                |f| with_row(f, "2,77317731,,1,F"),
                "ARITHMETIC_OVERFLOW",
                &["site B", "DECIMAL"],
                "77317731",
            )
        },
    ]
}

fn query_cases() -> Vec<Case> {
    vec![
        query("syntax", "SELECT COUNT(*)\nFROM t WHERE WHERE n > 1", "SQL_SYNTAX", &["line 2", "column", "^"]),
        query("unclosed text", "SELECT COUNT(*) FROM t WHERE sex = 'F", "SQL_SYNTAX", &["line 1", "column 36", "^"]),
        query(
            "unknown column",
            "SELECT COUNT(*) FROM t WHERE dosee > 1",
            "UNKNOWN_COLUMN",
            &["dosee", "did you mean 'dose'"],
        ),
        query("unknown table", "SELECT COUNT(*) FROM tt", "UNKNOWN_TABLE", &["'tt'", "did you mean 't'"]),
        query("unknown site", "SELECT COUNT(*) FROM AA.t", "UNKNOWN_SITE", &["AA", "did you mean A.t"]),
        query(
            "unknown function",
            "SELECT COUNT(*) FROM t WHERE abss(n) > 1",
            "UNKNOWN_FUNCTION",
            &["abss", "Did you mean 'abs'"],
        ),
        query("text times two", "SELECT SUM(sex * 2) FROM t", "TYPE_MISMATCH", &[]),
        query(
            "ambiguous column",
            "SELECT COUNT(*) FROM A.t x JOIN A.t y ON x.person_id = y.person_id WHERE n > 1",
            "AMBIGUOUS_COLUMN",
            &["'n'", "table's name"],
        ),
        query("too deep", DEEP, "QUERY_TOO_DEEP", &["64 levels"]),
        query("two statements", "SELECT COUNT(*) FROM t; SELECT COUNT(*) FROM t", "ONE_STATEMENT", &["not 2"]),
        query("no statement", "  -- nothing", "NOT_A_QUERY", &["empty"]),
        query("not a SELECT", "DELETE FROM t", "NOT_A_QUERY", &["only SELECT"]),
        query(
            "control character",
            "SELECT COUNT(*)\n FROM t \u{1b}[2J",
            "CONTROL_CHARACTERS",
            &["U+001B", "line 2, column 9"],
        ),
        query(
            "bidirectional control",
            "SELECT COUNT(*) FROM t WHERE sex = '\u{202e}F'",
            "CONTROL_CHARACTERS",
            &["U+202E", "line 1, column 37"],
        ),
        query("rows", "SELECT person_id, note FROM t", "ROWS_NOT_RELEASED", &["single patients", "COUNT"]),
        query("all rows", "SELECT * FROM B.t", "ROWS_NOT_RELEASED", &["single patients"]),
        query(
            "predicate on the patient key",
            "SELECT COUNT(*) FROM t WHERE person_id = 2",
            "PREDICATE_ISOLATES",
            &["t.person_id", "single one out"],
        ),
        query(
            "list of patients",
            "SELECT SUM(n) FROM t WHERE person_id IN (1, 2)",
            "PREDICATE_ISOLATES",
            &["t.person_id"],
        ),
        query(
            "group for each patient",
            "SELECT person_id, COUNT(*) FROM t GROUP BY person_id",
            "PATIENT_KEY_GROUP",
            &["person_id"],
        ),
        query(
            "sum that may exceed its ring",
            "SELECT SUM(CAST(n AS DECIMAL(38, 0))) FROM t",
            "SUM_OVERFLOW",
            &["128 bits", "range"],
        ),
        query("MIN", "SELECT MIN(n) FROM t", "NOT_YET", &["min"]),
        query("MAX", "SELECT MAX(day) FROM t", "NOT_YET", &["max"]),
        query("median", "SELECT MEDIAN(n) FROM t", "NOT_YET", &["median"]),
        query("distinct patients", "SELECT COUNT(DISTINCT person_id) FROM t", "NOT_YET", &["private matching"]),
        query(
            "join across sites",
            "SELECT COUNT(*) FROM A.t a JOIN B.t b ON a.person_id = b.person_id",
            "NOT_YET",
            &["across sites"],
        ),
        query("distinct rows", "SELECT COUNT(*) FROM (SELECT DISTINCT sex FROM t) x", "NOT_YET", &["DISTINCT"]),
        query(
            "window",
            "SELECT COUNT(*) FROM (SELECT ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY day) r FROM t) x",
            "NOT_YET",
            &["window"],
        ),
        query("parameter", "SELECT COUNT(*) FROM t WHERE n = $1", "INVALID_QUERY", &["parameters"]),
        query("no table", "SELECT 1", "UNSUPPORTED", &["no table"]),
    ]
}

/// Seventy brackets.
const DEEP: &str = "SELECT COUNT(*) FROM t WHERE \
    ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((n = 1\
    ))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))";

fn policy_cases() -> Vec<Case> {
    const BY_N: &str = "SELECT n, COUNT(*) FROM t GROUP BY n";
    vec![
        settings(
            "two sites",
            |f| {
                good(f);
                std::fs::remove_dir_all(f.at("C")).unwrap()
            },
            COUNT,
            "TOO_FEW_SITES",
            &["2 sites", "3", "min_sites"],
        ),
        settings(
            "small cells",
            |f| with_settings(f, "min_patients = 11\n"),
            COUNT,
            "SUPPRESSION_NOT_YET",
            &["min_patients=11"],
        ),
        set("small cells, set", &["min_patients=11"], "SUPPRESSION_NOT_YET", &["min_patients=11"]),
        settings(
            "column not allowed",
            |f| with_settings(f, "[tables.t.columns.note]\nallowed = false\n"),
            "SELECT COUNT(note) FROM t",
            "COLUMN_NOT_ALLOWED",
            &["t.note"],
        ),
        settings(
            "column not allowed in WHERE",
            |f| with_settings(f, "[tables.t.columns.note]\nallowed = false\n"),
            "SELECT COUNT(*) FROM t WHERE note LIKE 'Q%'",
            "COLUMN_NOT_ALLOWED",
            &["t.note"],
        ),
        settings(
            "keys not agreeable",
            |f| with_settings(f, "[tables.t.columns.n]\nagree_keys = false\n"),
            BY_N,
            "KEYS_NOT_AGREEABLE",
            &["t.n", "domain"],
        ),
        settings(
            "quasi-identifier compared",
            |f| with_settings(f, "[tables.t.columns.day]\nquasi_identifier = true\n"),
            "SELECT COUNT(*) FROM t WHERE day = DATE '2020-02-29'",
            "PREDICATE_ISOLATES",
            &["t.day", "quasi-identifier"],
        ),
        settings(
            "quasi-identifier agreed",
            |f| with_settings(f, "[tables.t.columns.day]\nquasi_identifier = true\n"),
            "SELECT day, COUNT(*) FROM t GROUP BY day",
            "KEYS_NOT_AGREEABLE",
            &["t.day", "quasi-identifier"],
        ),
        settings(
            "more groups than allowed, declared",
            |f| with_settings(f, "max_groups = 2\n[tables.t.columns.n]\ndomain = [5, 6, 7]\nagree_keys = false\n"),
            BY_N,
            "TOO_MANY_GROUPS",
            &["groups", "2"],
        ),
        settings(
            "more groups than allowed, at a site",
            |f| {
                with_settings(f, "max_groups = 2\n");
                f.write("B/t.csv", csv(&["1,1,,1,F", "1,2,,1,F", "1,3,,1,F"]));
            },
            BY_N,
            "TOO_MANY_GROUPS",
            &["site B", "2"],
        ),
    ]
}

fn config_cases() -> Vec<Case> {
    vec![
        settings(
            "one site",
            |f| drop(f.write("A/t.csv", csv(&[]))),
            COUNT,
            "BAD_NUMBER_OF_SITES",
            &["1 site", "2 to 20"],
        ),
        settings(
            "21 sites",
            |f| (0..21).for_each(|i| drop(f.write(&format!("s{i}/t.csv"), csv(&[])))),
            COUNT,
            "BAD_NUMBER_OF_SITES",
            &["21 sites", "20"],
        ),
        settings(
            "bad site name",
            |f| {
                good(f);
                f.write("St Mary/t.csv", csv(&[]));
            },
            COUNT,
            "BAD_SITE_NAME",
            &["St Mary", "letters"],
        ),
        settings(
            "site named network",
            |f| {
                good(f);
                f.write("network/t.csv", csv(&[]));
            },
            COUNT,
            "BAD_SITE_NAME",
            &["network"],
        ),
        settings(
            "unknown setting",
            |f| with_settings(f, "min_patient = 11\n"),
            COUNT,
            "BAD_SETTINGS",
            &["min_patient", "did you mean 'min_patients'"],
        ),
        settings(
            "unknown setting of a column",
            |f| with_settings(f, "[tables.t.columns.n]\nrnage = [1, 2]\n"),
            COUNT,
            "BAD_SETTINGS",
            &["did you mean 'tables.t.columns.n.range'"],
        ),
        settings(
            "setting of a table that is not there",
            |f| with_settings(f, "[tables.tt]\nmax_rows = 5\n"),
            COUNT,
            "BAD_SETTINGS",
            &["tt", "did you mean 't'"],
        ),
        settings(
            "broken TOML",
            |f| with_settings(f, "min_sites = \n"),
            COUNT,
            "BAD_SETTINGS",
            &["network.toml", "line 1"],
        ),
        settings(
            "patient key that is not there",
            |f| with_settings(f, "patient_key = \"person_idd\"\n"),
            COUNT,
            "BAD_SETTINGS",
            &["did you mean 'person_id'"],
        ),
        settings(
            "domain of another type",
            |f| with_settings(f, "[tables.t.columns.n]\ndomain = [\"x\"]\n"),
            COUNT,
            "BAD_SETTINGS",
            &["t.n.domain", "int"],
        ),
        set("unknown key", &["min_site=2"], "BAD_SETTINGS", &["did you mean 'min_sites'"]),
        set("no value", &["min_sites"], "BAD_SETTINGS", &["key=value"]),
        set("value of another type", &["min_sites=many"], "BAD_SETTINGS", &["min_sites"]),
        set("no site at all", &["min_sites=0"], "BAD_SETTINGS", &["min_sites", "at least 2"]),
        set("no time", &["step_timeout_ms=0"], "BAD_SETTINGS", &["step_timeout_ms", "10"]),
    ]
}

/// Runs a case; what is wrong with its end, if anything.
fn try_case(case: &Case) -> Option<String> {
    let folder = Scratch::new("bad");
    (case.make)(&folder);
    let sets: Vec<&str> = case.set.iter().flat_map(|set| ["--set", set]).collect();
    let ended = sandbox(folder.path(), &[&["-e", case.sql, "--format", "json"], &sets[..]].concat());
    faults(case.name, &ended, case.code, case.words, &[case.secret, CANARY])
}

fn faults(name: &str, ended: &Run, code: &str, words: &[&str], secrets: &[&str]) -> Option<String> {
    let mut wrong = String::new();
    let mut check = |ok: bool, what: &str| {
        if !ok {
            let _ = write!(wrong, "  {what}\n");
        }
    };
    check(ended.status == Some(1), &format!("exit status {:?} is not 1", ended.status));
    check(ended.error().starts_with(&format!("{code}: ")), &format!("the code is {:?}, not {code}", ended.code()));
    for word in words {
        check(ended.error().contains(word), &format!("the error does not say {word:?}"));
    }
    for secret in secrets {
        check(!ended.all().contains(secret), &format!("{secret:?} came out"));
    }
    check(ended.stdout.is_empty(), "something was printed as an answer");
    check(!ended.stderr.contains("panicked") && !ended.stderr.contains("RUST_BACKTRACE"), "it panicked");
    check(ended.took < BOUND, &format!("it took {:?}", ended.took));
    println!("{name}: {}", ended.stderr.trim_end());
    (!wrong.is_empty()).then(|| format!("{name}:\n{wrong}  stderr: {}\n", ended.stderr.trim_end()))
}

fn all_refused(cases: &[Case]) {
    let wrong: Vec<String> = in_parallel(cases, 2, try_case).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.concat());
}

#[test]
fn a_bad_file_is_named_with_its_site_and_line() {
    all_refused(&file_cases());
}

#[test]
fn a_bad_cell_is_named_with_its_line_and_column_and_not_repeated() {
    all_refused(&cell_cases());
}

#[test]
fn a_question_that_cannot_be_answered_says_why() {
    all_refused(&query_cases());
}

#[test]
fn what_the_policy_forbids_is_refused() {
    all_refused(&policy_cases());
}

#[test]
fn a_bad_configuration_names_the_key_or_the_site() {
    all_refused(&config_cases());
}

#[test]
fn a_query_of_more_than_64_kib_is_refused() {
    let folder = Scratch::new("long");
    good(&folder);
    let file = folder.write(".query.sql", format!("{COUNT} -- {}", "x".repeat(1 << 16)));
    let ended = sandbox(folder.path(), &["--file", &file.to_string_lossy()]);
    assert_eq!(faults("long", &ended, "QUERY_TOO_LONG", &["65536"], &[CANARY]), None);
}
