//! Alignment against its plaintext twin.

mod beside;
mod passes;

use std::collections::BTreeSet;

use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Bits, Block, PartyId, Session, Z64};

use super::{SEED, SILENT, bit, look_uniform, prg};
use crate::additive::Additive;
use crate::correlation::{Budget, Chains};
use crate::matching::align::{Run, Segment, align, empty};
use crate::matching::clear::{self, ClearHolder, ClearSegment};
use crate::matching::table::{Further, PatientTable, Shape};
use crate::ot::Extension;

/// Tables whose patients are numbers; column 0 holds the row's number, so that the receiver's own values tell where its rows are.
#[derive(Clone)]
struct Tables {
    patients: Vec<Vec<u64>>,
    shapes: Vec<Shape>,
    /// For each site and pass.
    keys: Vec<Vec<Vec<Option<Block>>>>,
    /// For each site and pass.
    further: Vec<Vec<Vec<(usize, Block)>>>,
}

impl Tables {
    fn new(patients: Vec<Vec<u64>>, numbers: usize, bits: usize, slack: usize) -> Self {
        let shape = |own: &Vec<u64>| {
            let patients = own.len() + slack;
            Shape { patients, passes: 1, further: Further::NONE, numbers: numbers + 1, bits }
        };
        let keys = |own: &Vec<u64>| vec![own.iter().map(|patient| Some(key(*patient))).collect()];
        let further = vec![Vec::new(); patients.len()];
        let keys = patients.iter().map(keys).collect();
        Self { shapes: patients.iter().map(shape).collect(), keys, further, patients }
    }

    /// Gives the first rows up to `each` further keys in every pass, from the small set of [`Self::in_passes`] and behind it.
    fn with_further(mut self, rows: usize, each: usize) -> Self {
        for (site, own) in self.patients.iter().enumerate() {
            let shape = &mut self.shapes[site];
            shape.further = Further { rows: rows.min(shape.patients), each };
            let rows = shape.further.rows.min(own.len());
            let mut prg = prg(["e", "f", "g", "h"][site]);
            let mut one_pass = |first: &Vec<Option<Block>>| {
                let taken: BTreeSet<u128> = first.iter().flatten().map(|key| key.0).collect();
                let order = prg.permutation(own.len() * 2 + rows * each + 1);
                let free = order.into_iter().map(|number| key(u64::from(number))).filter(|key| !taken.contains(&key.0));
                // The n-th row lacks n mod (each + 1) of its keys.
                let rows = (0..each).flat_map(|layer| (0..rows).filter(move |row| row % (each + 1) <= layer));
                rows.zip(free).collect()
            };
            self.further[site] = self.keys[site].iter().map(&mut one_pass).collect();
        }
        self
    }

    /// Random keys from a small set, so that passes disagree about who is whom; about a fifth of them is missing.
    fn in_passes(mut self, passes: usize) -> Self {
        for (site, own) in self.patients.iter().enumerate() {
            let mut prg = prg(["a", "b", "c", "d"][site]);
            let mut one_pass = || {
                let range = own.len().max(1) as u32 * 3 / 2 + 1;
                let order = prg.permutation(range as usize);
                let present = |patient: &u32| (!patient.is_multiple_of(5)).then(|| key(u64::from(*patient)));
                order[..own.len()].iter().map(present).collect()
            };
            self.keys[site] = (0..passes).map(|_| one_pass()).collect();
        }
        self.shapes.iter_mut().for_each(|shape| shape.passes = passes);
        self
    }

    fn sites(&self) -> usize {
        self.patients.len()
    }

    fn table(&self, site: usize) -> PatientTable {
        let (own, shape) = (&self.patients[site], self.shapes[site]);
        let mut prg = prg(["a", "b", "c", "d", "e", "f", "g", "h"][site]);
        let mut random = || {
            let mut column = vec![0; own.len()];
            prg.fill_words(&mut column);
            column
        };
        let places = (1..=own.len() as u64).map(Z64).collect();
        let others = (1..shape.numbers).map(|_| random().into_iter().map(Z64).collect());
        let numbers = std::iter::once(places).chain(others.collect::<Vec<_>>()).collect();
        let planes: Vec<Bits> = (0..shape.bits).map(|_| Bits::from_column(&random(), 1)).collect();
        let bits = if planes.is_empty() {
            Bits::zeros(own.len(), 0)
        } else {
            Bits::beside(&planes.iter().collect::<Vec<_>>())
        };
        PatientTable { keys: self.keys[site].clone(), further: self.further[site].clone(), numbers, bits }
    }
}

/// A hash, as a site would enter it.
fn key(patient: u64) -> Block {
    let mut key = [Block(u128::from(patient) + 1)];
    mpc_core::hash::PlacementHash::new(Block(77)).replace(&mut key);
    key[0]
}

