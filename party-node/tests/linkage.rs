//! Linkage on synthetic identities whose truth is known, and the command that reports on a site's own table.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use common::{Scratch, consilium, run, shared};
use party_node::linkage::{Keyed, RecordKeys, command, keys};
use party_node::source::SiteData;
use serde_json::{Value, json};

const SITES: [(&str, &str); 4] =
    [("A", "hospital_a"), ("B", "hospital_b"), ("C", "hospital_c"), ("registry", "registry")];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/linkage").join(name)
}

/// Four tables, whom each record is of, and what a trusted pooling of them found.
struct Trial {
    data: SiteData,
    expected: Value,
    /// For each site the person behind each record.
    persons: BTreeMap<&'static str, Vec<String>>,
}

impl Trial {
    fn open() -> Option<Self> {
        let folder = shared("data/linkage_dev")?;
        let expected = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let data = SiteData::open(&folder).unwrap();
        let truth = columns(&data, "truth", &["set", "mrn", "person_uid"]);
        let rows = (0..truth[0].len()).map(|i| ((truth[0][i].clone(), truth[1][i].clone()), truth[2][i].clone()));
        let truth: HashMap<(String, String), String> = rows.collect();
        let person = |site: &str, mrn: String| truth[&(site.to_owned(), mrn)].clone();
        let persons = SITES.map(|(site, table)| {
            let records = columns(&data, table, &["mrn"]).remove(0);
            (site, records.into_iter().map(|mrn| person(site, mrn)).collect())
        });
        Some(Self { data, expected, persons: persons.into_iter().collect() })
    }

    fn keyed(&self, file: &str) -> BTreeMap<&'static str, Keyed> {
        let schema = command::load(&example(file)).unwrap();
        let site = |(site, table)| (site, keys(&schema, &self.data.texts(table, &schema.columns()).unwrap()).unwrap());
        SITES.map(site).into_iter().collect()
    }

    /// Whom each key stands for, at one site.
    fn owners(&self, site: &str, keys: &RecordKeys) -> BTreeMap<u128, BTreeSet<&str>> {
        let mut owners: BTreeMap<u128, BTreeSet<&str>> = BTreeMap::new();
        for (key, person) in keys.as_slice().iter().zip(&self.persons[site]) {
            if let Some(key) = key {
                owners.entry(key.0).or_default().insert(person);
            }
        }
        owners
    }
}

/// Columns as text; NULL is empty.
fn columns(data: &SiteData, table: &str, names: &[&str]) -> Vec<Vec<String>> {
    let texts = data.texts(table, names).unwrap();
    texts.iter().map(|column| column.iter().map(|text| text.unwrap_or("").to_owned()).collect()).collect()
}

/// `"A&B"` to its sites.
fn sites_of(pair: &str) -> Vec<&'static str> {
    pair.split('&').map(|name| SITES.iter().find(|(site, _)| *site == name).unwrap().0).collect()
}

fn shared_keys(owners: &[&BTreeMap<u128, BTreeSet<&str>>]) -> Vec<u128> {
    let (first, others) = owners.split_first().unwrap();
    first.keys().filter(|key| others.iter().all(|other| other.contains_key(key))).copied().collect()
}

#[test]
fn six_rules_find_on_known_truth_what_the_pooled_tables_say() {
    let Some(trial) = Trial::open() else { return };
    let keyed = trial.keyed("six_rules.toml");
    let rules = trial.expected["rules"].as_object().unwrap();
    assert_eq!(rules.len(), 6);
    for (rule, expected) in rules {
        let pass = rule[1..2].parse::<usize>().unwrap() - 1;
        let owners: BTreeMap<&str, _> =
            keyed.iter().map(|(site, keyed)| (*site, trial.owners(site, &keyed.passes[pass]))).collect();
        for (pair, expected) in expected.as_object().unwrap() {
            let found = match sites_of_rule(pair)[..] {
                [a, b] => pair_figures(&owners[a], &owners[b], trial.expected["true_overlap"][pair].as_u64().unwrap()),
                [a, b, c] => {
                    json!({ "intersection_size": shared_keys(&[&owners[a], &owners[b], &owners[c]]).len() })
                }
                _ => {
                    let all = ["A", "B", "C"].iter().flat_map(|site| owners[site].keys());
                    json!(all.collect::<BTreeSet<_>>().len())
                }
            };
            assert_eq!(&found, expected, "{rule} {pair}");
        }
        println!("{rule}: ok");
    }
}

