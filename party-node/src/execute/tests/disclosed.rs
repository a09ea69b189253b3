//! Claims about what a run opens: exactly what its plan says, to whom it says, for random questions over random rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use mpc_core::Session;
use mpc_core::world::World;
use protocols::additive::Additive;
use protocols::{Audience as Stated, Opening};
use query_planner::catalog::SiteName;
use query_planner::disclosure::{Kind, Language, Recipient};
use query_planner::noise::{Asked, Epsilon, Mechanism};
use query_planner::value::Value;
use query_planner::{Audience, Compiled, JointPlan, Options, Settings, explain, merge, plan};

use crate::execute::near::busy_ms;
use crate::execute::{Ended, Met, Unfit, comparable, run, statement};
use crate::fault::NodeError;
use crate::govern::meeting::{Earlier, Extent};
use crate::govern::sets::{Person, Planned, Sets};
use crate::local::{NetworkFacts, Partials, noise, partials_blocking};
use crate::source::{BoundData, SiteData};

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Folders of random rows, gone after the test.
struct Folders(PathBuf, Vec<PathBuf>);

impl Folders {
    fn new(dice: &mut Dice, sites: usize, seed: u64) -> Self {
        let root = std::env::temp_dir().join(format!("consilium-disclosed-{}-{seed}-{sites}", std::process::id()));
        let folders: Vec<PathBuf> = ["A", "B", "C"][..sites].iter().map(|site| root.join(site)).collect();
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            let mut rows = String::from("person_id,sex,code,cost\n");
            for _ in 0..4 + dice.below(9) {
                let (person, code, cost) = (dice.below(8), 1 + dice.below(4), dice.below(100));
                rows += &format!("{person},{},{code},{cost}\n", dice.of(&["F", "M"]));
            }
            std::fs::write(folder.join("cond.csv"), rows).unwrap();
        }
        Self(root, folders)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SETTINGS: &str = "min_sites = 2\nmax_patients = 16\n[tables.cond]\nrows_per_patient = 2\n[tables.cond.columns.sex]\ndomain = ['F', 'M']\n\
                        [tables.cond.columns.cost]\nrange = [0, 100]\n";

fn question(dice: &mut Dice) -> String {
    let key = dice.of(&["", "", "sex", "code", "code", "sex, code"]);
    let mut figures = vec!["COUNT(*) AS n"];
    for _ in 0..dice.below(3) {
        figures.push(dice.of(&[
            "COUNT(cost)",
            "SUM(cost)",
            "AVG(cost)",
            "VAR_SAMP(cost)",
            "MEDIAN(cost)",
            "MAX(cost)",
            "COUNT(DISTINCT person_id)",
            "COUNT(*) FILTER (WHERE cost > 50)",
            "APPROX_COUNT_DISTINCT(code)",
        ]));
    }
    let figures = figures.join(", ");
    let table = dice.of(&["cond", "cond", "cond", "A.cond"]);
    let filter = dice.of(&["", "", " WHERE code < 4", " WHERE cost > 20"]);
    let limit = dice.of(&["", " ORDER BY n DESC LIMIT 2"]);
    match key {
        "" => format!("SELECT {figures} FROM {table}{filter}"),
        key => format!("SELECT {key}, {figures} FROM {table}{filter} GROUP BY {key}{limit}"),
    }
}

type Parts = Vec<Vec<Partials>>;

/// The plan, and every site's partials.
fn prepared(folders: &Folders, settings: &Settings, sql: &str, options: &Options) -> Option<(Compiled, Parts)> {
    let name = |path: &Path| SiteName(path.file_name().unwrap().to_string_lossy().into_owned());
    let sites: Vec<(SiteName, SiteData)> = folders.1.iter().map(|f| (name(f), SiteData::open(f).unwrap())).collect();
    let schema = |(site, data): &(SiteName, SiteData)| (site.clone(), data.schema(&settings.patient_key));
    let catalog = merge::merge(&sites.iter().map(schema).collect::<Vec<_>>(), settings).unwrap();
    let compiled = match plan(sql, &catalog, options) {
        Ok(compiled) => compiled,
        Err(refusal) => {
            println!("{sql}: {}", refusal.code);
            return None;
        }
    };
    let mut parts = Vec::new();
    for (site, data) in sites {
        let data: BoundData = data.bind(&catalog, &site).unwrap();
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        let facts = NetworkFacts::of(&compiled.joint);
        let own = stages.map(|(stage, sum)| partials_blocking(stage, sum, &site, &data, facts).unwrap());
        let mut own: Vec<Partials> = own.collect();
        noise::add(&compiled.joint, &mut own, &mut noise::source().unwrap()).unwrap();
        parts.push(own);
    }
    Some((compiled, parts))
}

/// What each party opened, and whether it got the answer. An earlier release was of other patients altogether, so that the ledger's bit
/// is opened wherever it is asked for.
fn opened(compiled: &Compiled, parts: Parts, seed: u64) -> Vec<(Vec<Opening>, bool)> {
    let world = World::new(parts.len()).with_analyst().seed(seed);
    let compiled = Arc::new(compiled.clone());
    let program = move |session: Session, own: Option<Arc<Vec<Partials>>>| {
        let compiled = compiled.clone();
        async move {
            let mut engine = Additive::new(session, statement(&compiled.joint));
            let earlier = [Earlier { id: [1; 16], of: Extent::All, sets: 1, busy_ms: 0, everyone: false }];
            let noted = if own.is_some() { vec![strangers()] } else { Vec::new() };
            let met = Met { earlier: &earlier, noted: &noted, domain: [0; 32] };
            let own = own.as_ref().map(|own| own.as_slice());
            let ended = run(&mut engine, &compiled, own, met, &|_, _| Box::pin(async { Ok(()) })).await;
            let opened = protocols::Engine::statement(&mut engine).opened();
            let answered = |ended| match ended {
                Ended::Released(answer) => answer.is_some(),
                Ended::TooClose { .. } | Ended::TooWide(_) => panic!("strangers are not near, and few"),
            };
            (engine.into_session(), ended.map(|ended| (opened, answered(ended))))
        }
    };
    let inputs = parts.into_iter().map(|own| Some(Arc::new(own))).chain([None]).collect();
    world.run(program, inputs).into_iter().map(|outcome| outcome.result.unwrap()).collect()
}

/// Patients whom no site has.
fn strangers() -> Sets {
    Sets::said([0; 32], (1..=3).map(|number| Person::of(vec![Some([number; 16])])).collect(), vec![vec![0, 1, 2]])
}

fn is_as_disclosed(sql: &str, joint: &JointPlan, openings: &[Opening]) {
    let printed = explain::disclosures(joint, Language::English);
    let stated: BTreeMap<&str, &query_planner::Disclosure> =
        joint.disclosures.iter().map(|disclosure| (disclosure.id.as_str(), disclosure)).collect();
    let mut ids = BTreeSet::new();
    for Opening { item, .. } in openings {
        let disclosure = stated.get(item.id.as_str()).unwrap_or_else(|| panic!("{sql}: {} is not disclosed", item.id));
        let to = if item.audience == Stated::Analyst { Recipient::Analyst } else { Recipient::Everyone };
        assert!(disclosure.to == to && disclosure.why.is_opened(), "{sql}: {item:?}");
        let words = query_planner::disclosure::sentence(disclosure, Language::English);
        assert!(printed.contains(&words.what), "{sql}: {words:?}");
        assert!(ids.insert(item.id.as_str()), "{sql}: {} was opened twice", item.id);
    }
    let is_number = |kind: Kind| matches!(kind, Kind::Value | Kind::Keys | Kind::Bit | Kind::Order | Kind::Size);
    let promised = joint.disclosures.iter().filter(|d| is_number(d.kind) && d.why.is_opened());
    let promised: BTreeSet<&str> = promised.map(|disclosure| disclosure.id.as_str()).collect();
    // Without groups a wide column is empty, and no message opens it.
    if openings.iter().all(|opening| opening.elements > 0) {
        assert_eq!(ids, promised, "{sql}");
    }
}

#[test]
fn a_run_opens_what_its_plan_discloses_to_whom_it_says_and_nothing_else() {
    let (mut ran, mut noisy, mut kinds) = (0, 0, BTreeSet::new());
    for seed in 1..=QUESTIONS {
        println!("seed {seed}");
        let mut dice = Dice(seed * 7919);
        let folders = Folders::new(&mut dice, 2 + (seed % 2) as usize, seed);
        let mut settings = Settings::from_toml(SETTINGS).unwrap();
        if dice.below(2) == 1 {
            settings.set("min_patients=2").unwrap();
        }
        let audience = if dice.below(3) == 0 { Audience::Everyone } else { Audience::Analyst };
        let gaussian = Mechanism::Gaussian { delta_digits: Some(6) };
        let mechanism = if dice.below(2) == 0 { gaussian } else { Mechanism::Laplace };
        let asked = Asked { epsilon: Epsilon(1_000_000), mechanism };
        // Most of these questions have no noisy answer, and are asked without.
        let sql = question(&mut dice);
        let options = |noise| Options { now_ms: 0, audience, noise };
        let found = prepared(&folders, &settings, &sql, &options(Some(asked)));
        noisy += usize::from(found.is_some());
        let found = found.or_else(|| prepared(&folders, &settings, &sql, &options(None)));
        let Some((compiled, parts)) = found else { continue };
        let (joint, sites) = (&compiled.joint, parts.len());
        ran += 1;
        for (party, (openings, answered)) in opened(&compiled, parts, seed).into_iter().enumerate() {
            is_as_disclosed(&sql, joint, &openings);
            assert_eq!(answered, party == sites || audience == Audience::Everyone, "{sql}: party {party}");
            kinds.extend(openings.iter().map(|opening| format!("{:?}", opening.item.kind)));
        }
    }
    println!("{ran} questions ran, {noisy} with noise, with disclosures of {kinds:?}");
    assert!(ran >= QUESTIONS / 2 && noisy >= 4, "only {ran} questions ran, {noisy} with noise");
    assert!(["Value", "Size", "Order", "Keys"].iter().all(|kind| kinds.contains(*kind)), "only {kinds:?}");
}

const QUESTIONS: u64 = 40;

/// Seven patients with code 1, four of them and two more with code 2, at two sites.
fn two_codes(label: &str) -> Folders {
    let root = std::env::temp_dir().join(format!("consilium-disclosed-{}-codes-{label}", std::process::id()));
    let rows = [
        ("A", "1,F,1,5\n2,F,1,5\n3,M,1,5\n4,M,1,5\n4,M,2,5\n5,M,2,5\n8,F,2,5\n"),
        ("B", "5,M,1,7\n6,M,1,7\n6,M,2,7\n7,F,1,7\n7,F,2,7\n9,F,2,7\n"),
    ];
    let folders: Vec<PathBuf> = rows.iter().map(|(site, _)| root.join(site)).collect();
    for (folder, (_, rows)) in folders.iter().zip(&rows) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("cond.csv"), format!("person_id,sex,code,cost\n{rows}")).unwrap();
    }
    Folders(root, folders)
}

