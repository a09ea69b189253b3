//! Questions over matched patients give, on random tables, what plain Rust says of the pooled rows: relations, features
//! and nodes together mean the SQL.

mod common;
#[path = "common/interpret.rs"]
mod interpret;
#[path = "common/patients.rs"]
mod patients;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::ScalarValue;
use interpret::{Row, Tables};
use query_planner::plan::Summand;

const SITES: [&str; 3] = ["hospital_A", "hospital_B", "hospital_C"];

/// One row of a table with events.
#[derive(Debug, Clone)]
struct Event {
    site: usize,
    patient: i64,
    concept: i64,
    day: Option<i32>,
}

/// Rows of all sites. Patients without a key are dropped, as matching does.
#[derive(Debug, Default)]
struct Pool {
    persons: Vec<(usize, i64, Option<i64>)>,
    conditions: Vec<Event>,
    drugs: Vec<Event>,
    scores: Vec<(usize, i64, Option<i64>)>,
}

/// Small numbers from a seed (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn or_null<T>(&mut self, value: T) -> Option<T> {
        (self.below(8) > 0).then_some(value)
    }
}

fn random(seed: u64) -> (Pool, Tables) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut pool, mut tables) = (Pool::default(), Tables::new());
    let int = |x: Option<i64>| ScalarValue::Int64(x);
    for (site, name) in SITES.iter().enumerate() {
        let table = |table: &str| (name.to_string(), table.to_owned());
        let patient = |dice: &mut Dice| match dice.below(12) {
            0 => None,
            i => Some(i as i64),
        };
        let rows = |dice: &mut Dice| dice.below(14);
        let mut persons: Vec<Row> = Vec::new();
        for _ in 0..rows(&mut dice) {
            let (key, gender) = (patient(&mut dice), 8507 + 25 * dice.below(2) as i64);
            let gender = dice.or_null(gender);
            pool.persons.extend(key.map(|key| (site, key, gender)));
            let null = ScalarValue::Null;
            persons.push(vec![int(key), int(gender), int(Some(1950)), ScalarValue::Date32(None), null]);
        }
        tables.insert(table("person"), persons);
        for is_drug in [false, true] {
            let mut events: Vec<Row> = Vec::new();
            for i in 0..rows(&mut dice) + 4 {
                let (key, concept, day) = (patient(&mut dice), 1 + dice.below(3) as i64, dice.below(90) as i32);
                let day = dice.or_null(10_957 + day);
                let list = if is_drug { &mut pool.drugs } else { &mut pool.conditions };
                list.extend(key.map(|patient| Event { site, patient, concept, day }));
                let (day, none) = (ScalarValue::Date32(day), ScalarValue::Date32(None));
                let mut row = vec![int(Some(i as i64)), int(key), int(Some(concept)), day, none];
                if !is_drug {
                    row.push(ScalarValue::Null);
                }
                events.push(row);
            }
            tables.insert(table(if is_drug { "drug_exposure" } else { "condition_occurrence" }), events);
        }
        let mut scores: Vec<Row> = Vec::new();
        for i in 0..rows(&mut dice) {
            let (key, score) = (patient(&mut dice), dice.below(101) as i64);
            let score = dice.or_null(score);
            pool.scores.extend(key.map(|key| (site, key, score)));
            let (real, cost) = (ScalarValue::Float64(None), ScalarValue::Decimal128(None, 10, 2));
            scores.push(vec![int(Some(i as i64)), int(key), real, cost, int(score)]);
        }
        tables.insert(table("measurement"), scores);
    }
    (pool, tables)
}