/// Every site is matched against all before it.
fn telescope(sites: usize) -> Vec<Run> {
    (0..sites as u8).map(|site| (PartyId(site), (0..site).map(PartyId).collect())).collect()
}

fn run(world: World, tables: &Tables, runs: &[Run]) -> Vec<Outcome<Vec<Segment>>> {
    let own = (0..tables.sites()).map(|site| Some(tables.table(site))).collect();
    run_entered(world, &tables.shapes, runs, own)
}

fn run_entered(
    world: World,
    shapes: &[Shape],
    runs: &[Run],
    own: Vec<Option<PatientTable>>,
) -> Vec<Outcome<Vec<Segment>>> {
    println!("seed {SEED}, shapes {shapes:?}, runs {runs:?}");
    let (shapes, runs) = (shapes.to_vec(), runs.to_vec());
    let program = move |session: Session, own: Option<PatientTable>| {
        let (shapes, runs) = (shapes.clone(), runs.clone());
        async move {
            let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
            let result = align(&mut engine, &shapes, &runs, own).await;
            (engine.into_session(), result)
        }
    };
    world.run(program, own)
}

/// All shares put together.
fn opened(outcomes: &[Outcome<Vec<Segment>>]) -> Vec<ClearSegment> {
    let parts: Vec<&Vec<Segment>> = outcomes.iter().map(|o| o.result.as_ref().expect("all are honest")).collect();
    let segment = |at: usize| {
        let of = &parts[0][at];
        let holder = |which: usize| {
            let shares = || parts.iter().map(|segments| &segments[at].holders[which]);
            let number = |column: usize, row: usize| {
                Z64(shares().fold(0, |sum, h| sum.wrapping_add(h.numbers[column].column()[row].0)))
            };
            let first = shares().next().unwrap();
            let xor = |row: usize, plane: usize| shares().fold(false, |x, h| x ^ h.bits.bits().get(row, plane));
            ClearHolder {
                site: first.site,
                member: (0..of.rows).map(|row| shares().fold(false, |x, h| x ^ h.member.bits().get(row, 0))).collect(),
                numbers: (0..first.numbers.len()).map(|c| (0..of.rows).map(|row| number(c, row)).collect()).collect(),
                bits: (0..of.rows).map(|row| (0..first.bits.width()).map(|plane| xor(row, plane)).collect()).collect(),
            }
        };
        let holders = (0..of.holders.len()).map(holder).collect();
        ClearSegment { receiver: of.receiver, rows: of.rows, holders }
    };
    (0..parts[0].len()).map(segment).collect()
}

/// Which row is in which bin, from the receivers' own first column.
fn places(segments: &[ClearSegment]) -> Vec<Vec<Option<usize>>> {
    let place = |number: &Z64| number.0.checked_sub(1).map(|row| row as usize);
    segments.iter().map(|s| s.holders.last().unwrap().numbers[0].iter().map(place).collect()).collect()
}

fn is_that_of_the_twin(world: World, tables: &Tables, runs: &[Run]) -> Vec<Outcome<Vec<Segment>>> {
    let outcomes = run(world, tables, runs);
    let segments = opened(&outcomes);
    let places = places(&segments);
    for ((places, segment), (receiver, senders)) in places.iter().zip(&segments).zip(runs) {
        let own: BTreeSet<usize> = places.iter().flatten().copied().collect();
        let patients = tables.patients[receiver.index()].len();
        assert_eq!(own, (0..patients).collect(), "every row has a bin");
        assert_eq!(places.iter().flatten().count(), patients, "and only one");
        let shape = &tables.shapes[receiver.index()];
        assert_eq!(segment.rows, if senders.is_empty() { shape.patients } else { shape.segment_rows() });
    }
    for (party, outcome) in outcomes.iter().enumerate() {
        for (segment, places) in outcome.result.as_ref().unwrap().iter().zip(&places) {
            let is_receiver = segment.receiver.index() == party;
            let row = |(bin, row): (usize, &Option<usize>)| Some((bin, (*row).filter(|_| is_receiver)?));
            let known: Vec<_> = places.iter().enumerate().filter_map(row).collect();
            assert_eq!(
                segment.places.taken().collect::<Vec<_>>(),
                known,
                "the receiver alone knows where its rows are"
            );
        }
    }
    let clear: Vec<PatientTable> = (0..tables.sites()).map(|site| tables.table(site)).collect();
    assert!(segments == clear::align(&clear, &tables.shapes, runs, &places), "the twin's segments");
    outcomes
}

fn memory(sites: usize) -> World {
    World::new(sites).seed(SEED)
}

