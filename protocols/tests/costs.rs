//! Rounds and bytes of every protocol, as a table that a change of wire or protocol must change visibly.

use std::fmt::Write;
use std::path::Path;

use mpc_core::random::PublicSeed;
use mpc_core::{PartyId, Result, Z64};
use protocols::additive::demand::{Link, budget};
use protocols::correlation::Budget;
use protocols::key_union::Limits;
use protocols::ot::Extension;
use protocols::relational::differencing::{Check, Ledgered};
use protocols::relational::frequent_keys::{self, Exchange};
use protocols::{ArithShare, Audience, BitShare, Engine, cost};

/// Every operation on 32-bit numbers, and making what it takes, for each kind of network.
fn operations(row: &mut impl FnMut(&str, u64, u64, cost::SiteCost), sites: u64) {
    for rows in [1000, 100_000] {
        row("mul64", sites, rows, cost::mul(sites, rows, 8));
        row("mul128", sites, rows, cost::mul(sites, rows, 16));
        row("and, 32 bits", sites, rows, cost::and(sites, rows, 32));
        row("b2a, 1 bit", sites, rows, cost::b2a(sites, rows, 1));
        row("select64", sites, rows, cost::select(sites, rows, 8));
        row("place, L=3", sites, rows, cost::place(sites, rows, 3));
        for (name, link) in [("local", Link::Local), ("far", Link::Far), ("narrow", Link::Narrow)] {
            let chains = link.chains();
            if link != Link::Narrow {
                row(&format!("a2b {name}"), sites, rows, cost::a2b(sites, chains, rows, 32));
                row(&format!("negative {name}"), sites, rows, cost::negative(sites, chains, rows, 32));
                row(&format!("is zero {name}"), sites, rows, cost::is_zero(sites, chains, rows, 32));
            }
            for (what, budget) in budgets(sites as usize, rows as usize, link) {
                row(&format!("{what} prepared {name}"), sites, rows, cost::of(&budget, sites));
            }
        }
    }
}

fn budgets(sites: usize, rows: usize, link: Link) -> Vec<(&'static str, Budget)> {
    let number = || ArithShare::<Z64>::zeros(rows);
    let bit = || BitShare::zeros(rows, 1);
    let count = |result: Result<Budget>| result.expect("an operation can be counted");
    vec![
        ("mul64", count(budget(sites, link, async |e| e.mul(&number(), &number()).await))),
        ("negative", count(budget(sites, link, async |e| e.negative(&number(), 32).await))),
        ("b2a64", count(budget(sites, link, async |e| e.b2a::<Z64>(&bit()).await))),
        ("select64", count(budget(sites, link, async |e| e.select(&bit(), &number()).await))),
    ]
}

/// Keys of 9 bytes that at least eleven rows have, with counts of 20 bits: matching them, and making what the rest takes.
fn frequent_keys(row: &mut impl FnMut(&str, u64, u64, cost::SiteCost), sites: u64) {
    let holders: Vec<PartyId> = (0..sites as u8).map(PartyId).collect();
    let limits = frequent_keys::Limits { max_keys: 4096, max_key_bytes: 9, count_bits: 20, threshold: 11 };
    let exchange = Exchange::new(limits, sites as usize, &holders).expect("a reviewed size");
    let aligned = cost::align(exchange.shapes(), exchange.runs(), Extension::SoftSpoken);
    let rest = budget(sites as usize, Link::Local, async |e| exchange.keys(e, &[], &exchange.empty(), "keys").await);
    row("frequent keys aligned", sites, 4096, aligned);
    row("frequent keys prepared", sites, 4096, cost::of(&rest.expect("it can be counted"), sites));
}

/// Sets of at most 1,400 patients, one new one against 20 and 20 against 200: matching, preparing and counting.
fn differencing(row: &mut impl FnMut(&str, u64, u64, cost::SiteCost), sites: u64) {
    for (new, old) in [(1, 20), (20, 200)] {
        let pairs: Vec<_> = (0..new).flat_map(|set| (new..new + old).map(move |other| (set, other))).collect();
        let count = pairs.len() as u64;
        let ledgered = Ledgered { patients: 1400, passes: 1, sets: new + old, pairs, least: 11, ..Ledgered::default() };
        let check = Check::new(&ledgered, sites as usize, PublicSeed([0; 32])).expect("a reviewed size");
        let aligned = cost::align(check.shapes(), check.runs(), Extension::SoftSpoken);
        let budget = check.budget(Link::Local).expect("it can be counted");
        row("differencing aligned", sites, count, aligned);
        row("differencing prepared", sites, count, cost::of(&budget, sites));
        row("differencing", sites, count, check.online(false, Link::Local).expect("it can be counted"));
    }
}

fn table() -> String {
    let mut out = String::from("protocol                    sites   elements  rounds  bytes sent by a site\n");
    let mut row = |name: &str, sites: u64, elements: u64, cost: cost::SiteCost| {
        writeln!(out, "{name:<26} {sites:>6} {elements:>10} {:>7} {:>21}", cost.rounds, cost.bytes).unwrap();
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
        operations(&mut row, sites);
        let limits = Limits { max_keys: 4096, contributors: sites as usize, max_key_bytes: 9 };
        frequent_keys(&mut row, sites);
        differencing(&mut row, sites);
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
