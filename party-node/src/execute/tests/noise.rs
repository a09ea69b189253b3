//! Claims about noise: one patient moves a figure by no more than the plan says, the noise is distributed as EXPLAIN says, and the
//! number that a threshold judges is the one that is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mpc_core::random::{Domain, Prg, PrivateSeed};
use mpc_core::step::StepPath;
use mpc_core::world::World;
use mpc_core::{Result, Session};
use protocols::Engine;
use protocols::additive::Additive;
use protocols::clear::Clear;
use query_planner::catalog::SiteName;
use query_planner::decode::Opened;
use query_planner::noise::{Asked, Mechanism};
use query_planner::{Audience, Catalog, Compiled, Options, Settings, decode, keys, merge, plan};

use crate::execute::{Ended, Met, Own, Public, program, run, statement};
use crate::local::{NetworkFacts, Partials, noise, partials_blocking};
use crate::source::SiteData;

const SITES: [&str; 3] = ["A", "B", "C"];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A row of either table; nobody knows whose it is where there is no person.
#[derive(Clone, Copy)]
struct Row {
    person: Option<u64>,
    k: u64,
    x: Option<u64>,
}

/// Each site's rows of the tables `t` and `v`.
type Rows = Vec<[Vec<Row>; 2]>;

fn some_rows(dice: &mut Dice) -> Rows {
    let table = |dice: &mut Dice| {
        let mut rows = Vec::new();
        for _ in 0..8 + dice.below(16) {
            let person = Some(dice.below(PERSONS + 1)).filter(|person| *person < PERSONS);
            let x = Some(dice.below(101)).filter(|x| *x > 10);
            rows.push(Row { person, k: 1 + dice.below(3), x });
        }
        // Somebody has more rows everywhere than are kept.
        rows.extend([Row { person: Some(0), k: 2, x: Some(100) }; 5]);
        rows
    };
    SITES.iter().map(|_| [table(dice), table(dice)]).collect()
}

const PERSONS: u64 = 6;