/// How a question ends at every party after a release of these sets, and what was opened.
fn ended(compiled: &Compiled, parts: Parts, old: &Planned) -> Vec<(String, BTreeSet<String>)> {
    let (sites, compiled, old) = (parts.len(), Arc::new(compiled.clone()), Arc::new(old.clone()));
    let program = move |session: Session, own: Option<Arc<Vec<Partials>>>| {
        let (compiled, old) = (compiled.clone(), old.clone());
        async move {
            let me = session.me().index();
            let mut engine = Additive::new(session, statement(&compiled.joint));
            let earlier = [Earlier {
                id: [1; 16],
                of: Extent::All,
                sets: old.figures().sets(),
                busy_ms: 0,
                everyone: old.figures().everyone,
            }];
            let noted = own.iter().map(|own| old.own(&compiled.joint.sites, me, own, ([0; 32], 0)));
            let noted: Vec<Sets> = noted.collect();
            let met = Met { earlier: &earlier, noted: &noted, domain: [0; 32] };
            let ended = run(&mut engine, &compiled, own.as_ref().map(|own| own.as_slice()), met, &|_, _| {
                Box::pin(async { Ok(()) })
            })
            .await;
            let opened = protocols::Engine::statement(&mut engine).opened();
            let opened: BTreeSet<String> = opened.into_iter().map(|opening| opening.item.id.to_string()).collect();
            let ended = ended.map(|ended| match ended {
                Ended::Released(_) => "released".to_owned(),
                Ended::TooClose { after_keys } => format!("too close, after keys: {after_keys}"),
                Ended::TooWide(why) => why.code.to_string(),
            });
            (engine.into_session(), ended.map(|ended| (ended, opened)))
        }
    };
    let inputs = parts.into_iter().map(|own| Some(Arc::new(own))).chain([None]).collect();
    let world = World::new(sites).with_analyst().seed(1);
    world.run(program, inputs).into_iter().map(|outcome| outcome.result.unwrap()).collect()
}

