//! Linked patients in answers: four sites whose identities have known truth, each with real processes over QUIC. Every expected
//! figure is the trusted pooling's, or derived here from the keys.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{Background, Run, Scratch, consilium, ports, run, sandbox, shared, until};
use party_node::linkage::{Keyed, RecordKeys, Schema, keys};
use party_node::source::SiteData;
use serde_json::Value;

const SITES: [(&str, &str); 4] =
    [("A", "hospital_A"), ("B", "hospital_B"), ("C", "hospital_C"), ("registry", "registry")];
const IDENTIFIERS: [&str; 7] = ["mrn", "given_name", "family_name", "birth_date", "sex", "national_id", "postcode"];
const PAIRS: [&str; 4] = ["A&B", "A&C", "A&registry", "B&C"];

const NETWORK: &str = "patient_key = \"mrn\"\nmin_sites = 2\n[linkage]\nfile = \"linkage.toml\"\ntable = \"patient\"\n\
    [tables.lab.columns.hba1c]\ntype = \"decimal(4,1)\"\nrange = [\"0\", \"30\"]\n";

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/linkage").join(name)).unwrap()
}

struct Trial {
    data: SiteData,
    expected: Value,
}

impl Trial {
    fn open() -> Option<Self> {
        let folder = shared("data/linkage_dev")?;
        let expected = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        Some(Self { data: SiteData::open(&folder).unwrap(), expected })
    }

    fn columns(&self, table: &str, names: &[&str]) -> Vec<Vec<String>> {
        let texts = self.data.texts(table, names).unwrap();
        texts.iter().map(|column| column.iter().map(|text| text.unwrap_or("").to_owned()).collect()).collect()
    }

    fn keyed(&self, schema: &Schema) -> BTreeMap<&'static str, Keyed> {
        let of = |(site, table): (&'static str, &str)| {
            (site, keys(schema, &self.data.texts(table, &schema.columns()).unwrap()).unwrap())
        };
        SITES.map(of).into_iter().collect()
    }

    /// A folder for each of these sites: identities in one table, and nothing else.
    fn network(&self, label: &str, linkage: &str) -> Scratch {
        let folder = Scratch::new(label);
        for (_, table) in SITES {
            let columns = self.columns(table, &IDENTIFIERS);
            folder.write(&format!("{table}/patient.csv"), csv(&IDENTIFIERS, &columns, &|_| true));
        }
        folder.write("network.toml", NETWORK.split("[tables.lab").next().unwrap());
        folder.write("linkage.toml", linkage);
        folder
    }
}

fn csv(names: &[&str], columns: &[Vec<String>], keep: &dyn Fn(usize) -> bool) -> String {
    let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
    let line = |row: usize| columns.iter().map(|column| quoted(&column[row])).collect::<Vec<_>>().join(",");
    let lines = (0..columns[0].len()).filter(|row| keep(*row)).map(line);
    std::iter::once(names.join(",")).chain(lines).map(|line| line + "\n").collect()
}

fn table_of(site: &str) -> &'static str {
    SITES.iter().find(|(name, _)| *name == site).unwrap().1
}

/// Patients whom all these sites have.
fn in_common(sites: &str) -> String {
    let tables: Vec<&str> = sites.split('&').map(table_of).collect();
    let first = tables[0];
    let joins = tables[1..].iter().enumerate();
    let joins = joins.map(|(i, table)| format!(" JOIN {table}.patient t{i} ON a.mrn = t{i}.mrn")).collect::<String>();
    format!("SELECT COUNT(DISTINCT a.mrn) AS n FROM {first}.patient a{joins}")
}

fn in_any(sites: &str) -> String {
    let tables = sites.split('&').map(|site| format!("SELECT mrn FROM {}.patient", table_of(site)));
    format!("SELECT COUNT(DISTINCT mrn) AS n FROM ({}) t", tables.collect::<Vec<_>>().join(" UNION ALL "))
}

fn ask(folder: &Scratch, questions: &[String]) -> Run {
    let mut arguments = vec!["--format", "json", "--set", "step_timeout_ms=60000"];
    questions.iter().for_each(|sql| arguments.extend(["-e", sql.as_str()]));
    sandbox(folder.path(), &arguments)
}