/// Folders with these rows, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(rows: &Rows) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("consilium-noise-{}-{number}", std::process::id()));
        for (site, tables) in SITES.iter().zip(rows) {
            std::fs::create_dir_all(root.join(site)).unwrap();
            for (name, rows) in ["t", "v"].iter().zip(tables) {
                let text = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
                let line = |row: &Row| format!("{},{},{}\n", text(row.person), row.k, text(row.x));
                let text = format!("person_id,k,x\n{}", rows.iter().map(line).collect::<String>());
                std::fs::write(root.join(site).join(format!("{name}.csv")), text).unwrap();
            }
        }
        Self(root)
    }

    fn open(&self) -> Vec<(SiteName, SiteData)> {
        SITES.iter().map(|site| (SiteName::from(*site), SiteData::open(&self.0.join(site)).unwrap())).collect()
    }

    fn catalog(&self, settings: &Settings) -> Catalog {
        let schema = |(site, data): (SiteName, SiteData)| (site, data.schema(&settings.patient_key));
        merge::merge(&self.open().into_iter().map(schema).collect::<Vec<_>>(), settings).unwrap()
    }

    /// Every site's partials, without noise.
    fn partials(&self, compiled: &Compiled, catalog: &Catalog) -> Vec<Vec<Partials>> {
        let facts = NetworkFacts::of(&compiled.joint);
        let of_site = |(site, data): (SiteName, SiteData)| {
            let data = data.bind(catalog, &site).unwrap();
            let stages = compiled.local.iter().zip(&compiled.joint.sums);
            stages.map(|(stage, sum)| partials_blocking(stage, sum, &site, &data, facts).unwrap()).collect()
        };
        self.open().into_iter().map(of_site).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(more: &[&str]) -> Settings {
    let columns = "person_id = { type = 'int' }\nk = { type = 'int', domain = [1, 2, 3] }\nx = { type = 'int', range = [0, 100] }\n";
    let tables = format!(
        "[tables.t]\nrows_per_patient = 2\n[tables.t.columns]\n{columns}[tables.v]\nrows_per_patient = 3\n[tables.v.columns]\n{columns}"
    );
    let mut settings = Settings::from_toml(&tables).unwrap();
    more.iter().for_each(|set| settings.set(set).unwrap());
    settings
}

fn asking(epsilon: &str, audience: Audience) -> Options {
    asking_of(Mechanism::Laplace, epsilon, audience)
}

fn asking_of(mechanism: Mechanism, epsilon: &str, audience: Audience) -> Options {
    Options { now_ms: 0, audience, noise: Some(Asked { epsilon: epsilon.parse().unwrap(), mechanism }) }
}

const GAUSSIAN: Mechanism = Mechanism::Gaussian { delta_digits: Some(6) };

/// All sites' totals by sum, slot and group.
fn totals(parts: &[Vec<Partials>]) -> BTreeMap<(usize, usize, Vec<u8>), i128> {
    let mut totals = BTreeMap::new();
    for (sum, own) in parts.iter().flat_map(|own| own.iter().enumerate()) {
        for (slot, of_slot) in own.slots.iter().enumerate() {
            for (key, total) in own.keys.iter().zip(of_slot) {
                *totals.entry((sum, slot, key.clone())).or_default() += total;
            }
        }
    }
    totals
}

const QUESTIONS: [&str; 14] = [
    "SELECT COUNT(*) FROM t",
    "SELECT k, COUNT(*), SUM(x), AVG(x) FROM t GROUP BY k",
    "SELECT COUNT(x), SUM(x) FILTER (WHERE k > 1) FROM v",
    "SELECT SUM(50 - x), SUM(CASE WHEN x > 50 THEN x END) FROM t",
    "SELECT k, SUM(x) FROM (SELECT k, x FROM t UNION ALL SELECT k, x FROM v WHERE x > 20) s GROUP BY k",
    "SELECT COUNT(*), SUM(t.x + v.x) FROM A.t t JOIN A.v v ON t.person_id = v.person_id",
    "SELECT t.k, COUNT(v.x), COUNT(*) FROM A.t t LEFT JOIN A.v v ON t.person_id = v.person_id AND v.k = t.k GROUP BY t.k",
    "SELECT COUNT(*) FROM B.t WHERE person_id IN (SELECT person_id FROM B.v WHERE x > 30)",
    "SELECT COUNT(*) FROM B.t t WHERE NOT EXISTS (SELECT 1 FROM B.v v WHERE v.person_id = t.person_id AND v.k = 1)",
    "SELECT COUNT(*) FROM (SELECT person_id, COUNT(*) AS n, SUM(x) AS s FROM C.v GROUP BY person_id) p WHERE n > 1 AND s > 60",
    "SELECT k, COUNT(DISTINCT person_id) FROM C.t GROUP BY k",
    "SELECT COUNT(*) FROM (SELECT DISTINCT person_id, k FROM A.v) s",
    "SELECT SUM(place) FROM (SELECT LEAST(ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY x, k), 5) AS place FROM A.v) s",
    "SELECT COUNT(*) FROM t WHERE person_id IS NOT NULL AND x IS NULL",
];

#[test]
fn without_one_patient_no_figure_moves_by_more_than_the_plan_says() {
    let (mut moved, mut asked) = (BTreeMap::new(), 0);
    for seed in 1..=3 {
        println!("seed {seed}");
        let rows = some_rows(&mut Dice(seed * 7919));
        let without = |person: u64| -> Rows {
            let kept = |rows: &Vec<Row>| rows.iter().filter(|row| row.person != Some(person)).copied().collect();
            rows.iter().map(|[t, v]| [kept(t), kept(v)]).collect()
        };
        let (whole, settings) = (Folder::new(&rows), settings(&[]));
        let catalog = whole.catalog(&settings);
        let fewer: Vec<Folder> = (0..PERSONS).map(|person| Folder::new(&without(person))).collect();
        for sql in QUESTIONS {
            let compiled = match plan(sql, &catalog, &asking("1", Audience::Analyst)) {
                Ok(compiled) => compiled,
                Err(refusal) => panic!("{sql}: {refusal}"),
            };
            asked += 1;
            let all = totals(&whole.partials(&compiled, &catalog));
            for folder in &fewer {
                let less = totals(&folder.partials(&compiled, &catalog));
                for (index, sum) in compiled.joint.sums.iter().enumerate() {
                    for noised in &sum.noised {
                        let groups = all
                            .keys()
                            .chain(less.keys())
                            .filter(|(sum, slot, _)| (*sum, *slot) == (index, noised.slot));
                        let groups: std::collections::BTreeSet<_> = groups.collect();
                        let at = |of: &BTreeMap<_, i128>, key| of.get(key).copied().unwrap_or_default();
                        let changes: Vec<u128> =
                            groups.iter().map(|key| at(&all, *key).abs_diff(at(&less, *key))).collect();
                        let (change, squares): (u128, u128) =
                            (changes.iter().sum(), changes.iter().map(|x| x * x).sum());
                        assert!(
                            change <= noised.sensitivity.into() && squares <= noised.squares,
                            "{sql}: slot {} moves by {change}, in squares by {squares}, not {noised:?}",
                            noised.slot
                        );
                        let most = moved.entry((sql, noised.slot)).or_insert((0, noised.sensitivity));
                        most.0 = change.max(most.0);
                    }
                }
            }
        }
    }
    moved.iter().for_each(|((sql, slot), (most, bound))| println!("moved by {most} of {bound}: slot {slot} of {sql}"));
    // Somebody has more rows than are kept, so that the bound of a count is reached.
    assert!(moved[&(QUESTIONS[0], 0)] == (6, 6), "the bound is no larger than it must be");
    assert_eq!(asked, 3 * QUESTIONS.len());
}

fn source(seed: u64, site: usize) -> Prg {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = site as u8;
    PrivateSeed::new(bytes).prg(Domain::FigureNoise, &StepPath::root())
}

/// Adds every site's noise from a printed seed.
fn with_noise(compiled: &Compiled, parts: &[Vec<Partials>], seed: u64) -> Vec<Vec<Partials>> {
    let mut parts = parts.to_vec();
    for (site, own) in parts.iter_mut().enumerate() {
        noise::add(&compiled.joint, own, &mut source(seed, site)).unwrap();
    }
    parts
}

/// What the receiver of the answer sees of a plan with the plaintext engine; nobody has patients to match.
fn opened(compiled: &Compiled, parts: Vec<Vec<Partials>>, seed: u64) -> Vec<Opened> {
    let compiled = Arc::new(compiled.clone());
    let in_the_clear = move |session: Session, own: Option<Vec<Partials>>| {
        let compiled = compiled.clone();
        async move {
            let (joint, me) = (&compiled.joint, session.me().index());
            let groups: Vec<_> = joint.sums.iter().map(decode::groups).collect();
            let encode = |groups: &Vec<Vec<_>>| groups.iter().map(|group| keys::encode(group)).collect::<Vec<_>>();
            let encoded: Vec<_> = groups.iter().map(encode).collect();
            let public = Public::new(joint, groups, me).unwrap();
            let mut engine = Clear::new(session, statement(joint));
            let opened =
                program(&mut engine, &public, Own::new(joint, &encoded, own.as_deref(), me), public.empty()).await;
            (engine.into_session(), opened)
        }
    };
    let world = World::new(SITES.len()).with_analyst().seed(seed);
    let outcomes = world.run(in_the_clear, parts.into_iter().map(Some).chain([None]).collect());
    outcomes.into_iter().last().unwrap().result.unwrap().unwrap()
}

#[test]
fn noise_has_the_mean_and_the_spread_that_explain_prints() {
    // 64 declared groups, of which nobody has rows of most: each gets a draw of its own.
    let values: Vec<String> = (1..=64).map(|k| k.to_string()).collect();
    let domain = format!("tables.t.columns.k.domain=[{}]", values.join(", "));
    let folder = Folder::new(&some_rows(&mut Dice(7)));
    // Everybody sees these answers, so that no more than two of three sites can be counted on.
    for (honest, mechanism) in [1, 2].into_iter().flat_map(|h| [(h, Mechanism::Laplace), (h, GAUSSIAN)]) {
        let counted = ["honest_sites", "delta_digits_per_release"].into_iter().zip([honest, 6]);
        let of_site = |site| counted.clone().map(move |(key, number)| format!("sites.{site}.privacy.{key}={number}"));
        let sites: Vec<String> = SITES.into_iter().flat_map(of_site).collect();
        let more: Vec<&str> = sites.iter().map(String::as_str).chain([domain.as_str()]).collect();
        let catalog = folder.catalog(&settings(&more));
        let sql = "SELECT k, COUNT(*) AS n FROM t GROUP BY k";
        let compiled = plan(sql, &catalog, &asking_of(mechanism, "1", Audience::Everyone)).unwrap();
        let (noise, noised) = (compiled.joint.noise.clone().unwrap(), compiled.joint.sums[0].noised[0]);
        assert_eq!((noise.honest_sites, noised.sensitivity), (honest, 6));
        let parts = folder.partials(&compiled, &catalog);
        let exact = totals(&parts);
        let mut drawn: Vec<f64> = Vec::new();
        for seed in 1..=RUNS {
            let [told] = &opened(&compiled, with_noise(&compiled, &parts, seed), seed)[..] else { panic!("one sum") };
            for (group, total) in told.groups.iter().zip(&told.totals[0]) {
                let exact = exact.get(&(0, 0, keys::encode(group))).copied().unwrap_or_default();
                drawn.push((total.unwrap() - exact) as f64);
            }
        }
        // By formula: each of the two geometric variables has variance p/(1 − p)², the Gaussian (at α = 22, near its best) Δ²/2ρ; and
        // three sites add a share of 1/h each.
        let (p, alpha, log) = ((-1.0f64 / 6.0).exp(), 22.0f64, 6.0 * 10f64.ln());
        let rho = (1.0 + (alpha / (alpha - 1.0)).ln() - (log - alpha.ln()) / (alpha - 1.0)) / alpha;
        let of_honest = if mechanism == GAUSSIAN { 36.0 / (2.0 * rho) } else { 2.0 * p / (1.0 - p).powi(2) };
        let variance = 3.0 / f64::from(honest) * of_honest;
        let n = drawn.len() as f64;
        let mean = drawn.iter().sum::<f64>() / n;
        let spread = drawn.iter().map(|x| x * x).sum::<f64>() / n;
        println!(
            "seeds 1 to {RUNS}, {n} draws, {mechanism:?}, h = {honest}: mean {mean:.3}, variance {spread:.1} of {variance:.1}"
        );
        // Six standard errors, of the mean and (with the fourth moment 6σ⁴ of a Laplace variable, more than that of a sum) of the
        // variance. Beyond six a normal variable is with probability 2·10⁻⁹; squares have a skewness of at most 7, which at this n makes
        // that at most e^(6³·7/(6·√n)) < 60 times as likely: false alarms come with probability below 10⁻⁶.
        assert!(mean.abs() < 6.0 * (variance / n).sqrt(), "mean {mean}");
        assert!((spread / variance - 1.0).abs() < 6.0 * (5.0 / n).sqrt(), "variance {spread} instead of {variance}");
        let printed = noise.standard_deviation(&noised, SITES.len());
        let near = if mechanism == GAUSSIAN { 0.01 * printed } else { 1e-6 };
        assert!((printed - variance.sqrt()).abs() < near, "EXPLAIN prints {printed}");
    }
}

/// Of 65 draws each.
const RUNS: u64 = 64;

#[test]
fn a_threshold_judges_the_noised_number_that_is_opened() {
    const LEAST: i128 = 11;
    let mut rows = some_rows(&mut Dice(1));
    // Four rows of different patients at each site.
    rows.iter_mut().for_each(|tables| tables[0] = (0..4).map(|p| Row { person: Some(p), k: 1, x: None }).collect());
    let folder = Folder::new(&rows);
    let catalog = folder.catalog(&settings(&["min_patients=11"]));
    for (mechanism, epsilon) in [(Mechanism::Laplace, "2"), (GAUSSIAN, "3")] {
        let compiled =
            plan("SELECT COUNT(*) AS n FROM t", &catalog, &asking_of(mechanism, epsilon, Audience::Everyone)).unwrap();
        let parts = folder.partials(&compiled, &catalog);
        let (mut shown, mut hidden) = (0, 0);
        for seed in 1..=300 {
            let noised = with_noise(&compiled, &parts, seed);
            let of_site: Vec<i128> = noised.iter().map(|own| own[0].slots[0][0]).collect();
            let total: i128 = of_site.iter().sum();
            // Every site sees the answer, and its own part is not taken off: what is left would have less noise.
            let expected = (total >= LEAST).then_some(total);
            let told = opened(&compiled, noised, seed)[0].totals[0][0];
            assert_eq!(told, expected, "seed {seed}: sites put in {of_site:?}");
            if told.is_some() { shown += 1 } else { hidden += 1 }
        }
        println!("{mechanism:?}, seeds 1 to 300: shown {shown}, hidden {hidden}");
        // Without noise, 12 rows would be hidden always: without any site they are 8.
        assert!(shown > 30 && hidden > 30, "shown {shown}, hidden {hidden}");
    }
}

#[test]
fn a_threshold_on_matched_patients_judges_the_noised_total_that_is_opened() {
    const LEAST: i128 = 11;
    let folder = Folder::new(&some_rows(&mut Dice(2)));
    let catalog = folder.catalog(&settings(&["min_patients=11"]));
    let sql = "SELECT COUNT(DISTINCT person_id) AS n FROM t";
    let compiled = plan(sql, &catalog, &asking("0.1", Audience::Analyst)).unwrap();
    let parts = folder.partials(&compiled, &catalog);
    let (mut shown, mut just_hidden) = (0, 0);
    for seed in 1..=300 {
        let noised = with_noise(&compiled, &parts, seed);
        // The bins are empty: the total is the noise. Only the analyst sees it, so that nothing but its own size decides.
        let total: i128 = noised.iter().map(|own| own[0].slots[0][0]).sum();
        let told = opened(&compiled, noised, seed)[0].totals[0][0];
        assert_eq!(told, (total >= LEAST).then_some(total), "seed {seed}: the noised total is {total}");
        shown += usize::from(told.is_some());
        just_hidden += usize::from((LEAST - 3..LEAST).contains(&total));
    }
    println!("seeds 1 to 300: shown {shown}, hidden by at most three {just_hidden}");
    assert!(shown > 30 && just_hidden > 0, "shown {shown}, hidden by little {just_hidden}");
}

#[test]
fn a_total_over_matched_patients_has_every_sites_noise_once() {
    let folder = Folder::new(&some_rows(&mut Dice(3)));
    let catalog = folder.catalog(&settings(&[]));
    let sql = "SELECT COUNT(DISTINCT person_id) AS n FROM t";
    let compiled = plan(sql, &catalog, &asking("1", Audience::Everyone)).unwrap();
    let parts = folder.partials(&compiled, &catalog);
    for seed in 1..=20 {
        let noised = with_noise(&compiled, &parts, seed);
        let added: i128 = noised.iter().map(|own| own[0].slots[0][0]).sum();
        // The bins are empty: what is opened is the noise.
        assert_eq!(opened(&compiled, noised, seed)[0].totals[0], [Some(added)], "seed {seed}");
    }
}

#[test]
fn every_group_gets_a_draw_of_its_own_also_where_a_site_has_no_rows() {
    let folder = Folder::new(&some_rows(&mut Dice(5)));
    let catalog = folder.catalog(&settings(&[]));
    let sql = "SELECT k, COUNT(*) AS n FROM A.t GROUP BY k";
    let compiled = plan(sql, &catalog, &asking("0.01", Audience::Analyst)).unwrap();
    let parts = folder.partials(&compiled, &catalog);
    let noised = with_noise(&compiled, &parts, 11);
    for (site, own) in SITES.iter().zip(&noised) {
        let drawn = &own[0].slots[0];
        println!("seed 11, {site}: {drawn:?}");
        // Three values and NULL. With a standard deviation of 283 two are alike with probability below 0.005.
        assert_eq!(drawn.len(), 4);
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
    }
    let mut again = noised[0].clone();
    let twice = noise::add(&compiled.joint, &mut again, &mut source(12, 0)).map_err(|error| error.code.into_owned());
    assert_eq!(twice, Err("PLAN_INVALID".into()), "noise is added once");
}

#[test]
fn a_run_does_not_begin_with_a_site_whose_figures_have_no_noise() {
    let folder = Folder::new(&some_rows(&mut Dice(9)));
    let catalog = folder.catalog(&settings(&[]));
    let compiled = Arc::new(plan("SELECT COUNT(*) AS n FROM t", &catalog, &asking("1", Audience::Everyone)).unwrap());
    let parts = folder.partials(&compiled, &catalog);
    let ran = move |session: Session, own: Vec<Partials>| {
        let compiled = compiled.clone();
        async move {
            let mut engine = Additive::new(session, statement(&compiled.joint));
            let met = Met { earlier: &[], noted: &[], domain: [0; 32] };
            let ended: Result<Ended> =
                run(&mut engine, &compiled, Some(&own), met, &|_, _| Box::pin(async { Ok(()) })).await;
            let opened = Engine::statement(&mut engine).opened().len();
            (engine.into_session(), Ok((ended.is_err(), opened)))
        }
    };
    for outcome in World::new(SITES.len()).seed(1).run(ran, parts) {
        assert_eq!(outcome.result.unwrap(), (true, 0));
    }
}

#[test]
fn what_is_drawn_is_what_the_planner_sizes() {
    assert_eq!(query_planner::noise::gaussian::MAX_SHARE_VARIANCE, protocols::MAX_VARIANCE);
}
