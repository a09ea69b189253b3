//! A question that cannot or may not be answered is refused with a stable code, the place in the text and what to do
//! instead.

mod common;

use common::cases::{CANARY, COUNT, Case, all_refused, csv, faults, good, query, set, settings, with_settings};
use common::{Scratch, sandbox};

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
        query("unknown site", "SELECT COUNT(*) FROM AA.t", "UNKNOWN_SITE", &["aa", "did you mean A.t"]),
        query(
            "unknown function",
            "SELECT COUNT(*) FROM t WHERE abss(n) > 1",
            "UNKNOWN_FUNCTION",
            &["abss", "did you mean 'abs'"],
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
            "SELECT SUM(CAST(dose AS DECIMAL(38, 2))) FROM t",
            "SUM_OVERFLOW",
            &["128 bits", "range"],
        ),
        query("MIN of a text", "SELECT MIN(sex) FROM t", "TYPE_MISMATCH", &["min", "numbers"]),
        query("MAX of the patient key", "SELECT MAX(person_id) FROM t", "PATIENT_KEY_VALUE", &["max"]),
        query(
            "share beyond 1",
            "SELECT PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY n) FROM t",
            "INVALID_QUERY",
            &["0 to 1"],
        ),
        query(
            "share too fine",
            "SELECT PERCENTILE_CONT(0.123456789) WITHIN GROUP (ORDER BY n) FROM t",
            "PERCENTILE_TOO_FINE",
            &["digits", "decimals"],
        ),
        query(
            "a local MAX on its way out",
            "SELECT SUM(m) FROM (SELECT MAX(n) AS m FROM A.t) x",
            "NOT_RELEASED",
            &["max", "one of them"],
        ),
        query("distinct values", "SELECT COUNT(DISTINCT n) FROM t", "NOT_YET", &["distinct values across sites"]),
        query(
            "join across sites",
            "SELECT COUNT(*) FROM A.t a JOIN B.t b ON a.n = b.n",
            "UNMATCHABLE",
            &["a.n = b.n", "person_id alone"],
        ),
        query(
            "window",
            "SELECT COUNT(*) FROM (SELECT RANK() OVER (ORDER BY day) r FROM t) x WHERE r = 1",
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
            "tables that undo the hiding",
            |f| with_settings(f, "min_patients = 11\n"),
            "SELECT sex AS k, COUNT(*) AS c FROM t GROUP BY 1 UNION ALL SELECT note, COUNT(*) FROM t GROUP BY 1",
            "RELATED_TABLES",
            &["two parts", "rows of t", "GROUP BY"],
        ),
        settings(
            "too many rows to sort",
            |f| with_settings(f, "[tables.t]\nmax_rows = 1000000\n"),
            "SELECT MEDIAN(n) FROM t",
            "TOO_MANY_ROWS",
            &["1048576", "range"],
        ),
        settings(
            "a policy of no site",
            |f| with_settings(f, "[sites.D]\nmin_patients = 11\n"),
            COUNT,
            "BAD_SETTINGS",
            &["'D'"],
        ),
        set("small cells of no size", &["min_patients=0"], "BAD_SETTINGS", &["min_patients is 1 to"]),
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
            "LOCAL_FAILED",
            &["site B", "[B] its own work failed: TOO_MANY_GROUPS", "2"],
        ),
    ]
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
fn a_query_of_more_than_64_kib_is_refused() {
    let folder = Scratch::new("long");
    good(&folder);
    let file = folder.write(".query.sql", format!("{COUNT} -- {}", "x".repeat(1 << 16)));
    let ended = sandbox(folder.path(), &["--file", &file.to_string_lossy()]);
    assert_eq!(faults("long", &ended, "QUERY_TOO_LONG", &["65536"], &[CANARY]), None);
}