/// Holds what is hidden under `min_patients` against the patients behind each figure.
#[test]
fn every_cell_is_judged_by_the_patients_behind_it() {
    for sql in [
        "SELECT gender_concept_id, COUNT(*), SUM(year_of_birth) FROM person GROUP BY 1",
        "SELECT COUNT(*) FILTER (WHERE condition_concept_id = 1), COUNT(condition_start_date) FROM condition_occurrence",
        "SELECT COUNT(DISTINCT person_id), AVG(score) FROM measurement",
        "SELECT COUNT(*) FROM person p JOIN condition_occurrence c ON p.person_id = c.person_id",
        "SELECT condition_concept_id, COUNT(*) FROM condition_occurrence WHERE person_id IN (SELECT person_id FROM drug_exposure) GROUP BY 1",
    ] {
        let compiled = common::planned_hiding(sql).unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let sum = &compiled.joint.sums[0];
        let matching = sum.matching.as_ref().unwrap();
        assert_eq!(sum.patients.len(), sum.cells.len(), "{sql}");
        for slot in &sum.patients {
            let Summand::Patients(node) = sum.slots[*slot].what else {
                panic!("{sql}: slot {slot} counts no patients")
            };
            assert_eq!(matching.nodes[node].bits, 1, "{sql}");
            assert!(matching.is_grounded(&[node]));
        }
    }
}

/// Holds the answers on random tables against `expected`, whatever the order of rows.
#[track_caller]
fn check(sql: &str, expected: impl Fn(&Pool) -> Vec<Vec<String>>) {
    let compiled = common::planned(sql).unwrap_or_else(|e| panic!("{sql}\n{e}"));
    for seed in 1..=40 {
        let (pool, tables) = random(seed);
        let (mut found, mut wanted) = (patients::answer(&compiled, &tables), expected(&pool));
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "seed {seed}: {sql}\n{}", query_planner::explain(&compiled));
    }
}

fn one(number: impl ToString) -> Vec<Vec<String>> {
    vec![vec![number.to_string()]]
}

fn null_or(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |n| n.to_string())
}

impl Pool {
    fn patients(&self) -> BTreeSet<i64> {
        self.persons.iter().map(|(_, patient, _)| *patient).collect()
    }

    fn persons_of(&self, patient: i64) -> usize {
        self.persons.iter().filter(|(_, p, _)| *p == patient).count()
    }
}

fn of(events: &[Event], concept: i64) -> BTreeSet<i64> {
    events.iter().filter(|e| e.concept == concept).map(|e| e.patient).collect()
}

fn all(events: &[Event]) -> BTreeSet<i64> {
    events.iter().map(|e| e.patient).collect()
}

fn everyone() -> std::ops::Range<i64> {
    1..12
}

/// The days of one patient in order, without those that are not known.
fn days(events: &[Event], patient: i64) -> Vec<i32> {
    let mut days: Vec<i32> = events.iter().filter(|e| e.patient == patient).filter_map(|e| e.day).collect();
    days.sort_unstable();
    days
}

#[test]
fn distinct_patients_are_counted_once() {
    check("SELECT COUNT(DISTINCT person_id) FROM person", |p| one(p.patients().len()));
    check(
        "SELECT COUNT(*) FROM (SELECT DISTINCT person_id FROM condition_occurrence WHERE condition_concept_id = 2) t",
        |p| one(of(&p.conditions, 2).len()),
    );
    check("SELECT gender_concept_id, COUNT(DISTINCT person_id) FROM person GROUP BY gender_concept_id", |p| {
        let mut groups: BTreeMap<Option<i64>, BTreeSet<i64>> = BTreeMap::new();
        p.persons.iter().for_each(|(_, patient, gender)| {
            groups.entry(*gender).or_default().insert(*patient);
        });
        groups.into_iter().map(|(gender, set)| vec![null_or(gender), set.len().to_string()]).collect()
    });
    check(
        "SELECT COUNT(DISTINCT person_id) FROM (SELECT person_id FROM hospital_A.person UNION ALL SELECT person_id FROM drug_exposure) t",
        |p| {
            let a = p.persons.iter().filter(|(site, ..)| *site == 0).map(|(_, patient, _)| *patient);
            one(a.chain(all(&p.drugs)).collect::<BTreeSet<i64>>().len())
        },
    );
}