/// The first row of each answer.
fn rows(run: &Run) -> Vec<Vec<Value>> {
    let row = |answer: &Value| answer["rows"][0].as_array().expect("an answer has a row").clone();
    run.answers().iter().map(row).collect()
}

fn counts(run: &Run) -> Vec<u64> {
    rows(run).iter().map(|row| number(&row[0])).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn one_pass(at: usize) -> String {
    let mut file: toml::Table = toml::from_str(&example("six_rules.toml")).unwrap();
    let passes = file["passes"].as_array().unwrap().clone();
    file.insert("passes".into(), toml::Value::Array(vec![passes[at].clone()]));
    toml::to_string(&file).unwrap()
}

#[test]
fn each_rule_alone_counts_what_the_pooled_tables_have_in_common_and_together() {
    let Some(trial) = Trial::open() else { return };
    for (rule, expected) in trial.expected["rules"].as_object().unwrap() {
        let folder = trial.network("rule", &one_pass(rule[1..2].parse::<usize>().unwrap() - 1));
        let mut questions: Vec<String> = PAIRS.iter().map(|pair| in_common(pair)).collect();
        questions.push(in_common("A&B&C"));
        questions.push(in_any("A&B&C"));
        let found = counts(&ask(&folder, &questions));
        let three = &["A&B&C"];
        let mut wanted: Vec<u64> =
            PAIRS.iter().chain(three).map(|pair| expected[pair]["intersection_size"].as_u64().unwrap()).collect();
        wanted.push(expected["union_ABC_distinct_keys"].as_u64().unwrap());
        println!("{rule}: {found:?}");
        assert_eq!(found, wanted, "{rule}");
    }
}

/// A patient as the rule for duplicates makes it: the keys of all its records in every pass.
type PatientKeys = Vec<BTreeSet<u128>>;

fn patients(keyed: &Keyed) -> Vec<PatientKeys> {
    let mut of: BTreeMap<u32, PatientKeys> = BTreeMap::new();
    for (record, first) in keyed.patients().iter().enumerate() {
        let keys = of.entry(*first).or_insert_with(|| vec![BTreeSet::new(); keyed.passes.len()]);
        for (keys, pass) in keys.iter_mut().zip(&keyed.passes) {
            keys.extend(pass.as_slice()[record].map(|key| key.0));
        }
    }
    of.into_values().collect()
}

/// All keys of a site, pass by pass.
fn all_keys(site: &Keyed) -> PatientKeys {
    let of_pass = |pass: &RecordKeys| pass.as_slice().iter().flatten().map(|key| key.0).collect();
    site.passes.iter().map(of_pass).collect()
}

/// Has somebody at the site a key of this patient in any pass?
fn is_at(patient: &PatientKeys, site: &PatientKeys) -> bool {
    patient.iter().zip(site).any(|(keys, theirs)| !keys.is_disjoint(theirs))
}

/// How many patients of the receiver are at all these sites.
fn found(receiver: &Keyed, senders: &[&Keyed]) -> u64 {
    let senders: Vec<PatientKeys> = senders.iter().map(|sender| all_keys(sender)).collect();
    let at_all = |patient: &&PatientKeys| senders.iter().all(|sender| is_at(patient, sender));
    patients(receiver).iter().filter(at_all).count() as u64
}

/// Patients with a key whom no earlier site has, site after site.
fn in_union(sites: &[&Keyed]) -> u64 {
    let all: Vec<PatientKeys> = sites.iter().map(|site| all_keys(site)).collect();
    let is_new = |at: usize, patient: &PatientKeys| {
        patient.iter().any(|keys| !keys.is_empty()) && !all[..at].iter().any(|site| is_at(patient, site))
    };
    let new = |at: usize| patients(sites[at]).iter().filter(|patient| is_new(at, patient)).count() as u64;
    (0..sites.len()).map(new).sum()
}

#[test]
fn in_several_passes_a_patient_of_the_receiving_site_counts_once() {
    let Some(trial) = Trial::open() else { return };
    let linkage = example("patient.toml");
    let keyed = trial.keyed(&Schema::from_toml(&linkage).unwrap());
    let folder = trial.network("passes", &linkage);
    let mut questions: Vec<String> = PAIRS.iter().map(|pair| in_common(pair)).collect();
    questions.push(in_common("A&B&C"));
    questions.push(in_any("A&B&C"));
    let run = ask(&folder, &questions);
    let counted = counts(&run);
    println!("{PAIRS:?}, all three, any of three: {counted:?}");
    for (pair, counted) in PAIRS.iter().zip(&counted) {
        let sites: Vec<&str> = pair.split('&').collect();
        // The later site in the order of the network receives.
        assert_eq!(*counted, found(&keyed[sites[1]], &[&keyed[sites[0]]]), "{pair}");
        // A recall of four digits says of how many people, as there are fewer than 10^4.
        let overlap = trial.expected["true_overlap"][pair].as_f64().unwrap();
        let recall = (*counted as f64 / overlap * 1e4).round() / 1e4;
        assert_eq!(trial.expected["multi_pass"][pair]["recall"], recall, "{pair}: {counted}");
    }
    let [a, b, c] = ["A", "B", "C"].map(|site| &keyed[site]);
    assert_eq!(counted[4..], [found(c, &[a, b]), in_union(&[a, b, c])]);
    // How many have no valid key is said to the site alone.
    for (site, table) in SITES {
        let all = patients(&keyed[site]);
        let without = all.iter().filter(|keys| keys.iter().all(BTreeSet::is_empty)).count();
        let words = format!("{} patients that can be matched, {without} without any valid key", all.len() - without);
        assert!(run.log_of(table).iter().any(|line| line.contains(&words)), "{site}: {words}: {}", run.stderr);
        assert!(!run.error().contains("without any valid key"));
    }
}

#[test]
fn payload_of_linked_patients_joins_as_in_the_pooled_tables() {
    let Some(trial) = Trial::open() else { return };
    let linkage = one_pass(1);
    let folder = trial.network("payload", &linkage);
    folder.write("network.toml", NETWORK);
    let keyed = trial.keyed(&Schema::from_toml(&linkage).unwrap());
    let payload = |site: &str, name: &str, columns: &[&str]| {
        let kept = keyed[site].matchable().unwrap().remove(0);
        let values = trial.columns(table_of(site), columns);
        // Of several records with one key the first is kept.
        folder.write(
            &format!("{}/{name}.csv", table_of(site)),
            csv(columns, &values, &|row| kept.as_slice()[row].is_some()),
        );
    };
    payload("A", "cardio", &["mrn", "heart_disease", "hd_date", "aspirin", "aspirin_date"]);
    payload("B", "follow_up", &["mrn", "outcome", "outcome_date"]);
    payload("C", "lab", &["mrn", "diabetes", "hba1c"]);
    let with_b = |holds: &str| {
        format!(
            "SELECT COUNT(DISTINCT a.mrn) AS n FROM hospital_A.cardio a JOIN hospital_B.follow_up b ON a.mrn = b.mrn {holds}"
        )
    };
    let treated = "a.heart_disease = 1 AND a.aspirin = 1 AND a.aspirin_date >= a.hd_date";
    let mut questions = vec![
        with_b(""),
        with_b("WHERE a.heart_disease = 1"),
        with_b(&format!("WHERE {treated}")),
        with_b(&format!("WHERE {treated} AND b.outcome = 1")),
        "SELECT COUNT(*) AS n FROM (SELECT mrn, MIN(hd_date) AS d FROM hospital_A.cardio GROUP BY mrn) a \
            JOIN (SELECT mrn, MIN(outcome_date) AS d FROM hospital_B.follow_up GROUP BY mrn) b ON a.mrn = b.mrn \
            WHERE b.d >= a.d AND b.d <= a.d + INTERVAL '365 days'"
            .to_owned(),
    ];
    for column in ["aspirin", "heart_disease"] {
        for (x, y) in [(1, 1), (1, 0), (0, 1), (0, 0)] {
            questions.push(with_b(&format!("WHERE a.{column} = {x} AND b.outcome = {y}")));
        }
    }
    let found = counts(&ask(&folder, &questions));
    let expected = &trial.expected["payload_join_R2"];
    let names = [
        "A_and_B_joined",
        "heart_disease_in_join",
        "aspirin_on_or_after_heart_disease",
        "of_those_outcome_at_B",
        "outcome_within_365d_after_hd",
    ];
    for (name, found) in names.iter().zip(&found) {
        assert_eq!(expected[name], *found, "{name}");
    }
    assert_eq!(expected["aspirin_x_outcome_2x2_[a,b,c,d]_in_all_join"], Value::from(&found[5..9]));
    assert_eq!(expected["hd_x_outcome_2x2"], Value::from(&found[9..13]));

    let sums = "SELECT COUNT(c.hba1c) AS n, SUM(c.hba1c) AS s, SUM(c.hba1c * c.hba1c) AS q FROM hospital_A.cardio a \
        JOIN hospital_C.lab c ON a.mrn = c.mrn WHERE a.heart_disease = 1"
        .to_owned();
    let all =
        "SELECT COUNT(DISTINCT a.mrn) AS n FROM hospital_A.cardio a JOIN hospital_C.lab c ON a.mrn = c.mrn".to_owned();
    let rows = rows(&ask(&folder, &[all, sums]));
    assert_eq!(expected["A_and_C_joined"], number(&rows[0][0]));
    let scaled = |value: &Value, by: f64| {
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
        (number * by).round() as u64
    };
    let hba1c = &expected["hba1c_of_heart_disease_patients"];
    assert_eq!(hba1c["n"], number(&rows[1][0]));
    assert_eq!(hba1c["sum_x10"], scaled(&rows[1][1], 10.0));
    assert_eq!(hba1c["sumsq_x100"], scaled(&rows[1][2], 100.0));
}

/// Small sites of our own.
fn small(label: &str, linkage: &str, network: &str, tables: &[(&str, &str)]) -> Scratch {
    let folder = Scratch::new(label);
    for (path, content) in tables {
        folder.write(path, content);
    }
    folder.write("network.toml", network);
    folder.write("linkage.toml", linkage);
    folder
}

const LINKAGE: &str = "study = \"s\"\nduplicates = \"first\"\nfurther_keys = { patients = 1, each = 1 }\n[[passes]]\nname = \"id\"\n[[passes.parts]]\ncolumn = \"id\"\n\
    [[passes]]\nname = \"name\"\n[[passes.parts]]\ncolumn = \"name\"\nsteps = [\"casefold\"]\n";
const SMALL: &str = "patient_key = \"mrn\"\nmin_sites = 2\n[linkage]\nfile = \"linkage.toml\"\ntable = \"patient\"\n";
const COUNT: &str = "SELECT COUNT(DISTINCT a.mrn) AS n FROM A.patient a JOIN B.patient b ON a.mrn = b.mrn";

#[test]
fn records_of_one_patient_are_one_row_and_a_patient_without_a_key_is_left_out() {
    // At A, a1 and a2 are one patient by the id; a3 is found by the name; a4 has no key. Visits of both records add up.
    let a = "mrn,id,name\na1,7,Ann\na2,7,Anne\na3,,Bob\na4,,\n";
    let b = "mrn,id,name\nb1,7,\nb2,,BOB\nb3,,\nb4,9,Cy\n";
    let tables = [
        ("A/patient.csv", a),
        ("B/patient.csv", b),
        ("A/visit.csv", "mrn,n\na1,1\na2,10\na3,100\na4,1000\n"),
        ("B/stay.csv", "mrn,d\nb1,1\nb2,1\nb3,1\nb4,1\n"),
    ];
    let folder = small("small", LINKAGE, SMALL, &tables);
    let sum = "SELECT SUM(t.s) AS s FROM (SELECT mrn, SUM(n) AS s FROM A.visit GROUP BY mrn) t \
        WHERE t.mrn IN (SELECT mrn FROM B.stay)";
    let union = "SELECT COUNT(DISTINCT mrn) AS n FROM patient";
    assert_eq!(counts(&ask(&folder, &[COUNT, sum, union].map(String::from))), [2, 111, 3]);
}

#[test]
fn equal_keys_of_two_patients_mean_nothing_where_duplicates_are_excluded_and_stop_where_refused() {
    let a = "mrn,id,name\na1,7,Ann\na2,7,Bob\n";
    let b = "mrn,id,name\nb1,7,Bob\nb2,,Ann\n";
    let with = |rule: &str| LINKAGE.replace("\"first\"", rule);
    let tables = [("A/patient.csv", a), ("B/patient.csv", b)];
    // b1 is Bob by the name, b2 is Ann.
    let folder = small("exclude", &with("\"exclude\""), SMALL, &tables);
    assert_eq!(counts(&ask(&folder, &[COUNT.into()])), [2]);
    let refused = ask(&small("refuse", &with("\"refuse\""), SMALL, &tables), &[COUNT.into()]);
    assert_eq!(refused.code(), "LINKAGE_DUPLICATES", "{}", refused.stderr);
}

#[test]
fn what_is_wrong_with_a_linkage_is_said_with_a_code() {
    let good = [("A/patient.csv", "mrn,id,name\na1,7,Ann\n"), ("B/patient.csv", "mrn,id,name\nb1,7,Ann\n")];
    let missing = [("A/patient.csv", "mrn,id,name\na1,7,Ann\n"), ("B/patient.csv", "mrn,id,nane\nb1,7,Ann\n")];
    let elsewhere = [good[0], good[1], ("C/visit.csv", "mrn,n\nc1,1\n")];
    /// Files, the network file, the code and what the message names.
    type Case<'a> = (&'a [(&'a str, &'a str)], String, &'a str, &'a str);
    let cases: [Case<'_>; 6] = [
        (&good, SMALL.replace("linkage.toml", "nowhere.toml"), "NO_SUCH_FILE", "nowhere.toml"),
        (&good, SMALL.replace("\"patient\"", "\"patients\""), "BAD_SETTINGS", "did you mean 'patient'?"),
        (&good, SMALL.replace("file =", "fiel ="), "BAD_SETTINGS", "did you mean 'linkage.file'?"),
        (&missing, SMALL.to_owned(), "SCHEMA_DIFFERS", "patient.name: A: text, B: missing"),
        (&elsewhere, SMALL.to_owned(), "LINKAGE_TABLE", "site C has patients, but no table patient"),
        (&good, SMALL.to_owned(), "", ""),
    ];
    for (tables, network, code, words) in cases {
        let run = ask(&small("wrong", LINKAGE, &network, tables), &[COUNT.into()]);
        assert_eq!(run.code(), code, "{}", run.stderr);
        assert!(run.error().contains(words), "{}", run.stderr);
    }
}

