//! Ones of XORs of columns, against the columns in the clear and against OTs of each XOR alone.

use std::collections::BTreeSet;

use futures::FutureExt;
use mpc_core::world::{Outcome, World};
use mpc_core::{PartyId, Result, Session, Z32};

use super::super::held::{Among, Held, Work};
use super::super::ones::{Difference, jobs};
use super::{SEED, random_words};
use crate::cost::Preparation;
use crate::ot::{Extension, Ot};
use crate::parameters::Code;

/// Columns, by who holds them and of how many words, and what is counted of them.
#[derive(Clone)]
struct Case {
    columns: Vec<(Vec<u8>, usize)>,
    differences: Vec<Difference>,
    bits: usize,
}

impl Case {
    /// Random shares of a site.
    fn columns_of(&self, site: usize) -> Vec<Held> {
        let held = |(at, (by, words)): (usize, &(Vec<u8>, usize))| {
            let by: BTreeSet<PartyId> = by.iter().map(|site| PartyId(*site)).collect();
            let is_held = by.contains(&PartyId(site as u8));
            let words = random_words(SEED + 1000 * at as u64, site, if is_held { *words } else { 0 });
            Held { by, words: if is_held { words } else { vec![0; self.columns[at].1] } }
        };
        self.columns.iter().enumerate().map(held).collect()
    }

    /// In the clear, mod 2^bits.
    fn counted(&self, sites: usize) -> Vec<u32> {
        let mut columns = self.columns_of(0);
        for site in 1..sites {
            columns = columns.iter().zip(self.columns_of(site)).map(|(sum, own)| sum.xor(&own)).collect();
        }
        let ones = |column: &Held| column.words.iter().map(|word| word.count_ones()).sum::<u32>();
        joined(&columns, &self.differences).iter().map(|column| self.low(ones(column))).collect()
    }

    fn low(&self, count: u32) -> u32 {
        count & (u32::MAX >> (32 - self.bits))
    }
}

/// The XORs as columns.
fn joined(columns: &[Held], differences: &[Difference]) -> Vec<Held> {
    let nothing = |at: usize| Held::zeros(columns[at].words.len());
    differences.iter().map(|(a, b)| columns[*a].xor(b.map_or(&nothing(*a), |b| &columns[b]))).collect()
}

/// What a site has of each count and what it sent, by OTs of the columns, and by OTs of each XOR alone.
type Ran = Vec<(Vec<Z32>, u64)>;

async fn ran(session: &mut Session, case: &Case, extension: Extension) -> Result<Ran> {
    let mut ot = Ot::setup_with(session, extension).await?;
    let columns = case.columns_of(session.me().index());
    let alone = joined(&columns, &case.differences);
    let of_alone: Vec<Difference> = (0..alone.len()).map(|at| (at, None)).collect();
    let mut ran = Ran::new();
    for (columns, differences) in [(&columns, &case.differences), (&alone, &of_alone)] {
        let before = session.stats().bytes();
        let counts = Among { session, ot: &mut ot }.ones(columns, differences, case.bits).await?;
        ran.push((counts, session.stats().bytes() - before));
    }
    Ok(ran)
}

fn run(sites: usize, case: &Case, extension: Extension) -> Vec<Outcome<Ran>> {
    println!("seed {SEED}, {sites} sites, {} columns, {} bits, {extension:?}", case.columns.len(), case.bits);
    let case = case.clone();
    let program = move |mut session: Session, (): ()| {
        let case = case.clone();
        async move {
            let result = ran(&mut session, &case, extension).await;
            (session, result)
        }
    };
    World::new(sites).seed(SEED).run(program, vec![(); sites])
}

/// What all sites have together of each count, by columns and alone, and what the site sent that sent most.
fn together(sites: usize, case: &Case, extension: Extension) -> ([Vec<u32>; 2], [u64; 2]) {
    let ran: Vec<Ran> = run(sites, case, extension).into_iter().map(|o| o.result.expect("all are honest")).collect();
    let sum = |way: usize, at: usize| ran.iter().fold(0u32, |sum, ran| sum.wrapping_add(ran[way].0[at].0));
    let counts = [0, 1].map(|way| (0..case.differences.len()).map(|at| case.low(sum(way, at))).collect());
    (counts, [0, 1].map(|way| ran.iter().map(|ran| ran[way].1).max().unwrap()))
}

/// Every column with every later one, and some alone.
fn all_pairs(columns: usize) -> Vec<Difference> {
    let pairs = (0..columns).flat_map(|a| (a + 1..columns).map(move |b| (a, Some(b))));
    pairs.chain([(0, None), (columns - 1, None)]).collect()
}

fn cases() -> Vec<(usize, Case)> {
    let alike = |sites: u8, columns: usize, words: usize, bits: usize| {
        let columns = vec![((0..sites).collect(), words); columns];
        (usize::from(sites), Case { differences: all_pairs(columns.len()), columns, bits })
    };
    // Held by some, by one, by nobody; in two lengths.
    let by = [vec![0, 1], vec![0, 1, 2], vec![], vec![2], vec![0, 1, 2], vec![1, 2], vec![0, 1]];
    let columns = [3, 40].into_iter().flat_map(|words| by.clone().map(|by| (by, words))).collect();
    let within = |from: usize| all_pairs(7).into_iter().map(move |(a, b)| (a + from, b.map(|b| b + from)));
    let mixed = Case { columns, differences: within(0).chain(within(7)).collect(), bits: 13 };
    let one = Case { columns: vec![(vec![0, 1, 2], 70); 2], differences: vec![(0, Some(1))], bits: 16 };
    vec![alike(2, 5, 43, 14), alike(3, 4, 7, 24), alike(5, 3, 2, 32), alike(3, 3, 1, 7), (3, mixed), (3, one)]
}

#[test]
fn xors_are_counted_by_the_ots_of_their_columns_as_each_by_its_own() {
    for (sites, case) in cases() {
        for extension in [Extension::SoftSpoken, Extension::Silent { batch: 1 << 14, code: Code::ExpandConvolute7 }] {
            let ([by_columns, alone], bytes) = together(sites, &case, extension);
            assert_eq!(by_columns, case.counted(sites));
            assert_eq!(alone, by_columns);
            assert!(extension != Extension::SoftSpoken || bytes[0] <= bytes[1], "{bytes:?}");
        }
    }
}

#[test]
fn more_xors_than_a_call_has_words_are_counted_in_several() {
    let columns = vec![(vec![0, 1], 2); 95];
    let case = Case { differences: all_pairs(columns.len()), columns, bits: 16 };
    assert_eq!(jobs(&case.columns_of(0), &case.differences).len(), 2);
    let ([by_columns, alone], _) = together(2, &case, Extension::SoftSpoken);
    assert_eq!(by_columns, case.counted(2));
    assert_eq!(alone, by_columns);
}

#[test]
fn what_is_sent_for_ones_is_foreseen() {
    for (sites, case) in cases() {
        let (_, [bytes, _]) = together(sites, &case, Extension::SoftSpoken);
        let mut count = Preparation::new(Extension::SoftSpoken, sites);
        let columns = case.columns_of(0);
        let counted = count.ones(&columns, &case.differences, case.bits);
        counted.now_or_never().expect("nothing waits").expect("nothing fails");
        assert_eq!(bytes, count.cost().bytes, "{sites} sites");
    }
}
