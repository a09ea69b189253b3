//! Sorted lists of events in every row: merging two sites' lists, and what is asked of the merged one.
//!
//! An event with code c below 2^bits is the number 2^(bits + 1) − c, no event is 0, and lists descend: the earliest event is
//! first and what is missing is last. Present events are above 2^bits, so that the step from an event to a missing one is
//! larger than between any two events.

use super::circuit::{Bit, Circuit, Number};

impl Circuit {
    /// Two descending lists as one. Numbers are from 0 to 2^(bits + 1).
    ///
    /// # Source
    /// Batcher, "Sorting networks and their applications", AFIPS 1968: odd-even merge.
    /// # Deviations
    /// Lists of any length: they are filled up with zeros that everybody knows, and comparisons with those cost nothing.
    pub fn merge(&mut self, a: &[Number], b: &[Number], bits: u32) -> Vec<Number> {
        if a.is_empty() || b.is_empty() {
            return [a, b].concat();
        }
        let half = a.len().max(b.len()).next_power_of_two();
        let none = self.number(0);
        let mut wires = vec![none; 2 * half];
        wires[..a.len()].copy_from_slice(a);
        wires[half..half + b.len()].copy_from_slice(b);
        self.merge_halves(&mut wires, 0, 1, bits + 1);
        wires.truncate(a.len() + b.len());
        wires
    }

    /// The wires `first`, `first + step`, …, both halves of which descend.
    fn merge_halves(&mut self, wires: &mut [Number], first: usize, step: usize, bits: u32) {
        let count = (wires.len() - first).div_ceil(step);
        if count == 2 {
            self.order(wires, first, first + step, bits);
            return;
        }
        self.merge_halves(wires, first, 2 * step, bits);
        self.merge_halves(wires, first + step, 2 * step, bits);
        for i in (1..count - 1).step_by(2) {
            self.order(wires, first + i * step, first + (i + 1) * step, bits);
        }
    }

    /// Brings the larger of two numbers from 0 to 2^bits to the first place.
    fn order(&mut self, wires: &mut [Number], first: usize, second: usize, bits: u32) {
        let (a, b) = (wires[first], wires[second]);
        let larger = self.larger(a, b, bits);
        let smaller = if larger == a {
            b
        } else if larger == b {
            a
        } else {
            let both = self.add(a, b);
            self.subtract(both, larger)
        };
        (wires[first], wires[second]) = (larger, smaller);
    }

    /// How many neighbours of a descending list are events whose codes differ by at least and at most so much.
    pub fn gaps(&mut self, events: &[Number], bits: u32, at_least: u64, at_most: Option<u64>) -> Number {
        let most = at_most.unwrap_or(u64::MAX).min((1 << bits) - 1);
        if at_least > most {
            return self.number(0);
        }
        let mut total = self.number(0);
        for pair in events.windows(2) {
            let step = self.subtract(pair[0], pair[1]);
            let near = self.below(step, most + 1, bits + 3);
            // Where both are missing the step is 0, which only counts if nothing excludes it.
            let excluded = match at_least {
                0 => self.below(pair[0], 1, bits + 3),
                _ => self.below(step, at_least, bits + 3),
            };
            let counts = self.xor(near, excluded);
            let counts = self.from_bit(counts);
            total = self.add(total, counts);
        }
        total
    }

    /// The code at a position of a descending list; 2^bits where there is no event.
    pub fn nth(&mut self, events: &[Number], bits: u32, n: usize) -> Number {
        let none = self.number(1 << bits);
        let Some(event) = events.get(n) else { return none };
        let missing = self.below(*event, 1, bits + 3);
        let present = self.not(missing);
        let code = self.subtract(none, *event);
        let code = self.select(present, code);
        self.shift(code, 1 << bits)
    }

    /// How many events a list holds.
    pub fn length(&mut self, events: &[Number], bits: u32) -> Number {
        let mut total = self.number(0);
        for event in events {
            let missing = self.below(*event, 1, bits + 3);
            let present = self.not(missing);
            let one = self.from_bit(present);
            total = self.add(total, one);
        }
        total
    }

    fn below(&mut self, a: Number, limit: u64, width: u32) -> Bit {
        let limit = self.number(limit);
        self.less(a, limit, width)
    }
}