#[test]
fn no_key_is_opened_of_a_question_that_is_near_as_a_whole_and_no_figure_of_one_that_is_near_by_a_group() {
    println!("seed 1");
    let (folders, mut settings) = (two_codes("near"), Settings::from_toml(SETTINGS).unwrap());
    settings.set("min_patients=2").unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    // Of their patients, and of patients who are matched: whose keys these are is known before.
    for sql in BY_CODE {
        println!("{sql}");
        let (compiled, parts) = prepared(&folders, &settings, sql, &options).unwrap();
        assert!(compiled.joint.is_asked_twice());
        let whole = Planned::new(&compiled, &[Vec::new()]).unwrap();
        // A set of seven of the nine patients.
        let by_code = Planned::new(&compiled, &[vec![vec![Value::Int(1)]]]).unwrap();
        let all = ["difference/0", "difference/1", "keys/0", "keys/0/count"].map(str::to_owned);
        for (ended, opened) in ended(&compiled, parts.clone(), &whole) {
            assert_eq!((ended.as_str(), opened), ("too close, after keys: false", [all[0].clone()].into()));
        }
        for (ended, opened) in ended(&compiled, parts.clone(), &by_code.without(&whole)) {
            assert_eq!((ended.as_str(), opened), ("too close, after keys: true", all.clone().into()));
        }
        // A code that nobody has: its set is empty, and two patients away from every other.
        let other = vec![vec![Value::Int(77)]];
        let nobody = Planned::new(&compiled, &[other]).unwrap().without(&whole);
        for (party, (ended, opened)) in ended(&compiled, parts, &nobody).into_iter().enumerate() {
            assert_eq!(ended, "released");
            assert!(all.iter().all(|id| opened.contains(id)), "party {party}: {opened:?}");
            assert!(party < 2 || opened.len() > all.len(), "the analyst has figures: {opened:?}");
        }
    }
}

