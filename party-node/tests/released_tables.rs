//! Tables that policy wants k-anonymous and l-diverse, in three real processes: a combination of keys is shown exactly where counting
//! pooled rows says that it may be, and nothing that is shown tells a hidden one.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Run, Scratch, sandbox};
use serde_json::Value;

/// So many rows at A, B and C with these values of k and s.
type Rows = ((i64, i64), [usize; 3]);

const KEYS: i64 = 3;
const SENSITIVE: i64 = 3;

/// Three sites with these rows in a table t, whose column s is sensitive. With patients every row is of a patient of its own.
fn network(rows: &[Rows], patients: bool, settings: &str) -> Scratch {
    let folder = Scratch::new("released");
    for (site, name) in ["A", "B", "C"].iter().enumerate() {
        let mut text = String::from(if patients { "person_id,k,s\n" } else { "k,s\n" });
        let mut person = 10_000 * site;
        for ((k, s), counts) in rows {
            for _ in 0..counts[site] {
                text += &if patients { format!("{person},{k},{s}\n") } else { format!("{k},{s}\n") };
                person += 1;
            }
        }
        folder.write(&format!("{name}/t.csv"), text);
    }
    let domains = "[tables.t.columns.k]\ndomain = [1, 2, 3]\n[tables.t.columns.s]\ndomain = [1, 2, 3]\n";
    folder.write("network.toml", format!("max_groups = 64\n{settings}\n{domains}"));
    folder
}

fn asked(k: u64, l: u64) -> String {
    format!("[released_tables]\nk_anonymous = {k}\nl_diverse = {l}\nsensitive = [\"T.s\"]\n")
}

fn ask(folder: &Scratch, more: &[&str], sql: &str) -> Run {
    sandbox(folder.path(), &[&["--format", "json", "-e", sql], more].concat())
}

const TABLE: &str = "SELECT k, s, COUNT(*) AS n FROM t WHERE k IS NOT NULL GROUP BY k, s";

/// The counts that are shown, by key and sensitive value; rows of NULL values have no patients here.
fn shown(run: &Run) -> BTreeMap<(i64, i64), u64> {
    let answer = run.answers().remove(0);
    let row = |row: &Value| Some(((row[0].as_i64()?, row[1].as_i64()?), row[2].as_u64()?));
    answer["rows"].as_array().unwrap().iter().filter_map(row).collect()
}

/// What policy asks for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    least: u64,
    k: u64,
    l: usize,
    zero: bool,
}

/// The same by counting pooled rows. Of patients nobody knows whether one is in two groups of a class, so that the largest group counts.
fn expected(rows: &[Rows], patients: bool, asked: Asked) -> BTreeMap<(i64, i64), u64> {
    let mut counts: BTreeMap<(i64, i64), u64> =
        (1..=KEYS).flat_map(|k| (1..=SENSITIVE).map(move |s| ((k, s), 0))).collect();
    for (key, parts) in rows {
        *counts.get_mut(key).unwrap() += parts.iter().sum::<usize>() as u64;
    }
    let class = |k: i64| counts.iter().filter(move |((of, _), _)| *of == k).map(|(_, n)| *n);
    let fits = |k: i64| {
        let holds = if patients { class(k).max().unwrap() } else { class(k).sum() };
        let values = class(k).filter(|n| *n > 0).count();
        asked.zero && class(k).all(|n| n == 0) || holds >= asked.k && values >= asked.l
    };
    let large = |n: u64| n >= asked.least || n == 0 && asked.zero;
    counts.iter().filter(|((k, _), n)| large(**n) && fits(*k)).map(|(key, n)| (*key, *n)).collect()
}

/// Numbers from a printed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_combination_of_keys_is_shown_exactly_where_counting_says_so() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut cells, mut hidden_by_class) = (0, 0);
    for round in 0..10 {
        let mut rows = Vec::new();
        for k in 1..=KEYS {
            for s in 1..=SENSITIVE {
                let most = [1, 1, 4, 9][random.below(4) as usize];
                rows.push(((k, s), [0; 3].map(|_: usize| random.below(most) as usize)));
            }
        }
        let patients = round % 2 == 0;
        let (k, l) = ([1, 8, 14][random.below(3) as usize], 1 + random.below(3));
        let (least, zero) = (2 + random.below(4), random.below(2) == 1);
        let settings = format!("min_patients = {least}\nzero_allowed = {zero}\n{}", asked(k, l));
        let seen = shown(&ask(&network(&rows, patients, &settings), &[], TABLE));
        let asked = Asked { least, k, l: l as usize, zero };
        assert_eq!(seen, expected(&rows, patients, asked), "round {round}: {asked:?} {rows:?}");
        cells += seen.len();
        hidden_by_class += expected(&rows, patients, Asked { k: 1, l: 1, ..asked }).len() - seen.len();
    }
    assert!(cells > 0 && hidden_by_class > 0, "{cells} shown, {hidden_by_class} hidden by their class alone");
}