#[test]
fn columns_that_identify_are_in_no_question_unless_the_network_allows_them() {
    let tables = [("A/patient.csv", "mrn,id,name\na1,7,Ann\n"), ("B/patient.csv", "mrn,id,name\nb1,7,Ann\n")];
    let question = "SELECT COUNT(*) AS n FROM patient WHERE name = 'Ann'".to_owned();
    let refused = ask(&small("denied", LINKAGE, SMALL, &tables), std::slice::from_ref(&question));
    assert_eq!(refused.status, Some(1));
    assert!(refused.error().contains("patient.name"), "{}", refused.stderr);
    let allowed = format!("{SMALL}[tables.patient.columns.name]\nallowed = true\n");
    assert_eq!(counts(&ask(&small("allowed", LINKAGE, &allowed, &tables), &[question])), [2]);
}

/// Records of one patient that spell its name in two ways, and the linkage by the name alone or by id and name.
const TWO_NAMES: &str = "mrn,id,name\nx0,1,Zoe\nx1,7,Ann\nx1,7,Anne\n";

fn by_name_alone() -> String {
    let (head, name) = (LINKAGE.split("[[passes]]").next().unwrap(), LINKAGE.rsplit("[[passes]]").next().unwrap());
    format!("{head}[[passes]]{name}")
}

