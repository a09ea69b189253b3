//! What a correlation is, checked in the clear: all parties' summands are added up, and every element must fit.

use mpc_core::world::World;
use mpc_core::{PartyId, PowerOfTwo, Session, Z64, Z128};

use super::super::{Budget, Chains, Pool};
use crate::additive::demand_edabits;
use crate::ot::Extension;

/// A kind of correlation and where it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BitTriples,
    RingTriples64,
    RingTriples128,
    DaBits64,
    DaBits128,
    Selections64,
    Selections128,
    EdaBits(usize),
}

use Kind::*;

pub const KINDS: [Kind; 9] = [
    BitTriples,
    RingTriples64,
    RingTriples128,
    DaBits64,
    DaBits128,
    Selections64,
    Selections128,
    EdaBits(8),
    EdaBits(64),
];

/// One party's part of a column, or what it stands for.
#[derive(Clone, PartialEq, Eq)]
pub enum Column {
    /// XORed, 64 to a word.
    Bits(Vec<u64>),
    /// Added up mod 2^width.
    Numbers(Vec<u128>, usize),
}

impl Column {
    fn of<R: PowerOfTwo>(numbers: &[R]) -> Self {
        Column::Numbers(numbers.iter().map(|x| x.to_low()).collect(), R::BITS)
    }

    /// Element i as a number.
    pub fn get(&self, i: usize) -> u128 {
        match self {
            Column::Bits(words) => u128::from(words[i / 64] >> (i % 64) & 1),
            Column::Numbers(numbers, _) => numbers[i],
        }
    }

    /// Flips the lowest bit of element i.
    pub fn flip(&mut self, i: usize) {
        match self {
            Column::Bits(words) => words[i / 64] ^= 1 << (i % 64),
            Column::Numbers(numbers, _) => numbers[i] ^= 1,
        }
    }

    fn add(&mut self, other: &Column) {
        match (self, other) {
            (Column::Bits(a), Column::Bits(b)) => mpc_core::bits::xor_words(a, b),
            (Column::Numbers(a, width), Column::Numbers(b, _)) => {
                let sum = |(a, b): (&mut u128, &u128)| *a = low(a.wrapping_add(*b), *width);
                a.iter_mut().zip(b).for_each(sum);
            }
            _ => unreachable!("all parties have the same kind of column"),
        }
    }
}

pub fn low(x: u128, width: usize) -> u128 {
    if width >= 128 { x } else { x & ((1 << width) - 1) }
}

impl Kind {
    /// A budget for `words` words of 64 elements, with what they are made of.
    pub fn budget(self, sites: usize, words: usize, chains: Chains) -> Budget {
        let mut budget = Budget::empty(chains, Extension::SoftSpoken);
        let group: Vec<PartyId> = (0..sites as u8).map(PartyId).collect();
        match self {
            BitTriples => budget.add_bit_triples(&group, words),
            RingTriples64 => budget.add_ring_triples::<Z64>(64 * words),
            RingTriples128 => budget.add_ring_triples::<Z128>(64 * words),
            DaBits64 => budget.add_dabits::<Z64>(words),
            DaBits128 => budget.add_dabits::<Z128>(words),
            Selections64 => budget.add_selections::<Z64>(words),
            Selections128 => budget.add_selections::<Z128>(words),
            EdaBits(bits) => demand_edabits(&mut budget, &group, bits, words),
        }
        budget
    }