/// The sites of a figure; none for the union.
fn sites_of_rule(pair: &str) -> Vec<&'static str> {
    if pair.contains('&') { sites_of(pair) } else { vec![] }
}

fn pair_figures(a: &BTreeMap<u128, BTreeSet<&str>>, b: &BTreeMap<u128, BTreeSet<&str>>, overlap: u64) -> Value {
    let common = shared_keys(&[a, b]);
    let linked: BTreeSet<&str> = common.iter().flat_map(|key| a[key].intersection(&b[key])).copied().collect();
    let mut false_pairs = BTreeSet::new();
    for key in &common {
        let pairs = a[key].iter().flat_map(|x| b[key].iter().map(move |y| (*x, *y)));
        false_pairs.extend(pairs.filter(|(x, y)| x != y));
    }
    let false_pairs = false_pairs.len();
    json!({
        "distinct_keys_a": a.len(),
        "distinct_keys_b": b.len(),
        "intersection_size": common.len(),
        "persons_correctly_linked": linked.len(),
        "false_pairs": false_pairs,
        "recall": rounded(linked.len(), overlap),
        "precision_pairs": rounded(linked.len(), (linked.len() + false_pairs) as u64),
    })
}

/// To four digits, as the expected figures are.
fn rounded(part: usize, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1e4).round() / 1e4
}

#[test]
fn records_match_if_any_pass_does() {
    let Some(trial) = Trial::open() else { return };
    let keyed = trial.keyed("patient.toml");
    for (pair, expected) in trial.expected["multi_pass"].as_object().unwrap() {
        let sites = sites_of(pair);
        let (a, b) = (sites[0], sites[1]);
        let pairs = record_pairs(&keyed[a], &keyed[b]);
        let person = |site: &str, record: usize| trial.persons[site][record].as_str();
        let same: BTreeSet<&str> =
            pairs.iter().filter(|(i, j)| person(a, *i) == person(b, *j)).map(|(i, _)| person(a, *i)).collect();
        let wrong = pairs.iter().filter(|(i, j)| person(a, *i) != person(b, *j)).count();
        assert_eq!(pairs.len() as u64, expected["pairs"], "{pair}");
        assert_eq!(wrong as u64, expected["false_pairs"], "{pair}");
        assert_eq!(rounded(same.len(), trial.expected["true_overlap"][pair].as_u64().unwrap()), expected["recall"]);
    }
}

fn record_pairs(a: &Keyed, b: &Keyed) -> BTreeSet<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    for (a, b) in a.passes.iter().zip(&b.passes) {
        let mut at_b: HashMap<u128, Vec<usize>> = HashMap::new();
        for (j, key) in b.as_slice().iter().enumerate().filter_map(|(j, key)| Some((j, key.as_ref()?))) {
            at_b.entry(key.0).or_default().push(j);
        }
        for (i, key) in a.as_slice().iter().enumerate().filter_map(|(i, key)| Some((i, key.as_ref()?))) {
            pairs.extend(at_b.get(&key.0).into_iter().flatten().map(|j| (i, *j)));
        }
    }
    pairs
}

/// What a protocol would return to the receiver: for every pass, which of its records' keys the sender has.
fn matched(receiver: &Keyed, sender: &Keyed) -> Vec<Vec<bool>> {
    let (receiver, sender) = (receiver.matchable().unwrap(), sender.matchable().unwrap());
    let of_pass = |(mine, theirs): (&RecordKeys, &RecordKeys)| {
        let theirs: BTreeSet<u128> = theirs.as_slice().iter().flatten().map(|key| key.0).collect();
        mine.as_slice().iter().map(|key| key.is_some_and(|key| theirs.contains(&key.0))).collect()
    };
    receiver.iter().zip(&sender).map(of_pass).collect()
}