#[test]
fn joins_of_named_sites_count_rows_and_patients() {
    check(
        "SELECT COUNT(DISTINCT a.person_id), COUNT(*) FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id",
        |p| {
            let at =
                |site: usize, patient: i64| p.persons.iter().filter(|(s, q, _)| (*s, *q) == (site, patient)).count();
            let rows: usize = everyone().map(|i| at(0, i) * at(1, i)).sum();
            let patients = everyone().filter(|i| at(0, *i) * at(1, *i) > 0).count();
            vec![vec![patients.to_string(), rows.to_string()]]
        },
    );
    check(
        "SELECT COUNT(*), SUM(d.n) FROM (SELECT person_id, COUNT(*) AS n FROM hospital_A.measurement GROUP BY person_id) d JOIN (SELECT DISTINCT person_id FROM hospital_B.condition_occurrence) c ON d.person_id = c.person_id",
        |p| {
            let at = |i: i64| p.scores.iter().filter(|(s, q, _)| (*s, *q) == (0, i)).count();
            let there = |i: &i64| at(*i) > 0 && p.conditions.iter().any(|e| (e.site, e.patient) == (1, *i));
            let rows: Vec<usize> = everyone().filter(there).map(at).collect();
            vec![vec![rows.len().to_string(), null_or(rows.iter().copied().reduce(|a, b| a + b))]]
        },
    );
}

#[test]
fn semi_and_anti_joins_keep_the_right_patients() {
    check(
        "SELECT COUNT(*) FROM person WHERE person_id IN (SELECT person_id FROM drug_exposure WHERE drug_concept_id = 1)",
        |p| {
            let drugs = of(&p.drugs, 1);
            one(p.persons.iter().filter(|(_, patient, _)| drugs.contains(patient)).count())
        },
    );
    check(
        "SELECT COUNT(DISTINCT person_id) FROM person WHERE person_id NOT IN (SELECT person_id FROM drug_exposure WHERE drug_concept_id = 1)",
        |p| one(p.patients().difference(&of(&p.drugs, 1)).count()),
    );
    check(
        "SELECT COUNT(DISTINCT person_id) FROM person WHERE NOT EXISTS (SELECT 1 FROM drug_exposure d WHERE d.person_id = person.person_id) OR EXISTS (SELECT 1 FROM condition_occurrence c WHERE c.person_id = person.person_id AND c.condition_concept_id = 3)",
        |p| {
            let (drugs, conditions) = (all(&p.drugs), of(&p.conditions, 3));
            one(p.patients().iter().filter(|i| !drugs.contains(i) || conditions.contains(i)).count())
        },
    );
    check(
        "SELECT c.condition_concept_id, COUNT(DISTINCT c.person_id) FROM condition_occurrence c WHERE c.person_id IN (SELECT person_id FROM condition_occurrence WHERE condition_concept_id = 1) AND c.condition_concept_id <> 1 GROUP BY c.condition_concept_id",
        |p| {
            let first = of(&p.conditions, 1);
            let counts = [2, 3].map(|c| (c, of(&p.conditions, c).intersection(&first).count()));
            counts.iter().filter(|(_, n)| *n > 0).map(|(c, n)| vec![c.to_string(), n.to_string()]).collect()
        },
    );
    check(
        "SELECT COUNT(DISTINCT c.person_id) FROM condition_occurrence c WHERE EXISTS (SELECT 1 FROM drug_exposure d WHERE d.person_id = c.person_id AND d.drug_exposure_start_date > c.condition_start_date)",
        |p| {
            let later = |i: &i64| match (days(&p.conditions, *i).first(), days(&p.drugs, *i).last()) {
                (Some(c), Some(d)) => d > c,
                _ => false,
            };
            one(everyone().filter(later).count())
        },
    );
}