#[test]
fn a_patient_is_found_by_every_key_of_its_records_whichever_site_has_them_and_counts_once() {
    for linkage in [LINKAGE.to_owned(), by_name_alone()] {
        for (other, found) in [
            ("mrn,id,name\ny1,,ANN\n", 1),
            ("mrn,id,name\ny1,,ANNE\n", 1),
            ("mrn,id,name\ny1,8,ANNE\ny1,8,ANN\n", 1),
            ("mrn,id,name\ny1,8,ANNE\ny1,8,Bob\n", 1),
            ("mrn,id,name\ny1,8,Bob\ny1,8,Eve\n", 0),
        ] {
            for [a, b] in [[TWO_NAMES, other], [other, TWO_NAMES]] {
                let folder = small("names", &linkage, SMALL, &[("A/patient.csv", a), ("B/patient.csv", b)]);
                let union = "SELECT COUNT(DISTINCT mrn) AS n FROM patient";
                assert_eq!(counts(&ask(&folder, &[COUNT, union].map(String::from))), [found, 3 - found], "{a}{b}");
            }
        }
    }
}

#[test]
fn of_two_patients_found_by_two_keys_the_first_key_s_decides() {
    let names = |anne: &str, ann: &str| format!("mrn,id,name\na1,1,{ann}\na2,2,{anne}\n");
    let sum = "SELECT SUM(t.s) AS s FROM (SELECT mrn, SUM(n) AS s FROM A.visit GROUP BY mrn) t \
        WHERE t.mrn IN (SELECT mrn FROM B.stay)";
    for (names, expected) in [(names("Anne", "Ann"), 1), (names("Ann", "Anne"), 10)] {
        let tables = [
            ("A/patient.csv", names.as_str()),
            ("B/patient.csv", TWO_NAMES),
            ("A/visit.csv", "mrn,n\na1,1\na2,10\n"),
            ("B/stay.csv", "mrn,d\nx0,1\nx1,1\n"),
        ];
        let folder = small("decides", &by_name_alone(), SMALL, &tables);
        assert_eq!(counts(&ask(&folder, &[COUNT, sum].map(String::from))), [1, expected]);
    }
}