#[test]
fn two_sites_align_equal_disjoint_overlapping_small_and_empty_tables() {
    let range = |from: u64, to: u64| (from..to).collect::<Vec<_>>();
    for (a, b) in [
        (range(0, 50), range(0, 50)),
        (range(0, 50), range(50, 100)),
        (range(0, 300), range(200, 700)),
        (range(0, 0), range(0, 20)),
        (range(0, 20), range(0, 0)),
        (range(0, 0), range(0, 0)),
        (range(7, 8), range(7, 8)),
        (range(7, 8), range(8, 9)),
        (range(3, 13), range(0, 2000)),
        (range(0, 2000), range(3, 13)),
    ] {
        for slack in [0, 5] {
            let tables = Tables::new(vec![a.clone(), b.clone()], 1, 3, slack);
            is_that_of_the_twin(memory(2), &tables, &telescope(2));
        }
    }
}

#[test]
fn rows_of_any_width_come_through() {
    let patients = vec![(0..40).collect(), (20..70).collect()];
    for (numbers, bits) in [(0, 0), (0, 1), (2, 0), (1, 64), (3, 65), (6, 200)] {
        is_that_of_the_twin(memory(2), &Tables::new(patients.clone(), numbers, bits, 1), &telescope(2));
    }
}

#[test]
fn membership_alone_needs_no_payload() {
    let mut tables = Tables::new(vec![(0..40).collect(), (20..70).collect()], 0, 0, 1);
    // The sender has no columns at all; the receiver keeps its row numbers.
    tables.shapes[0].numbers = 0;
    let shapes = tables.shapes.clone();
    let program = move |session: Session, mut own: PatientTable| {
        let shapes = shapes.clone();
        async move {
            if session.me() == PartyId(0) {
                own.numbers.clear();
            }
            let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
            let result = align(&mut engine, &shapes, &telescope(2), Some(own)).await;
            (engine.into_session(), result)
        }
    };
    println!("seed {SEED}");
    let own = vec![
        Tables::new(tables.patients.clone(), 0, 0, 1).table(0),
        Tables::new(tables.patients.clone(), 0, 0, 1).table(1),
    ];
    let segments = opened(&memory(2).run(program, own));
    let common = segments[1].holders[0].member.iter().filter(|member| **member).count();
    assert_eq!(common, 20);
}

#[test]
fn three_to_eight_sites_align_by_telescoping() {
    for sites in 3..=8 {
        let patients = (0..sites as u64).map(|site| (10 * site..10 * site + 15 + site).collect()).collect();
        is_that_of_the_twin(memory(sites), &Tables::new(patients, 1, 2, 2), &telescope(sites));
    }
}

#[test]
fn one_site_enters_its_rows_as_they_stand() {
    is_that_of_the_twin(memory(1), &Tables::new(vec![(0..9).collect()], 1, 2, 3), &telescope(1));
}

#[test]
fn runs_may_name_any_receivers_twice_too_and_leave_sites_out() {
    let tables = Tables::new(vec![(0..30).collect(), (10..40).collect(), (20..50).collect()], 1, 1, 0);
    let runs = vec![
        (PartyId(1), vec![PartyId(2)]),
        (PartyId(0), vec![PartyId(2), PartyId(1)]),
        (PartyId(1), vec![PartyId(2)]),
        (PartyId(2), Vec::new()),
    ];
    is_that_of_the_twin(memory(3), &tables, &runs);
}

#[test]
fn larger_tables_align_over_quic() {
    let tables = Tables::new(vec![(0..6000).collect(), (3000..9000).collect()], 1, 0, 10);
    is_that_of_the_twin(memory(2).over(Net::Quic), &tables, &telescope(2));
}

#[test]
fn an_analyst_gets_zeros_of_the_same_shape() {
    println!("seed {SEED}");
    let tables = Tables::new(vec![(0..30).collect(), (10..40).collect()], 1, 1, 0);
    let shapes = tables.shapes.clone();
    let program = move |session: Session, own: Option<PatientTable>| {
        let shapes = shapes.clone();
        async move {
            let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
            let result = align(&mut engine, &shapes, &telescope(2), own).await;
            (engine.into_session(), result)
        }
    };
    let own = vec![Some(tables.table(0)), Some(tables.table(1)), None];
    let outcomes = World::new(2).with_analyst().seed(SEED).run(program, own);
    let segments = outcomes[2].result.as_ref().unwrap();
    assert_eq!(format!("{segments:?}"), format!("{:?}", empty(&tables.shapes, &telescope(2))));
    let zero = |segment: &Segment| segment.holders.iter().all(|h| h.numbers[0].column().iter().all(|x| x.0 == 0));
    assert!(segments.iter().all(zero));
}