#[test]
fn roll_ups_are_over_all_sites_rows() {
    check(
        "WITH dx AS (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence WHERE condition_concept_id = 1 GROUP BY person_id), rx AS (SELECT person_id, MAX(drug_exposure_start_date) AS m FROM drug_exposure WHERE drug_concept_id IN (2, 3) GROUP BY person_id) SELECT COUNT(*) AS patients FROM dx JOIN rx ON dx.person_id = rx.person_id WHERE dx.d <= rx.m",
        |p| {
            let conditions: Vec<Event> = p.conditions.iter().filter(|e| e.concept == 1).cloned().collect();
            let drugs: Vec<Event> = p.drugs.iter().filter(|e| e.concept != 1).cloned().collect();
            let in_order = |i: &i64| match (days(&conditions, *i).first(), days(&drugs, *i).last()) {
                (Some(d), Some(m)) => d <= m,
                _ => false,
            };
            one(everyone().filter(in_order).count())
        },
    );
    let counts = |p: &Pool| -> Vec<usize> {
        let count = |i: i64| p.conditions.iter().filter(|e| e.patient == i).count();
        everyone().map(count).filter(|n| *n > 2).collect()
    };
    check(
        "SELECT COUNT(*), SUM(n) FROM (SELECT person_id, COUNT(*) AS n FROM condition_occurrence GROUP BY person_id HAVING COUNT(*) > 2) t",
        move |p| {
            let rows = counts(p);
            vec![vec![rows.len().to_string(), null_or(rows.into_iter().reduce(|a, b| a + b))]]
        },
    );
    check(
        "SELECT SUM(s), COUNT(s), COUNT(*) FROM (SELECT person_id, SUM(score) AS s FROM measurement GROUP BY person_id) t",
        |p| {
            let rows = |i: i64| p.scores.iter().filter(move |(_, q, _)| *q == i);
            let sums: Vec<i64> =
                everyone().filter_map(|i| rows(i).filter_map(|(_, _, s)| *s).reduce(|a, b| a + b)).collect();
            let patients = everyone().filter(|i| rows(*i).count() > 0).count();
            let total = null_or(sums.iter().copied().reduce(|a, b| a + b));
            vec![vec![total, sums.len().to_string(), patients.to_string()]]
        },
    );
    check(
        "SELECT many, COUNT(*) FROM (SELECT person_id, CASE WHEN MAX(n) > 2 THEN 'many' WHEN MAX(n) = 2 THEN 'two' ELSE 'one' END AS many FROM (SELECT person_id, COUNT(*) AS n FROM drug_exposure GROUP BY person_id) t GROUP BY person_id) u GROUP BY many",
        |p| {
            let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
            for n in everyone().map(|i| p.drugs.iter().filter(|e| e.patient == i).count()).filter(|n| *n > 0) {
                *groups
                    .entry(match n {
                        1 => "'one'",
                        2 => "'two'",
                        _ => "'many'",
                    })
                    .or_default() += 1;
            }
            groups.into_iter().map(|(name, n)| vec![name.to_owned(), n.to_string()]).collect()
        },
    );
}

#[test]
fn a_flag_of_each_patient_makes_two_groups_and_no_others() {
    for (flag, groups) in [
        ("MAX(CASE WHEN condition_concept_id = 3 THEN 1 ELSE 0 END)", 2),
        ("MIN(CASE WHEN condition_concept_id = 3 THEN 1 ELSE 0 END)", 2),
        // Who has no such row has no value.
        ("MAX(CASE WHEN condition_concept_id = 3 THEN 1 ELSE 0 END) FILTER (WHERE condition_concept_id < 5)", 3),
    ] {
        let patients = format!("SELECT person_id, {flag} AS flag FROM condition_occurrence GROUP BY person_id");
        let compiled =
            common::planned(&format!("SELECT flag, COUNT(*) AS n FROM ({patients}) t GROUP BY flag")).unwrap();
        let domain = compiled.joint.sums[0].keys[0].domain.clone().unwrap();
        assert_eq!(domain.len(), groups, "{flag}: {domain:?}");
    }
}