#[test]
fn a_class_of_a_single_value_is_hidden_however_large_it_is() {
    let rows = [((1, 1), [20, 20, 20]), ((2, 1), [9, 9, 9]), ((2, 2), [9, 9, 9])];
    let folder = network(&rows, true, &asked(1, 2));
    assert_eq!(shown(&ask(&folder, &[], TABLE)), BTreeMap::from([((2, 1), 27), ((2, 2), 27)]));
    // The strictest site wins, of numbers and of what is sensitive.
    let strict =
        ["--set", "sites.B.released_tables.sensitive=[\"t.s\"]", "--set", "sites.B.released_tables.l_diverse=3"];
    assert_eq!(shown(&ask(&folder, &strict, TABLE)), BTreeMap::new());
    let told = ask(&folder, &[], TABLE).answers()[0]["disclosures"].to_string();
    assert!(told.contains("fewer than 2 values of t.s"), "{told}");
}

/// A table beside its totals: what follows for the patients of a hidden class is not below k either.
#[test]
fn totals_do_not_tell_a_class_that_is_hidden() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    let sql = format!("{TABLE} UNION ALL SELECT NULL, NULL, COUNT(*) FROM t WHERE k IS NOT NULL");
    for round in 0..6 {
        let mut rows = Vec::new();
        for k in 1..=KEYS {
            for s in 1..=SENSITIVE {
                let most = [3, 5, 12][random.below(3) as usize];
                rows.push(((k, s), [0; 3].map(|_: usize| random.below(most) as usize)));
            }
        }
        let (k, least) = (16, 3);
        let folder = network(&rows, false, &format!("min_patients = {least}\n{}", asked(k, 2)));
        let answer = ask(&folder, &[], &sql);
        let seen = shown(&answer);
        let rows_shown = answer.answers().remove(0)["rows"].as_array().unwrap().clone();
        // NULL values of s have rows of their own, with a key.
        let total = rows_shown.iter().find(|row| row[0].is_null()).unwrap()[2].as_u64();
        let allowed = expected(&rows, false, Asked { least, k, l: 2, zero: false });
        assert!(seen.iter().all(|(cell, n)| allowed.get(cell) == Some(n)), "round {round}: {rows:?} {seen:?}");
        let all: u64 = rows.iter().flat_map(|(_, parts)| parts).sum::<usize>() as u64;
        assert!(total.is_none_or(|n| n == all));
        let left = total.map(|total| total - seen.values().sum::<u64>());
        assert!(
            left.is_none_or(|left| left == 0 || left >= k),
            "round {round}: {left:?} are left of {rows:?} {seen:?}"
        );
    }
}

#[test]
fn a_class_must_do_without_the_part_of_any_site_that_receives_the_answer() {
    // Without A's rows k = 1 has one value, k = 2 few rows.
    let rows = [
        ((1, 1), [5, 20, 20]),
        ((1, 2), [30, 0, 0]),
        ((2, 1), [40, 3, 2]),
        ((2, 2), [40, 3, 3]),
        ((3, 1), [9, 9, 9]),
        ((3, 2), [9, 9, 9]),
    ];
    let folder = network(&rows, false, &format!("min_patients = 2\n{}", asked(12, 2)));
    let keys = |seen: BTreeMap<(i64, i64), u64>| seen.into_keys().map(|(k, _)| k).collect::<BTreeSet<i64>>();
    assert_eq!(keys(shown(&ask(&folder, &[], TABLE))), BTreeSet::from([1, 2, 3]));
    assert_eq!(keys(shown(&ask(&folder, &["--to", "everyone"], TABLE))), BTreeSet::from([3]));
}

#[test]
fn keys_that_nobody_declared_come_out_only_if_k_patients_have_them() {
    let folder = Scratch::new("agreed");
    for (site, name) in ["A", "B", "C"].iter().enumerate() {
        let row = |i: usize, k: usize| format!("{},{k}\n", 1000 * site + i);
        let text: String = (0..4).map(|i| row(i, 1)).chain((10..16).map(|i| row(i, 2))).collect();
        folder.write(&format!("{name}/t.csv"), format!("person_id,k\n{text}"));
    }
    folder.write("network.toml", "min_patients = 3\nmax_groups = 16\n[released_tables]\nk_anonymous = 15\n");
    let answer = ask(&folder, &[], "SELECT k, COUNT(*) AS n FROM t GROUP BY k ORDER BY k").answers().remove(0);
    assert_eq!(answer["rows"], serde_json::json!([[2, 18]]), "{answer}");
    let less = ["--set", "released_tables.k_anonymous=1"];
    let answer = ask(&folder, &less, "SELECT k, COUNT(*) AS n FROM t GROUP BY k ORDER BY k").answers().remove(0);
    assert_eq!(answer["rows"], serde_json::json!([[1, 12], [2, 18]]), "{answer}");
}