#[test]
fn each_of_two_sites_shares_of_another_s_values_look_uniform() {
    let tables = Tables::new(vec![(0..4000).collect(), (2000..6000).collect()], 0, 64, 0);
    let outcomes = is_that_of_the_twin(memory(2), &tables, &telescope(2));
    for outcome in &outcomes {
        let holder = &outcome.result.as_ref().unwrap()[1].holders[0];
        look_uniform(bytemuck::cast_slice(holder.numbers[0].column()));
        let bits: Vec<u64> = holder.bits.bits().to_column();
        look_uniform(&bits);
        let member = holder.member.bits();
        let ones = (0..member.rows()).filter(|row| bit(member.words(), *row)).count() as f64;
        // Six standard deviations.
        assert!((ones - member.rows() as f64 / 2.0).abs() < 3.0 * (member.rows() as f64).sqrt());
    }
}

#[test]
fn tables_that_do_not_fit_their_shape_are_refused_before_anything_is_sent() {
    println!("seed {SEED}");
    let sound = Tables::new(vec![(0..4).collect(), (2..6).collect()], 1, 1, 0);
    let wrong: [fn(&mut PatientTable); 6] = [
        |table| table.keys[0][1] = table.keys[0][0],
        |table| table.keys[0].push(Some(key(99))),
        |table| table.keys.push(table.keys[0].clone()),
        |table| table.keys.clear(),
        |table| drop(table.numbers.pop()),
        |table| table.bits = Bits::zeros(4, 2),
    ];
    for spoil in wrong {
        let shapes = sound.shapes.clone();
        let program = move |session: Session, mut own: PatientTable| {
            let shapes = shapes.clone();
            async move {
                spoil(&mut own);
                let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
                engine.session_and_ot().await.expect("set-up needs no table");
                let before = engine.session().stats().bytes();
                let refused = align(&mut engine, &shapes, &telescope(2), Some(own)).await.is_err();
                let sent = engine.session().stats().bytes() - before;
                (engine.into_session(), Ok((refused, sent)))
            }
        };
        for outcome in memory(2).run(program, vec![sound.table(0), sound.table(1)]) {
            assert_eq!(outcome.result.unwrap(), (true, 0));
        }
    }
}

#[test]
fn aligning_costs_what_is_predicted() {
    use crate::cost::{self, SiteCost};
    for extension in [Extension::SoftSpoken, SILENT] {
        for (sites, numbers, bits, passes, further) in [
            (2, 0, 0, 1, (0, 0)),
            (2, 3, 70, 1, (0, 0)),
            (3, 1, 1, 1, (0, 0)),
            (5, 0, 2, 1, (0, 0)),
            (2, 3, 70, 2, (0, 0)),
            (3, 1, 1, 3, (0, 0)),
            (2, 1, 0, 3, (0, 0)),
            (2, 3, 70, 1, (700, 2)),
            (3, 1, 1, 2, (20, 1)),
        ] {
            let large = if sites == 2 { 6000 } else { 0 };
            let patients = (0..sites as u64).map(|site| (7 * site..9 * site + 40 + large).collect()).collect();
            let tables = Tables::new(patients, numbers, bits, 2);
            let tables = if passes > 1 { tables.in_passes(passes) } else { tables };
            let tables = if further.1 > 0 { tables.with_further(further.0, further.1) } else { tables };
            let runs = telescope(sites);
            println!("seed {SEED}, {extension:?}, shapes {:?}", tables.shapes);
            let (shapes, asked) = (tables.shapes.clone(), runs.clone());
            let program = move |session: Session, own: Option<PatientTable>| {
                let (shapes, runs) = (shapes.clone(), asked.clone());
                async move {
                    let mut engine = Additive::new(session, crate::release::Statement::new(Vec::new()));
                    let result = async {
                        engine.prepare(&Budget::empty(Chains::Ripple, extension)).await?;
                        let (session, _) = engine.session_and_ot().await?;
                        // All sites are equally far.
                        for _ in 0..2 {
                            session.step("meet").exchange(&[0u64]).await?;
                        }
                        let before = session.stats();
                        align(&mut engine, &shapes, &runs, own).await?;
                        let after = engine.session().stats();
                        Ok((before.rounds, after.rounds, after.bytes() - before.bytes()))
                    };
                    let result = result.await;
                    (engine.into_session(), result)
                }
            };
            let own = (0..sites).map(|site| Some(tables.table(site))).collect();
            let counts: Vec<_> = memory(sites).run(program, own).into_iter().map(|o| o.result.unwrap()).collect();
            let rounds = counts.iter().map(|c| c.1).max().unwrap() - counts.iter().map(|c| c.0).max().unwrap();
            let bytes = counts.iter().map(|c| c.2).max().unwrap();
            assert_eq!(SiteCost { rounds, bytes }, cost::align(&tables.shapes, &runs, extension), "{sites} sites");
        }
    }
}
