//! Questions over matched patients, all but the cryptography: files → plan → local stages → alignment and joint program in the
//! clear → decode → finish. The answer must be the one SQL gives on the pooled rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use mpc_core::world::World;
use mpc_core::{Bits, PartyId, Result, Session, Z64};
use party_node::execute::{Matched, Own, Public, program, statement};
use party_node::fault::NodeError;
use party_node::finish::finish;
use party_node::local::{NetworkFacts, Partials, partials_blocking};
use party_node::source::{BoundData, SiteData};
use protocols::Engine;
use protocols::clear::Clear;
use protocols::matching::{Holder, PatientTable, Segment};
use query_planner::catalog::SiteName;
use query_planner::decode::{self, Opened};
use query_planner::plan::Groups;
use query_planner::value::Value;
use query_planner::{Audience, Catalog, Compiled, JointPlan, Options, Settings, keys, merge};

/// A network in one process, without secrets.
struct Network {
    catalog: Catalog,
    data: Vec<(SiteName, BoundData)>,
}

/// What every party of a run is given: the plan, its groups, and everybody's partials.
#[derive(Clone)]
struct Run {
    joint: JointPlan,
    encoded: Vec<Vec<Vec<u8>>>,
    parts: Arc<Vec<Vec<Partials>>>,
}

impl Network {
    fn open(folders: &[PathBuf], settings: &Settings) -> std::result::Result<Self, NodeError> {
        let name = |path: &PathBuf| SiteName(path.file_name().unwrap().to_string_lossy().into_owned());
        let sites = folders.iter().map(|f| Ok((name(f), SiteData::open(f)?)));
        let sites = sites.collect::<std::result::Result<Vec<_>, NodeError>>()?;
        let schema = |(site, data): &(SiteName, SiteData)| (site.clone(), data.schema(&settings.patient_key));
        let catalog = merge::merge(&sites.iter().map(schema).collect::<Vec<_>>(), settings)?;
        let bind = |(site, data): (SiteName, SiteData)| Ok((site.clone(), data.bind(&catalog, &site)?));
        let data = sites.into_iter().map(bind).collect::<std::result::Result<Vec<_>, NodeError>>()?;
        Ok(Self { catalog, data })
    }

    fn answer(&self, sql: &str) -> std::result::Result<RecordBatch, NodeError> {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let compiled = query_planner::plan(sql, &self.catalog, &options)?;
        let mut parts = Vec::new();
        for (site, data) in &self.data {
            let stages = compiled.local.iter().zip(&compiled.joint.sums);
            let of_sum =
                stages.map(|(stage, sum)| partials_blocking(stage, sum, site, data, NetworkFacts::of(&compiled.joint)));
            parts.push(of_sum.collect::<std::result::Result<Vec<_>, _>>()?);
        }
        let encoded = (0..compiled.joint.sums.len()).map(|sum| groups(&compiled, sum, &parts)).collect();
        let run = Run { joint: compiled.joint.clone(), encoded, parts: Arc::new(parts) };
        let inputs = vec![run; self.data.len() + 1];
        let mut outcomes = World::new(self.data.len()).with_analyst().run(in_the_clear, inputs);
        let opened = outcomes.pop().unwrap().result.unwrap().unwrap();
        let revealed = compiled.joint.sums.iter().zip(&compiled.revealed).zip(&opened);
        let revealed = revealed.map(|((sum, schema), opened)| decode::decode(sum, schema.clone(), opened));
        let revealed = revealed.collect::<std::result::Result<Vec<_>, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(finish(&compiled, revealed)).map(|(table, _)| table.rows)
    }

    /// DataFusion's answer over all rows in one place; `A_cond` is site A's table alone.
    fn pooled(&self, sql: &str) -> RecordBatch {
        let context = SessionContext::new();
        for table in &self.catalog.tables {
            let held: Vec<_> =
                self.data.iter().filter_map(|(site, data)| Some((site, data.table(&table.name)?))).collect();
            let mut all = Vec::new();
            for (site, held) in &held {
                let own = MemTable::try_new(held.schema().clone(), vec![held.batches().to_vec()]).unwrap();
                context.register_table(format!("{}_{}", site.0.to_lowercase(), table.name), Arc::new(own)).unwrap();
                all.extend(held.batches().to_vec());
            }
            let pooled = MemTable::try_new(held[0].1.schema().clone(), vec![all]).unwrap();
            context.register_table(table.name.as_str(), Arc::new(pooled)).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let frame = context.sql(sql).await.unwrap();
            let schema = frame.schema().inner().clone();
            concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
        })
    }
}

/// The encoded groups of a sum; of agreed ones all that enough rows have.
fn groups(compiled: &Compiled, index: usize, parts: &[Vec<Partials>]) -> Vec<Vec<u8>> {
    let sum = &compiled.joint.sums[index];
    let Groups::Agreed { threshold, .. } = sum.groups else {
        return decode::groups(sum).iter().map(|group| keys::encode(group)).collect();
    };
    let mut rows: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for part in parts.iter().map(|part| &part[index]) {
        let own = part.keys.iter().cloned().zip(part.slots[0].iter().map(|rows| *rows as u64));
        match &part.patients {
            Some(patients) if sum.matching.as_ref().is_some_and(|m| m.key_relation.is_some()) => {
                patients.offered.iter().for_each(|(key, count)| *rows.entry(key.clone()).or_default() += count);
            }
            _ => own.for_each(|(key, count)| *rows.entry(key).or_default() += count),
        }
    }
    rows.into_iter().filter(|(_, rows)| *rows >= u64::from(threshold)).map(|(key, _)| key).collect()
}