#[test]
fn a_site_with_more_keys_of_a_patient_than_declared_refuses_and_says_what_to_declare() {
    let three = format!("{TWO_NAMES}x1,7,Anna\n");
    let two = format!("{TWO_NAMES}x0,1,Zora\n");
    let declared = "further_keys = { patients = 1, each = 1 }";
    for (records, in_file, needed) in [
        (TWO_NAMES, "", "patients = 1, each = 1"),
        (three.as_str(), declared, "patients = 1, each = 2"),
        (two.as_str(), declared, "patients = 2, each = 1"),
    ] {
        let tables = [("A/patient.csv", records), ("B/patient.csv", "mrn,id,name\nb1,7,Ann\n")];
        let refused = ask(&small("more", &LINKAGE.replace(declared, in_file), SMALL, &tables), &[COUNT.into()]);
        assert_eq!(refused.code(), "LINKAGE_FURTHER_KEYS", "{}", refused.stderr);
        let hint = format!("further_keys = {{ {needed} }}");
        assert!(refused.error().contains(&hint), "{}", refused.stderr);
        let run = ask(&small("enough", &LINKAGE.replace(declared, &hint), SMALL, &tables), &[COUNT.into()]);
        assert_eq!(counts(&run), [1], "{}", run.stderr);
        let said = "have several keys in a pass";
        assert!(run.log_of("A").iter().any(|line| line.contains(said)), "{}", run.stderr);
        assert!(run.log_of("B").iter().any(|line| line.contains(&format!("0 patients whose records differ {said}"))));
    }
}

