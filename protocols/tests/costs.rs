//! Rounds and bytes of every protocol, as a table that a change of wire or protocol must change visibly.

use std::fmt::Write;
use std::path::Path;

use protocols::key_union::Limits;
use protocols::{Audience, cost};

fn table() -> String {
    let mut out = String::from("protocol                sites   elements  rounds  bytes sent by a site\n");
    let mut row = |name: &str, sites: u64, elements: u64, cost: cost::SiteCost| {
        writeln!(out, "{name:<22} {sites:>6} {elements:>10} {:>7} {:>21}", cost.rounds, cost.bytes).unwrap();
    };
    for sites in [2, 3, 5, 20] {
        for elements in [1, 10_000, 1_000_000] {
            row("sum64 opened to all", sites, elements, cost::reveal(sites, false, Audience::Everyone, elements, 8));
            row("sum64 sealed", sites, elements, cost::reveal(sites, true, Audience::Analyst, elements, 8));
            row("sum128 sealed", sites, elements, cost::reveal(sites, true, Audience::Analyst, elements, 16));
        }
        for rows in [1000, 100_000] {
            row("shuffle prepared, L=2", sites, rows, cost::shuffle_prepare(sites, rows, 2));
            row("shuffle, L=2", sites, rows, cost::shuffle(sites, rows, 2));
        }
        let limits = Limits { max_keys: 4096, contributors: sites as usize, max_key_bytes: 9 };
        row("key union, 4096 keys", sites, 4096, cost::key_union(sites, limits.sketch_elements() as u64));
    }
    out
}

#[test]
fn costs_are_those_of_the_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/costs.snap");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    assert_eq!(table(), std::fs::read_to_string(path).unwrap());
}
