//! How many different elements the sites hold together, approximately, by work that does not depend on how many there are.
//!
//! Every site keeps, for each of m registers, the largest rank of its own elements: a uniform hash chooses the register, and
//! the rank is the number of leading zeros of the rest of it, plus one. The sites' registers combine by their maximum. Written
//! in unary (bit k: is the rank at least k?) the maximum is an OR, so no comparison is needed. What is computed is the number of
//! registers of each rank or more; an estimator makes the count of elements out of it (the planner has Ertl's).
//!
//! # What the numbers tell
//! All level counts of a group are opened together; nothing less gives the estimate. They are a function of the union of the
//! sites' elements. For few elements they tell the count almost exactly, and whoever knows all elements but one may see whether
//! that one is there: a sketch protects nobody in a small set.
//!
//! # Source
//! Flajolet, Fusy, Gandouet, Meunier, HyperLogLog, AofA'07, section 2 (registers and ranks; relative error 1.04/√m). That the union of
//! sketches is their maximum: ibid., section 4. Unary registers on shares are ours.
//! # Deviations
//! Ranks end at `levels` (all greater ones count as that); of at most 2^levels·m / 32 elements fewer than one in 30 registers is cut.

use std::fmt;

use mpc_core::{Bits, Result, Z64};
use zeroize::Zeroize;

use super::shape;
use crate::engine::Engine;
use crate::share::{ArithShare, BitShare};

/// The public size of a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// log2 of the number of registers, m.
    pub log_registers: u32,
    /// Ranks go from 1 to this; 0 is an empty register.
    pub levels: u32,
}

impl Shape {
    /// How many registers.
    pub fn registers(&self) -> usize {
        1 << self.log_registers
    }
}

/// Who puts in which registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// This party's number; not below `sites` at an analyst.
    pub me: usize,
    /// How many sites put in sketches.
    pub sites: usize,
}

/// A site's own sketch of one group. Private: it does not print and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Sketch {
    shape: Shape,
    ranks: Vec<u8>,
}

impl Sketch {
    /// Of no elements.
    pub fn new(shape: Shape) -> Self {
        Self { shape, ranks: vec![0; shape.registers()] }
    }

    /// Adds an element by 64 bits of a uniform hash of it. Again and again is once.
    pub fn add(&mut self, hash: u64) {
        let register = hash as usize & (self.shape.registers() - 1);
        let rest = hash >> self.shape.log_registers << self.shape.log_registers;
        let rank = (rest.leading_zeros() + 1).min(self.shape.levels);
        self.ranks[register] = self.ranks[register].max(rank as u8);
    }
}

impl Drop for Sketch {
    fn drop(&mut self) {
        self.ranks.zeroize();
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sketch({:?})", self.shape)
    }
}

/// Of the union of the sites' elements, group by group, the number of registers of rank k or more for k from 1 to
/// `shape.levels`: element `group·levels + k − 1`. `own` holds this site's sketch of each of `groups` groups; a party that holds
/// nothing gives none.
///
/// (sites − 1) ANDs, one after the other for pairs of halves, and one `b2a`, each of groups·levels·m bits. Nothing is opened.
///
/// # Errors
/// `Local(Lengths)` when there are sketches but not one for each group; as the engine's operations.
pub async fn level_counts<E: Engine>(
    e: &mut E,
    own: &[Sketch],
    groups: usize,
    shape: Shape,
    seat: Seat,
) -> Result<ArithShare<Z64>> {
    if !own.is_empty() {
        e.same_length(own.len(), groups)?;
    }
    let (rows, levels) = (groups * shape.registers(), shape.levels as usize);
    let unary = unary(own, rows, levels);
    // Nobody below: rank < k at all sites is the AND of every site's own rank < k.
    let mut below: Vec<BitShare> = Vec::with_capacity(seat.sites);
    for site in 0..seat.sites {
        let part = e.input_bits(if site == seat.me { unary.clone() } else { Bits::zeros(rows, levels) });
        below.push(e.not(&part));
    }
    while below.len() > 1 {
        let half = below.len() / 2;
        let (left, right) = (shape::beneath(&refs(&below[..half])), shape::beneath(&refs(&below[half..2 * half])));
        let both = e.and(&left, &right).await?;
        let mut next: Vec<BitShare> =
            (0..half).map(|i| both.gather(&(i * rows..(i + 1) * rows).collect::<Vec<_>>())).collect();
        next.extend(below.drain(2 * half..));
        below = next;
    }
    let Some(below) = below.pop() else { return Ok(ArithShare::zeros(groups * levels)) };
    let reached = e.not(&below);
    let ones = e.b2a::<Z64>(&reached).await?;
    let by_level = ones.block_sums(shape.registers());
    Ok(by_level.gather(&(0..groups * levels).map(|i| i % levels * groups + i / levels).collect::<Vec<_>>()))
}

fn refs(parts: &[BitShare]) -> Vec<&BitShare> {
    parts.iter().collect()
}

/// Bit k − 1 of row `group·m + register`: is its rank at least k?
fn unary(own: &[Sketch], rows: usize, levels: usize) -> Bits {
    let mut out = Bits::zeros(rows, levels);
    for (row, rank) in own.iter().flat_map(|sketch| &sketch.ranks).enumerate() {
        for plane in 0..levels {
            // Every bit is written, whatever it is.
            out.set(row, plane, usize::from(*rank) > plane);
        }
    }
    out
}
