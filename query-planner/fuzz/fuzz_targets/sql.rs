//! Any text under a small fixed catalogue: planning never panics, refuses with a code, and what it plans has canonical
//! bytes that every site reads back, twice the same. A panic that the planner catches still counts: the fuzzer's hook
//! sees it first.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use query_planner::catalog::{Catalog, InferredType, SiteName, SiteSchema, SiteTableSchema, merge};
use query_planner::{Audience, JointPlan, Options, Settings, plan};

const OPTIONS: Options = Options { now_ms: 1_795_305_600_000, audience: Audience::Analyst, noise: None };

const SETTINGS: &str =
    "[tables.person.columns.sex]\ndomain = ['F', 'M']\n[tables.measurement.columns.score]\nrange = [0, 100]\n";

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let tables = vec![
        table("person", "person_id:int sex:text year_of_birth:int birth_date:date", 1400),
        table("condition", "person_id:int code:text start_date:date", 22_000),
        table(
            "measurement",
            "person_id:int value:real cost:decimal(10,2) score:int taken_at:timestamp abnormal:bool",
            5000,
        ),
    ];
    let site = |name: &str| (SiteName::from(name), SiteSchema { tables: tables.clone(), patients: 1024 });
    let settings = Settings::from_toml(SETTINGS).expect("the settings of this file are valid");
    merge(&[site("a"), site("b"), site("c")], &settings).expect("three equal sites merge")
});

fn table(name: &str, columns: &str, rows: u64) -> SiteTableSchema {
    let columns = columns.split_whitespace().map(|column| {
        let (name, kind) = column.split_once(':').expect("name:type");
        (name.to_owned(), InferredType::Typed(kind.parse().expect("a type of this crate")))
    });
    SiteTableSchema { name: name.into(), columns: columns.collect(), rows }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(sql) = std::str::from_utf8(data) else { return Corpus::Reject };
    match plan(sql, &CATALOG, &OPTIONS) {
        Ok(compiled) => {
            let bytes = compiled.joint.canonical_bytes();
            assert_eq!(JointPlan::from_canonical(&bytes).as_ref(), Ok(&compiled.joint));
            let again = plan(sql, &CATALOG, &OPTIONS).expect("the same text plans again");
            assert_eq!(again.joint.canonical_bytes(), bytes, "the same text gives the same plan");
        }
        Err(error) => assert!(!error.code.is_empty() && !error.to_string().is_empty()),
    }
    Corpus::Keep
});