#[test]
fn a_patient_counts_once_whichever_records_match_in_whichever_pass() {
    let Some(trial) = Trial::open() else { return };
    let keyed = trial.keyed("patient.toml");
    for (pair, expected) in trial.expected["multi_pass"].as_object().unwrap() {
        let sites = sites_of(pair);
        let (receiver, sender) = (&keyed[sites[0]], &keyed[sites[1]]);
        let found = receiver.matched_patients(&matched(receiver, sender)).unwrap();
        let firsts = found.iter().enumerate().filter(|(_, found)| **found).map(|(record, _)| record);
        let persons: Vec<&str> = firsts.map(|record| trial.persons[sites[0]][record].as_str()).collect();
        let different: BTreeSet<&str> = persons.iter().copied().collect();
        let overlap = trial.expected["true_overlap"][pair].as_u64().unwrap();
        println!("{pair}: {} found, {} different people", persons.len(), different.len());
        assert_eq!(rounded(different.len(), overlap), expected["recall"], "{pair}");
        assert_eq!(persons.len(), different.len(), "{pair}: somebody counts twice");
    }
}

#[test]
fn no_two_people_of_one_site_are_taken_for_one_patient() {
    let Some(trial) = Trial::open() else { return };
    for (site, keyed) in trial.keyed("patient.toml") {
        let persons = &trial.persons[site];
        let joined = |(record, first): (usize, &u32)| persons[record] != persons[*first as usize];
        assert_eq!(keyed.patients().iter().enumerate().filter(|pair| joined(*pair)).count(), 0, "{site}");
        // A patient whose two records agree in no pass stays two.
        let people = trial.expected["distinct_persons"][site].as_u64().unwrap() as usize;
        println!("{site}: {} patients, {people} people", keyed.report.patients);
        assert!((people..persons.len()).contains(&keyed.report.patients), "{site}");
    }
}

#[test]
fn tables_joined_by_the_checked_number_give_the_pooled_figures() {
    let Some(trial) = Trial::open() else { return };
    let keyed = trial.keyed("six_rules.toml");
    let first: BTreeMap<&str, RecordKeys> =
        keyed.iter().map(|(site, keyed)| (*site, keyed.matchable().unwrap().remove(1))).collect();
    let expected = &trial.expected["payload_join_R2"];
    let a = columns(&trial.data, "hospital_a", &["heart_disease", "hd_date", "aspirin", "aspirin_date"]);
    let b = columns(&trial.data, "hospital_b", &["outcome", "outcome_date"]);
    let c = columns(&trial.data, "hospital_c", &["hba1c"]);

    let with_b = join(&first["A"], &first["B"]);
    let count = |holds: &dyn Fn(usize, usize) -> bool| with_b.iter().filter(|(i, j)| holds(*i, *j)).count();
    let table = |column: &[String]| {
        let cell = |x: &str, y: &str| count(&|i, j| column[i] == x && b[0][j] == y);
        json!([cell("1", "1"), cell("1", "0"), cell("0", "1"), cell("0", "0")])
    };
    // Days in the payload are ISO, so their order is that of their texts.
    let treated = |i: usize| a[0][i] == "1" && a[2][i] == "1" && a[3][i] >= a[1][i];
    assert_eq!(with_b.len(), expected["A_and_B_joined"]);
    assert_eq!(count(&|i, _| a[0][i] == "1"), expected["heart_disease_in_join"]);
    assert_eq!(count(&|i, _| treated(i)), expected["aspirin_on_or_after_heart_disease"]);
    assert_eq!(count(&|i, j| treated(i) && b[0][j] == "1"), expected["of_those_outcome_at_B"]);
    assert_eq!(table(&a[2]), expected["aspirin_x_outcome_2x2_[a,b,c,d]_in_all_join"]);
    assert_eq!(table(&a[0]), expected["hd_x_outcome_2x2"]);
    let within_a_year = |i: usize, j: usize| {
        let (from, to) = (day_number(&a[1][i]), day_number(&b[1][j]));
        from.zip(to).is_some_and(|(from, to)| (0..=365).contains(&(to - from)))
    };
    assert_eq!(count(&within_a_year), expected["outcome_within_365d_after_hd"]);

    let with_c = join(&first["A"], &first["C"]);
    assert_eq!(with_c.len(), expected["A_and_C_joined"]);
    let sick = with_c.iter().filter(|(i, j)| a[0][*i] == "1" && !c[0][*j].is_empty());
    let tenths: Vec<i64> = sick.map(|(_, j)| (c[0][*j].parse::<f64>().unwrap() * 10.0).round() as i64).collect();
    let hba1c = &expected["hba1c_of_heart_disease_patients"];
    assert_eq!(tenths.len(), hba1c["n"]);
    assert_eq!(tenths.iter().sum::<i64>(), hba1c["sum_x10"]);
    assert_eq!(tenths.iter().map(|x| x * x).sum::<i64>(), hba1c["sumsq_x100"]);
}