#[test]
fn the_plan_says_in_how_many_passes_patients_are_found() {
    let tables = [("A/patient.csv", "mrn,id,name\na1,7,Ann\n"), ("B/patient.csv", "mrn,id,name\nb1,7,Ann\n")];
    let folder = small("explain", LINKAGE, SMALL, &tables);
    let data = folder.path().to_string_lossy().into_owned();
    let plan = run(&mut consilium(&["explain", "--data", &data, "-e", COUNT]));
    assert!(plan.stdout.contains("found by any of 2 passes"), "{}{}", plan.stdout, plan.stderr);
    assert!(plan.stdout.contains("up to 1 patients of each site have up to 1 keys more in a pass"), "{}", plan.stdout);
}

/// What each site allows.
const POLICY: &str = "classes = ['count', 'matching']\n[columns.patient]\nmrn = ['link']\nid = ['link']\nname = ['link']\n\
    [[approve]]\nclasses = ['count', 'matching']\n";

const STUDY: &str = "name = 'linked'\npurpose = 'to see who is refused'\nlegal_basis = 'made-up rows'\nanalysts = ['analyst']\n\
                     sites = ['A', 'B']\ntables = ['patient']\nends = '2099-12-31'\n";

/// Two sites and an analyst with files of their own, each with the linkage file of its folder.
struct Pair {
    folder: Scratch,
    nodes: Vec<Background>,
}

