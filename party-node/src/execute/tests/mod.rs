//! Claims about sums over matched patients: the circuit on shares against a plain evaluation, patient by patient.

mod counted;
mod disclosed;
mod every_row;
mod noise;
mod plain;
mod random;

use std::collections::BTreeMap;

use mpc_core::world::World;
use mpc_core::{Bits, PartyId, Result, Session, Z64};
use protocols::additive::Additive;
use protocols::additive::demand::{self, Link};
use protocols::clear::Clear;
use protocols::matching::{Holder, PatientTable, Places, Segment, Shape};
use protocols::{ArithShare, Engine, Item, Statement};
use query_planner::decode;

use super::Matched;
use crate::linkage::FurtherKey;
use plain::{Case, expected};

/// The alignment in the clear: the first site enters every site's rows.
fn align<E: Engine>(
    e: &mut E,
    me: usize,
    shapes: &[Shape],
    runs: &[(PartyId, Vec<PartyId>)],
    tables: &[Option<PatientTable>],
) -> Vec<Segment> {
    let mut segments = Vec::new();
    for (receiver, senders) in runs {
        let rows = shapes[receiver.index()].patients;
        let bins = bins(tables[receiver.index()].as_ref().unwrap(), rows);
        let mut holders = Vec::new();
        for site in senders.iter().chain([receiver]) {
            let table = tables[site.index()].as_ref().unwrap();
            let place: BTreeMap<u128, usize> =
                table.keys[0].iter().flatten().enumerate().map(|(at, key)| (key.0, at)).collect();
            let at: Vec<Option<usize>> =
                bins.iter().map(|key| key.and_then(|key| place.get(&key).copied()).filter(|_| me == 0)).collect();
            let column = |numbers: &Vec<Z64>| at.iter().map(|at| at.map_or(Z64(0), |at| numbers[at])).collect();
            let numbers = table.numbers.iter().map(|numbers| e.input(column(numbers))).collect();
            let mut bits = Bits::zeros(rows, table.bits.width());
            for (row, at) in at.iter().enumerate() {
                let known = |plane: &usize| at.is_some_and(|at| table.bits.get(at, *plane));
                (0..table.bits.width()).filter(known).for_each(|plane| bits.set(row, plane, true));
            }
            let member = at.iter().map(|at| u64::from(at.is_some())).collect::<Vec<_>>();
            let member = e.input_bits(Bits::from_column(&member, 1));
            holders.push(Holder { site: *site, member, numbers, bits: e.input_bits(bits) });
        }
        segments.push(Segment { receiver: *receiver, rows, holders, places: Places::default() });
    }
    segments
}

/// Keys spread over bins, some of which stay empty.
fn bins(table: &PatientTable, rows: usize) -> Vec<Option<u128>> {
    let mut bins = vec![None; rows];
    let keys = table.keys[0].iter().flatten();
    keys.enumerate().for_each(|(at, key)| bins[(at * 7 + 3) % rows] = Some(key.0));
    assert_eq!(bins.iter().flatten().count(), table.rows(), "7 and the number of bins have no common factor");
    bins
}

fn matched(case: &Case) -> Matched {
    Matched::new(&case.sites, &case.sum, &decode::groups(&case.sum)).unwrap().unwrap()
}

async fn totals<E: Engine>(e: &mut E, me: usize, case: &Case) -> Result<Vec<Vec<i64>>> {
    let matched = matched(case);
    let tables: Vec<_> = case.known.iter().enumerate().map(|(site, known)| matched.table(site, known)).collect();
    let segments = align(e, me, matched.shapes(), matched.runs(), &tables);
    let columns: Vec<ArithShare<Z64>> = matched.totals(e, &segments).await?.into_values().collect();
    let all = ArithShare::concat(&columns.iter().collect::<Vec<_>>());
    let groups = all.len() / columns.len();
    let permit = e.permit("totals", all.len())?;
    let opened = e.reveal(all, permit).await?.unwrap_or_default();
    Ok(opened.chunks(groups).map(|slot| slot.iter().map(|total| total.0 as i64).collect()).collect())
}

fn statement() -> Statement {
    Statement::new(vec![Item::to_everyone("totals")])
}

async fn in_the_clear(session: Session, case: Case) -> (Session, Result<Vec<Vec<i64>>>) {
    let me = session.me().index();
    let mut engine = Clear::new(session, statement());
    let opened = totals(&mut engine, me, &case).await;
    (engine.into_session(), opened)
}

async fn on_shares(session: Session, case: Case) -> (Session, Result<Vec<Vec<i64>>>) {
    let (me, matched) = (session.me().index(), matched(&case));
    let mut engine = Additive::new(session, statement());
    let budget = demand::budget(case.sites.len(), Link::Local, async |e| matched.totals(e, &matched.empty()).await);
    let opened = async {
        engine.prepare(&budget?).await?;
        totals(&mut engine, me, &case).await
    };
    let opened = opened.await;
    (engine.into_session(), opened)
}