fn join(a: &RecordKeys, b: &RecordKeys) -> Vec<(usize, usize)> {
    let at_b = b.as_slice().iter().enumerate().filter_map(|(j, key)| Some((key.as_ref()?.0, j)));
    let at_b: HashMap<u128, usize> = at_b.collect();
    let pair = |(i, key): (usize, &Option<mpc_core::Block>)| Some((i, *at_b.get(&key.as_ref()?.0)?));
    a.as_slice().iter().enumerate().filter_map(pair).collect()
}

/// Days since the start of year 0, by the calendar's own rules.
fn day_number(iso: &str) -> Option<i64> {
    let mut parts = iso.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = (0..year).map(|year| 365 + i64::from(leap(year))).sum::<i64>();
    let february = 28 + i64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    Some(before + lengths[..month as usize - 1].iter().sum::<i64>() + day)
}

#[test]
fn the_report_counts_what_the_truth_says_and_shows_no_value() {
    let Some(trial) = Trial::open() else { return };
    let folder = shared("data/linkage_dev").unwrap();
    let file = example("patient.toml");
    let arguments = ["linkage", "--file", file.to_str().unwrap(), "--data", folder.to_str().unwrap()];
    for (site, table) in SITES {
        let text = run(consilium(&arguments).args(["--table", table]));
        let report = run(consilium(&arguments).args(["--table", table, "--format", "json"])).answers().remove(0);
        let ids = columns(&trial.data, table, &["national_id", "given_name", "family_name", "birth_date"]);
        assert_eq!(report["records"], trial.expected["records"][site]);
        let missing = ids[0].iter().filter(|id| id.is_empty()).count();
        assert_eq!(report["passes"][0]["parts"][0]["missing"], missing);
        let rule = &trial.expected["rules"]["R2_national_id_normalised_checkdigit"];
        let pair = if site == "A" { ["A&B", "distinct_keys_a"] } else { [second(site), "distinct_keys_b"] };
        assert_eq!(report["passes"][0]["distinct_keys"], rule[pair[0]][pair[1]]);
        // Short names occur in any text; a number of 18 digits, a date or a long name does not.
        let shown = |value: &&String| value.trim().chars().count() > 8 && text.all().contains(value.trim());
        assert_eq!(ids.iter().flatten().find(shown), None);
        assert_eq!(text.status, Some(0), "{}", text.stderr);
    }
}

#[test]
fn the_report_says_how_many_further_keys_the_file_must_allow_and_the_shipped_one_does() {
    let Some(trial) = Trial::open() else { return };
    let folder = shared("data/linkage_dev").unwrap();
    let file = example("patient.toml");
    let allowed = command::load(&file).unwrap().further_keys.unwrap();
    let arguments = ["linkage", "--file", file.to_str().unwrap(), "--data", folder.to_str().unwrap()];
    for (site, keyed) in trial.keyed("patient.toml") {
        let mut of: BTreeMap<(u32, usize), BTreeSet<u128>> = BTreeMap::new();
        for (pass, keys) in keyed.passes.iter().enumerate() {
            for (patient, key) in keyed.patients().iter().zip(keys.as_slice()) {
                of.entry((*patient, pass)).or_default().extend(key.map(|key| key.0));
            }
        }
        let several = of.iter().filter(|(_, keys)| keys.len() > 1);
        let patients = several.map(|((patient, _), _)| patient).collect::<BTreeSet<_>>().len();
        let each = of.values().map(|keys| keys.len().saturating_sub(1)).max().unwrap();
        println!("{site}: {patients} patients, {each}");
        let table = SITES.iter().find(|(name, _)| *name == site).unwrap().1;
        for more in [&[][..], &["--patient-key", "mrn"][..]] {
            let report = run(consilium(&arguments).args(["--table", table, "--format", "json"]).args(more));
            assert_eq!(report.answers().remove(0)["further_keys"], json!({ "patients": patients, "each": each }));
        }
        let text = run(consilium(&arguments).args(["--table", table])).stdout;
        assert!(text.contains(&format!("further_keys = {{ patients = {patients}, each = {each} }}")), "{text}");
        assert!(patients as u64 <= allowed.patients && each as u64 <= allowed.each, "{site}");
    }
}

