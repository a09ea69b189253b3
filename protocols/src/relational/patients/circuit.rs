//! A circuit over rows: gates that are written down, folded where their value is public, and shared where they are equal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mpc_core::PartyId;

/// A bit of every row. Printing it shows its place in the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bit(pub(super) usize);

/// A number mod 2^64 of every row. Printing it shows its place in the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(pub(super) usize);

/// A column of what a site knows of the patients in a receiver's bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Whose bins.
    pub receiver: PartyId,
    /// Who knows.
    pub site: PartyId,
    /// Which of its columns of bits, or of numbers.
    pub column: usize,
}

/// How a bit can change when one more site tells what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// Not at all.
    Constant,
    /// From 0 to 1 only.
    Up,
    /// From 1 to 0 only.
    Down,
    /// Either way.
    Either,
}

/// One operation. Operands come before what is made of them; none of them is public but where the gate says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gate {
    PublicBit(bool),
    PublicNumber(u64),
    KnownBit(Place),
    KnownNumber(Place),
    Not(Bit),
    Xor(Bit, Bit),
    And(Bit, Bit),
    Add(Number, Number),
    Subtract(Number, Number),
    /// Times a public number.
    Scale(Number, u64),
    /// Plus a public number.
    Shift(Number, u64),
    Multiply(Number, Number),
    Select(Bit, Number),
    FromBit(Bit),
    /// Bit `width − 1`.
    Negative(Number, u32),
    /// Are the low `width` bits zero?
    IsZero(Number, u32),
}

/// A program for every row. It holds no data: whoever knows the plan can write it down.
#[derive(Debug, Clone, Default)]
pub struct Circuit {
    pub(super) gates: Vec<Gate>,
    known: HashMap<Gate, usize>,
    /// What is added to which total, over all rows.
    pub(super) outputs: Vec<(usize, Number)>,
    /// Which bit says in whose bins that a patient is in a set.
    pub(super) flags: Vec<Flag>,
}

/// Of what sites know of a receiver's patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// What the other sites told.
    Before,
    /// And what the receiver knows itself.
    After,
}

/// A bit that is wanted as it stands, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag {
    pub receiver: PartyId,
    pub set: usize,
    pub when: When,
    pub bit: Bit,
}

impl Circuit {
    /// A bit that everybody knows.
    pub fn bit(&mut self, value: bool) -> Bit {
        Bit(self.gate(Gate::PublicBit(value)))
    }

    /// A number that everybody knows.
    pub fn number(&mut self, value: u64) -> Number {
        Number(self.gate(Gate::PublicNumber(value)))
    }

    /// A bit that a site knows.
    pub fn known_bit(&mut self, place: Place) -> Bit {
        Bit(self.gate(Gate::KnownBit(place)))
    }

    /// A number that a site knows.
    pub fn known_number(&mut self, place: Place) -> Number {
        Number(self.gate(Gate::KnownNumber(place)))
    }

    /// Not a.
    pub fn not(&mut self, a: Bit) -> Bit {
        match self.gates[a.0] {
            Gate::PublicBit(a) => self.bit(!a),
            Gate::Not(a) => a,
            _ => Bit(self.gate(Gate::Not(a))),
        }
    }

    /// Exactly one of a and b.
    pub fn xor(&mut self, a: Bit, b: Bit) -> Bit {
        let ((a, a_flipped), (b, b_flipped)) = (self.upright(a), self.upright(b));
        let xor = match (self.public_bit(a), self.public_bit(b)) {
            _ if a == b => self.bit(false),
            (Some(_), _) => b,
            (_, Some(_)) => a,
            _ => Bit(self.gate(Gate::Xor(a.min(b), a.max(b)))),
        };
        if a_flipped == b_flipped { xor } else { self.not(xor) }
    }

    /// a and b.
    pub fn and(&mut self, a: Bit, b: Bit) -> Bit {
        match (self.public_bit(a), self.public_bit(b)) {
            _ if a == b => a,
            (Some(false), _) | (_, Some(false)) => self.bit(false),
            (Some(true), _) => b,
            (_, Some(true)) => a,
            _ if self.not(a) == b => self.bit(false),
            _ => Bit(self.gate(Gate::And(a.min(b), a.max(b)))),
        }
    }

    /// a or b.
    pub fn or(&mut self, a: Bit, b: Bit) -> Bit {
        if a == b {
            return a;
        }
        let both = self.and(a, b);
        let one = self.xor(a, b);
        self.xor(one, both)
    }