fn check(seed: u64, case: &Case, shares: bool) {
    let world = World::new(case.sites.len()).seed(seed);
    let inputs = vec![case.clone(); case.sites.len()];
    let outcomes = if shares { world.run(on_shares, inputs) } else { world.run(in_the_clear, inputs) };
    let want = expected(case);
    for outcome in outcomes {
        assert_eq!(outcome.result.unwrap(), want, "seed {seed}: {:#?}", case.sum.matching);
    }
}

#[test]
fn random_programs_count_what_a_plain_evaluation_counts() {
    let mut counted = 0;
    for seed in 1..=60 {
        println!("seed {seed}");
        for sites in [2, 3, 5] {
            let case = random::case(seed, sites, 12);
            check(seed, &case, false);
            counted += expected(&case).concat().iter().filter(|total| **total != 0).count();
        }
    }
    assert!(counted > 500, "only {counted} totals are not zero");
}

#[test]
fn shares_count_what_the_clear_engine_counts() {
    for (seed, sites) in [(1, 2), (2, 2), (3, 3), (4, 3)] {
        println!("seed {seed}");
        check(seed, &random::case(seed, sites, 6), true);
    }
}

#[test]
fn nobody_is_matched_who_need_not_be() {
    use query_planner::matched::{Node, What};
    let runs = |holders: &[&[usize]], nodes: Vec<Node>, last: usize| {
        let case = random::fixed(3, holders, What::Any, nodes, last);
        check(1, &case, false);
        let matched = matched(&case);
        let plain = |(receiver, senders): &(PartyId, Vec<PartyId>)| {
            (receiver.index(), senders.iter().map(|site| site.index()).collect::<Vec<_>>())
        };
        matched.runs().iter().map(plain).collect::<Vec<_>>()
    };
    // A ∩ B needs only B's bins; A ∩ B ∩ C only C's.
    let both = vec![Node::Feature(0), Node::Feature(1), Node::And(0, 1)];
    assert_eq!(runs(&[&[0], &[1]], both, 2), [(1, vec![0])]);
    let three = vec![Node::Feature(0), Node::Feature(1), Node::Feature(2), Node::And(0, 1), Node::And(3, 2)];
    assert_eq!(runs(&[&[0], &[1], &[2]], three, 4), [(2, vec![0, 1])]);
    // Everybody who has something: every pair of sites.
    assert_eq!(runs(&[&[0, 1, 2]], vec![Node::Feature(0)], 0), [(0, vec![]), (1, vec![0]), (2, vec![0, 1])]);
    // Something at B or C: A is not matched.
    assert_eq!(runs(&[&[0], &[1, 2]], vec![Node::Feature(1)], 0), [(1, vec![]), (2, vec![1])]);
}

#[test]
fn sums_over_patients_that_add_up_need_no_matching() {
    use query_planner::matched::{Node, What};
    let case = random::fixed(3, &[&[0, 1, 2]], What::Count(None), vec![Node::Feature(0)], 0);
    check(1, &case, false);
    assert!(matched(&case).runs().iter().all(|(_, senders)| senders.is_empty()));
}

#[test]
fn patients_with_further_keys_come_first_with_all_that_is_known_of_them() {
    let case = random::case(5, 3, 8);
    let matched = matched(&case);
    let known = &case.known[0];
    let plain = matched.table(0, known).unwrap();
    let mut more = known.clone();
    let with_some = [plain.rows() - 1, 0, plain.rows() - 1];
    let key = |n: usize| mpc_core::Block(1 << 100 | n as u128);
    more.further = (0..).zip(with_some).map(|(n, patient)| FurtherKey { patient, pass: 0, key: key(n) }).collect();
    let moved = matched.table(0, &more).unwrap();
    assert!(moved.further == [vec![(1, key(0)), (0, key(1)), (1, key(2))]]);
    let place = |row: usize| moved.keys[0].iter().position(|key| *key == plain.keys[0][row]).unwrap();
    assert_eq!((place(0), place(plain.rows() - 1)), (0, 1));
    for row in 0..plain.rows() {
        assert!(plain.numbers.iter().zip(&moved.numbers).all(|(a, b)| a[row] == b[place(row)]));
        assert!((0..plain.bits.width()).all(|plane| plain.bits.get(row, plane) == moved.bits.get(place(row), plane)));
    }
}

#[test]
fn tables_of_patients_are_as_wide_as_their_shapes() {
    let case = random::case(5, 3, 8);
    let matched = matched(&case);
    for (site, known) in case.known.iter().enumerate() {
        if let Some(table) = matched.table(site, known) {
            let shape = &matched.shapes()[site];
            assert_eq!((table.numbers.len(), table.bits.width()), (shape.numbers, shape.bits));
            assert!(table.numbers.iter().all(|column| column.len() == table.rows()));
        }
    }
    assert_eq!(matched.table(0, &case.known[0]).unwrap().keys[0][0], case.known[0].keys[0][0]);
}