async fn in_the_clear(session: Session, run: Run) -> (Session, Result<Option<Vec<Opened>>>) {
    let (me, is_site) = (session.me().index(), session.is_site());
    let mut engine = Clear::new(session, statement(&run.joint));
    let decoded = |of_sum: &Vec<Vec<u8>>| of_sum.iter().map(|key| keys::decode(key).unwrap()).collect();
    let groups: Vec<Vec<Vec<Value>>> = run.encoded.iter().map(decoded).collect();
    let public = Public::new(&run.joint, groups, me).unwrap();
    let mut segments = Vec::new();
    for (index, matched) in public.matched().iter().enumerate() {
        segments.push(match matched {
            Some(matched) if is_site => align(&mut engine, me, matched, index, &run.parts),
            Some(matched) => matched.empty(),
            None => Vec::new(),
        });
    }
    let partials = is_site.then(|| run.parts[me].as_slice());
    let own = Own::new(&run.joint, &run.encoded, partials, me);
    let opened = program(&mut engine, &public, own, segments).await;
    (engine.into_session(), opened)
}

/// The alignment in the clear: the first site enters every site's rows.
fn align(e: &mut Clear, me: usize, matched: &Matched, sum: usize, parts: &[Vec<Partials>]) -> Vec<Segment> {
    let table = |site: usize| matched.table(site, parts[site][sum].patients.as_ref().unwrap());
    let tables: Vec<Option<PatientTable>> = (0..parts.len()).map(table).collect();
    let mut segments = matched.empty();
    for segment in &mut segments {
        let keys = &tables[segment.receiver.index()].as_ref().unwrap().keys[0];
        for holder in &mut segment.holders {
            *holder = in_bins(e, holder.site, tables[holder.site.index()].as_ref().unwrap(), (keys, segment.rows), me);
        }
    }
    segments
}

fn in_bins(
    e: &mut Clear,
    site: PartyId,
    table: &PatientTable,
    (keys, rows): (&[Option<mpc_core::Block>], usize),
    me: usize,
) -> Holder {
    let place: BTreeMap<u128, usize> =
        table.keys[0].iter().flatten().enumerate().map(|(at, key)| (key.0, at)).collect();
    let at = |row: usize| keys.get(row).and_then(|key| place.get(&key.as_ref()?.0).copied()).filter(|_| me == 0);
    let at: Vec<Option<usize>> = (0..rows).map(at).collect();
    let column = |numbers: &Vec<Z64>| at.iter().map(|at| at.map_or(Z64(0), |at| numbers[at])).collect();
    let numbers = table.numbers.iter().map(|numbers| e.input(column(numbers))).collect();
    let mut bits = Bits::zeros(rows, table.bits.width());
    for (row, at) in at.iter().enumerate() {
        let known = |plane: &usize| at.is_some_and(|at| table.bits.get(at, *plane));
        (0..table.bits.width()).filter(known).for_each(|plane| bits.set(row, plane, true));
    }
    let member: Vec<u64> = at.iter().map(|at| u64::from(at.is_some())).collect();
    Holder { site, member: e.input_bits(Bits::from_column(&member, 1)), numbers, bits: e.input_bits(bits) }
}