#[test]
fn outer_joins_keep_patients_without_a_match() {
    check(
        "WITH e AS (SELECT DISTINCT person_id FROM drug_exposure WHERE drug_concept_id = 1), o AS (SELECT DISTINCT person_id FROM condition_occurrence WHERE condition_concept_id = 2), p AS (SELECT DISTINCT person_id FROM person) SELECT CASE WHEN e.person_id IS NULL THEN 0 ELSE 1 END AS exposed, CASE WHEN o.person_id IS NULL THEN 0 ELSE 1 END AS outcome, COUNT(*) AS patients FROM p LEFT JOIN e ON p.person_id = e.person_id LEFT JOIN o ON p.person_id = o.person_id GROUP BY 1, 2",
        |p| {
            let (drugs, conditions) = (of(&p.drugs, 1), of(&p.conditions, 2));
            let mut groups: BTreeMap<(bool, bool), usize> = BTreeMap::new();
            p.patients()
                .iter()
                .for_each(|i| *groups.entry((drugs.contains(i), conditions.contains(i))).or_default() += 1);
            let row = |((e, o), n): ((bool, bool), usize)| {
                vec![i32::from(e).to_string(), i32::from(o).to_string(), n.to_string()]
            };
            groups.into_iter().map(row).collect()
        },
    );
    check(
        "SELECT COUNT(*), COUNT(d.person_id), COUNT(d.drug_exposure_start_date), COUNT(DISTINCT d.person_id) FROM person p LEFT JOIN drug_exposure d ON p.person_id = d.person_id AND d.drug_concept_id = 2",
        |p| {
            let drugs = |i: i64| p.drugs.iter().filter(move |e| e.patient == i && e.concept == 2);
            let sum = |f: &dyn Fn(i64) -> usize| {
                p.patients().iter().map(|i| p.persons_of(*i) * f(*i)).sum::<usize>().to_string()
            };
            let distinct = p.patients().intersection(&of(&p.drugs, 2)).count().to_string();
            vec![vec![
                sum(&|i| drugs(i).count().max(1)),
                sum(&|i| drugs(i).count()),
                sum(&|i| drugs(i).filter(|e| e.day.is_some()).count()),
                distinct,
            ]]
        },
    );
    check(
        "SELECT COUNT(*), COUNT(a.person_id), SUM(COALESCE(a.n, 0) + COALESCE(b.n, 0)) FROM (SELECT person_id, COUNT(*) AS n FROM drug_exposure GROUP BY person_id) a FULL JOIN (SELECT person_id, COUNT(*) AS n FROM condition_occurrence GROUP BY person_id) b ON a.person_id = b.person_id",
        |p| {
            let (drugs, conditions) = (all(&p.drugs), all(&p.conditions));
            let total = p.drugs.len() + p.conditions.len();
            vec![vec![drugs.union(&conditions).count().to_string(), drugs.len().to_string(), total.to_string()]]
        },
    );
}

#[test]
fn windows_order_all_sites_rows_of_a_patient() {
    let gaps = |p: &Pool, i: i64| {
        let days = days(&p.conditions, i);
        days.windows(2).filter(|pair| (15..=56).contains(&(pair[1] - pair[0]))).count()
    };
    check(
        "WITH e AS (SELECT person_id, condition_start_date AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) AS r FROM condition_occurrence) SELECT COUNT(DISTINCT a.person_id), COUNT(*) FROM e a JOIN e b ON a.person_id = b.person_id AND b.r = a.r + 1 WHERE b.d - a.d BETWEEN 15 AND 56",
        move |p| {
            let patients = everyone().filter(|i| gaps(p, *i) > 0).count();
            vec![vec![patients.to_string(), everyone().map(|i| gaps(p, i)).sum::<usize>().to_string()]]
        },
    );
    for order in ["ASC", "DESC"] {
        let (lag, less) = if order == "ASC" { ("LAG", "d - o") } else { ("LEAD", "d - o") };
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT person_id, condition_start_date AS d, {lag}(condition_start_date) OVER (PARTITION BY person_id ORDER BY condition_start_date {order}) AS o FROM condition_occurrence) t WHERE {less} >= 15 AND {less} < 57"
        );
        check(&sql, move |p| one(everyone().map(|i| gaps(p, i)).sum::<usize>()));
    }
    check(
        "WITH e AS (SELECT person_id, condition_start_date AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) AS r FROM condition_occurrence) SELECT COUNT(*), COUNT(d) FROM e WHERE r = 2 AND d >= DATE '2000-02-01'",
        |p| {
            let second = everyone().filter(|i| days(&p.conditions, *i).get(1).is_some_and(|d| *d >= 10_988)).count();
            vec![vec![second.to_string(), second.to_string()]]
        },
    );
    check(
        "WITH e AS (SELECT person_id, condition_start_date AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) AS r FROM condition_occurrence) SELECT COUNT(*), COUNT(DISTINCT person_id) FROM e WHERE r >= 2 AND r <= 3",
        |p| {
            let rows = |i: i64| p.conditions.iter().filter(|e| e.patient == i).count().min(3).saturating_sub(1);
            let patients = everyone().filter(|i| rows(*i) > 0).count();
            vec![vec![everyone().map(rows).sum::<usize>().to_string(), patients.to_string()]]
        },
    );
}

