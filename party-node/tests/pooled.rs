//! The whole line but the cryptography: files → local stages → sums in clear → decode → finish. The answer must be the
//! one SQL gives on the pooled rows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use party_node::fault::NodeError;
use party_node::finish::{Table, finish};
use party_node::local::{NetworkFacts, Partials, partials};
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::decode::Opened;
use query_planner::plan::{self, SecureSum};
use query_planner::{Audience, Catalog, Options, Settings, keys, merge};

/// A network in one process, without secrets.
struct Network {
    catalog: Catalog,
    data: Vec<(SiteName, BoundData)>,
}

impl Network {
    /// Sites A, B… from folders.
    fn open(folders: &[PathBuf]) -> Result<Self, NodeError> {
        let name = |path: &PathBuf| SiteName(path.file_name().unwrap().to_string_lossy().into_owned());
        let sites = folders.iter().map(|f| Ok((name(f), SiteData::open(f)?))).collect::<Result<Vec<_>, NodeError>>()?;
        let schemas: Vec<_> =
            sites.iter().map(|(site, data)| (site.clone(), data.schema(&Settings::default().patient_key))).collect();
        let catalog = merge::merge(&schemas, &Settings::default())?;
        let bind = |(site, data): (SiteName, SiteData)| Ok((site.clone(), data.bind(&catalog, &site)?));
        let data = sites.into_iter().map(bind).collect::<Result<Vec<_>, NodeError>>()?;
        Ok(Self { catalog, data })
    }

    async fn answer(&self, sql: &str) -> Result<Table, NodeError> {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let compiled = query_planner::plan(sql, &self.catalog, &options)?;
        let mut revealed = Vec::new();
        for ((sum, stage), schema) in compiled.joint.sums.iter().zip(&compiled.local).zip(&compiled.revealed) {
            let mut parts = Vec::new();
            for (site, data) in &self.data {
                parts.push(partials(stage, sum, site, data, NetworkFacts::of(&compiled.joint)).await?);
            }
            revealed.push(query_planner::decode::decode(sum, schema.clone(), &add(sum, &parts)?)?);
        }
        finish(&compiled, revealed).await.map(|(table, _)| table)
    }

    /// DataFusion's answer over all rows in one place.
    async fn pooled(&self, sql: &str) -> RecordBatch {
        let context = SessionContext::new();
        for table in &self.catalog.tables {
            let held: Vec<_> = self.data.iter().filter_map(|(_, data)| data.table(&table.name)).collect();
            let batches = held.iter().flat_map(|table| table.batches().to_vec()).collect();
            let provider = MemTable::try_new(held[0].schema().clone(), vec![batches]).unwrap();
            context.register_table(table.name.as_str(), Arc::new(provider)).unwrap();
        }
        let (_, first) = &self.data[0];
        let visit = first.table("visit").unwrap();
        let alone = MemTable::try_new(visit.schema().clone(), vec![visit.batches().to_vec()]).unwrap();
        context.register_table("a_visit", Arc::new(alone)).unwrap();
        let frame = context.sql(sql).await.unwrap();
        let schema = frame.schema().inner().clone();
        concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
    }
}

/// What the joint computation opens: all groups, each slot summed over the sites, each position among all sites'
/// values.
fn add(sum: &SecureSum, parts: &[Partials]) -> Result<Opened, NodeError> {
    let mut groups = query_planner::decode::groups(sum);
    if matches!(sum.groups, plan::Groups::Agreed { .. }) {
        let union: BTreeSet<&Vec<u8>> = parts.iter().flat_map(|part| &part.keys).collect();
        groups = union.into_iter().map(|key| keys::decode(key)).collect::<Result<_, _>>()?;
    }
    let encoded: Vec<Vec<u8>> = groups.iter().map(|group| keys::encode(group)).collect();
    let at =
        |part: &Partials, slot: usize, key| part.keys.binary_search(key).map_or(0, |group| part.slots[slot][group]);
    let total = |slot, key| parts.iter().map(|part| at(part, slot, key)).sum();
    let slot = |slot| encoded.iter().map(|key| total(slot, key)).collect();
    let totals: Vec<Vec<i128>> = (0..sum.slots.len()).map(slot).collect();
    let codes = |order: usize, key: &Vec<u8>| {
        let held = parts.iter().filter_map(|part| Some(&part.orders[order][part.keys.binary_search(key).ok()?]));
        let mut codes: Vec<u64> = held.flatten().copied().collect();
        codes.sort_unstable();
        codes
    };
    let position = |order: usize, point: plan::Point| {
        encoded.iter().map(|key| point.of_sorted(&codes(order, key)) as i128).collect::<Vec<_>>()
    };
    let points = sum.orders.iter().enumerate();
    let points = points.map(|(i, order)| order.points.iter().map(|point| position(i, *point)).collect()).collect();
    Ok(Opened { points, ..Opened::sums(&groups, &totals) })
}