    /// This party's part of `words` words of elements, taken out of the pool.
    pub fn take(self, s: &Session, pool: &mut Pool, words: usize) -> mpc_core::Result<Vec<Column>> {
        match self {
            BitTriples => {
                let group: Vec<PartyId> = s.parties().sites().collect();
                let t = pool.bit_triples(s, &group, words)?;
                Ok([&t.a, &t.b, &t.c].map(|words| Column::Bits(words.clone())).to_vec())
            }
            RingTriples64 => ring_triples::<Z64>(s, pool, words),
            RingTriples128 => ring_triples::<Z128>(s, pool, words),
            DaBits64 => dabits::<Z64>(s, pool, words),
            DaBits128 => dabits::<Z128>(s, pool, words),
            Selections64 => selections::<Z64>(s, pool, words),
            Selections128 => selections::<Z128>(s, pool, words),
            EdaBits(bits) => {
                let t = pool.edabits(s, bits, words)?;
                let number = |x: &Z64| low(x.to_low(), bits);
                let mut columns = vec![Column::Numbers(t.numbers.iter().map(number).collect(), bits)];
                columns.extend(t.planes.iter().map(|plane| Column::Bits(plane.clone())));
                Ok(columns)
            }
        }
    }

    /// The relation, of one element of all pooled columns.
    fn holds(self, columns: &[Column], i: usize) -> bool {
        let product = |x: &Column, y: &Column, width: usize| low(x.get(i).wrapping_mul(y.get(i)), width);
        match (self, columns) {
            (BitTriples, [a, b, c]) => c.get(i) == product(a, b, 1),
            (RingTriples64, [a, b, c]) => c.get(i) == product(a, b, 64),
            (RingTriples128, [a, b, c]) => c.get(i) == product(a, b, 128),
            (DaBits64 | DaBits128, [bit, number]) => bit.get(i) == number.get(i),
            (Selections64 | Selections128, [bit, number, y, chosen]) => {
                bit.get(i) == number.get(i) && chosen.get(i) == product(bit, y, 128)
            }
            (EdaBits(bits), [number, planes @ ..]) => {
                let value = planes.iter().enumerate().map(|(j, plane)| plane.get(i) << j).sum::<u128>();
                planes.len() == bits && number.get(i) == value
            }
            _ => false,
        }
    }

    /// The elements for which the relation does not hold.
    pub fn faulty(self, parts: &[Vec<Column>], words: usize) -> Vec<usize> {
        let columns = pooled(parts);
        (0..64 * words).filter(|i| !self.holds(&columns, *i)).collect()
    }
}

fn ring_triples<R: PowerOfTwo>(s: &Session, pool: &mut Pool, words: usize) -> mpc_core::Result<Vec<Column>> {
    let t = pool.ring_triples::<R>(s, 64 * words)?;
    Ok([&t.a, &t.b, &t.c].map(|x| Column::of(x)).to_vec())
}

fn dabits<R: PowerOfTwo>(s: &Session, pool: &mut Pool, words: usize) -> mpc_core::Result<Vec<Column>> {
    let t = pool.dabits::<R>(s, words)?;
    Ok(vec![Column::Bits(t.bits.clone()), Column::of(&t.numbers)])
}

fn selections<R: PowerOfTwo>(s: &Session, pool: &mut Pool, words: usize) -> mpc_core::Result<Vec<Column>> {
    let t = pool.selections::<R>(s, words)?;
    let numbers = [&t.numbers, &t.y, &t.products].map(|x| Column::of(x));
    Ok([Column::Bits(t.bits.clone())].into_iter().chain(numbers).collect())
}

/// What the parties' columns stand for.
pub fn pooled(parts: &[Vec<Column>]) -> Vec<Column> {
    let mut sums = parts[0].clone();
    for part in &parts[1..] {
        sums.iter_mut().zip(part).for_each(|(sum, column)| sum.add(column));
    }
    sums
}

/// All parties' columns of `words` words, made in this world; the parties are honest, though their messages may not be.
pub fn made(world: &World, kind: Kind, sites: usize, words: usize, chains: Chains) -> Vec<Vec<Column>> {
    let budget = kind.budget(sites, words, chains);
    let program = move |mut session: Session, (): ()| {
        let budget = budget.clone();
        async move {
            let mut pool = Pool::default();
            let result = match pool.fill(&mut session, &budget).await {
                Ok(()) => kind.take(&session, &mut pool, words),
                Err(error) => Err(error),
            };
            (session, result)
        }
    };
    world.run(program, vec![(); sites]).into_iter().map(|o| o.result.expect("nobody notices")).collect()
}