#[test]
fn conditions_between_rows_of_two_tables_look_at_pairs() {
    check(
        "SELECT COUNT(DISTINCT c.person_id) FROM condition_occurrence c JOIN drug_exposure d ON c.person_id = d.person_id AND d.drug_exposure_start_date <= c.condition_start_date - INTERVAL '20 days' WHERE c.condition_concept_id = 1",
        |p| {
            let c =
                |i: i64| p.conditions.iter().filter(move |e| e.patient == i && e.concept == 1).filter_map(|e| e.day);
            let d = |i: i64| p.drugs.iter().filter(move |e| e.patient == i).filter_map(|e| e.day);
            one(everyone().filter(|i| c(*i).any(|c| d(*i).any(|d| d <= c - 20))).count())
        },
    );
    check(
        "SELECT c.condition_concept_id, COUNT(DISTINCT c.person_id) FROM condition_occurrence c JOIN (SELECT person_id, MIN(drug_exposure_start_date) AS first FROM drug_exposure GROUP BY person_id) d ON c.person_id = d.person_id WHERE c.condition_start_date > d.first GROUP BY c.condition_concept_id",
        |p| {
            let after = |e: &&Event| match (e.day, days(&p.drugs, e.patient).first()) {
                (Some(day), Some(first)) => day > *first,
                _ => false,
            };
            let mut groups: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
            p.conditions.iter().filter(after).for_each(|e| {
                groups.entry(e.concept).or_default().insert(e.patient);
            });
            groups.into_iter().map(|(concept, set)| vec![concept.to_string(), set.len().to_string()]).collect()
        },
    );
}

#[test]
fn rows_in_a_time_after_a_date_of_the_patient_are_counted_one_by_one() {
    check(
        "SELECT COUNT(DISTINCT d.person_id), COUNT(*), COUNT(*) FILTER (WHERE d.drug_concept_id = 2) FROM drug_exposure d JOIN (SELECT person_id, MIN(condition_start_date) AS f FROM condition_occurrence GROUP BY person_id) c ON c.person_id = d.person_id WHERE d.drug_exposure_start_date BETWEEN c.f AND c.f + INTERVAL '30 days'",
        |p| {
            let first = |i: i64| days(&p.conditions, i).first().copied();
            let near = |e: &&Event| e.day.zip(first(e.patient)).is_some_and(|(d, f)| (f..=f + 30).contains(&d));
            let near: Vec<&Event> = p.drugs.iter().filter(near).collect();
            let patients: BTreeSet<i64> = near.iter().map(|e| e.patient).collect();
            let second = near.iter().filter(|e| e.concept == 2).count();
            vec![vec![patients.len().to_string(), near.len().to_string(), second.to_string()]]
        },
    );
    check(
        "SELECT COUNT(*) FROM person p WHERE EXISTS (SELECT 1 FROM drug_exposure d JOIN (SELECT person_id, MAX(condition_start_date) AS f FROM condition_occurrence GROUP BY person_id) c ON c.person_id = d.person_id AND d.drug_exposure_start_date > c.f WHERE d.person_id = p.person_id)",
        |p| {
            let later = |i: i64| match (days(&p.conditions, i).last(), days(&p.drugs, i).last()) {
                (Some(f), Some(d)) => d > f,
                _ => false,
            };
            one(p.persons.iter().filter(|(_, i, _)| later(*i)).count())
        },
    );
}

#[test]
fn distinct_values_of_a_patient_are_counted_where_they_are_few() {
    check(
        "SELECT COUNT(*) FROM (SELECT DISTINCT person_id, gender_concept_id FROM person) p JOIN (SELECT DISTINCT person_id FROM drug_exposure) d ON p.person_id = d.person_id",
        |p| {
            let pairs: BTreeSet<(i64, Option<i64>)> = p.persons.iter().map(|(_, i, gender)| (*i, *gender)).collect();
            one(pairs.iter().filter(|(i, _)| all(&p.drugs).contains(i)).count())
        },
    );
    check(
        "SELECT COUNT(DISTINCT COALESCE(a.person_id, b.person_id)) FROM (SELECT DISTINCT person_id FROM person) a FULL JOIN (SELECT DISTINCT person_id FROM drug_exposure) b ON a.person_id = b.person_id",
        |p| one(p.patients().union(&all(&p.drugs)).count()),
    );
}