#[test]
fn records_with_one_number_of_the_site_are_one_patient_in_the_report_that_names_its_column() {
    let folder = Scratch::new("report");
    let file = folder.write(
        "linkage.toml",
        "study = \"s\"\nduplicates = \"first\"\n[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"name\"\n",
    );
    folder.write("data/patient.csv", "mrn,name\n1,Ann\n1,Anne\n1,Anna\n2,Bob\n,Eve\n,Eva\n");
    let [file, data] = [file, folder.at("data")].map(|path| path.to_string_lossy().into_owned());
    let report = |more: &[&str]| {
        let arguments = ["linkage", "--file", &file, "--data", &data, "--format", "json"];
        let report = run(consilium(&arguments).args(more)).answers().remove(0);
        [report["patients"].clone(), report["further_keys"]["patients"].clone(), report["further_keys"]["each"].clone()]
    };
    assert_eq!(report(&[]), [json!(6), json!(0), json!(0)]);
    assert_eq!(report(&["--patient-key", "mrn"]), [json!(4), json!(1), json!(2)]);
    let wrong = run(&mut consilium(&["linkage", "--file", &file, "--data", &data, "--patient-key", "mrm"]));
    assert_eq!(wrong.code(), "COLUMN_MISSING", "{}", wrong.stderr);
}

/// A pair in which the site is the second.
fn second(site: &str) -> &'static str {
    ["A&B", "A&C", "A&registry"].into_iter().find(|pair| pair.ends_with(site)).unwrap()
}

#[test]
fn a_linkage_file_without_data_says_its_digest_and_both_forms_agree() {
    let file = example("patient.toml");
    let arguments = ["linkage", "--file", file.to_str().unwrap()];
    let text = run(&mut consilium(&arguments));
    assert_eq!(text.status, Some(0), "{}", text.stderr);
    let digest = text.stdout.lines().find_map(|line| line.strip_prefix("linkage digest ")).unwrap().to_owned();
    let canonical = run(consilium(&arguments).args(["--format", "json"])).stdout;
    let schema = command::load(&file).unwrap();
    assert_eq!(canonical.trim_end().as_bytes(), schema.canonical());
    assert_eq!(digest, schema.digest().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}

#[test]
fn every_shipped_file_can_be_read() {
    let files = fs::read_dir(example("")).unwrap().map(|entry| entry.unwrap().path());
    let digests: Vec<[u8; 32]> = files.map(|file| command::load(&file).unwrap().digest()).collect();
    assert_eq!(digests.len(), 2);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn what_is_wrong_is_said_with_a_code_and_the_nearest_word() {
    let folder = Scratch::new("linkage");
    folder.write("data/person.csv", "person_id,famly_name\nP1,Wang-Secret\n");
    folder.write("two/a.csv", "family_name\nWang-Secret\n");
    folder.write("two/b.csv", "family_name\nWang-Secret\n");
    let good =
        "study = \"s\"\nduplicates = \"first\"\n[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"family_name\"\n";
    let file = folder.write("good.toml", good);
    let steps = folder.write("steps.toml", format!("{good}steps = [\"nfck\"]\n"));
    let [file, steps] = [file, steps].map(|path| path.to_string_lossy().into_owned());
    let [data, two] = ["data", "two"].map(|name| folder.at(name).to_string_lossy().into_owned());
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--file", &steps], "BAD_LINKAGE", "did you mean 'nfkc'?"),
        (&["--file", "nowhere.toml"], "NO_SUCH_FILE", "nowhere.toml"),
        (&["--file", &file, "--data", &data], "COLUMN_MISSING", "did you mean 'famly_name'?"),
        (&["--file", &file, "--data", &two], "WHICH_TABLE", "a, b"),
        (&["--file", &file, "--data", &two, "--table", "c"], "UNKNOWN_TABLE", "no table 'c'"),
    ];
    for (arguments, code, words) in cases {
        let refused = run(consilium(&["linkage"]).args(arguments));
        assert_eq!(refused.code(), code, "{}", refused.stderr);
        assert!(refused.error().contains(words), "{}", refused.stderr);
        assert!(!refused.all().contains("Secret"));
        assert_eq!(refused.status, Some(1));
    }
}