#[test]
fn figures_that_are_in_no_class_are_of_k_patients_too() {
    let rows = [((1, 1), [4, 4, 4]), ((1, 2), [3, 3, 3]), ((2, 1), [9, 9, 9]), ((2, 2), [5, 5, 5])];
    let folder = network(&rows, true, "min_patients = 3\n[released_tables]\nk_anonymous = 15\n");
    let first = |sql: &str, more: &[&str]| ask(&folder, more, sql).answers().remove(0)["rows"].clone();
    let less = ["--set", "released_tables.k_anonymous=1"];
    for (sql, with, without) in [
        ("SELECT COUNT(*) AS n FROM t WHERE k = 1 AND s = 1", "[[null]]", "[[12]]"),
        ("SELECT COUNT(*) AS n FROM t WHERE k = 2 AND s = 1", "[[27]]", "[[27]]"),
        ("SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE s = 2) AS m FROM t WHERE k = 2", "[[42,15]]", "[[42,15]]"),
        ("SELECT COUNT(*) FILTER (WHERE s = 2) AS m FROM t WHERE k = 1", "[[null]]", "[[9]]"),
        // Between the two are nine.
        (
            "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE k = 2 OR s = 1) AS m FROM t WHERE k IN (1, 2)",
            "[[63,null]]",
            "[[63,54]]",
        ),
        (
            "SELECT k, COUNT(*) AS n, COUNT(*) FILTER (WHERE s = 2) AS m FROM t WHERE k IN (1, 2) GROUP BY k ORDER BY k",
            "[[1,21,null],[2,42,15]]",
            "[[1,21,9],[2,42,15]]",
        ),
    ] {
        assert_eq!(
            (first(sql, &[]).to_string(), first(sql, &less).to_string()),
            (with.into(), without.into()),
            "{sql}"
        );
    }
}

#[test]
fn what_cannot_be_decided_is_refused() {
    let folder = network(&[((1, 1), [9, 9, 9])], true, &asked(1, 2));
    for sql in [
        "SELECT k, COUNT(*) AS n FROM t WHERE s = 1 GROUP BY k",
        "SELECT k, COUNT(*) AS n, COUNT(*) FILTER (WHERE s = 1) AS ones FROM t GROUP BY k",
        "SELECT k, AVG(s) AS m FROM t GROUP BY k",
        "SELECT CASE WHEN s = 1 THEN 1 ELSE 0 END AS c, COUNT(*) AS n FROM t GROUP BY c",
        "SELECT k, COUNT(DISTINCT person_id) AS n FROM t WHERE person_id IN (SELECT person_id FROM t WHERE s = 1) GROUP BY k",
    ] {
        assert_eq!(ask(&folder, &[], sql).code(), "DIVERSITY_UNDECIDED", "{sql}");
    }
    // Without group keys there is no table.
    assert_eq!(ask(&folder, &[], "SELECT COUNT(*) AS n FROM t WHERE s = 1").status, Some(0));
    for wrong in
        ["released_tables.l_diverse=0", "released_tables.sensitive=[\"s\"]", "released_tables.sensitive=[\"t.y\"]"]
    {
        let run = ask(&folder, &["--set", wrong], TABLE);
        assert!(["BAD_SETTINGS", "BAD_CATALOG"].contains(&run.code().as_str()), "{wrong}: {}", run.all());
    }
}

/// The first rows of a table may have one value where the whole has more: the whole is judged, and nothing is left out before.
#[test]
fn the_first_rows_of_a_table_with_a_sensitive_key_are_those_of_the_whole() {
    let rows = [((1, 1), [20, 20, 20]), ((2, 1), [9, 9, 9]), ((2, 2), [3, 3, 3]), ((3, 2), [9, 9, 9])];
    let folder = network(&rows, true, &asked(1, 2));
    let seen = shown(&ask(&folder, &[], &format!("{TABLE} ORDER BY n DESC LIMIT 1")));
    assert_eq!(seen, BTreeMap::from([((2, 1), 27)]));
}