#[test]
fn numbers_of_patients_fall_into_buckets() {
    check(
        "SELECT width_bucket(n, 0, 6, 3), COUNT(*), SUM(LEAST(n, 3)), SUM(GREATEST(n, m)) FROM (SELECT person_id, COUNT(*) AS n, COUNT(condition_start_date) + 1 AS m FROM condition_occurrence GROUP BY person_id) t GROUP BY 1",
        |p| {
            let mut groups: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
            for i in everyone() {
                let (n, m) = (p.conditions.iter().filter(|e| e.patient == i).count(), days(&p.conditions, i).len() + 1);
                if n > 0 {
                    let row = groups.entry((n / 2 + 1).min(4)).or_default();
                    *row = [row[0] + 1, row[1] + n.min(3), row[2] + n.max(m)];
                }
            }
            let row = |(b, [n, least, most]): (usize, [usize; 3])| [b, n, least, most].map(|x| x.to_string()).to_vec();
            groups.into_iter().map(row).collect()
        },
    );
}

#[test]
fn figures_stand_beside_each_other_for_each_group() {
    check(
        "SELECT gender_concept_id, COUNT(*), COUNT(DISTINCT person_id), COUNT(DISTINCT person_id) FILTER (WHERE year_of_birth > 1960) FROM person WHERE person_id IS NOT NULL GROUP BY 1",
        |p| {
            let mut groups: BTreeMap<Option<i64>, Vec<i64>> = BTreeMap::new();
            p.persons.iter().for_each(|(_, patient, gender)| groups.entry(*gender).or_default().push(*patient));
            let row = |(gender, rows): (Option<i64>, Vec<i64>)| {
                let patients = rows.iter().collect::<BTreeSet<_>>().len();
                vec![null_or(gender), rows.len().to_string(), patients.to_string(), "0".to_owned()]
            };
            groups.into_iter().map(row).collect()
        },
    );
}

#[test]
fn figures_of_rows_count_the_other_tables_rows_too() {
    check(
        "SELECT p.gender_concept_id, COUNT(*), SUM(m.score), AVG(m.score), COUNT(*) FILTER (WHERE m.score > 50) FROM measurement m JOIN (SELECT DISTINCT person_id, gender_concept_id FROM person) p ON m.person_id = p.person_id GROUP BY p.gender_concept_id",
        |p| {
            let pairs: BTreeSet<(Option<i64>, i64)> = p.persons.iter().map(|(_, i, gender)| (*gender, *i)).collect();
            let mut groups: BTreeMap<Option<i64>, Vec<Option<i64>>> = BTreeMap::new();
            for (gender, i) in pairs {
                let scores = p.scores.iter().filter(|(_, q, _)| *q == i).map(|(_, _, score)| *score);
                groups.entry(gender).or_default().extend(scores);
            }
            groups.retain(|_, scores| !scores.is_empty());
            let row = |(gender, scores): (Option<i64>, Vec<Option<i64>>)| {
                let known: Vec<i64> = scores.iter().copied().flatten().collect();
                let (sum, n) = (known.iter().sum::<i64>(), known.len() as f64);
                let sums = if known.is_empty() {
                    ["NULL".into(), "NULL".into()]
                } else {
                    [sum.to_string(), (sum as f64 / n).to_string()]
                };
                let high = known.iter().filter(|s| **s > 50).count().to_string();
                vec![null_or(gender), scores.len().to_string(), sums[0].clone(), sums[1].clone(), high]
            };
            groups.into_iter().map(row).collect()
        },
    );
    check(
        "SELECT COUNT(DISTINCT person_id), COUNT(*), COUNT(score), SUM(score) FROM measurement WHERE score <> 7 AND person_id IS NOT NULL",
        |p| {
            let rows: Vec<(i64, i64)> =
                p.scores.iter().filter_map(|(_, i, s)| Some((*i, (*s)?))).filter(|(_, s)| *s != 7).collect();
            let patients: BTreeSet<i64> = rows.iter().map(|(i, _)| *i).collect();
            let sum = null_or(rows.iter().map(|(_, s)| *s).reduce(|a, b| a + b));
            vec![vec![patients.len().to_string(), rows.len().to_string(), rows.len().to_string(), sum]]
        },
    );
}
