//! The same rows in a file and in a database, and what a site makes of each.

use std::collections::BTreeMap;

use party_node::local::patients::Patients;
use party_node::local::{NetworkFacts, Partials, asked_of_database, partials_blocking};
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Catalog, Options, Settings, merge};

use super::common::Scratch;
use super::common::postgres::Server;

/// One site's table in a database, and the same rows in a file.
pub struct Both {
    pub catalog: Catalog,
    pub file: BoundData,
    /// The database does the work, or the node.
    pub database: [BoundData; 2],
    _folder: Scratch,
}

pub const SITE: &str = "A";

impl Both {
    /// `tables`: names and CSV text.
    pub fn new(server: &Server, database: &str, tables: &[(&str, &str)], settings: &str) -> Self {
        let folder = Scratch::new("both");
        tables.iter().for_each(|(table, text)| drop(folder.write(&format!("files/{table}.csv"), text)));
        let settings = Settings::from_toml(settings).unwrap();
        let open = || SiteData::open(&folder.at("files")).unwrap();
        let site = SiteName(SITE.into());
        // A network has two sites; the other's tables are the same.
        let schemas = [SITE, "B"].map(|name| (SiteName(name.into()), open().schema(&settings.patient_key)));
        let catalog = merge::merge(&schemas, &settings).unwrap();
        let file = open().bind(&catalog, &site).unwrap();
        server.create(database);
        file.tables().for_each(|(name, table)| server.load(database, name, table.batches()));
        let database = ["database", "node"].map(|work| {
            let name = format!("by-{work}");
            server.settings(&folder, &name, database, &format!("local_work = \"{work}\"\n"));
            SiteData::open(&folder.at(&name)).unwrap().bind(&catalog, &site).unwrap()
        });
        Self { catalog, file, database, _folder: folder }
    }

    /// The site's own part of a question three times over; what the database was asked where it does the work. None for a question
    /// that the planner refuses.
    pub fn agree(&self, sql: &str) -> Option<Vec<String>> {
        let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
        let planned = query_planner::plan(sql, &self.catalog, &options);
        let compiled = planned.inspect_err(|refused| println!("refused: {sql}: {refused}")).ok()?;
        let (site, network) = (SiteName(SITE.into()), NetworkFacts::of(&compiled.joint));
        let mut asked = Vec::new();
        let mut parts = |data: &BoundData| -> Vec<Result<Partials, String>> {
            let moment = data.at_one_moment(&compiled.local, &site, true).unwrap();
            let stages = compiled.local.iter().zip(&compiled.joint.sums);
            let part = |(stage, sum)| {
                asked.extend(asked_of_database(stage, sum, &site, &moment.data).unwrap());
                partials_blocking(stage, sum, &site, &moment.data, network).map_err(|e| e.code.to_string())
            };
            stages.map(part).collect()
        };
        let [by_database, by_node] = self.database.each_ref().map(&mut parts);
        let first = asked.clone();
        let from_file = {
            let mut none = Vec::new();
            let moment = self.file.at_one_moment(&compiled.local, &site, true).unwrap();
            for (stage, sum) in compiled.local.iter().zip(&compiled.joint.sums) {
                let part = partials_blocking(stage, sum, &site, &moment.data, network);
                none.push(part.map_err(|e| e.code.to_string()));
            }
            none
        };
        for ((file, database), node) in from_file.iter().zip(&by_database).zip(&by_node) {
            same(sql, "the database", file, database);
            same(sql, "the node", file, node);
        }
        Some(first)
    }
}

/// Equal but for the order in which patients were met.
pub fn same(sql: &str, who: &str, file: &Result<Partials, String>, other: &Result<Partials, String>) {
    let (file, other) = match (file, other) {
        (Ok(file), Ok(other)) => (file, other),
        (file, other) => {
            assert_eq!(file.as_ref().err(), other.as_ref().err(), "{sql}: by {who}");
            return;
        }
    };
    assert!(file.keys == other.keys, "{sql}: other groups by {who}");
    assert!(file.slots == other.slots, "{sql}: other totals by {who}");
    assert!(file.orders == other.orders && file.sketches == other.sketches, "{sql}: other values by {who}");
    for (file, other) in [(&file.patients, &other.patients), (&file.cohort, &other.cohort)] {
        assert!(file.as_ref().map(by_key) == other.as_ref().map(by_key), "{sql}: other patients by {who}");
    }
}

type ByKey = BTreeMap<Vec<Option<u128>>, Vec<(usize, Vec<u8>, usize, u64)>>;

fn by_key(patients: &Patients) -> ByKey {
    let key = |at: usize| patients.keys[at].iter().map(|key| key.map(|key| key.0)).collect::<Vec<_>>();
    let mut all: ByKey = (0..patients.keys.len()).map(|at| (key(at), Vec::new())).collect();
    for (feature, known) in patients.features.iter().enumerate() {
        for entry in &known.entries {
            let what = (feature, known.tuples[entry.tuple].clone(), entry.at, entry.number);
            all.get_mut(&key(entry.patient)).unwrap().push(what);
        }
    }
    all.values_mut().for_each(|entries| entries.sort());
    all
}

pub const ROWS: &str = "\
person_id,n,m,cost,x,day,at,sex,note,ok
1,7,2,10.50,0.5,2020-02-29,2020-02-29 10:00:00,F,abc,true
2,-7,2,-0.05,-2.25,1999-12-31,1999-12-31 23:59:59.5,M,ABC,false
3,,3,,,,,,,
4,9223372036854775807,1,99999999.99,1000.25,0001-01-01,0001-01-01 00:00:00,F,a%c,true
5,0,-3,0,-0.0,2024-02-29,2024-02-29 00:00:00,m,a_c,
6,-9223372036854775807,-1,1.00,3,1970-01-01,1970-01-01 00:00:00,Ä,\"it's \"\"so\"\"; DROP TABLE t; --\",false
7,3,5,1.01,1.1,2020-03-01,2020-03-01 12:30:00,é,back\\slash,true
7,4,5,2.00,0.1,2020-03-01,2020-03-01 12:30:01,z,\"two
lines\",true
8,5,0,3.33,0.2,2021-07-01,2021-07-01 00:00:00,Z,Zebra,false
";

pub const TYPES: &str = "\
min_sites = 2
[tables.t.columns]
cost = { type = \"decimal(10,2)\", agree_keys = true }
sex = { agree_keys = true }
note = { agree_keys = true }
ok = { agree_keys = true }
day = { agree_keys = true }
at = { agree_keys = true }
n = { agree_keys = true }
m = { agree_keys = true }
[tables.u.columns]
label = { agree_keys = true }
";

pub fn both(server: &Server, name: &str) -> Both {
    let other = "person_id,code,label\n1,7,F\n2,,M\n4,3,\n4,3,F\n9,1,z\n,7,F\n";
    Both::new(server, name, &[("t", ROWS), ("u", other)], TYPES)
}