impl Pair {
    fn new() -> Self {
        let tables = [
            ("A-data/patient.csv", "mrn,id,name\na1,7,Ann\na2,8,Bob\n"),
            ("B-data/patient.csv", "mrn,id,name\nb1,,ann\n"),
        ];
        let pair = Self { folder: small("two", LINKAGE, SMALL, &tables), nodes: Vec::new() };
        let listen = ports::<2>().map(|port| format!("127.0.0.1:{port}"));
        pair.folder.write("policy.toml", POLICY);
        for (site, listen) in ["A", "B"].iter().zip(&listen) {
            let (dir, data) = (pair.path(site), pair.path(&format!("{site}-data")));
            let settings = pair.path("network.toml");
            pair.succeed(&[
                "init",
                "--dir",
                &dir,
                "--name",
                site,
                "--data",
                &data,
                "--listen",
                listen,
                "--settings",
                &settings,
                "--policy",
                &pair.path("policy.toml"),
            ]);
        }
        pair.succeed(&["init", "--dir", &pair.path("analyst"), "--name", "analyst", "--analyst"]);
        let publics = ["A", "B", "analyst"].map(|name| pair.path(&format!("{name}/{name}.public.toml")));
        let (settings, out) = (pair.path("network.toml"), pair.path("enrolled.toml"));
        let enroll = ["enroll", "--settings", &settings, "--out", &out, &publics[0], &publics[1], &publics[2]];
        pair.succeed(&enroll);
        for name in ["A", "B", "analyst"] {
            fs::copy(&out, pair.folder.at(&format!("{name}/network.toml"))).unwrap();
            pair.folder.write(&format!("{name}/linkage.toml"), LINKAGE);
            pair.folder.write(&format!("{name}/study.toml"), STUDY);
            let file = if name == "analyst" { "analyst" } else { "node" };
            let config = pair.folder.at(&format!("{name}/{file}.toml"));
            let text = fs::read_to_string(&config).unwrap();
            fs::write(config, text + "studies = [\"study.toml\"]\n").unwrap();
        }
        pair
    }

    fn path(&self, relative: &str) -> String {
        self.folder.at(relative).to_string_lossy().into_owned()
    }

    fn succeed(&self, arguments: &[&str]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended
    }

    /// (Re)starts the nodes and asks.
    fn ask(&mut self) -> Run {
        self.nodes.clear();
        let node = |site: &str| {
            Background::start(&mut consilium(&["node", "--config", &self.path(&format!("{site}/node.toml"))]))
        };
        let nodes = ["A", "B"].map(node);
        self.nodes.extend(nodes);
        let config = self.path("analyst/analyst.toml");
        until("both nodes answer", || run(&mut consilium(&["check", "--config", &config])).status == Some(0));
        run(&mut consilium(&["query", "--config", &config, "--format", "json", "-e", COUNT]))
    }
}

#[test]
fn a_site_with_another_linkage_file_refuses_before_anything_is_shared() {
    let mut pair = Pair::new();
    pair.folder.write("B/linkage.toml", LINKAGE.replace("\"s\"", "\"another study\""));
    let refused = pair.ask();
    assert_eq!(refused.code(), "LINKAGE_DIFFERS", "{}", refused.stderr);
    let schemas =
        ["analyst", "B"].map(|name| fs::read_to_string(pair.folder.at(&format!("{name}/linkage.toml"))).unwrap());
    for schema in schemas {
        let digest: String = Schema::from_toml(&schema).unwrap().digest().iter().map(|b| format!("{b:02x}")).collect();
        assert!(refused.error().contains(&digest), "{}", refused.stderr);
    }
    pair.folder.write("B/linkage.toml", LINKAGE);
    assert_eq!(counts(&pair.ask()), [1]);
}
