//! What a site decides of a question, and that it decides so again when the run begins.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mpc_core::identity::Identity;
use query_planner::catalog::{InferredType, SiteName, SiteSchema, SiteTableSchema};
use query_planner::{Audience, Compiled, JointPlan, Options, Settings};

use super::approval::Approval;
use super::gate::{Asker, Gate, Posted, Verdict};
use super::study::Study;
use crate::agree::Propose;
use crate::fault::NodeError;
use crate::network;
use crate::state::ledger::{Progress, Release, Terms};
use crate::state::{State, now_ms};

const POLICY: &str = "allow_all = true\n[[approve]]\nclasses = ['count', 'matching']\n";

/// A site with a policy file, an opt-out list, and a question.
struct Site {
    folder: PathBuf,
    gate: Gate,
    plan: JointPlan,
    propose: Propose,
    asker: Asker,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn study(name: &str, tables: &[&str], ends: &str) -> Study {
    Study::from_toml(&format!(
        "name = '{name}'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = ['ana']\nsites = ['a', 'b']\ntables = {tables:?}\nends = '{ends}'\n"
    ))
    .unwrap()
}

fn site(policy: &str) -> Site {
    asked(policy, "min_sites = 2", Audience::Analyst)
}

fn asked(policy: &str, settings: &str, audience: Audience) -> Site {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("consilium-gate-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("opt_out.csv"), "person_id\n7\n").unwrap();
    fs::write(folder.join("policy.toml"), policy).unwrap();
    let (identity, analyst) = (Identity::generate().unwrap(), Identity::generate().unwrap().pin());
    let state = Arc::new(State::open(&folder.join("state"), &folder.join("state.key"), &identity).unwrap());
    let columns = vec![("person_id".to_owned(), InferredType::Typed("int".parse().unwrap()))];
    let table = SiteTableSchema { name: "person".into(), columns, rows: 100 };
    let schema = SiteSchema { tables: vec![table], patients: 100 };
    let sites = ["a", "b"].map(|name| (SiteName(name.into()), schema.clone()));
    let catalog = network::catalog(&sites, &Settings::from_toml(settings).unwrap(), None).unwrap();
    let options = Options { now_ms: 0, audience, noise: None };
    let sql = "SELECT COUNT(*) FROM person";
    let plan = query_planner::plan(sql, &catalog, &options).unwrap().joint;
    let studies = vec![study("one", &["person"], "2999-12-31"), study("two", &["Person", "visit"], "2999-12-31")];
    let propose = Propose {
        sql: sql.into(),
        now_ms: 0,
        audience,
        noise: None,
        network: [3; 32],
        linkage: None,
        study: studies[0].digest(),
        plan: plan.digest(),
        step_timeout_ms: 1000,
    };
    let policy = Posted::read(folder.join("policy.toml")).unwrap();
    let name = SiteName("a".into());
    let gate = Gate { name, identity: Arc::new(identity), network: [3; 32], studies, policy, state };
    Site { folder, gate, plan, propose, asker: Asker { name: "ana".into(), pin: analyst, at: None } }
}

impl Site {
    fn decide(&self) -> Result<Box<Approval>, NodeError> {
        match self.gate.decide(&self.propose, &self.plan, &self.asker, now_ms())? {
            Verdict::Approved(approval) => Ok(approval),
            Verdict::Waiting => panic!("a rule approves it"),
        }
    }

    /// When the run begins.
    fn stands(&self, given: &Approval, now: u64) -> String {
        let stands = self.gate.stands(&self.propose, &self.plan, &self.asker, given, now);
        stands.err().map(|error| error.code.into_owned()).unwrap_or_default()
    }

    fn answer_in(&self, study: [u8; 32], id: u8) {
        let release = Release {
            id: [id; 16],
            study,
            plan: [1; 32],
            disclosure: [4; 32],
            text: "SELECT 1".into(),
            sites: vec!["a".into(), "b".into()],
            analyst: "ana".into(),
            at_ms: now_ms(),
            snapshot: [5; 32],
            unhidden: false,
            progress: Progress::Begun,
        };
        let after = self.gate.state.standing(&study).unwrap();
        self.gate.state.begin(&release, &Terms { after, releases: None, refusals: None, privacy: None }).unwrap();
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, NodeError>) -> String {
    result.unwrap_err().code.into_owned()
}

#[test]
fn a_study_that_ends_between_a_sites_word_and_the_run_ends_the_run() {
    let site = site(POLICY);
    let given = site.decide().unwrap();
    assert_eq!(site.stands(&given, now_ms()), "");
    let in_3000 = 1031 * 365 * 86_400_000;
    assert_eq!(site.stands(&given, in_3000), "STUDY_ENDED");
}

#[test]
fn what_is_hidden_from_the_analyst_alone_is_not_answered_through_another_sites_node() {
    let grants = "classes = ['count', 'matching', 'table']\n[columns.person]\nperson_id = ['link']\n[[approve]]\nclasses = ['count', 'matching', 'table']\n";
    let decided = |policy: &str, (least, audience), at: &str| {
        let mut site = asked(policy, &format!("min_sites = 2\nmin_patients = {least}"), audience);
        site.asker.at = (!at.is_empty()).then(|| SiteName(at.into()));
        site.decide().map_or_else(|error| error.code.into_owned(), |_| String::new())
    };
    assert_eq!(decided(grants, (2, Audience::Analyst), "b"), "NODE_SEES_ANSWER");
    assert_eq!(decided(grants, (2, Audience::Analyst), ""), "", "its key lies at no site");
    assert_eq!(decided(grants, (2, Audience::Analyst), "a"), "", "its own node");
    assert_eq!(decided(grants, (2, Audience::Everyone), "b"), "", "without each site's own rows");
    assert_eq!(decided(grants, (1, Audience::Analyst), "b"), "", "nothing is hidden");
    assert_eq!(decided(POLICY, (2, Audience::Analyst), "b"), "", "everything is allowed");
}

#[test]
fn whoever_is_over_its_limit_uses_up_nobody_elses_by_naming_studies() {
    let site = site(&format!("{POLICY}[refusals]\nmost = 2\ntotal = 8\ndays = 1\n"));
    let mut unknown = site.propose.clone();
    for study in 0..20 {
        unknown.study = [study; 32];
        site.gate.refused(&unknown, &site.asker, "STUDY_UNKNOWN").unwrap();
        site.gate.refused(&site.propose, &site.asker, "COLUMN_NOT_ALLOWED").unwrap();
    }
    assert_eq!(code(site.decide()), "TOO_MANY_REFUSALS");
    let other = Asker { name: "bea".into(), ..site.asker.clone() };
    assert_eq!(code(site.gate.decide(&site.propose, &site.plan, &other, now_ms()).map(drop)), "NOT_IN_STUDY");
}

/// A question by `k`, of so many declared values, at sites each of which has so many patients.
fn planned(sites: &[&str], patients: u64, (groups, least): (usize, u32), sql: &str) -> Compiled {
    let columns = ["person_id", "k"].map(|name| (name.to_owned(), InferredType::Typed("int".parse().unwrap())));
    let table = SiteTableSchema { name: "person".into(), columns: columns.into(), rows: patients };
    let schema = SiteSchema { tables: vec![table], patients };
    let sites: Vec<_> = sites.iter().map(|name| (SiteName((*name).into()), schema.clone())).collect();
    let domain: Vec<String> = (0..groups).map(|k| k.to_string()).collect();
    let settings = format!(
        "min_sites = 2\nmin_patients = {least}\nmax_groups = 4000\n[tables.person.columns.k]\ndomain = [{}]\n",
        domain.join(", ")
    );
    let catalog = network::catalog(&sites, &Settings::from_toml(&settings).unwrap(), None).unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    query_planner::plan(sql, &catalog, &options).unwrap()
}

/// May they answer it?
fn fits(sites: &[&str], patients: u64, by: (usize, u32), sql: &str) -> Result<(), String> {
    fits_a_ledger(&planned(sites, patients, by, sql))
}

fn fits_a_ledger(compiled: &Compiled) -> Result<(), String> {
    crate::execute::fits_a_ledger(compiled).map_err(|error| error.code.into_owned())
}

#[test]
fn what_an_answer_compares_of_its_own_counts_and_more_of_it_where_every_site_sees_it() {
    let of = |groups: usize, audience: Audience| {
        let mut compiled = planned(&["a", "b", "c"], 1000, (groups, 11), "SELECT k, COUNT(*) FROM person GROUP BY k");
        assert_eq!(fits_a_ledger(&compiled), Ok(()), "without pairs of its own");
        // As where its groups may be copies of the same rows.
        compiled.joint.side_by_side = vec![(0, 0)];
        compiled.joint.audience = audience;
        fits_a_ledger(&compiled)
    };
    assert_eq!([of(10, Audience::Analyst), of(10, Audience::Everyone)], [Ok(()), Ok(())]);
    assert_eq!(of(80, Audience::Analyst), Ok(()));
    assert_eq!(of(80, Audience::Everyone), Err("TOO_MANY_FIGURES".into()));
    assert_eq!(of(600, Audience::Analyst), Err("TOO_MANY_FIGURES".into()));
}

#[test]
fn a_table_with_more_groups_than_a_ledger_keeps_is_refused_before_anything_is_agreed() {
    let sql = "SELECT k, COUNT(*) FROM person GROUP BY k";
    let fits = |groups: usize, least: u32| fits(&["a", "b"], 5000, (groups, least), sql);
    // One figure for each declared value, one for rows without a value, and one for all of them.
    let most = crate::govern::sets::MAX_SETS - 2;
    assert_eq!(fits(most, 11), Ok(()));
    assert_eq!(fits(most + 1, 11), Err("TOO_MANY_FIGURES".into()));
    assert_eq!(fits(most + 1, 1), Ok(()), "nothing is compared");
}

#[test]
fn figures_over_so_many_patients_that_no_later_answer_could_be_compared_with_them_are_refused() {
    let sql = "SELECT k, COUNT(DISTINCT person_id) FROM person GROUP BY k";
    let fits = |groups: usize, patients: u64, least: u32| fits(&["a", "b", "c"], patients, (groups, least), sql);
    assert_eq!(fits(2, 100_000, 11), Ok(()));
    assert_eq!(fits(200, 1_000, 11), Ok(()));
    assert_eq!(fits(200, 100_000, 11), Err("TOO_MANY_FIGURES".into()));
    assert_eq!(fits(200, 100_000, 1), Ok(()), "nothing is compared");
}

#[test]
fn who_is_between_two_figures_and_also_behind_a_third_is_a_set_of_the_ledger() {
    let columns = ["person_id", "z", "x"].map(|name| (name.to_owned(), InferredType::Typed("int".parse().unwrap())));
    let table = SiteTableSchema { name: "t".into(), columns: columns.into(), rows: 5000 };
    let schema = SiteSchema { tables: vec![table], patients: 5000 };
    let sites = ["a", "b"].map(|name| (SiteName(name.into()), schema.clone()));
    let settings = "min_sites = 2\nmin_patients = 11\n[tables.t.columns.x]\nrange = [1, 60]\n";
    let catalog = network::catalog(&sites, &Settings::from_toml(settings).unwrap(), None).unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let sets = |sql: &str| {
        let compiled = query_planner::plan(sql, &catalog, &options).unwrap();
        let sum = &compiled.joint.sums[0];
        let shared = sum.between.iter().filter(|pair| sum.patients.contains(&pair.patients)).count();
        let planned = crate::govern::sets::Planned::new(&compiled, &[vec![Vec::new()]]).unwrap();
        let behind: std::collections::BTreeSet<usize> = sum.patients.iter().copied().collect();
        (shared, behind.len(), planned.figures().said)
    };
    let counts = "COUNT(*) AS n, COUNT(*) FILTER (WHERE z <> 17) AS a";
    let (none, behind, said) = sets(&format!("SELECT {counts} FROM t"));
    assert_eq!((none, said), (0, behind));
    // Who is between the counts is whom a third one counts.
    let (shared, behind, said) =
        sets(&format!("SELECT {counts}, COUNT(*) FILTER (WHERE (z <> 17) IS NOT TRUE) AS b FROM t"));
    assert_eq!((shared, said), (1, behind));
}

#[test]
fn a_list_of_opt_outs_that_changes_after_the_start_stops_answers_until_it_is_read() {
    let site = site(&format!("{POLICY}[opt_out]\nfile = 'opt_out.csv'\n"));
    let given = site.decide().unwrap();
    fs::write(site.folder.join("opt_out.csv"), "person_id\n7\n8\n").unwrap();
    assert_eq!(
        (code(site.decide()), site.stands(&given, now_ms())),
        ("OPT_OUT_CHANGED".into(), "OPT_OUT_CHANGED".into())
    );
    fs::remove_file(site.folder.join("opt_out.csv")).unwrap();
    assert_eq!(code(site.decide()), "OPT_OUT_CHANGED");
    fs::write(site.folder.join("opt_out.csv"), "person_id\n7\n").unwrap();
    site.decide().unwrap();
}

#[test]
fn a_policy_in_another_layout_is_the_same_and_another_one_stops_answers() {
    let site = site(POLICY);
    let write = |text: &str| fs::write(site.folder.join("policy.toml"), text).unwrap();
    write(&format!("# a remark\n{POLICY}"));
    site.decide().unwrap();
    write(&format!("min_patients = 1\n{POLICY}"));
    assert_eq!(code(site.decide()), "POLICY_CHANGED");
}

#[test]
fn a_site_that_wants_one_ledger_answers_in_one_study_of_those_that_share_a_table() {
    for (rule, want) in [("one_ledger = true\n", "OTHER_LEDGER"), ("", "")] {
        let site = site(&format!("{rule}{POLICY}"));
        let decided = || site.decide().err().map(|error| error.code.into_owned()).unwrap_or_default();
        site.answer_in(site.propose.study, 1);
        assert_eq!(decided(), "", "{rule}: its own answers are compared");
        site.answer_in(site.gate.studies[1].digest(), 2);
        assert_eq!(decided(), want, "{rule}: Person is person");
        site.gate.state.refuse(&[2; 16], "RELEASE_TOO_CLOSE", 0, vec![]).unwrap();
        assert_eq!(decided(), "", "{rule}: a refused one told nothing");
        site.answer_in([9; 32], 3);
        assert_eq!(decided(), want, "{rule}: of a study whose file is gone nobody knows the tables");
    }
}