/// Tables whose keys are agreed.
const BY_CODE: [&str; 2] =
    ["SELECT code, COUNT(*) FROM cond GROUP BY code", "SELECT code, COUNT(DISTINCT person_id) FROM cond GROUP BY code"];

#[test]
fn what_is_too_much_to_compare_or_has_too_many_patients_is_refused_before_it_begins() {
    let (folders, mut settings) = (two_codes("much"), Settings::from_toml(SETTINGS).unwrap());
    settings.set("min_patients=100").unwrap();
    settings.set("max_patients=4000").unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let sql = "SELECT sex, COUNT(*) FROM cond GROUP BY sex";
    let (compiled, parts) = prepared(&folders, &settings, sql, &options).unwrap();
    let one = Earlier { id: [1; 16], of: Extent::All, sets: 1024, busy_ms: 0, everyone: false };
    let of = |releases: usize, people: usize| {
        let somebody = |number: usize| Person::of(vec![Some((1 + number as u128).to_le_bytes())]);
        let sets = || Sets::said([0; 32], (0..people).map(somebody).collect(), vec![Vec::new(); one.sets]);
        let (earlier, noted): (Vec<Earlier>, Vec<Sets>) = (0..releases).map(|_| (one, sets())).unzip();
        let met = Met { earlier: &earlier, noted: &noted, domain: [0; 32] };
        comparable(&compiled, (0, &parts[0]), &met)
    };
    assert_eq!(of(0, 0), Ok(()));
    assert_eq!(of(1, 1), Ok(()));
    assert!(matches!(of(40, 1), Err(Unfit::Sizes(_))), "{:?}", of(40, 1));
    // At most 4000 patients a site, with those of today.
    assert!(matches!(of(1, 4000), Err(Unfit::Patients(_))), "{:?}", of(1, 4000));
}