/// A table as text, without its header: names are compared apart.
fn text(rows: &RecordBatch) -> Vec<String> {
    let text = pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
    text.lines()
        .skip(3)
        .filter(|line| !line.starts_with('+'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Three folders of random visits, gone after the test.
struct Folders(PathBuf, Vec<PathBuf>);

impl Folders {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let root = std::env::temp_dir().join(format!("consilium-pooled-{}-{seed}", std::process::id()));
        let mut random = seed;
        let mut below = move |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let folders: Vec<PathBuf> = ["A", "B", "C"].iter().map(|site| root.join(site)).collect();
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            let mut visits = String::from("person_id,day,dose,n,sex\r\n");
            for _ in 0..500 {
                let sex = ["F", "M", ""][below(3) as usize];
                let (day, dose) = (1 + below(28), below(1000) as f64 / 8.0);
                let n = if below(4) == 0 { String::new() } else { (below(100) as i64 - 50).to_string() };
                visits += &format!("{},2020-02-{day:02},{dose},{n},{sex}\r\n", below(300));
            }
            std::fs::write(folder.join("visit.csv"), visits).unwrap();
        }
        Self(root, folders)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn answers_are_those_of_the_pooled_rows() {
    let folders = Folders::new(7);
    let network = Network::open(&folders.1).unwrap();
    for sql in [
        "SELECT COUNT(*) FROM visit",
        "SELECT COUNT(n), SUM(n), AVG(n) FROM visit WHERE day < DATE '2020-02-15'",
        "SELECT sex, COUNT(*) AS visits, SUM(dose) FROM visit GROUP BY sex ORDER BY sex",
        "SELECT sex, SUM(n * 2 - 1) AS s FROM visit WHERE dose > 20 GROUP BY sex ORDER BY s DESC LIMIT 2",
        "SELECT EXTRACT(DAY FROM day) AS d, COUNT(*) FILTER (WHERE n > 0) FROM visit GROUP BY EXTRACT(DAY FROM day) ORDER BY d",
        "SELECT SUM(n) + 1, COUNT(*) * 2 FROM visit WHERE sex = 'F'",
        "SELECT sex, COUNT(*) FROM visit GROUP BY sex HAVING COUNT(*) > 480 ORDER BY 2 DESC",
    ] {
        let answer = network.answer(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        assert_eq!(text(&answer.rows), text(&network.pooled(sql).await), "{sql}");
    }
}

#[tokio::test]
async fn order_statistics_are_those_of_the_pooled_rows() {
    let folders = Folders::new(11);
    let network = Network::open(&folders.1).unwrap();
    for sql in [
        "SELECT MIN(n), MAX(n), MEDIAN(n) FROM visit",
        "SELECT MIN(day), MAX(day) FROM visit WHERE n > 10",
        "SELECT MIN(dose), MAX(dose), MEDIAN(dose) FROM visit",
        "SELECT sex, MIN(n), MAX(n) FILTER (WHERE dose < 50), MEDIAN(n) FROM visit GROUP BY sex ORDER BY sex",
        "SELECT PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY n), PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY n DESC) FROM visit",
        "SELECT MAX(n) - MIN(n), MEDIAN(n * 2 + 1) FROM visit WHERE sex = 'F'",
        "SELECT MIN(n), MEDIAN(n), COUNT(n) FROM visit WHERE n > 1000",
        "SELECT MIN(n > 0), MAX(n > 0) FROM visit",
        "SELECT MAX(dose), MEDIAN(n) FROM A.visit",
    ] {
        let answer = network.answer(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        assert_eq!(text(&answer.rows), text(&network.pooled(&sql.replace("A.visit", "a_visit")).await), "{sql}");
    }
}

#[tokio::test]
async fn a_discrete_percentile_is_the_first_value_at_or_beyond_its_share() {
    let folders = Folders::new(12);
    let network = Network::open(&folders.1).unwrap();
    // By its definition: the smallest value with at least the share of rows at or below it.
    for (share, clause, rows) in
        [("0.3", "day", "<="), ("0.5", "day", "<="), ("0.3", "day DESC", ">="), ("1", "day", "<=")]
    {
        let ours = format!("SELECT PERCENTILE_DISC({share}) WITHIN GROUP (ORDER BY {clause}) AS d FROM visit");
        let (best, from) = if rows == "<=" { ("MIN", "asc") } else { ("MAX", "desc") };
        let theirs = format!(
            "SELECT {best}(day) AS d FROM (SELECT day, COUNT(*) OVER (ORDER BY day {from} RANGE BETWEEN UNBOUNDED PRECEDING \
             AND CURRENT ROW) AS c, COUNT(*) OVER () AS n FROM visit) t WHERE c >= {share} * n"
        );
        let answer = network.answer(&ours).await.unwrap_or_else(|fault| panic!("{ours}: {fault}"));
        assert_eq!(text(&answer.rows), text(&network.pooled(&theirs).await), "{ours}");
    }
}

#[tokio::test]
async fn columns_have_the_names_and_the_order_of_the_query() {
    let folders = Folders::new(8);
    let network = Network::open(&folders.1).unwrap();
    let answer =
        network.answer("SELECT v.sex AS gender, COUNT(*) n FROM visit v GROUP BY v.sex ORDER BY n DESC").await.unwrap();
    let names: Vec<_> = answer.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["gender", "n"]);
    assert!(answer.columns.iter().zip(answer.rows.columns()).all(|((_, t), column)| t == column.data_type()));
}

#[tokio::test]
async fn the_analysts_own_arithmetic_does_not_wrap() {
    let folders = Folders::new(9);
    let network = Network::open(&folders.1).unwrap();
    let fault = network.answer("SELECT COUNT(*) + 9223372036854775807 FROM visit").await.unwrap_err();
    assert_eq!(fault.code, "ARITHMETIC_OVERFLOW", "{fault}");
    let fault = network.answer("SELECT 1 / (COUNT(*) - COUNT(*)) FROM visit").await.unwrap_err();
    assert_eq!(fault.code, "DIVISION_BY_ZERO", "{fault}");
}

#[tokio::test]
async fn a_table_that_one_site_holds_is_summed_like_any_other() {
    let folders = Folders::new(10);
    std::fs::write(folders.1[0].join("extra.csv"), "person_id,x\n1,2\n2,3\n").unwrap();
    let network = Network::open(&folders.1).unwrap();
    let sql = "SELECT COUNT(*), SUM(x) FROM extra";
    let answer = network.answer(sql).await.unwrap();
    assert_eq!(text(&answer.rows), text(&network.pooled(sql).await));
}
