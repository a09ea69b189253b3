//! Linked patients in answers: four sites whose identities have known truth, each with real processes over QUIC. Every expected
//! figure is the trusted pooling's, or derived here from the keys.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Background, Run, Scratch, consilium, run, sandbox, shared};
use mpc_core::Block;
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

/// The patients of a site as the rule for duplicates makes them, each with the first key of its records in every pass.
fn patients(keyed: &Keyed) -> Vec<Vec<Option<Block>>> {
    let mut of: BTreeMap<u32, Vec<Option<Block>>> = BTreeMap::new();
    for (record, first) in keyed.patients().iter().enumerate() {
        let keys = of.entry(*first).or_insert_with(|| vec![None; keyed.passes.len()]);
        for (known, pass) in keys.iter_mut().zip(&keyed.passes) {
            *known = known.or(pass.as_slice()[record]);
        }
    }
    of.into_values().collect()
}

/// How many patients of the receiver the sender has in any pass.
fn found(receiver: &Keyed, sender: &Keyed) -> u64 {
    let theirs = patients(sender);
    let theirs: Vec<BTreeSet<u128>> =
        (0..sender.passes.len()).map(|pass| theirs.iter().filter_map(|keys| Some(keys[pass]?.0)).collect()).collect();
    let is_found = |keys: &&Vec<Option<Block>>| {
        keys.iter().zip(&theirs).any(|(key, theirs)| key.is_some_and(|key| theirs.contains(&key.0)))
    };
    patients(receiver).iter().filter(is_found).count() as u64
}

/// The same with all keys of all records.
fn found_by_any_record(receiver: &Keyed, sender: &Keyed) -> u64 {
    let (own, theirs) = (receiver.matchable().unwrap(), sender.matchable().unwrap());
    let of_pass = |(own, theirs): (&RecordKeys, &RecordKeys)| {
        let theirs: BTreeSet<u128> = theirs.as_slice().iter().flatten().map(|key| key.0).collect();
        own.as_slice().iter().map(|key| key.is_some_and(|key| theirs.contains(&key.0))).collect()
    };
    let matched: Vec<Vec<bool>> = own.iter().zip(&theirs).map(of_pass).collect();
    receiver.matched_patients(&matched).unwrap().iter().filter(|found| **found).count() as u64
}

#[test]
fn in_several_passes_a_patient_of_the_receiving_site_counts_once() {
    let Some(trial) = Trial::open() else { return };
    let linkage = example("patient.toml");
    let keyed = trial.keyed(&Schema::from_toml(&linkage).unwrap());
    let folder = trial.network("passes", &linkage);
    let run = ask(&folder, &PAIRS.map(in_common));
    let counted = counts(&run);
    for (pair, counted) in PAIRS.iter().zip(counted) {
        let sites: Vec<&str> = pair.split('&').collect();
        // The later site in the order of the network receives.
        let (receiver, sender) = (&keyed[sites[1]], &keyed[sites[0]]);
        println!(
            "{pair}: {counted}; by any record {} of the second, {} of the first; true overlap {}",
            found_by_any_record(receiver, sender),
            found_by_any_record(sender, receiver),
            trial.expected["true_overlap"][pair]
        );
        assert_eq!(counted, found(receiver, sender), "{pair}");
    }
    // How many have no valid key is said to the site alone.
    for (site, table) in SITES {
        let all = patients(&keyed[site]);
        let without = all.iter().filter(|keys| keys.iter().all(Option::is_none)).count();
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

const LINKAGE: &str = "study = \"s\"\nduplicates = \"first\"\n[[passes]]\nname = \"id\"\n[[passes.parts]]\ncolumn = \"id\"\n\
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

/// Of two records of one patient that differ in a pass, the first in the order of the file lends its key.
#[test]
fn a_patient_has_one_key_in_each_pass_the_first_of_its_records() {
    let a = "mrn,id,name\na1,7,Ann\na2,7,Anne\n";
    let tables = |name: &'static str| [("A/patient.csv", a), ("B/patient.csv", name)];
    let first = small("first", LINKAGE, SMALL, &tables("mrn,id,name\nb1,,ANN\n"));
    let second = small("second", LINKAGE, SMALL, &tables("mrn,id,name\nb1,,ANNE\n"));
    let run = ask(&first, &[COUNT.into()]);
    assert_eq!(counts(&run), [1]);
    assert!(run.log_of("A").iter().any(|line| line.contains("1 further keys")), "{}", run.stderr);
    assert_eq!(counts(&ask(&second, &[COUNT.into()])), [0]);
}

#[test]
fn the_plan_says_in_how_many_passes_patients_are_found() {
    let tables = [("A/patient.csv", "mrn,id,name\na1,7,Ann\n"), ("B/patient.csv", "mrn,id,name\nb1,7,Ann\n")];
    let folder = small("explain", LINKAGE, SMALL, &tables);
    let data = folder.path().to_string_lossy().into_owned();
    let plan = run(&mut consilium(&["explain", "--data", &data, "-e", COUNT]));
    assert!(plan.stdout.contains("found by any of 2 passes"), "{}{}", plan.stdout, plan.stderr);
}

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
        let ports = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let listen = ports.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
        drop(ports);
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
        let began = Instant::now();
        while run(&mut consilium(&["check", "--config", &config])).status != Some(0) {
            assert!(began.elapsed() < Duration::from_secs(30), "the nodes do not answer");
        }
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