/// Which sets each party kept, and what it opened, of a first question that ends because A cannot keep these.
fn kept_until(compiled: &Compiled, parts: Parts, fails: Extent) -> Vec<(Vec<Extent>, BTreeSet<String>)> {
    let (sites, compiled) = (parts.len(), Arc::new(compiled.clone()));
    let program = move |session: Session, own: Option<Arc<Vec<Partials>>>| {
        let compiled = compiled.clone();
        async move {
            let (is_a, kept) = (session.me().index() == 0, Arc::new(Mutex::new(Vec::new())));
            let mut engine = Additive::new(session, statement(&compiled.joint));
            let met = Met { earlier: &[], noted: &[], domain: [0; 32] };
            let all = kept.clone();
            let keep = move |of: Extent, _: Sets| -> BoxFuture<'static, Result<(), NodeError>> {
                let can = !is_a || of != fails;
                all.lock().unwrap().extend(can.then_some(of));
                Box::pin(async move { if can { Ok(()) } else { Err(NodeError::new("STATE_FAILED", "no room")) } })
            };
            let ended = run(&mut engine, &compiled, own.as_ref().map(|own| own.as_slice()), met, &keep).await;
            let opened = protocols::Engine::statement(&mut engine).opened();
            let opened: BTreeSet<String> = opened.into_iter().map(|opening| opening.item.id.to_string()).collect();
            let session = engine.into_session();
            session.abort(&ended.err().expect("A cannot keep its sets"));
            let kept = kept.lock().unwrap().clone();
            (session, Ok((kept, opened)))
        }
    };
    let inputs = parts.into_iter().map(|own| Some(Arc::new(own))).chain([None]).collect();
    let world = World::new(sites).with_analyst().seed(1);
    world.run(program, inputs).into_iter().map(|outcome| outcome.result.unwrap()).collect()
}

#[test]
fn keys_come_out_after_every_site_has_kept_what_needs_none_and_figures_after_it_has_kept_all() {
    println!("seed 1");
    let (folders, mut settings) = (two_codes("kept"), Settings::from_toml(SETTINGS).unwrap());
    settings.set("min_patients=2").unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    for sql in BY_CODE {
        println!("{sql}");
        let (compiled, parts) = prepared(&folders, &settings, sql, &options).unwrap();
        for (party, (kept, opened)) in kept_until(&compiled, parts.clone(), Extent::Whole).into_iter().enumerate() {
            assert!(!opened.contains("keys/0"), "party {party}: {opened:?}");
            assert_eq!(kept, [Extent::Whole][usize::from(party != 1)..], "party {party}");
        }
        for (party, (kept, opened)) in kept_until(&compiled, parts, Extent::All).into_iter().enumerate() {
            assert!(opened.contains("keys/0"), "party {party}: {opened:?}");
            // The other site need not have come to keep its own, too.
            assert_eq!(kept.first().copied(), (party < 2).then_some(Extent::Whole), "party {party}");
        }
    }
}

#[test]
fn a_node_makes_its_statement_from_the_plan_and_nowhere_else() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut makers = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                // Put together here, so that this file is not found.
                let call = ["Statement", "::new("].concat();
                let calls = std::fs::read_to_string(&path).unwrap().matches(&call).count();
                makers.extend(std::iter::repeat_n(path.strip_prefix(&source).unwrap().to_owned(), calls));
            }
        }
    }
    let of_runs = |path: &&PathBuf| !path.starts_with("bench") && !path.components().any(|c| c.as_os_str() == "tests");
    let makers: Vec<&PathBuf> = makers.iter().filter(of_runs).collect();
    assert_eq!(makers, [Path::new("execute/statement.rs")]);
}

#[test]
fn sets_that_sites_say_take_no_circuit_and_those_that_follow_take_theirs_alone() {
    let (folders, settings) = (two_codes("busy"), Settings::from_toml(SETTINGS).unwrap());
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let busy_ms = |sql: &str, more: usize| {
        let (compiled, _) = prepared(&folders, &settings, sql, &options).unwrap();
        let mut figures = Planned::new(&compiled, &[vec![Vec::new()]]).unwrap().figures().clone();
        figures.said += more;
        busy_ms(&compiled, &figures).unwrap()
    };
    assert_eq!(busy_ms("SELECT COUNT(*) FROM cond", 100), 0);
    let counted = "SELECT COUNT(DISTINCT person_id) FROM cond";
    assert!(busy_ms(counted, 0) > 0);
    assert_eq!(busy_ms(counted, 100), busy_ms(counted, 0));
}