    /// a + b.
    pub fn add(&mut self, a: Number, b: Number) -> Number {
        match (self.public(a), self.public(b)) {
            (Some(a), _) => self.shift(b, a),
            (_, Some(b)) => self.shift(a, b),
            _ => Number(self.gate(Gate::Add(a.min(b), a.max(b)))),
        }
    }

    /// a − b.
    pub fn subtract(&mut self, a: Number, b: Number) -> Number {
        // What more a site adds to a sum is its own part, which needs no other site.
        if let Gate::Add(left, right) = self.gates[a.0]
            && (left == b || right == b)
        {
            return if left == b { right } else { left };
        }
        match (self.public(a), self.public(b)) {
            _ if a == b => self.number(0),
            (_, Some(b)) => self.shift(a, b.wrapping_neg()),
            (Some(a), _) => {
                let minus = self.scale(b, u64::MAX);
                self.shift(minus, a)
            }
            _ => Number(self.gate(Gate::Subtract(a, b))),
        }
    }

    /// a times a public number.
    pub fn scale(&mut self, a: Number, factor: u64) -> Number {
        match (self.gates[a.0], factor) {
            (_, 0) => self.number(0),
            (_, 1) => a,
            (Gate::PublicNumber(a), _) => self.number(a.wrapping_mul(factor)),
            (Gate::Scale(a, inner), _) => self.scale(a, inner.wrapping_mul(factor)),
            _ => Number(self.gate(Gate::Scale(a, factor))),
        }
    }

    /// a plus a public number.
    pub fn shift(&mut self, a: Number, by: u64) -> Number {
        match (self.gates[a.0], by) {
            (_, 0) => a,
            (Gate::PublicNumber(a), _) => self.number(a.wrapping_add(by)),
            (Gate::Shift(a, inner), _) => self.shift(a, inner.wrapping_add(by)),
            _ => Number(self.gate(Gate::Shift(a, by))),
        }
    }

    /// a · b.
    pub fn multiply(&mut self, a: Number, b: Number) -> Number {
        match (self.gates[a.0], self.gates[b.0]) {
            (Gate::PublicNumber(a), _) => self.scale(b, a),
            (_, Gate::PublicNumber(b)) => self.scale(a, b),
            (Gate::FromBit(a), _) => self.select(a, b),
            (_, Gate::FromBit(b)) => self.select(b, a),
            _ => Number(self.gate(Gate::Multiply(a.min(b), a.max(b)))),
        }
    }

    /// a where the choice is 1, else 0.
    pub fn select(&mut self, choice: Bit, a: Number) -> Number {
        match (self.public_bit(choice), self.public(a)) {
            (Some(false), _) => self.number(0),
            (Some(true), _) => a,
            (_, Some(a)) => {
                let one = self.from_bit(choice);
                self.scale(one, a)
            }
            _ => Number(self.gate(Gate::Select(choice, a))),
        }
    }

    /// 0 or 1.
    pub fn from_bit(&mut self, a: Bit) -> Number {
        let (upright, flipped) = self.upright(a);
        let number = match self.public_bit(upright) {
            Some(a) => self.number(u64::from(a)),
            None => Number(self.gate(Gate::FromBit(upright))),
        };
        if !flipped {
            return number;
        }
        let one = self.number(1);
        self.subtract(one, number)
    }

    /// a < b, where −2^(width − 1) ≤ a − b < 2^(width − 1).
    pub fn less(&mut self, a: Number, b: Number, width: u32) -> Bit {
        let difference = self.subtract(a, b);
        match self.public(difference) {
            Some(difference) => self.bit(difference >> (width - 1) & 1 == 1),
            None => Bit(self.gate(Gate::Negative(difference, width))),
        }
    }

    /// a = b, where |a − b| < 2^width.
    pub fn equal(&mut self, a: Number, b: Number, width: u32) -> Bit {
        let difference = self.subtract(a, b);
        match self.public(difference) {
            Some(difference) => self.bit(difference == 0),
            None => Bit(self.gate(Gate::IsZero(difference, width))),
        }
    }

    /// The larger of two numbers from 0 to 2^bits.
    pub fn larger(&mut self, a: Number, b: Number, bits: u32) -> Number {
        match (self.public(a), self.public(b)) {
            _ if a == b => a,
            (Some(0), _) => b,
            (_, Some(0)) => a,
            _ => {
                let less = self.less(a, b, bits + 2);
                let more = self.subtract(b, a);
                let more = self.select(less, more);
                self.add(a, more)
            }
        }
    }