/// A table as text, without its header: names are compared apart.
fn text(rows: &RecordBatch) -> Vec<String> {
    let text = pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
    let lines = text.lines().skip(3).filter(|line| !line.starts_with('+'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Folders of random diagnoses and drugs of patients who go to several hospitals, gone after the test.
struct Folders(PathBuf, Vec<PathBuf>);

impl Folders {
    fn new(seed: u64, sites: usize) -> Self {
        println!("seed {seed}");
        let root = std::env::temp_dir().join(format!("consilium-matched-{}-{seed}-{sites}", std::process::id()));
        let mut random = seed;
        let mut below = move |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let folders: Vec<PathBuf> = ["A", "B", "C", "D", "E"][..sites].iter().map(|site| root.join(site)).collect();
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            let (mut person, mut cond) = (String::from("person_id,sex\n"), String::from("person_id,code,day,cost\n"));
            let here: BTreeSet<u64> = (0..60).map(|_| below(90)).collect();
            for id in here {
                person += &format!("{id},{}\n", ["F", "M"][(id % 2) as usize]);
                for _ in 0..below(5) {
                    let cost = if below(5) == 0 { String::new() } else { below(100).to_string() };
                    cond += &format!("{id},{},2020-02-{:02},{cost}\n", 1 + below(4), 1 + below(28));
                }
            }
            cond += ",1,2020-02-01,5\n";
            std::fs::write(folder.join("person.csv"), person).unwrap();
            std::fs::write(folder.join("cond.csv"), cond).unwrap();
        }
        Self(root, folders)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SETTINGS: &str =
    "min_sites = 2\n[tables.person.columns.sex]\ndomain = ['F', 'M']\n[tables.cond.columns.cost]\nrange = [0, 100]\n";

fn same(network: &Network, questions: &[&str]) {
    for sql in questions {
        let answer = network.answer(sql).unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        let pooled = sql.replace("A.", "a_").replace("B.", "b_").replace("C.", "c_");
        assert_eq!(text(&answer), text(&network.pooled(&pooled)), "{sql}");
    }
}

#[test]
fn patients_are_counted_once() {
    for (seed, sites) in [(1, 2), (2, 3), (3, 5)] {
        let folders = Folders::new(seed, sites);
        let network = Network::open(&folders.1, &Settings::from_toml(SETTINGS).unwrap()).unwrap();
        same(
            &network,
            &[
                "SELECT COUNT(DISTINCT person_id) FROM person",
                "SELECT COUNT(DISTINCT person_id) FROM cond WHERE code = 3 AND day > DATE '2020-02-10'",
                "SELECT code, COUNT(DISTINCT person_id) FROM cond WHERE person_id IS NOT NULL GROUP BY code ORDER BY code",
                "SELECT sex, COUNT(DISTINCT person_id) FROM person GROUP BY sex ORDER BY sex",
                "SELECT COUNT(*) FROM (SELECT DISTINCT person_id FROM person) p",
            ],
        );
    }
}

#[test]
fn patients_of_named_sites_are_joined() {
    let folders = Folders::new(4, 3);
    let network = Network::open(&folders.1, &Settings::from_toml(SETTINGS).unwrap()).unwrap();
    same(
        &network,
        &[
            "SELECT COUNT(DISTINCT a.person_id) FROM A.person a JOIN B.person b ON a.person_id = b.person_id",
            "SELECT COUNT(DISTINCT a.person_id) FROM A.person a JOIN B.person b ON a.person_id = b.person_id \
         JOIN C.person c ON a.person_id = c.person_id",
            "SELECT COUNT(*) FROM A.cond a JOIN B.cond b ON a.person_id = b.person_id WHERE a.code = 1 AND b.code = 2",
            "SELECT COUNT(*), SUM(a.cost) FROM A.cond a JOIN (SELECT DISTINCT person_id FROM B.cond WHERE code = 2) b \
         ON a.person_id = b.person_id",
        ],
    );
}

#[test]
fn what_a_patient_has_at_all_sites_is_compared() {
    for (seed, sites) in [(5, 2), (6, 3)] {
        let folders = Folders::new(seed, sites);
        let network = Network::open(&folders.1, &Settings::from_toml(SETTINGS).unwrap()).unwrap();
        same(
            &network,
            &[
                "WITH a AS (SELECT person_id, MIN(day) AS d FROM cond WHERE code = 1 GROUP BY person_id), \
             b AS (SELECT person_id, MAX(day) AS m FROM cond WHERE code = 2 GROUP BY person_id) \
             SELECT COUNT(*) FROM a JOIN b ON a.person_id = b.person_id WHERE a.d <= b.m",
                "WITH e AS (SELECT person_id, day AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY day) AS r FROM cond \
             WHERE code < 3 AND person_id IS NOT NULL) SELECT COUNT(DISTINCT a.person_id) FROM e a JOIN e b \
             ON a.person_id = b.person_id AND b.r = a.r + 1 WHERE b.d - a.d BETWEEN 2 AND 9",
                "SELECT c.code, COUNT(DISTINCT c.person_id) AS n FROM cond c WHERE c.person_id IN \
             (SELECT person_id FROM cond WHERE code = 4) AND c.code <> 4 GROUP BY c.code ORDER BY n DESC, c.code LIMIT 2",
            ],
        );
    }
}

#[test]
fn cells_of_few_patients_are_hidden_whatever_their_rows() {
    let folders = Folders::new(7, 3);
    for (site, patients) in folders.1.iter().zip([["1", "2"], ["1", "2"], ["2", "1"]]) {
        let mut cond = std::fs::read_to_string(site.join("cond.csv")).unwrap();
        (0..30).for_each(|i| cond += &format!("{},9,2020-02-01,1\n", patients[i % 2]));
        std::fs::write(site.join("cond.csv"), cond).unwrap();
    }
    let mut settings = Settings::from_toml(SETTINGS).unwrap();
    settings.set("tables.cond.columns.code.domain=[1, 2, 3, 4, 9]").unwrap();
    let sql = "SELECT code, COUNT(*) AS n FROM cond WHERE person_id IS NOT NULL GROUP BY code ORDER BY code";
    let shown = |settings: &Settings| text(&Network::open(&folders.1, settings).unwrap().answer(sql).unwrap());
    let all = shown(&settings);
    assert_eq!(all.last().unwrap(), "| 9 | 90 |");
    settings.set("min_patients=6").unwrap();
    let hidden = shown(&settings);
    assert_eq!(hidden[..4], all[..4]);
    assert_eq!(hidden[4], "| 9 | |");
}