    /// Counts a bit in a total: after one more site, less before it. `trend` is how it can have changed.
    pub fn count(&mut self, total: usize, after: Bit, before: Bit, trend: Trend) {
        let changed = self.xor(after, before);
        let more = match trend {
            Trend::Constant | Trend::Up => self.from_bit(changed),
            Trend::Down => {
                let one = self.from_bit(changed);
                self.scale(one, u64::MAX)
            }
            Trend::Either => {
                let (after, before) = (self.from_bit(after), self.from_bit(before));
                self.subtract(after, before)
            }
        };
        self.output(total, more);
    }

    /// Adds a number to a total: after one more site, less before it.
    pub fn sum(&mut self, total: usize, after: Number, before: Number) {
        let more = self.subtract(after, before);
        self.output(total, more);
    }

    fn output(&mut self, total: usize, more: Number) {
        // What is public is the same after and before: it adds nothing.
        if self.public(more).is_none() {
            self.outputs.push((total, more));
        }
    }

    /// Says that a bit is 1 for the patients in a receiver's bins who are in a set, at most once for each of both. What everybody knows
    /// to be 0 needs no flag.
    pub fn flag(&mut self, set: usize, receiver: PartyId, bit: Bit) {
        self.flag_when(set, receiver, When::After, bit);
    }

    /// The same of what is known at a time.
    pub fn flag_when(&mut self, set: usize, receiver: PartyId, when: When, bit: Bit) {
        if self.public_bit(bit) != Some(false) {
            self.flags.push(Flag { receiver, set, when, bit });
        }
    }

    /// Who holds a share of a bit that may not be zero: the two sites of a column, and all (None) of what is made of columns.
    pub(super) fn holders(&self, bit: Bit) -> Option<BTreeSet<PartyId>> {
        match self.gates[bit.0] {
            Gate::KnownBit(place) => Some(BTreeSet::from([place.receiver, place.site])),
            _ => None,
        }
    }

    /// For each receiver whose bins add anything to a total, the sites whose knowledge that needs.
    pub fn needed(&self) -> BTreeMap<PartyId, BTreeSet<PartyId>> {
        let live = self.live();
        let mut needed: BTreeMap<PartyId, BTreeSet<PartyId>> = BTreeMap::new();
        for (gate, _) in self.gates.iter().zip(live).filter(|(_, live)| *live) {
            if let Gate::KnownBit(place) | Gate::KnownNumber(place) = gate {
                needed.entry(place.receiver).or_default().insert(place.site);
            }
        }
        needed
    }

    /// Which gates an output or a flag is made of.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.gates.len()];
        self.outputs.iter().for_each(|(_, number)| live[number.0] = true);
        self.flags.iter().for_each(|flag| live[flag.bit.0] = true);
        for at in (0..self.gates.len()).rev() {
            if live[at] {
                operands(&self.gates[at]).for_each(|operand| live[operand] = true);
            }
        }
        live
    }

    /// The value of a number that everybody knows.
    pub fn public(&self, a: Number) -> Option<u64> {
        match self.gates[a.0] {
            Gate::PublicNumber(a) => Some(a),
            _ => None,
        }
    }

    fn public_bit(&self, a: Bit) -> Option<bool> {
        match self.gates[a.0] {
            Gate::PublicBit(a) => Some(a),
            _ => None,
        }
    }

    /// The bit without a flip, and whether there was one; of public bits the zero.
    fn upright(&mut self, a: Bit) -> (Bit, bool) {
        match self.gates[a.0] {
            Gate::Not(a) => (a, true),
            Gate::PublicBit(true) => (self.bit(false), true),
            _ => (a, false),
        }
    }

    fn gate(&mut self, gate: Gate) -> usize {
        let Self { gates, known, .. } = self;
        *known.entry(gate).or_insert_with(|| {
            gates.push(gate);
            gates.len() - 1
        })
    }
}

/// The places of a gate's operands.
pub(super) fn operands(gate: &Gate) -> impl Iterator<Item = usize> + use<> {
    let (one, other) = match *gate {
        Gate::PublicBit(_) | Gate::PublicNumber(_) | Gate::KnownBit(_) | Gate::KnownNumber(_) => (None, None),
        Gate::Not(a) | Gate::FromBit(a) => (Some(a.0), None),
        Gate::Xor(a, b) | Gate::And(a, b) => (Some(a.0), Some(b.0)),
        Gate::Add(a, b) | Gate::Subtract(a, b) | Gate::Multiply(a, b) => (Some(a.0), Some(b.0)),
        Gate::Scale(a, _) | Gate::Shift(a, _) | Gate::Negative(a, _) | Gate::IsZero(a, _) => (Some(a.0), None),
        Gate::Select(a, b) => (Some(a.0), Some(b.0)),
    };
    one.into_iter().chain(other)
}
